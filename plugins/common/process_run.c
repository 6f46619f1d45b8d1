/* Driving a command to its end: output, input, timers, and the end of its tree. */
#include "process.h"

#include "agent_client.h"
#include "cgroup.h"
#include "error.h"
#include "msg.h"
#include "oom.h"
#include "pause.h"
#include "session.h"
#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define CHUNK           ((size_t)64 << 10) /* a pipe's default capacity */
#define WIDE            (4 * (int)CHUNK)
#define TERMINAL_ROUNDS 256            /* reads of at most 4 KiB: far beyond what a terminal holds */
#define LOOK_NS         (2 * NS_PER_S) /* between looks for what no fd tells of */
/* After SIGKILL the kernel needs milliseconds; an agent that never reports is broken or lies. */
#define KILL_GUARD_NS (20 * NS_PER_S)

enum stage {
    RUNNING,
    TERMINATING, /* SIGTERM was sent, the grace time runs */
    KILLING,     /* SIGKILL was sent */
};

struct run {
    struct op *op;
    struct process *process;
    const struct process_io *io;
    enum stage stage;
    int32_t cause; /* why it is being ended: RT_E_TIMEOUT or RT_E_CANCELLED */
    rt_error why;  /* the error that goes with it */
    int64_t stage_until;
    size_t stdin_at;
    size_t ends_written; /* of the characters that end a terminal's input */
    bool has_yielded;    /* a session's terminal: what it shows now is another's */
    bool dropping;       /* take() said no: read on, but give nothing to it */
    bool wide[RT_STDERR + 1];
    char *chunk;
};

static void end_begin(struct run *run, int32_t cause)
{
    run->cause = cause;
    run->why = *run->op->err;
    run->stage = TERMINATING;
    run->stage_until = now_ns() + run->process->end_wait_ns;
    /* From here on the op's own deadline and cancel fd have done their work. */
    run->op->deadline_ns = 0;
    run->op->cancel_fd = -1;
    run->process->kind->terminate(run->process);
}

static void end_kill(struct run *run)
{
    run->stage = KILLING;
    run->stage_until = now_ns() + KILL_GUARD_NS;
    run->process->kind->kill(run->process);
    run->process->left = pause_is_paused(run->op->rt, run->process->live->id);
}

/* ---- answers ---- */

static int32_t refused(struct op *op, struct process *process, const struct agent_answer *answer)
{
    int err = (int)answer->err;

    switch (answer->stage) {
    case AGENT_STAGE_EXEC: /* as a shell would have it (X3); the reason is on the command's stderr */
        process->exited = process->gone = true;
        process->exit.exit_code = err == ENOENT ? 127 : 126;
        return RT_OK;
    case AGENT_STAGE_CWD:
        return op_fail(op, RT_E_INVAL, err, "workdir '%s'", process->cwd);
    case AGENT_STAGE_USER:
        return op_fail(op, RT_E_PERMISSION, err, "change to the user");
    case AGENT_STAGE_SESSION:
        return session_refused(op, process->session, err);
    case AGENT_STAGE_FORK:
        return op_fail(op, RT_E_RESOURCE, err, "fork inside the sandbox");
    case AGENT_STAGE_SETUP:
        return op_fail(op, RT_E_RESOURCE, err, "set the command up inside the sandbox");
    default:
        return op_fail(op, RT_E_PROTOCOL, err, "the agent refused the request");
    }
}

static void exit_fill(rt_exit *exit, const struct agent_answer *answer)
{
    int status = (int)answer->wait_status;

    exit->term_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    exit->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    exit->duration_ns = (int64_t)answer->duration_ns;
    exit->user_cpu_ns = (int64_t)answer->user_us * 1000;
    exit->sys_cpu_ns = (int64_t)answer->sys_us * 1000;
    exit->max_rss_bytes = answer->rss_kib * 1024;
}

