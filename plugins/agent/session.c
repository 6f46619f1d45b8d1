/* The sessions of the sandbox: which there are, and who gets to talk to their keepers. */
#include "agent.h"
#include "keeper_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
    struct session *next;
    char *id, *shell;
    uint64_t created;
    uint64_t number;    /* never used twice */
    struct cmd *keeper; /* NULL once it has ended */
    int sock;           /* to the keeper */
    int master;         /* of its terminal; -1 = none */
    const volatile struct keeper_state *state;
};

static struct session *sessions, **last = &sessions; /* in the order of their creation */
static unsigned n_sessions;
static uint64_t last_number;

static struct session *session_find(const char *id)
{
    for (struct session *session = sessions; session; session = session->next)
        if (!strcmp(session->id, id))
            return session;
    return NULL;
}

static void session_free(struct session *session)
{
    if (session->sock >= 0)
        close(session->sock);
    if (session->master >= 0)
        close(session->master);
    if (session->state)
        munmap((void *)(uintptr_t)session->state, sizeof *session->state);
    free(session->id);
    free(session->shell);
    free(session);
}

static void session_link(struct session *session)
{
    *last = session;
    last = &session->next;
    n_sessions++;
}

static void session_unlink(struct session *session)
{
    for (struct session **at = &sessions; *at; at = &(*at)->next) {
        if (*at != session)
            continue;
        *at = session->next;
        if (!*at)
            last = at;
        n_sessions--;
        return;
    }
}

void session_keeper_ended(struct session *session)
{
    session->keeper = NULL;
    close(session->sock);
    session->sock = -1;
}

/* ---- list ---- */

/* The page may hold anything: code inside can write to it. */
static uint32_t state_of(const struct session *session)
{
    uint32_t state = session->state->state;

    return !session->keeper || state > AGENT_SESSION_IS_CLOSED ? AGENT_SESSION_IS_CLOSED : state;
}

static void session_put(struct wire_out *body, const struct session *session)
{
    uint32_t pid = session->state->pid;

    wire_put_str(body, session->id);
    wire_put_str(body, session->shell);
    wire_put_u32(body, pid > INT32_MAX ? 0 : pid);
    wire_put_u32(body, state_of(session));
    wire_put_u64(body, session->state->commands);
    wire_put_u64(body, session->created);
}

static void sessions_send(struct cmd *cmd, const char *id)
{
    struct wire_out body = { 0 };
    uint32_t n = 0;

    for (const struct session *session = sessions; session; session = session->next)
        n += !*id || !strcmp(session->id, id);
    wire_put_u32(&body, n);
    for (const struct session *session = sessions; session; session = session->next)
        if (!*id || !strcmp(session->id, id))
            session_put(&body, session);
    cmd_send(cmd, AGENT_SESSIONS, &body);
    wire_out_release(&body);
}

uint64_t sessions_used(uint64_t now)
{
    uint64_t used = 0;

    for (const struct session *session = sessions; session; session = session->next) {
        uint64_t ended = session->state->ended_ns;

        if (state_of(session) == AGENT_SESSION_IS_BUSY)
            return now;
        if (ended > used)
            used = ended < now ? ended : now;
    }
    return used;
}

/* ---- create ---- */

