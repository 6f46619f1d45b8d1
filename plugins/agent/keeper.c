/* The keeper's boot, its connections and their queue. */
#include "keeper.h"

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLE_TICK_MS 5
#define LOOK_MS        1000 /* between looks for what a shell that was interrupted does not tell */

static volatile struct keeper_state *state;
static struct watch agent, children, statuses;
static struct conn *conns, *running;
static uint64_t next_order, command_id;
static bool is_back;   /* the shell has reported the running command's code */
static bool has_typed; /* its host, on the terminal */
static bool settled;   /* and, after a cancel or a ^C, the shell has taken its signals */
static int settled_code;
static enum { TERMINAL_LENT, TERMINAL_WANTED, TERMINAL_BACK } terminal_is; /* to the running command's host */
static int code, last_code; /* of the running command, once the shell is back; of the one before */
static struct timespec began;
static uint64_t user_us, sys_us; /* the shell's, when the last command ended */
static int null_fd;

/* ---- connections ---- */

static void command_release(struct command *command)
{
    int *fds[] = { &command->text, &command->in, &command->out, &command->err };

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    free(command->cwd);
    command->cwd = NULL;
}

static void conn_free(struct conn *conn)
{
    for (struct conn **at = &conns; *at; at = &(*at)->next) {
        if (*at != conn)
            continue;
        *at = conn->next;
        break;
    }
    watch_close(&conn->watch);
    if (conn->answers >= 0)
        close(conn->answers);
    command_release(&conn->command);
    free(conn);
}

/* A host that does not read its answers is treated like one that has gone. */
static void conn_send(struct conn *conn, uint32_t type, const struct wire_out *body)
{
    if (conn->watch.fd < 0)
        return;
    if (msg_write(conn->answers, type, body ? body->data : NULL, body ? body->len : 0) < 0)
        watch_close(&conn->watch);
}

static void conn_refuse(struct conn *conn, enum agent_stage stage, int err)
{
    struct wire_out body = { 0 };

    wire_put_u32(&body, stage);
    wire_put_u32(&body, (uint32_t)err);
    conn_send(conn, AGENT_REFUSED, &body);
    wire_out_release(&body);
}

/* ---- a command's run ---- */

static void streams_reset(void)
{
    for (int fd = KEEPER_RETURN; fd < KEEPER_FD_END; fd++)
        (void)dup3(null_fd, fd, O_CLOEXEC);
}

static bool streams_set(const struct command *command)
{
    const int fds[] = { [KEEPER_TEXT] = command->text,
                        [KEEPER_IN] = command->in,
                        [KEEPER_OUT] = command->out,
                        [KEEPER_ERR] = command->err };

    for (int i = KEEPER_TEXT; i < KEEPER_FD_END; i++)
        if (fds[i] >= 0 && dup3(fds[i], i, O_CLOEXEC) < 0)
            return false;
    return true;
}

static void exited_send(struct conn *conn, int wait_status)
{
    struct wire_out body = { 0 };
    uint64_t user = user_us, sys = sys_us;

    shell_cpu(&user_us, &sys_us);
    wire_put_u32(&body, (uint32_t)wait_status);
    wire_put_u64(&body, since_ns(&began));
    wire_put_u64(&body, user_us > user ? user_us - user : 0);
    wire_put_u64(&body, sys_us > sys ? sys_us - sys : 0);
    wire_put_u64(&body, 0); /* the shell's children are not told apart */
    conn_send(conn, AGENT_EXITED, &body);
    wire_out_release(&body);
}

/* The running command is over, and nothing of it is left if it was cancelled. */
static void command_end(void)
{
    struct conn *conn = running;

    running = NULL;
    conn->running = false;
    if (settled)
        code = settled_code;
    streams_reset();
    shell_terminal_reset(cancel_active());
    cancel_end();
    state->ended_ns = boot_ns();
    state->state = shell.pid ? AGENT_SESSION_IS_IDLE : AGENT_SESSION_IS_CLOSED;
    command_release(&conn->command); /* by now nobody but background children holds its pipes */
    if (!(conn->command.flags & AGENT_UNCOUNTED))
        last_code = code;
    exited_send(conn, shell.pid ? code << 8 : shell.status);
    if (conn->watch.fd < 0)
        conn_free(conn);
}

/* Whether the running command's host has taken what is on the terminal, and types no more; asks it for that. */
static bool terminal_is_back(void)
{
    if (shell.terminal < 0 || !shell.pid || terminal_is == TERMINAL_BACK)
        return true;
    if (terminal_is == TERMINAL_LENT) {
        shell_terminal_mute();
        terminal_is = TERMINAL_WANTED;
        conn_send(running, AGENT_SESSION_OVER, NULL);
    }
    return running->watch.fd < 0;
}

