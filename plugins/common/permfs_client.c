#include "permfs_client.h"

#include "agent_client.h"
#include "audit.h"
#include "child.h"
#include "children.h"
#include "delta_dir.h"
#include "error.h"
#include "mounts.h"
#include "msg.h"
#include "permfs_proto.h"
#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define QUIT_TIMEOUT_MS 2000

static void rules_put(struct wire_out *w, const struct spec *spec)
{
    wire_put_u32(w, (uint32_t)spec->n_rules);
    for (size_t i = 0; i < spec->n_rules; i++) {
        wire_put_str(w, spec->rules[i].pattern);
        wire_put_u32(w, (uint32_t)spec->rules[i].type);
        wire_put_u32(w, (uint32_t)spec->rules[i].permission);
        wire_put_u32(w, (uint32_t)spec->rules[i].priority);
    }
}

/* audit: what it is given. */
static uint32_t flags_of(const struct settings *settings, const struct spec *spec, const struct audit_fds *audit)
{
    return (settings->passthrough ? 0 : PERMFS_NO_PASSTHROUGH) | (settings->watch ? 0 : PERMFS_NO_WATCH) |
           (settings->epochs ? 0 : PERMFS_NO_EPOCH) | (spec->lifetime == RT_LIFETIME_HOST ? PERMFS_LEASE : 0) |
           (spec->workspace_mode == RT_WORKSPACE_DELTA ? PERMFS_DELTA : 0) | (audit->file >= 0 ? PERMFS_AUDIT : 0) |
           (spec->audit_file[0] ? 0 : PERMFS_AUDIT_CAPPED) | (audit->sock >= 0 ? PERMFS_AUDIT_LOG : 0) | PERMFS_LOCK;
}

static void config_put(struct wire_out *w, const struct record *record, const char *mount_point, uint32_t flags,
                       const struct settings *settings)
{
    const struct spec *spec = &record->spec;
    const struct identity *who = &record->identity;

    wire_put_str(w, spec->id);
    wire_put_str(w, mount_point);
    wire_put_u32(w, flags);
    wire_put_u32(w, (uint32_t)settings->cache_time_ms);
    wire_put_u32(w, who->owner_uid);
    wire_put_u32(w, who->owner_gid);
    wire_put_u32(w, who->host_uid);
    wire_put_u32(w, who->host_gid);
    rules_put(w, spec);
}

/* It may have ended before it could be told: that is what counts then. what: for the message. */
static int32_t send_failed(struct op *op, int err, const char *what)
{
    if (err == -EPIPE || err == -ECONNRESET)
        return op_fail(op, RT_E_UNAVAILABLE, 0, "the filesystem daemon ended");
    return op_fail(op, error_status(-err), -err, "%s", what);
}

/* Takes an answer: RT_OK if it is the one wanted, else what permfs says, or that it is dead. */
static int32_t answer_take(struct op *op, int fd, uint32_t want)
{
    char packet[4096];
    struct msg msg;
    struct wire_in in;
    int err = msg_recv(fd, packet, sizeof packet, &msg), sys;
    int32_t status = RT_OK;

    if (err == -EPIPE)
        return op_fail(op, RT_E_UNAVAILABLE, 0, "the filesystem daemon ended");
    if (err)
        return op_fail(op, RT_E_PROTOCOL, -err, "the filesystem daemon's answer");
    in = wire_in_over(msg.body, msg.len);
    if (msg.type == PERMFS_FAILED) {
        sys = (int)wire_get_u32(&in);
        status = op_fail(op, sys > 0 && sys < 4096 ? error_status(sys) : RT_E_IO, 0, "%s", wire_get_str(&in));
    } else if (msg.type != want) {
        status = op_fail(op, RT_E_PROTOCOL, 0, "the filesystem daemon answered %u", msg.type);
    }
    msg_release(&msg);
    return status;
}

