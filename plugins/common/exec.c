/* exec, exec_stream and the process_* ops, all on process.h. */
#include "changes.h"
#include "error.h"
#include "ops.h"
#include "process.h"
#include "session.h"
#include "structs.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A stream being collected, up to its cap; what comes later is dropped (X10). */
struct buffer {
    char *data;
    size_t len, cap;
    uint64_t max;
    bool truncated, failed;
};

struct collector {
    rt_exec_result pub; /* first: what the host gets; it points into the buffers below */
    struct buffer out, err;
};

static bool buffer_reserve(struct buffer *buffer, size_t len)
{
    size_t cap = buffer->cap ? buffer->cap : 4096;
    char *bigger;

    while (cap < len + 1)
        cap *= 2;
    if (cap == buffer->cap)
        return true;
    bigger = realloc(buffer->data, cap);
    if (!bigger)
        return false;
    buffer->data = bigger;
    buffer->cap = cap;
    return true;
}

static bool buffer_add(struct buffer *buffer, const void *data, size_t len)
{
    if (len > buffer->max - buffer->len) {
        len = (size_t)(buffer->max - buffer->len);
        buffer->truncated = true;
    }
    if (!buffer_reserve(buffer, buffer->len + len)) {
        buffer->failed = true;
        return false;
    }
    memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
    return true;
}

static bool collect(void *user, int32_t stream, const void *data, size_t len)
{
    struct collector *collector = user;

    return buffer_add(stream == RT_STDOUT ? &collector->out : &collector->err, data, len);
}

static struct collector *collector_new(uint64_t max)
{
    struct collector *collector = calloc(1, sizeof *collector);

    if (!collector)
        return NULL;
    collector->out.max = collector->err.max = max;
    if (buffer_reserve(&collector->out, 0) && buffer_reserve(&collector->err, 0)) {
        collector->out.data[0] = collector->err.data[0] = '\0';
        return collector;
    }
    exec_result_free(&collector->pub);
    return NULL;
}

static rt_exec_result *collector_finish(struct collector *collector, const rt_exit *exit)
{
    collector->pub = (rt_exec_result){ .size = sizeof collector->pub,
                                       .exit = *exit,
                                       .stdout_data = collector->out.data,
                                       .stdout_len = collector->out.len,
                                       .stderr_data = collector->err.data,
                                       .stderr_len = collector->err.len };
    if (collector->out.truncated)
        collector->pub.exit.flags |= RT_RESULT_STDOUT_TRUNCATED;
    if (collector->err.truncated)
        collector->pub.exit.flags |= RT_RESULT_STDERR_TRUNCATED;
    return &collector->pub;
}

void exec_result_free(rt_exec_result *result)
{
    struct collector *collector = (struct collector *)result;

    if (!collector)
        return;
    free(collector->out.data);
    free(collector->err.data);
    free(collector);
}

static int32_t request_read(struct op *op, const rt_exec_request *req, rt_exec_request *ret)
{
    return req && struct_read(ret, sizeof *ret, req)
               ? RT_OK
               : op_fail(op, RT_E_INVAL, 0, "no request given, or one without a size");
}

/* Where a command runs: in a sandbox, or in a session of it. */
struct place {
    const char *id, *session; /* NULL: in a process of its own */
};

static int32_t place_new_process(struct op *op, struct place place, const rt_exec_request *req, struct process **ret)
{
    if (place.session)
        return process_new_in_session(op, place.id, place.session, req, 0, ret);
    return process_new(op, place.id, req, req->stdin_data ? PROCESS_STDIN_PIPE : PROCESS_STDIN_NULL, ret);
}

/* What the sandbox's policy does with its delta once a command has ended, the first time that it is heard of. */
static void process_commit(struct op *op, struct process *process, int32_t status)
{
    if (!process->exited || process->is_committed)
        return;
    process->is_committed = true;
    changes_after_exec(op, process->live, &process->exit, status);
}

/* A command from start to end with its streams given to io. *ret_ran: whether exit was filled. */
static int32_t run_command(struct op *op, struct place place, const rt_exec_request *req, struct process_io *io,
                           rt_exit *ret_exit, bool *ret_ran)
{
    struct process *process;
    int32_t status = place_new_process(op, place, req, &process);

    if (status)
        return status;
    io->stdin_data = req->stdin_data;
    io->stdin_len = req->stdin_data ? req->stdin_len : 0;
    status = process_run(op, process, io);
    process_commit(op, process, status);
    *ret_ran = process->exited || process->left;
    *ret_exit = process->exit;
    process_free(process);
    return status;
}

/* Runs to the end and collects. */
static int32_t exec_collect(struct op *op, struct place place, const rt_exec_request *theirs, rt_exec_result **ret)
{
    struct collector *collector;
    struct process_io io = { .take = collect };
    rt_exit exit = RT_EXIT_INIT;
    bool ran = false;
    rt_exec_request req;
    int32_t status = request_read(op, theirs, &req);

    if (status)
        return status;
    collector =
        collector_new(req.max_output_bytes ? req.max_output_bytes : (uint64_t)op->rt->settings->max_output_bytes);
    if (!collector)
        return op_fail(op, RT_E_NOMEM, 0, "a result");
    io.user = collector;
    status = run_command(op, place, &req, &io, &exit, &ran);
    if (collector->out.failed || collector->err.failed)
        status = op_fail(op, RT_E_NOMEM, 0, "no room for the output");
    if (status == RT_OK || ((status == RT_E_TIMEOUT || status == RT_E_CANCELLED) && ran))
        *ret = collector_finish(collector, &exit);
    else
        exec_result_free(&collector->pub);
    return status;
}