static int directory_error(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno;
    return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

static bool command_begin(struct conn *conn)
{
    struct command *command = &conn->command;
    struct winsize size = { .ws_row = (unsigned short)command->rows, .ws_col = (unsigned short)command->cols };
    struct wire_out body = { 0 };
    int err = *command->cwd ? directory_error(command->cwd) : 0;

    if (err) {
        conn_refuse(conn, AGENT_STAGE_CWD, err);
        return false;
    }
    if (shell.terminal >= 0 && size.ws_row && size.ws_col)
        (void)ioctl(shell.terminal, TIOCSWINSZ, &size);
    if (!streams_set(command)) {
        conn_refuse(conn, AGENT_STAGE_SETUP, errno);
        streams_reset();
        return false;
    }
    /* Before the shell has its work, which may be to stop this process: then the host must know that it has begun. */
    wire_put_u32(&body, (uint32_t)shell.pid);
    conn_send(conn, AGENT_STARTED, &body);
    wire_out_release(&body);
    if (conn->watch.fd < 0) { /* it has gone: nobody would hear of a cancel, either */
        streams_reset();
        return false;
    }
    running = conn;
    conn->running = true;
    is_back = has_typed = settled = false;
    terminal_is = TERMINAL_LENT;
    state->state = AGENT_SESSION_IS_BUSY;
    if (!(command->flags & AGENT_UNCOUNTED))
        state->commands++;
    clock_gettime(CLOCK_MONOTONIC, &began);
    cancel_mark();
    if (shell_send(++command_id, last_code))
        kill(shell.pid, SIGKILL); /* it cannot be told: its end is this command's */
    return true;
}

static struct conn *queue_first(void)
{
    struct conn *first = NULL;

    for (struct conn *conn = conns; conn; conn = conn->next)
        if (conn->queued && (!first || conn->order < first->order))
            first = conn;
    return first;
}

static void queue_run(void)
{
    struct conn *conn;

    while (!running && (conn = queue_first())) {
        conn->queued = false;
        if (!shell.pid)
            conn_send(conn, AGENT_SESSION_CLOSED, NULL);
        else if (command_begin(conn))
            return;
        command_release(&conn->command);
        if (conn->watch.fd < 0)
            conn_free(conn);
    }
}

/* ---- messages ---- */

static bool command_parse(struct msg *msg, struct command *ret)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);

    *ret = (struct command){ .flags = wire_get_u32(&in), .text = -1, .in = -1, .out = -1, .err = -1 };
    ret->cwd = strdup(wire_get_str(&in));
    ret->rows = wire_get_u32(&in);
    ret->cols = wire_get_u32(&in);
    ret->grace_ms = wire_get_u32(&in);
    if (!wire_in_done(&in) || !ret->cwd || msg->n_fds != (ret->flags & AGENT_STDIN ? 4 : 3)) {
        command_release(ret);
        return false;
    }
    ret->text = msg_take_fd(msg, 0);
    ret->out = msg_take_fd(msg, 1);
    ret->err = msg_take_fd(msg, 2);
    ret->in = msg_take_fd(msg, 3);
    return true;
}

/* What is over already is left alone: a signal too many would be the next one's. */
static void command_cancel(struct conn *conn)
{
    if (conn->queued) {
        conn->queued = false;
        command_release(&conn->command);
        conn_send(conn, AGENT_GONE, NULL);
    } else if (conn->running && !settled) {
        cancel_begin(conn->command.grace_ms);
    }
}

static void terminal_take_back(const struct msg *msg)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);

    if (terminal_is != TERMINAL_WANTED)
        return;
    has_typed = wire_get_u32(&in);
    terminal_is = TERMINAL_BACK;
}

static void conn_message(struct conn *conn, struct msg *msg)
{
    switch (msg->type) {
    case AGENT_SESSION_EXEC:
        if (conn->queued || conn->running || !command_parse(msg, &conn->command)) {
            conn_refuse(conn, AGENT_STAGE_REQUEST, EPROTO);
            return;
        }
        conn->queued = true;
        conn->order = next_order++;
        break;
    case AGENT_SESSION_CANCEL:
        command_cancel(conn);
        break;
    case AGENT_SESSION_YIELD:
        if (conn->running)
            terminal_take_back(msg);
        break;
    case AGENT_SINK:
        for (size_t i = 0; i < msg->n_fds; i++)
            sink_add(msg_take_fd(msg, i));
        break;
    default:
        break;
    }
}

static void conn_ready(struct watch *watch, uint32_t events)
{
    static char packet[MSG_PACKET_MAX];
    struct conn *conn = (struct conn *)watch;
    struct msg msg;
    int err = watch->fd < 0 ? -EPIPE : msg_recv(watch->fd, packet, sizeof packet, &msg);

    (void)events;
    if (err == -EAGAIN)
        return;
    if (!err) {
        conn_message(conn, &msg);
        msg_release(&msg);
        return;
    }
    watch_close(watch);
    command_cancel(conn);
}

/* A connection that was closed above may still be named by an event of the same round: it goes only between rounds. */
static void conns_bury(void)
{
    for (struct conn *conn = conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->watch.fd < 0 && !conn->running)
            conn_free(conn);
    }
}

