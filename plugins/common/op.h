/*
 * One call of an op: its deadline, how it is cancelled, and where its error goes. Everything in here that can block
 * or fail takes a struct op.
 */
#ifndef STOCKADE_OP_H
#define STOCKADE_OP_H

#include "runtime_api.h"

#include <poll.h>

struct runtime;

struct op {
    struct runtime *rt;
    const char *name;    /* static */
    rt_error *err;       /* never NULL; reaches the caller in op_end() */
    int64_t deadline_ns; /* 0 = none */
    int cancel_fd;       /* -1 = none */
    rt_error own_err;
    rt_call *call; /* the caller's, or NULL; perhaps shorter than ours */
};

#define OP_POLL_MAX 6

/*
 * Enters the runtime: from here on its close() waits for op_end(), which must follow in any case. call may be NULL.
 * Returns op_check()'s status.
 */
int32_t op_begin(struct op *op, rt_runtime *rt, rt_call *call, const char *name);
/* Leaves it and gives the error to the caller. Returns status. */
int32_t op_end(struct op *op, int32_t status);

/* The two halves of these that need no runtime, for open(). */
void op_init(struct op *op, struct runtime *rt, rt_call *call, const char *name);
int32_t op_report(struct op *op, int32_t status);

/* An op for work that nobody called for: no deadline, no cancelling, the error stays here. */
void op_init_quiet(struct op *op, struct runtime *rt);
/* With op's deadline and cancel, and an error of its own. */
void op_init_aside(struct op *aside, const struct op *op);

/* Sets the error and returns status, so that it can be returned in the same statement. */
int32_t op_fail(struct op *op, int32_t status, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts text in front of the message that is there: "step: why". Returns status. */
int32_t op_wrap(struct op *op, int32_t status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* RT_OK, or RT_E_TIMEOUT or RT_E_CANCELLED if the call is past its deadline, cancelled, or the runtime closes. */
int32_t op_check(struct op *op);

/*
 * poll(2) until a point in time (until_ns, CLOCK_MONOTONIC; 0 = no end) or until op_check() would fail.
 * fds      at most OP_POLL_MAX; revents are filled
 * ret_n    how many are ready; 0 = the time has come
 */
int32_t op_poll(struct op *op, struct pollfd *fds, size_t n, int64_t until_ns, int *ret_n);

/* Waits for one fd to be readable. RT_E_TIMEOUT with a message naming `what` at until_ns too. */
int32_t op_wait_readable(struct op *op, int fd, int64_t until_ns, const char *what);

/* Sleeps; ends early only with op_check()'s status. */
int32_t op_sleep_ms(struct op *op, int ms);
/*
 * RT_E_RESOURCE unless this process has n fds left, OP_FDS_MAX at most: what takes that many is rather not begun than
 * left half done. `what` is its name for the message.
 */
#define OP_FDS_MAX 32
int32_t op_need_fds(struct op *op, int n, const char *what);

#endif
