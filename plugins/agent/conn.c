/* One connection, one command: requests in, answers out. */
#include "agent.h"
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct cmd *cmds;
static struct cmd *dead; /* off the list, but an event that was fetched already may still point to them */

static void cmd_free(struct cmd *cmd)
{
    struct cmd **at = &cmds;

    while (*at && *at != cmd)
        at = &(*at)->next;
    if (!*at) /* it was, while its last message was served */
        return;
    *at = cmd->next;
    watch_close(&cmd->watch);
    if (cmd->session)
        session_keeper_ended(cmd->session);
    if (cmd->kill_fd >= 0)
        close(cmd->kill_fd);
    cmd->kill_fd = -1;
    cmd->next = dead;
    dead = cmd;
    accept_resume();
}

void cmds_bury(void)
{
    while (dead) {
        struct cmd *cmd = dead;

        dead = cmd->next;
        free(cmd);
    }
}

/* A host that does not read its answers is treated like one that has gone: never wait for it. */
void cmd_send_fd(struct cmd *cmd, uint32_t type, const struct wire_out *body, int fd)
{
    const void *data = body ? body->data : NULL;

    if (cmd->watch.fd >= 0 && msg_send(cmd->watch.fd, type, data, body ? body->len : 0, &fd, fd >= 0) < 0)
        watch_close(&cmd->watch);
}

void cmd_send(struct cmd *cmd, uint32_t type, const struct wire_out *body)
{
    cmd_send_fd(cmd, type, body, -1);
}

void cmd_refuse(struct cmd *cmd, enum agent_stage stage, int err)
{
    struct wire_out body = { 0 };

    wire_put_u32(&body, stage);
    wire_put_u32(&body, (uint32_t)err);
    cmd_send(cmd, AGENT_REFUSED, &body);
    wire_out_release(&body);
    cmd->phase = CMD_ENDED;
}

static bool request_parse(const struct msg *msg, struct spawn_request *ret)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);
    size_t n_argv = 0;

    ret->flags = wire_get_u32(&in);
    ret->cwd = wire_get_str(&in);
    ret->argv = wire_get_strv(&in, AGENT_STRINGS_MAX, &n_argv);
    ret->env = wire_get_strv(&in, AGENT_STRINGS_MAX, NULL);
    ret->uid = wire_get_u32(&in);
    ret->gid = wire_get_u32(&in);
    ret->nproc = wire_get_u32(&in);
    ret->rows = wire_get_u32(&in);
    ret->cols = wire_get_u32(&in);
    if (!wire_in_done(&in) || !n_argv || msg->n_fds != (ret->flags & AGENT_CGROUP ? 5u : 3u))
        return false;
    memcpy(ret->fds, msg->fds, sizeof *msg->fds * msg->n_fds);
    return true;
}

static void cmd_spawn(struct cmd *cmd, struct msg *msg)
{
    struct spawn_request req = { 0 };
    struct spawn_result result;
    struct wire_out body = { 0 };

    if (!request_parse(msg, &req)) {
        cmd_refuse(cmd, AGENT_STAGE_REQUEST, EPROTO);
    } else {
        clock_gettime(CLOCK_MONOTONIC, &cmd->started);
        if (!spawn_command(&req, &result)) {
            cmd_refuse(cmd, result.stage, result.err);
        } else {
            if (req.flags & AGENT_CGROUP)
                cmd->kill_fd = msg_take_fd(msg, 4);
            cmd->pid = result.pid;
            cmd->phase = CMD_RUNNING;
            ttl_used();
            wire_put_u32(&body, (uint32_t)result.pid);
            cmd_send_fd(cmd, AGENT_STARTED, &body, result.master);
            if (result.master >= 0)
                close(result.master);
        }
    }
    wire_out_release(&body);
    free(req.argv);
    free(req.env);
}

static void cmd_signal(struct cmd *cmd, const struct msg *msg)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);
    int sig = (int)wire_get_u32(&in);
    uint32_t scope = wire_get_u32(&in);

    if (!wire_in_done(&in) || sig < 1 || sig > SIGRTMAX || !cmd->pid)
        return;
    if (scope == AGENT_SCOPE_TREE) {
        tree_signal(cmd, sig);
    } else {
        kill(-cmd->pid, sig);
        kill(cmd->pid, sig); /* it may have left its group */
    }
}

