#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

uint32_t harness_flags;

/* The tests are $(BUILD)/tests/fs, the daemon is $(BUILD)/libexec/stockade/permfs. */
static void daemon_path(char path[PATH_MAX])
{
    const char *given = getenv("STOCKADE_TEST_PERMFS");
    ssize_t n;

    if (given) {
        snprintf(path, PATH_MAX, "%s", given);
        return;
    }
    n = readlink("/proc/self/exe", path, PATH_MAX - 64);
    cr_assert(n > 0);
    path[n] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(path, '/') = 0;
    strcat(path, "/libexec/stockade/permfs");
}

static void socket_address(const struct harness *h, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(ret->sun_path, sizeof ret->sun_path, "%s/socket", h->dir);
}

void harness_init(struct harness *h)
{
    if (access("/dev/fuse", R_OK | W_OK) < 0) {
        cr_assert(!getenv("RT_MUST_RUN"), "/dev/fuse cannot be used, and RT_MUST_RUN is set");
        cr_skip_test("/dev/fuse cannot be used by this user");
    }
    *h = (struct harness){ .owner = -1 };
    snprintf(h->dir, sizeof h->dir, "/tmp/stockade-fs-XXXXXX");
    cr_assert(mkdtemp(h->dir));
    snprintf(h->base, sizeof h->base, "%s/base", h->dir);
    snprintf(h->mnt, sizeof h->mnt, "%s/mnt", h->dir);
    cr_assert(mkdir(h->base, 0755) == 0 && mkdir(h->mnt, 0755) == 0);
}

void harness_mounts(struct harness *h)
{
    if (geteuid() != 0)
        harness_skip(h, "mounting takes root");
    cr_assert(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "%s",
              strerror(errno));
}

void harness_mount_tmpfs(const char *place, const char *options)
{
    cr_assert(mount("test", place, "tmpfs", 0, options) == 0, "%s", strerror(errno));
}