/* A page that the keeper writes and the agent reads. Sealed, so that nobody can cut it off under the agent. */
static int state_make(struct session *session)
{
    int fd = memfd_create("stockade-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *at = MAP_FAILED;

    if (fd < 0)
        return -1;
    if (ftruncate(fd, sizeof *session->state) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        at = mmap(NULL, sizeof *session->state, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        close(fd);
        return -1;
    }
    session->state = at;
    return fd;
}

/* The shell that was asked for, else the best there is; NULL if it is not there. */
static const char *shell_choose(const char *wanted)
{
    static const char *const shells[] = { "/bin/bash", "/bin/sh" };

    if (*wanted)
        return access(wanted, X_OK) < 0 ? NULL : wanted;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (access(shells[i], X_OK) == 0)
            return shells[i];
    errno = ENOENT;
    return NULL;
}

/* Nothing is read from a keeper, and it can send nothing: what fds it sent would be the agent's to close. */
static int keeper_socket(int pair[2])
{
    int n = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);

    if (n == 0)
        (void)shutdown(pair[0], SHUT_RD);
    return n;
}

/* 0 or an errno. The master stays here: only hosts get it, so that nobody else can change how they read it. */
static int terminal_make(struct session *session, const struct spawn_request *req, char *ret_path, size_t size,
                         int *ret_slave)
{
    int n, err = tty_open(req->rows, req->cols, &session->master, ret_slave);

    if (err)
        return err;
    if (ioctl(session->master, TIOCGPTN, &n) < 0)
        return errno;
    snprintf(ret_path, size, "/dev/pts/%d", n);
    return 0;
}

static bool keeper_spawn(struct session *session, struct spawn_request *req, struct spawn_result *result)
{
    const char *argv[] = { "/proc/self/exe", KEEPER_ARG, session->shell, "", NULL };
    int state = state_make(session), slave = -1, pair[2], err;
    char pts[32];

    *result = (struct spawn_result){ .stage = AGENT_STAGE_SETUP, .err = errno, .master = -1 };
    if (state < 0)
        return false;
    err = req->flags & AGENT_TTY ? terminal_make(session, req, pts, sizeof pts, &slave) : 0;
    if (!err && keeper_socket(pair) < 0)
        err = errno;
    if (!err) {
        if (slave >= 0)
            argv[3] = pts;
        req->argv = argv;
        req->flags = 0; /* its tree is walked, and what the keeper talks by is no terminal */
        req->fds[0] = pair[1];
        req->fds[1] = state;
        req->fds[2] = slave >= 0 ? slave : state;
        session->sock = pair[0];
        spawn_command(req, result);
        close(pair[1]);
    } else {
        result->err = err;
    }
    if (slave >= 0)
        close(slave);
    close(state);
    return !result->stage;
}

static bool session_start(struct cmd *cmd, struct session *session, struct spawn_request *req)
{
    struct spawn_result result;
    struct cmd *keeper;

    if (!keeper_spawn(session, req, &result)) {
        cmd_refuse(cmd, result.stage, result.err);
        return false;
    }
    keeper = cmd_new(-1);
    if (!keeper) { /* it ends by the end of its socket */
        cmd_refuse(cmd, AGENT_STAGE_SESSION, ENOMEM);
        return false;
    }
    keeper->phase = CMD_RUNNING;
    keeper->pid = result.pid;
    keeper->session = session;
    clock_gettime(CLOCK_MONOTONIC, &keeper->started);
    session->keeper = keeper;
    return true;
}

static struct session *session_new(const char *id, const char *shell, uint64_t created)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session)
        return NULL;
    *session = (struct session){
        .id = strdup(id), .shell = strdup(shell), .created = created, .number = ++last_number, .sock = -1, .master = -1
    };
    if (session->id && session->shell)
        return session;
    session_free(session);
    return NULL;
}

static void session_make(struct cmd *cmd, const char *id, const char *wanted, uint64_t created,
                         struct spawn_request *req)
{
    const char *shell = shell_choose(wanted);
    struct session *session;

    if (session_find(id)) {
        cmd_refuse(cmd, AGENT_STAGE_SESSION, EEXIST);
        return;
    }
    if (n_sessions >= AGENT_SESSIONS_MAX) {
        cmd_refuse(cmd, AGENT_STAGE_SESSION, EMFILE);
        return;
    }
    session = shell ? session_new(id, shell, created) : NULL;
    if (!session) {
        cmd_refuse(cmd, shell ? AGENT_STAGE_SESSION : AGENT_STAGE_EXEC, errno);
        return;
    }
    if (!session_start(cmd, session, req)) {
        session_free(session);
        return;
    }
    session_link(session);
    sessions_send(cmd, id);
}

