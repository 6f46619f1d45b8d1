/* A server on a unix socket that answers HTTP requests with what a test says, byte for byte. */
#ifndef STOCKADE_TEST_FAKE_ENGINE_H
#define STOCKADE_TEST_FAKE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

struct fake_engine;

enum fake_after { FAKE_KEEP, FAKE_CLOSE, FAKE_HANG };

/* What one request gets: an answer made of status and body, or raw bytes, or nothing at all. */
struct fake_answer {
    const char *status; /* "404 Not Found" */
    const char *body;
    size_t length; /* what the header claims; 0 = the truth */
    size_t repeat; /* the body's last byte, so many times more */
    const char *raw;
    enum fake_after after;
    bool to_ping; /* answers /_ping, and nothing else; to be the first */
};

/*
 * Answers request i with answers[i], and those past the end with the last one. The answers outlive it. /_ping is not
 * among these requests: without an answer of its own it gets dockerd's.
 */
struct fake_engine *fake_engine_start(const struct fake_answer *answers, size_t n);
const char *fake_engine_address(const struct fake_engine *fake); /* unix:///... */
/* The first lines of the requests so far, each ended by a newline; to be freed. */
char *fake_engine_requests(struct fake_engine *fake);
void fake_engine_stop(struct fake_engine *fake);

#endif
