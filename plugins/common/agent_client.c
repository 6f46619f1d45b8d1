#include "agent_client.h"

#include "error.h"
#include "msg.h"
#include "proc_id.h"
#include "util.h"
#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define BACKLOG 1024 /* bursts of execs; the kernel caps it at net.core.somaxconn */

static void socket_address(int dir_fd, const char *name, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
}

int socket_listen(int dir_fd, const char *name, mode_t mode)
{
    struct sockaddr_un addr;
    cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    socket_address(dir_fd, name, &addr);
    (void)unlinkat(dir_fd, name, 0);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || fchmodat(dir_fd, name, mode, 0) < 0 ||
        listen(fd, BACKLOG) < 0)
        return -errno;
    return take_fd(&fd);
}

int socket_connect(int dir_fd, const char *name)
{
    struct sockaddr_un addr;
    cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    socket_address(dir_fd, name, &addr);
    while (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        if (errno != EINTR)
            return -errno;
    return take_fd(&fd);
}

/* Waits for fd or for the end of the sandbox's init, whichever comes first. */
static int32_t wait_booting(struct op *op, int fd, int init_fd, int64_t until_ns)
{
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = init_fd, .events = POLLIN } };
    int ready;
    int32_t status = op_poll(op, fds, 2, until_ns, &ready);

    if (status)
        return status;
    if (!ready)
        return op_fail(op, RT_E_TIMEOUT, 0, "the agent did not report in time");
    return fds[0].revents ? RT_OK : op_fail(op, RT_E_UNAVAILABLE, 0, "the sandbox's init ended at once");
}

/* Only the sandbox's init may have the listening socket; anything else inside that connects is turned away. */
static int32_t accept_init(struct op *op, int boot_fd, pid_t init_pid, int init_fd, int64_t until_ns, int *ret)
{
    for (;;) {
        cleanup_fd int fd = -1;
        struct ucred peer = { .pid = -1 };
        socklen_t len = sizeof peer;
        int32_t status = wait_booting(op, boot_fd, init_fd, until_ns);

        if (status)
            return status;
        fd = accept4(boot_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
            return op_fail(op, error_status(errno), errno, "accept the agent's connection");
        if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == init_pid) {
            *ret = take_fd(&fd);
            return RT_OK;
        }
    }
}

static int boot_send(int fd, const struct agent_terms *terms)
{
    const int fds[] = { terms->listen_fd, terms->notes_fd, terms->host_fd };
    struct wire_out body = { 0 };
    int err;

    wire_put_u32(&body, AGENT_VERSION);
    wire_put_u32(&body, terms->stop_grace_ms);
    wire_put_u64(&body, (uint64_t)terms->max_lifetime_ms);
    wire_put_u64(&body, (uint64_t)terms->idle_timeout_ms);
    err = body.failed ? -ENOMEM : msg_send(fd, AGENT_BOOT, body.data, body.len, fds, 3);
    wire_out_release(&body);
    return err;
}

int32_t agent_boot(struct op *op, int boot_fd, pid_t init_pid, int init_fd, const struct agent_terms *terms,
                   int64_t until_ns, int *ret_lease)
{
    cleanup_fd int fd = -1;
    char packet[256];
    struct msg msg;
    struct wire_in in;
    int32_t status = accept_init(op, boot_fd, init_pid, init_fd, until_ns, &fd);
    int err;

    if (status)
        return status;
    err = boot_send(fd, terms);
    if (err)
        return op_fail(op, error_status(-err), -err, "talk to the agent");
    status = wait_booting(op, fd, init_fd, until_ns);
    if (status)
        return status;
    err = msg_recv(fd, packet, sizeof packet, &msg);
    if (err)
        return op_fail(op, RT_E_PROTOCOL, -err, "talk to the agent");
    in = wire_in_over(msg.body, msg.len);
    if (msg.type != AGENT_READY || wire_get_u32(&in) != AGENT_VERSION || !wire_in_done(&in))
        err = -EPROTO;
    msg_release(&msg);
    if (err)
        return op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer is malformed");
    *ret_lease = take_fd(&fd);
    return RT_OK;
}

int32_t agent_release(struct op *op, int lease_fd)
{
    int err = msg_send(lease_fd, AGENT_RELEASE, NULL, 0, NULL, 0);

    return err ? op_fail(op, error_status(-err), -err, "talk to the agent") : RT_OK;
}

static bool answer_parse(struct msg *msg, struct agent_answer *ret)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);

    *ret = (struct agent_answer){ .type = msg->type };
    switch (msg->type) {
    case AGENT_STARTED:
        ret->pid = wire_get_u32(&in);
        break;
    case AGENT_REFUSED:
        ret->stage = wire_get_u32(&in);
        ret->err = wire_get_u32(&in);
        break;
    case AGENT_EXITED:
        ret->wait_status = wire_get_u32(&in);
        ret->duration_ns = wire_get_u64(&in);
        ret->user_us = wire_get_u64(&in);
        ret->sys_us = wire_get_u64(&in);
        ret->rss_kib = wire_get_u64(&in);
        if (!WIFEXITED((int)ret->wait_status) && !WIFSIGNALED((int)ret->wait_status))
            return false;
        break;
    case AGENT_GONE:
    case AGENT_SESSION_CLOSED:
    case AGENT_SESSION_OVER:
        break;
    default:
        return false;
    }
    if (!wire_in_done(&in) || msg->n_fds > (msg->type == AGENT_STARTED) || ret->err >= 4096 || ret->pid > INT32_MAX)
        return false;
    ret->master = msg_take_fd(msg, 0);
    return true;
}

static int answer_take(int fd, int (*receive)(int fd, void *buf, size_t cap, struct msg *ret), struct agent_answer *ret)
{
    char packet[256];
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    struct msg msg;
    bool ok;
    int err;

    if (poll(&pfd, 1, 0) <= 0)
        return 0;
    err = receive(fd, packet, sizeof packet, &msg);
    if (err)
        return err;
    ok = answer_parse(&msg, ret);
    msg_release(&msg);
    return ok ? 1 : -EPROTO;
}

int agent_answer(int conn, struct agent_answer *ret)
{
    return answer_take(conn, msg_recv, ret);
}

int keeper_answer(int answers, struct agent_answer *ret)
{
    return answer_take(answers, msg_read, ret);
}

int agent_send_signal(int conn, uint32_t sig, uint32_t scope)
{
    struct wire_out body = { 0 };
    int err;

    wire_put_u32(&body, sig);
    wire_put_u32(&body, scope);
    err = body.failed ? -ENOMEM : msg_send(conn, AGENT_SIGNAL, body.data, body.len, NULL, 0);
    wire_out_release(&body);
    return err;
}