static pid_t daemon_spawn(struct op *op, int sock)
{
    cleanup_free char *file = NULL;
    char *argv[] = { (char *)"permfs", NULL }, *env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    int fds[] = { -1, -1, -1, sock };
    struct child_spec spec = { .exec_fd = -1, .argv = argv, .env = env, .fds = fds, .n_fds = ARRAY_LEN(fds) };
    pid_t pid;

    if (asprintf(&file, "%s/permfs", op->rt->libexec) < 0) {
        file = NULL;
        return op_fail(op, RT_E_NOMEM, 0, "start the filesystem daemon"), -1;
    }
    spec.file = file;
    pid = child_start(&spec);
    if (pid < 0)
        op_fail(op, RT_E_UNAVAILABLE, -pid, "start %s", file);
    else
        children_add(pid);
    return pid;
}

/* Sends the configuration with its fds. */
static int32_t config_send(struct op *op, const struct locked *locked, int fd, const char *mount_point, int codebase)
{
    const struct record *record = &locked->record;
    const int box_fd = locked->box_fd;
    cleanup_fd int listen_fd = socket_listen(box_fd, "permfs.sock", 0600), delta = -1;
    struct wire_out body = { 0 };
    struct audit_fds audit;
    int32_t status = RT_OK;
    int err, fds[6];
    size_t n = 2;

    if (listen_fd < 0)
        return op_fail(op, error_status(-listen_fd), -listen_fd, "make the filesystem daemon's socket");
    if (record->spec.workspace_mode == RT_WORKSPACE_DELTA)
        status = delta_dir_make(op, record, box_fd, &delta);
    if (!status)
        status = audit_open(op, record, box_fd, &audit);
    if (status)
        return status;
    config_put(&body, record, mount_point, flags_of(op->rt->settings, &record->spec, &audit), op->rt->settings);
    fds[0] = codebase;
    fds[1] = listen_fd;
    if (delta >= 0)
        fds[n++] = delta;
    if (audit.file >= 0)
        fds[n++] = audit.file;
    if (audit.sock >= 0)
        fds[n++] = audit.sock;
    fds[n++] = locked->lock_fd;
    err = body.failed ? -ENOMEM : msg_send(fd, PERMFS_CONFIG, body.data, body.len, fds, n);
    wire_out_release(&body);
    fd_closep(&audit.file);
    fd_closep(&audit.sock);
    return err ? send_failed(op, err, "configure the filesystem daemon") : RT_OK;
}

static int32_t daemon_configure(struct op *op, const struct locked *locked, int fd, const char *mount_point)
{
    const char *path = locked->record.spec.codebase;
    cleanup_fd int codebase = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int32_t status;

    if (codebase < 0)
        return op_fail(op, errno == EACCES ? RT_E_PERMISSION : RT_E_IO, errno, "codebase '%s'", path);
    status = config_send(op, locked, fd, mount_point, codebase);
    if (status)
        return status;
    status = op_wait_readable(op, fd, now_ns() + HANG_NS, "the filesystem daemon");
    return status ? status : answer_take(op, fd, PERMFS_READY);
}

int32_t permfs_start(struct op *op, const struct locked *locked, const char *mount_point, struct permfs *ret)
{
    cleanup_fd int ours = -1, theirs = -1;
    int pair[2];
    int32_t status;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return op_fail(op, error_status(errno), errno, "socketpair");
    ours = pair[0];
    theirs = pair[1];
    pid = daemon_spawn(op, theirs);
    if (pid < 0)
        return op->err->status;
    fd_closep(&theirs);
    status = daemon_configure(op, locked, ours, mount_point);
    if (status) {
        struct proc_id id = proc_id_of(pid);
        struct op quiet;

        op_init_quiet(&quiet, op->rt); /* the cause is what counts, not how the cleaning went */
        (void)permfs_end(&quiet, &id, ours, locked->box_fd, mount_point);
        return status;
    }
    *ret = (struct permfs){ .pid = pid, .fd = take_fd(&ours) };
    return RT_OK;
}