void session_create(struct cmd *cmd, const struct msg *msg)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);
    struct spawn_request req = { .flags = wire_get_u32(&in) };
    const char *id = wire_get_str(&in), *shell = wire_get_str(&in);
    uint64_t created;

    req.cwd = wire_get_str(&in);
    req.env = wire_get_strv(&in, AGENT_STRINGS_MAX, NULL);
    req.uid = wire_get_u32(&in);
    req.gid = wire_get_u32(&in);
    req.nproc = wire_get_u32(&in);
    req.rows = wire_get_u32(&in);
    req.cols = wire_get_u32(&in);
    created = wire_get_u64(&in);
    if (!wire_in_done(&in) || !*id || msg->n_fds)
        cmd_refuse(cmd, AGENT_STAGE_REQUEST, EPROTO);
    else
        session_make(cmd, id, shell, created, &req);
    free(req.env);
}

/* ---- the others ---- */

static const char *id_parse(const struct msg *msg)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);
    const char *id = wire_get_str(&in);

    return wire_in_done(&in) ? id : NULL;
}

static struct session *session_named(struct cmd *cmd, const struct msg *msg)
{
    const char *id = id_parse(msg);
    struct session *session = id ? session_find(id) : NULL;

    if (!session)
        cmd_refuse(cmd, id ? AGENT_STAGE_SESSION : AGENT_STAGE_REQUEST, id ? ENOENT : EPROTO);
    return session;
}

void session_list(struct cmd *cmd, const struct msg *msg)
{
    const char *id = id_parse(msg);

    if (id)
        sessions_send(cmd, id);
    else
        cmd_refuse(cmd, AGENT_STAGE_REQUEST, EPROTO);
}

void session_destroy(struct cmd *cmd, const struct msg *msg)
{
    struct session *session = session_named(cmd, msg);
    struct cmd *keeper = session ? session->keeper : NULL;

    if (!session)
        return;
    session_unlink(session);
    if (keeper) {
        keeper->session = NULL;
        cmd_take_connection(keeper, cmd);
        tree_kill(keeper);
    } else {
        cmd_send(cmd, AGENT_GONE, NULL);
        cmd->phase = CMD_ENDED;
    }
    session_free(session);
}

void session_attach(struct cmd *cmd, const struct msg *msg)
{
    struct session *session = session_named(cmd, msg);
    struct wire_out body = { 0 };

    if (!session)
        return;
    if (session->keeper) {
        wire_put_u64(&body, session->number);
        cmd_send_fd(cmd, AGENT_ATTACHED, &body, session->master);
        wire_out_release(&body);
    } else {
        cmd_send(cmd, AGENT_SESSION_CLOSED, NULL);
        cmd->phase = CMD_ENDED;
    }
}

static int hand_over(const struct session *session, int conn, int answers)
{
    int fds[] = { conn, answers };

    return session && session->keeper ? msg_send(session->sock, KEEPER_ATTACH, NULL, 0, fds, 2) : -EPIPE;
}

/* The host does not read the connection any more, so that what is to be said goes where it listens. */
static void answer_refused(int answers, int err)
{
    struct wire_out body = { 0 };

    wire_put_u32(&body, AGENT_STAGE_SESSION);
    wire_put_u32(&body, (uint32_t)err);
    (void)msg_write(answers, AGENT_REFUSED, body.data, body.len);
    wire_out_release(&body);
}

void session_hand_over(struct cmd *cmd, struct msg *msg)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);
    uint64_t number = wire_get_u64(&in);
    struct session *session = sessions;
    int err;

    if (!wire_in_done(&in) || msg->n_fds != 1) {
        watch_close(&cmd->watch);
        return;
    }
    while (session && session->number != number)
        session = session->next;
    err = hand_over(session, cmd->watch.fd, msg->fds[0]);
    if (err == -EPIPE || err == -ECONNRESET)
        (void)msg_write(msg->fds[0], AGENT_SESSION_CLOSED, NULL, 0);
    else if (err) /* it does not take them in any more: stopped, or swamped */
        answer_refused(msg->fds[0], -err);
    watch_close(&cmd->watch);
}
