/* A command in a session's shell: sending it off, and how it is ended. process_run() does the rest. */
#include "session.h"

#include "agent_client.h"
#include "error.h"
#include "msg.h"
#include "session_text.h"
#include "session_turn.h"
#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define END_MARGIN_NS (10 * NS_PER_S) /* beyond the keeper's own two graces, before the session is given up */

/* ---- how it is ended ---- */

/* A command that has not begun, since another process has its turn, leaves the queue with its connection. */
static void session_terminate(struct process *process)
{
    struct op quiet;

    op_init_quiet(&quiet, process->rt);
    (void)process_poll(&quiet, process); /* its start may have been told, but not heard of yet */
    if (!process->started) {
        fd_closep(&process->conn);
        process->gone = true;
        return;
    }
    (void)msg_send(process->conn, AGENT_SESSION_CANCEL, NULL, 0, NULL, 0);
}

/* The keeper has not managed, or is stopped or broken: the session goes as a whole. */
static void session_kill(struct process *process)
{
    struct op quiet;

    op_init_quiet(&quiet, process->rt);
    if (session_end(&quiet, process->live, process->session) == RT_OK)
        process->gone = true;
    if (!process->exited) {
        process->exited = true;
        process->exit.term_signal = SIGKILL;
        process->exit.exit_code = 128 + SIGKILL;
    }
    fd_closep(&process->conn);
}

/* The keeper reports a cancelled command's end only when nothing of it is alive. */
static bool session_command_is_gone(const struct process *process)
{
    return process->exited || process->gone;
}

static int32_t session_lost(struct op *op, struct process *process)
{
    int32_t status = session_check(op, process->live, process->session);

    return status ? status : op_fail(op, RT_E_SESSION_CLOSED, 0, "session '%s' is closed", process->session);
}

static const struct process_kind in_session = { .terminate = session_terminate,
                                                .kill = session_kill,
                                                .is_gone = session_command_is_gone,
                                                .lost = session_lost,
                                                .ends_without_us = true };

/* ---- sending it off ---- */

/* Sealed: what the shell reads is what was sent. */
static int text_fd(const char *text, size_t len)
{
    cleanup_fd int fd = memfd_create("stockade-command", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int err;

    if (fd < 0)
        return -errno;
    err = write_all(fd, text, len);
    if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        err = -errno;
    return err ? err : take_fd(&fd);
}

/* The shell opens its ends by name, as whoever it runs as. */
static int pipes_open_up(const struct pipes *pipes)
{
    for (int i = 0; i < 3; i++)
        if (pipes->theirs[i] >= 0 && fchmod(pipes->theirs[i], i ? 0222 : 0444) < 0)
            return -errno;
    return 0;
}

static int command_fds(const rt_exec_request *req, struct pipes *pipes)
{
    int err = pipes_make(req->stdin_data ? PROCESS_STDIN_PIPE : PROCESS_STDIN_NULL, pipes);

    if (err || req->stdin_data) /* /dev/null is the same inside, and already there */
        return err ? err : pipes_open_up(pipes);
    fd_closep(&pipes->theirs[0]);
    return pipes_open_up(pipes);
}

static int command_send(const struct process *process, const rt_exec_request *req, int text, const struct pipes *pipes)
{
    const int fds[] = { text, pipes->theirs[1], pipes->theirs[2], pipes->theirs[0] };
    size_t n_fds = pipes->theirs[0] >= 0 ? 4 : 3;
    struct wire_out body = { 0 };
    int64_t grace_ms = process->grace_ns / NS_PER_MS;
    int err;

    wire_put_u32(&body, process->session_flags | (pipes->theirs[0] >= 0 ? AGENT_STDIN : 0));
    wire_put_str(&body, process->cwd);
    wire_put_u32(&body, req->rows);
    wire_put_u32(&body, req->cols);
    wire_put_u32(&body, grace_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)grace_ms);
    err = body.failed ? -ENOMEM : msg_send(process->conn, AGENT_SESSION_EXEC, body.data, body.len, fds, n_fds);
    wire_out_release(&body);
    return err;
}

static int32_t session_attach(struct op *op, struct process *process)
{
    struct wire_out body = { 0 };
    int32_t status = live_connect(op, process->live, &process->conn);
    int err;

    if (status)
        return status;
    /* Who reads nothing must not hold us up in sending. */
    (void)fcntl(process->conn, F_SETFL, O_RDWR | O_NONBLOCK);
    wire_put_str(&body, process->session);
    err = body.failed ? -ENOMEM : msg_send(process->conn, AGENT_SESSION_ATTACH, body.data, body.len, NULL, 0);
    wire_out_release(&body);
    return err ? op_fail(op, error_status(-err), -err, "reach session '%s'", process->session) : RT_OK;
}

/* By a connection that was used before, if there is one and it still stands; else by a new one. */
static int32_t command_deliver(struct op *op, struct process *process, const rt_exec_request *req, int text,
                               const struct pipes *pipes)
{
    int32_t status;
    int err;

    process->conn = session_turn_connection(process->turn);
    if (process->conn >= 0 && command_send(process, req, text, pipes) == 0)
        return RT_OK;
    fd_closep(&process->conn);
    status = session_attach(op, process);
    if (status)
        return status;
    err = command_send(process, req, text, pipes);
    return err ? op_fail(op, error_status(-err), -err, "send the command to session '%s'", process->session) : RT_OK;
}

static int32_t command_dispatch(struct op *op, struct process *process, const rt_exec_request *req)
{
    struct pipes pipes = PIPES_NONE;
    size_t len;
    cleanup_free char *text = session_text(req, *process->cwd ? process->cwd : NULL, &len);
    cleanup_fd int fd = text ? text_fd(text, len) : -ENOMEM;
    int err = fd < 0 ? fd : command_fds(req, &pipes);
    int32_t status = err ? op_fail(op, error_status(-err), -err, "prepare the command")
                         : command_deliver(op, process, req, fd, &pipes);

    if (status)
        pipes_close(pipes.ours);
    pipes_give(process, &pipes);
    return status;
}

int32_t process_new_in_session(struct op *op, const char *id, const char *session, const rt_exec_request *req,
                               uint32_t flags, struct process **ret)
{
    struct process *process;
    int32_t status = process_alloc(op, id, req, &process);

    if (status)
        return status;
    process->kind = &in_session;
    process->session_flags = flags;
    process->end_wait_ns = 2 * process->grace_ns + END_MARGIN_NS;
    process->session = strdup(session);
    process->cwd = req->cwd ? process_cwd(process->live, req->cwd) : strdup("");
    status = process->session && process->cwd ? session_env_check(req->env, op->err)
                                              : op_fail(op, RT_E_NOMEM, 0, "a process");
    if (!status)
        status = session_turn_take(op, process->live->turns, session, &process->turn);
    process->timeout_at = process->timeout_ns ? now_ns() + process->timeout_ns : 0;
    if (!status)
        status = command_dispatch(op, process, req);
    if (status) {
        process_free(process);
        return status;
    }
    *ret = process;
    return RT_OK;
}
