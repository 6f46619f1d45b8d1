#include "op.h"

#include "error.h"
#include "runtime.h"
#include "util.h"

#include <errno.h>
#include <limits.h>

int32_t op_begin(struct op *op, rt_runtime *rt, rt_call *call, const char *name)
{
    *op = (struct op) { .rt = (struct runtime *)rt, .name = name, .cancel_fd = -1, .own_err = RT_ERROR_INIT };
    op->err = call ? &call->error : &op->own_err;
    if (call) {
        op->deadline_ns = call->deadline_ns;
        op->cancel_fd = call->cancel_fd;
    }
    error_reset(op->err, name);
    runtime_enter(op->rt);
    return RT_OK;
}

int32_t op_end(struct op *op, int32_t status)
{
    runtime_leave(op->rt);
    return status;
}

int32_t op_fail(struct op *op, int32_t status, int sys_errno, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_vset(op->err, status, sys_errno, format, args);
    va_end(args);
    return status;
}

int32_t op_wrap(struct op *op, int32_t status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_wrap(op->err, status, format, args);
    va_end(args);
    return status;
}

int32_t op_check(struct op *op)
{
    struct pollfd fds[2] = { { .fd = op->cancel_fd, .events = POLLIN },
                             { .fd = op->rt->closing_fd, .events = POLLIN } };

    if (poll(fds, 2, 0) > 0) {
        if (fds[1].revents)
            return op_fail(op, RT_E_CANCELLED, 0, "the runtime is being closed");
        return op_fail(op, RT_E_CANCELLED, 0, "cancelled");
    }
    if (op->deadline_ns && now_ns() >= op->deadline_ns)
        return op_fail(op, RT_E_TIMEOUT, 0, "the deadline has passed");
    return RT_OK;
}

int32_t op_poll(struct op *op, struct pollfd *fds, size_t n, int64_t until_ns, int *ret_n)
{
    struct pollfd all[OP_POLL_MAX + 2];
    int64_t until = sooner_ns(until_ns, op->deadline_ns);

    for (size_t i = 0; i < n; i++)
        all[i] = fds[i];
    all[n] = (struct pollfd) { .fd = op->cancel_fd, .events = POLLIN };
    all[n + 1] = (struct pollfd) { .fd = op->rt->closing_fd, .events = POLLIN };
    for (;;) {
        int64_t now = until ? now_ns() : 0, left = until > now ? until - now : 0;
        struct timespec ts = { left / NS_PER_S, left % NS_PER_S };
        int ready = ppoll(all, n + 2, until ? &ts : NULL, NULL);

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return op_fail(op, RT_E_IO, errno, "poll");
        if (all[n].revents || all[n + 1].revents || (!ready && until == op->deadline_ns && until))
            return op_check(op);
        for (size_t i = 0; i < n; i++)
            fds[i].revents = all[i].revents;
        *ret_n = ready;
        return RT_OK;
    }
}

int32_t op_wait_readable(struct op *op, int fd, int64_t until_ns, const char *what)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    int ready;
    int32_t status = op_poll(op, &pfd, 1, until_ns, &ready);

    if (status)
        return status;
    return ready ? RT_OK : op_fail(op, RT_E_TIMEOUT, 0, "%s did not answer in time", what);
}

int32_t op_sleep_ms(struct op *op, int ms)
{
    int ready;

    return op_poll(op, NULL, 0, now_ns() + ms * NS_PER_MS, &ready);
}