static void cmd_message(struct cmd *cmd, struct msg *msg)
{
    switch (msg->type) {
    case AGENT_PING:
        cmd_send(cmd, AGENT_PONG, NULL);
        break;
    case AGENT_SPAWN:
        if (cmd->phase == CMD_NEW)
            cmd_spawn(cmd, msg);
        break;
    case AGENT_SIGNAL:
        cmd_signal(cmd, msg);
        break;
    case AGENT_KILL:
        tree_kill(cmd);
        break;
    case AGENT_SESSION_CREATE:
        if (cmd->phase == CMD_NEW)
            session_create(cmd, msg);
        break;
    case AGENT_SESSION_DESTROY:
        if (cmd->phase == CMD_NEW)
            session_destroy(cmd, msg);
        break;
    case AGENT_SESSION_LIST:
        if (cmd->phase == CMD_NEW)
            session_list(cmd, msg);
        break;
    case AGENT_SESSION_ATTACH:
        if (cmd->phase == CMD_NEW)
            session_attach(cmd, msg);
        break;
    case AGENT_SESSION_HAND_OVER:
        if (cmd->phase == CMD_NEW)
            session_hand_over(cmd, msg);
        break;
    case AGENT_QUIT:
        agent_stop();
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
    struct cmd *cmd = (struct cmd *)watch;
    struct msg msg;
    int err;

    (void)events;
    if (watch->fd < 0)
        return;
    err = msg_recv(watch->fd, packet, sizeof packet, &msg);
    if (err == -EAGAIN)
        return;
    if (!err) {
        cmd_message(cmd, &msg);
        msg_release(&msg);
    } else {
        watch_close(&cmd->watch);
    }
    if (cmd->watch.fd >= 0)
        return;
    /* The host has gone: a command that it waits for ends with it, one that it knows the end of is history. */
    if (cmd->phase == CMD_RUNNING || cmd->phase == CMD_TERMINATING)
        tree_kill(cmd);
    else if (cmd->phase != CMD_KILLING)
        cmd_free(cmd);
}

struct cmd *cmd_new(int fd)
{
    struct cmd *cmd = calloc(1, sizeof *cmd);

    if (!cmd) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    *cmd = (struct cmd){ .watch = { .ready = conn_ready, .fd = fd }, .kill_fd = -1, .next = cmds };
    cmds = cmd;
    if (fd < 0 || watch_add(&cmd->watch, EPOLLIN) == 0)
        return cmd;
    cmd_free(cmd);
    return NULL;
}

void cmd_take_connection(struct cmd *cmd, struct cmd *from)
{
    watch_close(&cmd->watch);
    cmd->watch.fd = watch_release(&from->watch);
    if (watch_add(&cmd->watch, EPOLLIN) < 0)
        watch_close(&cmd->watch);
}

void conn_accept(int fd)
{
    struct ucred peer = { .pid = -1 };
    socklen_t len = sizeof peer;

    /* Pid 0 is a process outside this pid namespace: the host. Anything else is code from inside, but for bridges. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        (listens_inside ? !inside_is_bridge(peer.pid) : peer.pid != 0)) {
        close(fd);
        return;
    }
    (void)cmd_new(fd);
}

static uint64_t time_us(const struct timeval *tv)
{
    return (uint64_t)tv->tv_sec * 1000000u + (uint64_t)tv->tv_usec;
}

void cmd_reaped(struct cmd *cmd, int status, const struct rusage *usage)
{
    struct wire_out body = { 0 };

    cmd->pid = 0;
    if (!cmd->session)
        ttl_used();
    wire_put_u32(&body, (uint32_t)status);
    wire_put_u64(&body, since_ns(&cmd->started));
    wire_put_u64(&body, time_us(&usage->ru_utime));
    wire_put_u64(&body, time_us(&usage->ru_stime));
    wire_put_u64(&body, (uint64_t)usage->ru_maxrss);
    cmd_send(cmd, AGENT_EXITED, &body);
    wire_out_release(&body);
    if (cmd->phase == CMD_RUNNING) {
        cmd->phase = CMD_ENDED;
        if (cmd->watch.fd < 0)
            cmd_free(cmd);
    } else if (cmd->phase == CMD_KILLING && cmd->kill_fd >= 0) {
        cmd_finish_kill(cmd);
    }
}

void cmd_finish_kill(struct cmd *cmd)
{
    cmd_send(cmd, AGENT_GONE, NULL);
    cmd->gone = true;
    cmd->phase = CMD_ENDED;
    if (cmd->watch.fd < 0)
        cmd_free(cmd);
}
