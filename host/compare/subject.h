/* What is compared: a runtime, or the bare host as the baseline. Each works in a directory of its own. */
#ifndef STOCKADE_COMPARE_SUBJECT_H
#define STOCKADE_COMPARE_SUBJECT_H

#include "host/stockade.h"

#include <stdbool.h>
#include <stddef.h>

#define SUBJECT_TEXT 640

struct subject {
    char name[64];
    bool is_host;
    char dir[512];            /* its codebase; on the host where commands run */
    stockade_runtime *sb;     /* NULL on the host, and where it could not be opened */
    const rt_probe *probe;    /* NULL if there is none */
    const char *image;        /* NULL = the runtime's default */
    int cancel_fd;            /* for every call */
    unsigned serial;          /* of the sandboxes made so far */
    bool is_up;               /* the sandbox SUBJECT_BOX runs */
    char error[SUBJECT_TEXT]; /* why it cannot be measured at all; "" */
};

#define SUBJECT_BOX "compare" /* the sandbox that lasts through all that needs no new one */

struct subject_options {
    const stockade_config *config;
    const char *state_dir, *image;
};

/* Opens a runtime by name or path and probes it. What goes wrong is left in error. */
void subject_open(struct subject *subject, const char *name, const struct subject_options *options);
void subject_close(struct subject *subject);

/* Creates a sandbox on the subject's directory, in which everything may be written. */
int32_t subject_box_create(struct subject *subject, const char *id, rt_call *call);
/* Makes SUBJECT_BOX and starts it; what goes wrong is left in error. Nothing to do on the host. */
bool subject_box_up(struct subject *subject);

rt_call subject_call(const struct subject *subject);

/* A command to run, in a sandbox or on the host. */
struct job {
    const char *const *argv; /* ended by NULL, or */
    const char *shell;       /* a text for /bin/sh */
    const void *in;          /* fed to it; NULL = /dev/null */
    size_t in_len;
    bool is_streamed; /* its output comes by exec_stream() */
    bool in_session;  /* in SUBJECT_BOX's session of the same name; on the host there are none */
};

/*
 * Runs it once and waits. Returns false if it did not end with 0, with the reason in why.
 * ret_bytes may be NULL; it takes the length of stdout. Safe to call from several threads.
 */
bool subject_run(const struct subject *subject, const char *id, const struct job *job, char why[SUBJECT_TEXT],
                 size_t *ret_bytes);

#endif