/* The terminal's master is both its input and its output. */
static int32_t terminal_open(struct op *op, struct process *process)
{
    process->pub.stdin_fd = fcntl(process->master, F_DUPFD_CLOEXEC, 0);
    process->pub.stdout_fd = fcntl(process->master, F_DUPFD_CLOEXEC, 0);
    return process->pub.stdin_fd < 0 || process->pub.stdout_fd < 0
               ? op_fail(op, error_status(errno), errno, "the terminal")
               : RT_OK;
}

/* A session's terminal is known before; it is its command's from the start on. */
static int32_t terminal_take(struct op *op, struct process *process, int master)
{
    if (!process->session && process->tty != (master >= 0)) {
        fd_closep(&master);
        return op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer does not fit the request");
    }
    if (!process->session)
        process->master = master;
    return process->tty ? terminal_open(op, process) : RT_OK;
}

/* Where its answers come from. */
static int heard_by(const struct process *process)
{
    return process->session ? process->answers : process->conn;
}

static int answer_next(const struct process *process, struct agent_answer *ret)
{
    return process->session ? keeper_answer(process->answers, ret) : agent_answer(process->conn, ret);
}

/* Takes all answers that are there. */
static int32_t answers_take(struct op *op, struct process *process)
{
    struct agent_answer answer;
    int n;

    /* Each comes once; whoever sends more is not an agent of ours, and must not keep us here. */
    while ((n = answer_next(process, &answer)) > 0) {
        int32_t status = RT_OK;

        if ((answer.type == AGENT_STARTED && process->started) || (answer.type == AGENT_EXITED && process->exited) ||
            (answer.type == AGENT_GONE && process->gone)) {
            fd_closep(&answer.master);
            return op_fail(op, RT_E_PROTOCOL, 0, "the agent repeats itself");
        }
        if (answer.type == AGENT_STARTED) {
            process->started = true;
            process->pub.pid = (int32_t)answer.pid;
            status = terminal_take(op, process, answer.master);
        } else if (answer.type == AGENT_REFUSED) {
            status = refused(op, process, &answer);
        } else if (answer.type == AGENT_SESSION_OVER) {
            if (!process->session || !process->tty || !process->started || process->exited || process->is_wanted_back)
                return op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer does not fit the request");
            process->is_wanted_back = true;
        } else if (answer.type == AGENT_SESSION_CLOSED) {
            status = op_fail(op, RT_E_SESSION_CLOSED, 0, "session '%s' is closed", process->session);
        } else if (answer.type == AGENT_EXITED) {
            process->exited = true;
            exit_fill(&process->exit, &answer);
            if (oom_kills(process->live->oom_fd) > process->oom_before)
                process->exit.flags |= RT_RESULT_OOM;
        } else {
            process->gone = true;
        }
        if (status)
            return status;
    }
    if (n == -EPIPE && process->exited) {
        process->gone = true; /* with the whole sandbox */
        return RT_OK;
    }
    if (n == -EPIPE)
        return process->kind->lost(op, process);
    return n < 0 ? op_fail(op, RT_E_PROTOCOL, -n, "the agent's answer") : RT_OK;
}

/* ---- streams ---- */

/*
 * The pipe was full: its writer waits for every reader's turn, and writes twice as fast into one with more room. Where
 * the user has too many pages in pipes already, it stays as it is.
 */
static void output_widen(struct run *run, int32_t stream, int fd)
{
    if (!run->wide[stream])
        (void)fcntl(fd, F_SETPIPE_SZ, WIDE);
    run->wide[stream] = true;
}

/* Reads once. Returns false at the end of the stream, having closed it. */
static bool output_read(struct run *run, int32_t stream, int *fd)
{
    ssize_t n = read(*fd, run->chunk, CHUNK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        fd_closep(fd);
        return false;
    }
    if (n == CHUNK)
        output_widen(run, stream, *fd);
    if (!run->dropping && !run->io->take(run->io->user, stream, run->chunk, (size_t)n)) {
        run->dropping = true;
        if (run->stage == RUNNING) {
            op_fail(run->op, RT_E_CANCELLED, 0, "the output callback asked to stop");
            end_begin(run, RT_E_CANCELLED);
        }
    }
    return true;
}

