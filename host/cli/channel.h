/* One direction of copying: from a descriptor through a buffer to another. */
#ifndef STOCKADE_CLI_CHANNEL_H
#define STOCKADE_CLI_CHANNEL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHANNEL_BUFFER ((size_t)64 << 10)

struct channel {
    int *from, *to; /* closed and set to -1 at their end, if owned; -1 = none */
    bool owns_from, owns_to;
    size_t write_max; /* what a write to `to` takes without blocking once poll(2) says so */
    ssize_t left;     /* bytes still to be read, -1 = until end of file */
    size_t at, len;   /* of what waits in the buffer */
    int err;          /* errno of a write that failed, EPIPE apart */
    bool is_ended;    /* reading came to the end of the file, or failed */
    char buffer[CHANNEL_BUFFER];
};

/* Sets up copying between two descriptors; those of the command are owned and made non-blocking. */
void channel_init(struct channel *channel, int *from, bool owns_from, int *to, bool owns_to);
bool channel_is_done(const struct channel *channel);
/* What to poll for: fd -1 if nothing. */
struct pollfd channel_pollfd(const struct channel *channel);
/* After poll(2) found it ready: reads or writes once. */
void channel_step(struct channel *channel);
/*
 * From now on only what lies in the pipe or terminal already is read, for a background process may go on writing for
 * ever: channel_step() reads without waiting, and does not wait for more.
 */
void channel_limit(struct channel *channel);

#endif
