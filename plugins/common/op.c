#include "op.h"

#include "error.h"
#include "runtime.h"
#include "structs.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

void op_init(struct op *op, struct runtime *rt, rt_call *call, const char *name)
{
    rt_call own;

    *op = (struct op){ .rt = rt, .name = name, .cancel_fd = -1, .own_err = RT_ERROR_INIT, .call = call };
    op->err = &op->own_err;
    error_reset(op->err, name);
    if (!call || !struct_read(&own, sizeof own, call))
        return;
    op->deadline_ns = own.deadline_ns;
    op->cancel_fd = call->size > offsetof(rt_call, cancel_fd) ? own.cancel_fd : -1;
}

void op_init_quiet(struct op *op, struct runtime *rt)
{
    op_init(op, rt, NULL, "internal");
}

void op_init_aside(struct op *aside, const struct op *op)
{
    op_init_quiet(aside, op->rt);
    aside->deadline_ns = op->deadline_ns;
    aside->cancel_fd = op->cancel_fd;
}

int32_t op_report(struct op *op, int32_t status)
{
    if (status == RT_OK)
        error_reset(op->err, op->name);
    if (op->call && op->call->size > offsetof(rt_call, error))
        error_copy(&op->call->error, op->call->size - offsetof(rt_call, error), op->err);
    return status;
}

int32_t op_begin(struct op *op, rt_runtime *rt, rt_call *call, const char *name)
{
    op_init(op, (struct runtime *)rt, call, name);
    runtime_enter(op->rt);
    return op_check(op);
}

int32_t op_end(struct op *op, int32_t status)
{
    status = op_report(op, status);
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
    all[n] = (struct pollfd){ .fd = op->cancel_fd, .events = POLLIN };
    all[n + 1] = (struct pollfd){ .fd = op->rt->closing_fd, .events = POLLIN };
    for (;;) {
        int64_t now = until ? now_ns() : 0, left = until > now ? until - now : 0;
        struct timespec ts = { left / NS_PER_S, left % NS_PER_S };
        int ready = ppoll(all, n + 2, until ? &ts : NULL, NULL);

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return op_fail(op, RT_E_IO, errno, "poll");
        /* The deadline also counts while there is always something ready. */
        if (all[n].revents || all[n + 1].revents || (op->deadline_ns && now_ns() >= op->deadline_ns))
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

int32_t op_need_fds(struct op *op, int n, const char *what)
{
    int fds[OP_FDS_MAX], got = 0, err = 0;

    for (; got < n && !err; got++) {
        fds[got] = fcntl(op->rt->dir_fd, F_DUPFD_CLOEXEC, 0);
        err = fds[got] < 0 ? errno : 0;
    }
    for (int i = 0; i < got; i++)
        fd_closep(&fds[i]);
    return err ? op_fail(op, error_status(err), err, "%s takes %d free fds", what, n) : RT_OK;
}