struct forward {
    rt_output_fn *output;
    void *user;
};

static bool forward_output(void *user, int32_t stream, const void *data, size_t len)
{
    struct forward *forward = user;

    return forward->output(forward->user, stream, data, len) != 0;
}

/* Runs to the end and gives the output to the caller as it appears. */
static int32_t exec_forward(struct op *op, struct place place, const rt_exec_request *theirs, struct forward *forward,
                            rt_exit *ret)
{
    struct process_io io = { .take = forward_output, .user = forward };
    rt_exit exit = RT_EXIT_INIT;
    bool ran = false;
    rt_exec_request req;
    int32_t status =
        forward->output ? request_read(op, theirs, &req) : op_fail(op, RT_E_INVAL, 0, "no output callback given");

    if (!status)
        status = run_command(op, place, &req, &io, &exit, &ran);
    if (ran && ret)
        struct_write(ret, &exit, sizeof exit);
    return status;
}

int32_t op_exec(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call, rt_exec_result **ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "exec");

    if (!status)
        status = exec_collect(&op, (struct place){ id, NULL }, req, ret);
    return op_end(&op, status);
}

int32_t op_exec_stream(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_output_fn *output, void *user,
                       rt_call *call, rt_exit *ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "exec_stream");

    if (!status)
        status = exec_forward(&op, (struct place){ id, NULL }, req, &(struct forward){ output, user }, ret);
    return op_end(&op, status);
}

int32_t op_session_exec(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req, rt_call *call,
                        rt_exec_result **ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "session_exec");

    if (!status)
        status = session_name_check(&op, session);
    if (!status)
        status = exec_collect(&op, (struct place){ id, session }, req, ret);
    return op_end(&op, status);
}

int32_t op_session_exec_stream(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req,
                               rt_output_fn *output, void *user, rt_call *call, rt_exit *ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "session_exec_stream");

    if (!status)
        status = session_name_check(&op, session);
    if (!status)
        status = exec_forward(&op, (struct place){ id, session }, req, &(struct forward){ output, user }, ret);
    return op_end(&op, status);
}

/* The news of the end has been read from the connection, which is what the host polls: it must stay readable. */
static void exit_fd_settle(const struct process *process)
{
    if (process->exited)
        (void)shutdown(process->conn, SHUT_RD);
}

int32_t op_process_spawn(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call, rt_process **ret)
{
    struct process *process;
    rt_exec_request own;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "process_spawn");

    if (!status)
        status = request_read(&op, req, &own);
    if (!status && own.stdin_data)
        status = op_fail(&op, RT_E_INVAL, 0, "stdin_data: what spawn starts is written to through stdin_fd");
    if (status)
        return op_end(&op, status);
    own.timeout_ms = own.timeout_ms ? own.timeout_ms : RT_FOREVER;
    status =
        process_new(&op, id, &own, own.flags & RT_EXEC_NULL_STDIN ? PROCESS_STDIN_NULL : PROCESS_STDIN_PIPE, &process);
    if (status)
        return op_end(&op, status);
    status = process_wait_started(&op, process);
    if (status) {
        process_free(process);
    } else {
        exit_fd_settle(process);
        *ret = &process->pub;
    }
    return op_end(&op, status);
}

int32_t op_process_wait(rt_runtime *rt, rt_process *pub, rt_call *call, rt_exit *ret)
{
    struct process *process = (struct process *)pub;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "process_wait");

    /* A command that has ended is told of whatever the call's deadline. */
    if (status && process_poll(&op, process) == RT_OK && process->exited)
        status = RT_OK;
    else if (!status)
        status = process_run(&op, process, NULL);
    process_commit(&op, process, status);
    exit_fd_settle(process);
    if (process->exited && ret)
        struct_write(ret, &process->exit, sizeof process->exit);
    return op_end(&op, status);
}

int32_t op_process_signal(rt_runtime *rt, rt_process *pub, int32_t signal_number, rt_call *call)
{
    struct process *process = (struct process *)pub;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "process_signal");

    if (status)
        return op_end(&op, status);
    if (signal_number < 1 || signal_number > SIGRTMAX)
        status = op_fail(&op, RT_E_INVAL, 0, "signal %d does not exist", signal_number);
    else
        status = process_signal(&op, process, signal_number);
    exit_fd_settle(process);
    return op_end(&op, status);
}

int32_t op_process_resize(rt_runtime *rt, rt_process *pub, uint16_t rows, uint16_t cols, rt_call *call)
{
    const struct process *process = (const struct process *)pub;
    const struct winsize size = { .ws_row = rows, .ws_col = cols };
    struct op op;
    int32_t status = op_begin(&op, rt, call, "process_resize");

    if (status)
        return op_end(&op, status);
    if (!process->tty)
        status = op_fail(&op, RT_E_INVAL, 0, "the command has no terminal");
    else if (!rows || !cols)
        status = op_fail(&op, RT_E_INVAL, 0, "a terminal of %u rows and %u columns", rows, cols);
    else if (process->live->relayed)
        status = process_resize(&op, process, rows, cols);
    else if (ioctl(process->master, TIOCSWINSZ, &size) < 0)
        status = op_fail(&op, error_status(errno), errno, "resize the terminal");
    return op_end(&op, status);
}

void op_process_release(rt_runtime *rt, rt_process *pub)
{
    struct op op;

    if (!pub)
        return;
    op_begin(&op, rt, NULL, "process_release");
    process_free((struct process *)pub);
    op_end(&op, RT_OK);
}
