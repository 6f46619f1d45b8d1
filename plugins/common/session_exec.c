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

#define UNHEARD_NS    (2 * NS_PER_S)  /* for a keeper to say whether a command has begun: it does at once */
#define END_MARGIN_NS (10 * NS_PER_S) /* beyond the keeper's own two graces, before the session is given up */

/* ---- how it is ended ---- */

static void link_drop(struct process *process)
{
    struct session_link link = { take_fd(&process->conn), take_fd(&process->answers), take_fd(&process->master) };

    session_link_close(&link);
}

/*
 * Whether a command has begun that we have not heard that of is the keeper's to say, which may be far away. One that
 * has not, since another process has its turn, leaves the queue; so it does with the connection if the keeper says
 * nothing.
 */
static void session_terminate(struct process *process)
{
    const int64_t until = now_ns() + UNHEARD_NS;
    struct op quiet;

    op_init_quiet(&quiet, process->rt);
    (void)msg_send(process->conn, AGENT_SESSION_CANCEL, NULL, 0, NULL, 0);
    while (!process->started && !process->exited && !process->gone)
        if (op_wait_readable(&quiet, process->answers, until, "the session") || process_poll(&quiet, process))
            break;
    if (process->started || process->exited)
        return;
    link_drop(process);
    process->gone = true;
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
    link_drop(process);
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

static int command_fds(const struct process *process, const rt_exec_request *req, struct pipes *pipes)
{
    bool has_input = req->stdin_data && !process->tty;
    int err =
        process->tty ? tty_streams(pipes) : pipes_make(has_input ? PROCESS_STDIN_PIPE : PROCESS_STDIN_NULL, pipes);

    if (err)
        return err;
    if (!has_input) /* /dev/null is the same inside, and already there */
        fd_closep(&pipes->theirs[0]);
    return process->tty ? 0 : pipes_open_up(pipes);
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

/* 0 or -errno; -EPIPE if the keeper has gone. */
static int command_deliver(struct process *process, struct session_link link, const rt_exec_request *req, int text)
{
    struct pipes pipes = PIPES_NONE;
    int err;

    process->conn = link.conn;
    process->answers = link.answers;
    process->master = link.master;
    process->tty = link.master >= 0;
    err = command_fds(process, req, &pipes);
    if (!err)
        err = command_send(process, req, text, &pipes);
    if (err)
        pipes_close(pipes.ours);
    pipes_give(process, &pipes);
    return err;
}

/* By a link that was used before, if there is one and it still stands; else by a new one. */
static int32_t command_dispatch(struct op *op, struct process *process, const rt_exec_request *req)
{
    size_t len;
    cleanup_free char *text = session_text(req, *process->cwd ? process->cwd : NULL, &len);
    cleanup_fd int fd = text ? text_fd(text, len) : -ENOMEM;
    struct session_link link;
    int32_t status;
    int err;

    if (fd < 0)
        return op_fail(op, error_status(-fd), -fd, "prepare the command");
    link = session_turn_link(process->turn);
    if (link.conn >= 0 && command_deliver(process, link, req, fd) == 0)
        return RT_OK;
    link_drop(process);
    status = session_attach(op, process->live, process->session, &link);
    if (status)
        return status;
    err = command_deliver(process, link, req, fd);
    if (err == -EPIPE) /* its keeper ended just now */
        return session_lost(op, process);
    return err ? op_fail(op, error_status(-err), -err, "send the command to session '%s'", process->session) : RT_OK;
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