/* What lies in the pipe at the command's end and no more: a background child may write for ever (X9). */
static void output_drain(struct run *run, int32_t stream, int *fd)
{
    int left = 0;

    if (*fd < 0 || ioctl(*fd, FIONREAD, &left) < 0)
        return;
    while (*fd >= 0 && left > 0) {
        ssize_t n = read(*fd, run->chunk, (size_t)left < CHUNK ? (size_t)left : CHUNK);

        if (n <= 0)
            break;
        left -= (int)n;
        if (!run->dropping && !run->io->take(run->io->user, stream, run->chunk, (size_t)n))
            run->dropping = true;
    }
    if (*fd >= 0) {
        struct pollfd pfd = { .fd = *fd, .events = POLLIN };

        /* Hung up and empty: nobody holds the other end. */
        if (poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLHUP) && !(pfd.revents & POLLIN))
            fd_closep(fd);
    }
}

/*
 * What a terminal still has at the command's end arrives by way of a kernel worker; poll(2) waits for that to have run
 * before it says that there is nothing. Bounded: a background child may write for ever.
 */
static void terminal_drain(struct run *run)
{
    int *fd = &run->process->pub.stdout_fd;
    struct pollfd pfd = { .fd = *fd, .events = POLLIN };

    for (size_t rounds = 0; rounds < TERMINAL_ROUNDS && *fd >= 0 && poll(&pfd, 1, 0) > 0; rounds++)
        if (!output_read(run, RT_STDOUT, fd))
            break;
}

/* Pipes that background children still hold go to the agent, which keeps them flowing. */
static void output_hand_over(struct process *process)
{
    int fds[2];
    size_t n = 0;

    if (process->pub.stdout_fd >= 0)
        fds[n++] = process->pub.stdout_fd;
    if (process->pub.stderr_fd >= 0)
        fds[n++] = process->pub.stderr_fd;
    if (n && process->started)
        (void)msg_send(process->conn, AGENT_SINK, NULL, 0, fds, n);
}

/* A session's command is over, and its terminal the next one's. */
static void terminal_yield(struct run *run)
{
    struct process *process = run->process;
    struct wire_out body = { 0 };

    terminal_drain(run);
    fd_closep(&process->pub.stdin_fd);
    run->has_yielded = true;
    wire_put_u32(&body, run->stdin_at || run->ends_written);
    (void)msg_send(process->conn, AGENT_SESSION_YIELD, body.data, body.len, NULL, 0);
    wire_out_release(&body);
}

/*
 * A terminal's end of file is a character, and in the middle of a line it takes two: termios(3), VEOF. Returns false if
 * there is no room yet.
 */
static bool terminal_end_input(struct run *run)
{
    const size_t len = run->io->stdin_len, ends = !len || run->io->stdin_data[len - 1] == '\n' ? 1 : 2;
    ssize_t n = write(run->process->pub.stdin_fd, "\004\004", ends - run->ends_written);

    if (n < 0)
        return errno != EAGAIN && errno != EINTR;
    run->ends_written += (size_t)n;
    return run->ends_written == ends;
}

static void input_write(struct run *run)
{
    struct process *process = run->process;
    size_t left = run->io->stdin_len - run->stdin_at;
    ssize_t n = left ? write(process->pub.stdin_fd, run->io->stdin_data + run->stdin_at, left) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        run->stdin_at += (size_t)n;
    if (n >= 0 && run->stdin_at < run->io->stdin_len)
        return;
    if (n < 0 || !process->tty || terminal_end_input(run)) /* EPIPE: the command does not want it */
        fd_closep(&process->pub.stdin_fd);
}

/* ---- the loop ---- */

/* The next point in time at which something is due. */
static int64_t next_timer(const struct run *run)
{
    return run->stage == RUNNING ? run->process->timeout_at : run->stage_until;
}

static int32_t timer_due(struct run *run)
{
    switch (run->stage) {
    case RUNNING:
        op_fail(run->op, RT_E_TIMEOUT, 0, "the command ran longer than %lld ms",
                (long long)(run->process->timeout_ns / NS_PER_MS));
        end_begin(run, RT_E_TIMEOUT);
        return RT_OK;
    case TERMINATING:
        end_kill(run);
        return RT_OK;
    default:
        return op_fail(run->op, RT_E_INTERNAL, 0, "the command's processes could not be ended");
    }
}