static void agent_ready(struct watch *watch, uint32_t events)
{
    static char packet[4096];
    struct conn *conn;
    struct msg msg;
    int err = msg_recv(watch->fd, packet, sizeof packet, &msg);

    (void)events;
    if (err == -EAGAIN || err == -EINTR)
        return;
    if (err == -EPIPE)
        _exit(0); /* with the agent the sandbox ends */
    if (err)
        return;
    conn = calloc(1, sizeof *conn);
    if (conn) {
        *conn = (struct conn){ .watch = { .ready = conn_ready, .fd = msg_take_fd(&msg, 0) },
                               .answers = msg_take_fd(&msg, 1),
                               .next = conns,
                               .command = { .text = -1, .in = -1, .out = -1, .err = -1 } };
        conns = conn;
        if (conn->watch.fd < 0 || watch_add(&conn->watch, EPOLLIN) < 0)
            conn_free(conn);
    }
    msg_release(&msg);
}

static void children_ready(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)events;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM && info.ssi_pid == 1) /* the sandbox stops, and the shell ignores that */
            _exit(0);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != shell.pid)
            continue;
        shell.pid = 0;
        shell.status = status;
        state->state = AGENT_SESSION_IS_CLOSED;
    }
}

/* Lines of "ID CODE"; anything else was written by the session's own code, and is its own affair. */
static void statuses_ready(struct watch *watch, uint32_t events)
{
    char text[1024], *line, *save = NULL;
    ssize_t n = read(watch->fd, text, sizeof text - 1);

    (void)events;
    if (n <= 0)
        return;
    text[n] = '\0';
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long long id;
        unsigned value;

        if (sscanf(line, "%llu %u", &id, &value) != 2 || id != command_id || value > 255 || !running || is_back)
            continue;
        is_back = true;
        code = (int)value;
    }
}

/* A SIGINT or a ^C may have come late, when the command was just over: an empty command takes it, not the next one. */
static void settle(void)
{
    settled = true;
    settled_code = code;
    is_back = false;
    streams_reset();
    /* Nothing that was typed is under way then, and the shell finds its settings. */
    shell_terminal_reset(cancel_active());
    (void)shell_send(++command_id, 0);
}

/* Ends the running command where it is over. Returns ms until it wants to be called again, -1 = not needed. */
static int progress(void)
{
    int wait = -1;

    if (running && (is_back || !shell.pid)) {
        if (cancel_active() && cancel_tick(true, &wait))
            ; /* something of it is alive yet */
        else if (!terminal_is_back())
            ;
        else if ((cancel_active() || has_typed) && shell.pid && !settled)
            settle();
        else
            command_end();
    } else if (running && cancel_active()) {
        (void)cancel_tick(false, &wait);
        shell_ask_again(command_id);
    } else if (running && shell.terminal >= 0) {
        shell_ask_again(command_id); /* a ^C may have been typed */
    }
    queue_run();
    if (wait < 0 && running && !is_back && shell.terminal >= 0)
        wait = settled ? SETTLE_TICK_MS : LOOK_MS;
    return wait;
}

/* ---- boot ---- */

static int watch_start(struct watch *watch, int fd, void (*ready)(struct watch *watch, uint32_t events))
{
    *watch = (struct watch){ .ready = ready, .fd = fd };
    return fd < 0 ? -1 : watch_add(watch, EPOLLIN);
}

/* First of all: the numbers that the shell knows are taken before anything else can get them. */
static int fds_reserve(bool has_terminal, int *ret_agent, int *ret_terminal)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    null_fd = fcntl(null, F_DUPFD_CLOEXEC, 64);
    *ret_agent = fcntl(0, F_DUPFD_CLOEXEC, 64);
    *ret_terminal = has_terminal ? fcntl(2, F_DUPFD_CLOEXEC, 64) : -1;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, 1, 0);
    if (null_fd < 0 || *ret_agent < 0 || (has_terminal && *ret_terminal < 0) || state == MAP_FAILED)
        return -1;
    for (int fd = 0; fd < KEEPER_FD_END; fd++)
        if (dup3(null_fd, fd, O_CLOEXEC) < 0)
            return -1;
    return null < KEEPER_FD_END ? 0 : close(null);
}

static int statuses_init(void)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0 || dup3(pair[1], KEEPER_STATUS, O_CLOEXEC) < 0)
        return -1;
    close(pair[1]);
    return watch_start(&statuses, pair[0], statuses_ready);
}

static int signals_init(void)
{
    sigset_t set;

    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    return watch_start(&children, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), children_ready);
}

int keeper_main(int argc, char **argv)
{
    int sock, terminal;

    if (argc != 4 || fds_reserve(*argv[3], &sock, &terminal) < 0 || loop_init() < 0 || procs_init() < 0 ||
        signals_init() < 0)
        return 125;
    if (statuses_init() < 0 || watch_start(&agent, sock, agent_ready) < 0)
        return 125;
    (void)prctl(PR_SET_NAME, "stockade-keeper");
    if (shell_start(argv[2], terminal, argv[3]) < 0)
        return 125;
    state->pid = (uint32_t)shell.pid;
    for (;;) {
        loop_once(progress());
        conns_bury();
    }
}