/* Asks the daemon of a running sandbox for something that it answers by OK. what: for the message. */
static int32_t daemon_ask(struct op *op, int box_fd, uint32_t type, const struct wire_out *body, const char *what)
{
    cleanup_fd int sock = socket_connect(box_fd, "permfs.sock");
    struct op patient = *op; /* what has been sent cannot be called back: not cut short by the call's end */
    int32_t status;
    int err;

    patient.cancel_fd = -1;
    patient.deadline_ns = 0;
    if (sock < 0)
        return op_fail(op, RT_E_UNAVAILABLE, -sock, "reach the filesystem daemon");
    err = body->failed ? -ENOMEM : msg_send(sock, type, body->data, body->len, NULL, 0);
    if (err)
        return send_failed(op, err, what);
    status = op_wait_readable(&patient, sock, now_ns() + HANG_NS, "the filesystem daemon");
    return status ? status : answer_take(op, sock, PERMFS_OK);
}

int32_t permfs_guard(struct op *op, int fd, int init_fd, int notes_fd, int ended_fd, int host_fd)
{
    int fds[] = { init_fd, notes_fd, ended_fd, host_fd };
    int err = msg_send(fd, PERMFS_GUARD, NULL, 0, fds, host_fd < 0 ? 3 : 4);
    int32_t status;

    if (err)
        return send_failed(op, err, "talk to the filesystem daemon");
    status = op_wait_readable(op, fd, now_ns() + HANG_NS, "the filesystem daemon");
    return status ? status : answer_take(op, fd, PERMFS_OK);
}

int32_t permfs_set_rules(struct op *op, const struct record *record, int box_fd)
{
    struct wire_out body = { 0 };
    int32_t status;

    rules_put(&body, &record->spec);
    status = daemon_ask(op, box_fd, PERMFS_RULES, &body, "give the filesystem daemon its rules");
    wire_out_release(&body);
    return status;
}

int32_t permfs_refresh(struct op *op, int box_fd)
{
    const struct wire_out nothing = { 0 };

    return daemon_ask(op, box_fd, PERMFS_REFRESH, &nothing, "tell the filesystem daemon of its delta");
}

/* Waits for a pidfd's process to end. */
static bool pidfd_wait(int pidfd, int ms)
{
    struct pollfd pfd = { .fd = pidfd, .events = POLLIN };

    return poll(&pfd, 1, ms) > 0;
}

static void daemon_quit(int owner_fd, int box_fd)
{
    cleanup_fd int own = -1;

    if (owner_fd < 0)
        own = socket_connect(box_fd, "permfs.sock");
    if (owner_fd >= 0 || own >= 0)
        (void)msg_send(owner_fd >= 0 ? owner_fd : own, PERMFS_QUIT, NULL, 0, NULL, 0);
}

void permfs_kill(const struct proc_id *id)
{
    cleanup_fd int pidfd = proc_id_open(id);

    if (pidfd >= 0 && pidfd_signal(pidfd, SIGKILL) == 0)
        (void)pidfd_wait(pidfd, QUIT_TIMEOUT_MS);
}

int32_t permfs_end(struct op *op, const struct proc_id *id, int owner_fd, int box_fd, const char *mount_point)
{
    cleanup_fd int pidfd = proc_id_open(id);

    if (pidfd < 0 && pidfd != -ESRCH)
        return op_fail(op, error_status(-pidfd), -pidfd, "end the filesystem daemon");
    if (pidfd >= 0) {
        daemon_quit(owner_fd, box_fd);
        if (!pidfd_wait(pidfd, QUIT_TIMEOUT_MS)) {
            /* It hangs: nothing that waits for it can be killed before the connection is cut. */
            (void)mount_abort(mount_point);
            (void)pidfd_signal(pidfd, SIGKILL);
            (void)pidfd_wait(pidfd, QUIT_TIMEOUT_MS);
        }
    }
    (void)child_reap(id);
    (void)unlinkat(box_fd, "permfs.sock", 0);
    return mount_remove(op, mount_point);
}