enum { FD_CONN, FD_OUT, FD_ERR, FD_IN, FD_TREE, FD_DAEMON, FD_COUNT };

static void fds_fill(const struct run *run, struct pollfd fds[FD_COUNT])
{
    const rt_process *pub = &run->process->pub;
    bool io = run->io != NULL;
    bool ending = run->stage != RUNNING;
    bool input = io && run->io->stdin_data && !ending;

    /* Once it has exited only AGENT_GONE is of interest, and end of file is no news. */
    fds[FD_CONN] = (struct pollfd){ .fd = run->process->exited && run->process->cgroup ? -1 : heard_by(run->process),
                                    .events = POLLIN };
    fds[FD_OUT] = (struct pollfd){ .fd = io && !run->has_yielded ? pub->stdout_fd : -1, .events = POLLIN };
    fds[FD_ERR] = (struct pollfd){ .fd = io ? pub->stderr_fd : -1, .events = POLLIN };
    fds[FD_IN] = (struct pollfd){ .fd = input ? pub->stdin_fd : -1, .events = POLLOUT };
    fds[FD_TREE] = (struct pollfd){ .fd = ending && run->process->cgroup ? run->process->cgroup->events_fd : -1,
                                    .events = POLLPRI };
    /* Without its filesystem a command is lost, whatever it waits for; one that is being ended goes on ending. */
    fds[FD_DAEMON] = (struct pollfd){ .fd = ending ? -1 : run->process->live->daemon_fd, .events = POLLIN };
}

static bool is_over(const struct run *run)
{
    if (run->stage == RUNNING)
        return run->process->exited;
    return run->process->left || run->process->kind->is_gone(run->process);
}