void harness_run(struct harness *h, const char *format, ...)
{
    char cmd[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(cmd, sizeof cmd, format, args);
    va_end(args);
    if (system(cmd) != 0) {
        cr_log_info("%s", cmd);
        harness_skip(h, "such a filesystem cannot be had here");
    }
}

void harness_mount_image(struct harness *h, const char *place, const char *type, int mib)
{
    static int n;

    n++;
    harness_run(h,
                "truncate -s %dM %s/image%d && PATH=$PATH:/sbin:/usr/sbin mkfs.%s -q %s/image%d 2>/dev/null && "
                "mount -o loop %s/image%d %s && rm -rf %s/lost+found",
                mib, h->dir, n, type, h->dir, n, h->dir, n, place, place);
}

static int listen_start(const struct harness *h)
{
    struct sockaddr_un addr;
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    socket_address(h, &addr);
    unlink(addr.sun_path);
    cr_assert(sock >= 0 && bind(sock, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(sock, 8) == 0);
    return sock;
}

static void spawn_daemon(struct harness *h)
{
    char path[PATH_MAX], name[] = "permfs", *argv[] = { name, NULL };
    int pair[2], theirs;
    posix_spawn_file_actions_t actions;

    daemon_path(path);
    cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, PERMFS_OWNER_FD + 1); /* dup2 onto itself would leave it close-on-exec */
    close(pair[1]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs, PERMFS_OWNER_FD);
    cr_assert(posix_spawn(&h->pid, path, &actions, NULL, argv, environ) == 0, "cannot start %s", path);
    posix_spawn_file_actions_destroy(&actions);
    close(theirs);
    h->owner = pair[0];
}

static void put_rules(struct wire_out *w, const struct rule *rules, size_t n)
{
    wire_put_u32(w, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        wire_put_str(w, rules[i].pattern);
        wire_put_u32(w, (uint32_t)rules[i].type);
        wire_put_u32(w, (uint32_t)rules[i].permission);
        wire_put_u32(w, (uint32_t)rules[i].priority);
    }
}

static void put_config(struct wire_out *w, const struct harness *h, const struct harness_options *o)
{
    wire_put_str(w, "test");
    wire_put_str(w, h->mnt);
    wire_put_u32(w, o->flags);
    wire_put_u32(w, o->cache_ms);
    wire_put_u32(w, o->owner_uid);
    wire_put_u32(w, o->owner_gid);
    wire_put_u32(w, o->shown_uid);
    wire_put_u32(w, o->shown_gid);
}

static int receive(int sock, char buf[HARNESS_BUF], struct msg *ret)
{
    struct pollfd p = { sock, POLLIN, 0 };

    if (poll(&p, 1, HANG_MS) != 1)
        return -ETIMEDOUT;
    return msg_recv(sock, buf, HARNESS_BUF, ret);
}

int harness_ask(int sock, uint32_t type, const void *body, size_t len, char buf[HARNESS_BUF], struct msg *ret)
{
    int r = msg_send(sock, type, body, len, NULL, 0);

    return r ? r : receive(sock, buf, ret);
}

static bool read_answer(struct harness *h)
{
    char buf[HARNESS_BUF];
    struct msg msg;
    struct wire_in w;
    int r = receive(h->owner, buf, &msg);
    uint32_t value;

    if (r) {
        h->error = (uint32_t)-r;
        snprintf(h->why, sizeof h->why, "no answer");
        return false;
    }
    w = wire_in_over(msg.body, msg.len);
    value = wire_get_u32(&w);
    if (msg.type == PERMFS_READY) {
        cr_expect(value == (uint32_t)h->pid);
    } else {
        cr_expect(msg.type == PERMFS_FAILED);
        h->error = value;
        snprintf(h->why, sizeof h->why, "%s", wire_get_str(&w));
    }
    cr_expect(wire_in_done(&w));
    r = msg.type == PERMFS_READY;
    msg_release(&msg);
    return r;
}

const char *harness_delta(const struct harness *h)
{
    static char path[64];

    snprintf(path, sizeof path, "%s/delta", h->dir);
    return path;
}

static int delta_open(const struct harness *h)
{
    cr_assert(tree_mkdir(h->dir, "delta/upper") && tree_mkdir(h->dir, "delta/work"));
    return open(harness_delta(h), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool harness_start(struct harness *h, const struct rule *rules, size_t n, const struct harness_options *options)
{
    struct wire_out w = { 0 };
    int fds[4] = { open(h->base, O_PATH | O_DIRECTORY | O_CLOEXEC), listen_start(h) };
    size_t n_fds = 2;
    bool ready;

    if (options->flags & PERMFS_DELTA)
        fds[n_fds++] = delta_open(h);
    if (options->flags & PERMFS_LOCK)
        fds[n_fds++] = fcntl(options->lock, F_DUPFD_CLOEXEC, 0);

    h->error = 0;
    spawn_daemon(h);
    put_config(&w, h, options);
    put_rules(&w, rules, n);
    cr_assert(msg_send(h->owner, PERMFS_CONFIG, w.data, w.len, fds, n_fds) == 0);
    wire_out_release(&w);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    ready = read_answer(h);
    if (!ready)
        cr_expect(harness_await_end(h), "a daemon that failed lives on");
    return ready;
}

struct harness_options harness_options(void)
{
    return (struct harness_options){
        .cache_ms = 1000,
        .flags = PERMFS_LEASE | harness_flags,
        .owner_uid = geteuid(),
        .shown_uid = geteuid(),
        .owner_gid = getegid(),
        .shown_gid = getegid(),
    };
}

bool harness_start_open(struct harness *h)
{
    const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    const struct harness_options options = harness_options();

    return harness_start(h, &all, 1, &options);
}

uint32_t harness_request(struct harness *h, uint32_t type, const void *body, size_t len)
{
    char buf[HARNESS_BUF];
    struct msg msg;
    uint32_t got;

    if (harness_ask(h->owner, type, body, len, buf, &msg))
        return 0;
    got = msg.type;
    msg_release(&msg);
    return got;
}

void harness_set_rules(struct harness *h, const struct rule *rules, size_t n)
{
    struct wire_out w = { 0 };

    put_rules(&w, rules, n);
    cr_expect(harness_request(h, PERMFS_RULES, w.data, w.len) == PERMFS_OK);
    wire_out_release(&w);
}

int harness_connect(const struct harness *h)
{
    struct sockaddr_un addr;
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    socket_address(h, &addr);
    cr_assert(connect(sock, (struct sockaddr *)&addr, sizeof addr) == 0);
    return sock;
}

static bool has_ended(struct harness *h)
{
    int status;

    if (h->pid && waitpid(h->pid, &status, WNOHANG) == h->pid) {
        /* A sanitizer, if it is built with one, ends it with something else. */
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == (h->error ? 1 : 0), "status %#x", status);
        h->pid = 0;
    }
    return !h->pid && !proc_is_mounted_below(h->mnt);
}

bool harness_await_end(struct harness *h)
{
    return AWAIT(has_ended(h));
}

void harness_stop(struct harness *h)
{
    if (h->pid) {
        cr_expect(harness_request(h, PERMFS_QUIT, NULL, 0) == PERMFS_OK);
        cr_expect(!proc_is_mounted_below(h->mnt), "mounted after the answer to QUIT");
        cr_expect(harness_await_end(h), "the daemon lives on after QUIT");
    }
    if (h->owner >= 0)
        close(h->owner);
    h->owner = -1;
    if (h->pid) {
        kill(h->pid, SIGKILL);
        waitpid(h->pid, NULL, 0);
        h->pid = 0;
    }
    cr_expect(!proc_is_mounted_below(h->mnt), "a mount is left behind");
    if (proc_is_mounted_below(h->mnt))
        umount2(h->mnt, MNT_DETACH);
}

void harness_release(struct harness *h)
{
    char work[96], *below;

    harness_stop(h);
    for (; (below = proc_mount_below(h->dir)); free(below)) /* what a test has mounted */
        cr_assert(umount2(below, MNT_DETACH) == 0, "%s: %s", below, strerror(errno));
    snprintf(work, sizeof work, "%s/work/work", harness_delta(h)); /* the overlay closes it to everybody */
    (void)chmod(work, 0700);
    cr_expect(tree_remove(h->dir));
}

void harness_skip(struct harness *h, const char *why)
{
    harness_release(h);
    cr_skip_test("%s", why);
}