/* It has no other flag that can be set: it is a pipe's end or a terminal's master. */
static void nonblocking(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* A killed daemon that hangs on its way out, see record_load(), can only be looked for. */
static int32_t daemon_look(struct run *run)
{
    if (run->stage != RUNNING || run->process->exited || proc_id_first_is_alive(&run->process->live->daemon))
        return RT_OK;
    return live_daemon_status(run->op, run->process->live);
}

static int32_t run_once(struct run *run)
{
    const int64_t timer_ns = next_timer(run), look_ns = now_ns() + LOOK_NS;
    struct process *process = run->process;
    struct pollfd fds[FD_COUNT];
    int32_t status;
    int ready;

    fds_fill(run, fds);
    status = op_poll(run->op, fds, FD_COUNT, sooner_ns(timer_ns, look_ns), &ready);
    if (status == RT_E_TIMEOUT || status == RT_E_CANCELLED) {
        if (!run->io)
            return status;
        if (run->stage == RUNNING) {
            end_begin(run, status);
            return RT_OK;
        }
        /* The runtime is being closed while the tree is being ended already: no more grace. */
        if (run->process->kind->ends_without_us)
            return status;
        if (run->stage == TERMINATING)
            end_kill(run);
        usleep(1000);
        fds_fill(run, fds);
        ready = poll(fds, FD_COUNT, 0);
    } else if (status) {
        return status;
    } else if (!ready) {
        return timer_ns && now_ns() >= timer_ns ? timer_due(run) : daemon_look(run);
    }
    if (next_timer(run) && now_ns() >= next_timer(run)) {
        status = timer_due(run);
        if (status)
            return status;
    }
    if (fds[FD_OUT].revents)
        output_read(run, RT_STDOUT, &process->pub.stdout_fd);
    if (fds[FD_ERR].revents)
        output_read(run, RT_STDERR, &process->pub.stderr_fd);
    if (fds[FD_IN].revents && process->pub.stdin_fd >= 0)
        input_write(run);
    if (fds[FD_CONN].revents) {
        status = answers_take(run->op, process);
        if (run->io && process->tty)
            nonblocking(process->pub.stdin_fd);
    }
    if (!status && fds[FD_DAEMON].revents && !process->exited)
        status = live_daemon_status(run->op, process->live);
    return status;
}

static int32_t run_loop(struct run *run)
{
    int32_t status = RT_OK;

    while (!status && !is_over(run)) {
        status = run_once(run);
        if (run->process->is_wanted_back && !run->has_yielded)
            terminal_yield(run);
    }
    if (run->io && run->process->tty) {
        if (!run->has_yielded)
            terminal_drain(run);
    } else if (run->io) {
        output_drain(run, RT_STDOUT, &run->process->pub.stdout_fd);
        output_drain(run, RT_STDERR, &run->process->pub.stderr_fd);
    }
    if (status)
        return status;
    if (run->stage == RUNNING) {
        if (run->io && !run->process->tty)
            output_hand_over(run->process);
        return RT_OK;
    }
    if (!run->process->exited) { /* left: that is how it is going to end */
        run->process->exit.term_signal = SIGKILL;
        run->process->exit.exit_code = 128 + SIGKILL;
    }
    run->process->exit.flags |= RT_RESULT_TIMED_OUT;
    *run->op->err = run->why;
    return run->cause;
}

/* A write to a command that has closed its stdin must not kill the host; its signal handling is not ours to change. */
static void sigpipe_block(sigset_t *before, bool *was_pending)
{
    sigset_t pipe_only, pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    *was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void sigpipe_restore(const sigset_t *before, bool was_pending)
{
    const struct timespec now = { 0, 0 };
    sigset_t pipe_only;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    while (!was_pending && sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

int32_t process_run(struct op *op, struct process *process, const struct process_io *io)
{
    struct run run = { .op = op, .process = process, .io = io };
    bool input = io && process->pub.stdin_fd >= 0, was_pending = false;
    sigset_t before;
    int32_t status;

    if (io) {
        run.chunk = malloc(CHUNK);
        if (!run.chunk)
            return op_fail(op, RT_E_NOMEM, 0, "a buffer");
        nonblocking(process->pub.stdin_fd);
        nonblocking(process->pub.stdout_fd);
        nonblocking(process->pub.stderr_fd);
    }
    if (input)
        sigpipe_block(&before, &was_pending);
    status = run_loop(&run);
    if (input)
        sigpipe_restore(&before, was_pending);
    free(run.chunk);
    return status;
}

int32_t process_poll(struct op *op, struct process *process)
{
    return process->exited ? RT_OK : answers_take(op, process);
}

int32_t process_wait_started(struct op *op, struct process *process)
{
    while (!process->started && !process->exited) {
        int32_t status = op_wait_readable(op, heard_by(process), now_ns() + KILL_GUARD_NS, "the agent");

        if (!status)
            status = answers_take(op, process);
        if (status)
            return status;
    }
    return RT_OK;
}

int32_t process_resize(struct op *op, const struct process *process, uint16_t rows, uint16_t cols)
{
    struct wire_out body = { 0 };
    int err;

    wire_put_u32(&body, rows);
    wire_put_u32(&body, cols);
    err = body.failed ? -ENOMEM : msg_send(process->conn, AGENT_RESIZE, body.data, body.len, NULL, 0);
    wire_out_release(&body);
    return err ? op_fail(op, error_status(-err), -err, "resize the terminal") : RT_OK;
}

int32_t process_signal(struct op *op, struct process *process, int sig)
{
    int32_t status = process_poll(op, process);
    int err;

    if (status)
        return status;
    if (process->exited)
        return op_fail(op, RT_E_NOT_RUNNING, 0, "the command has ended");
    if (sig == SIGKILL && process->cgroup) {
        cgroup_kill(process->cgroup);
        return RT_OK;
    }
    err = sig == SIGKILL ? msg_send(process->conn, AGENT_KILL, NULL, 0, NULL, 0)
                         : agent_send_signal(process->conn, (uint32_t)sig, AGENT_SCOPE_GROUP);
    return err ? op_fail(op, error_status(-err), -err, "signal the command") : RT_OK;
}
