/*
 * permfs: shows a codebase through rules, as a FUSE filesystem, to one sandbox. Started with a socket as fd 3 over
 * which it is told everything (permfs_proto.h); takes no argument and no environment, and prints nothing.
 */
#include "control.h"
#include "fs.h"
#include "mount.h"
#include "permfs_proto.h"
#include "privilege.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two threads are fastest on two CPUs; the others are for when those wait for a slow disk. */
#define WORKERS_MAX 4

/* For how long the end waits for the filesystem's threads; a sandbox that still uses the mount keeps them busy. */
#define END_WAIT_MS 250

struct daemon {
    struct settings settings;
    struct fs fs;
    struct mount mount;
    struct control control;
    pthread_t server; /* runs libfuse's loop */
    bool unmounted;
};

static void log_nothing(enum fuse_log_level level, const char *fmt, va_list ap)
{
    (void)level;
    (void)fmt;
    (void)ap;
}

static int fds_start(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || fcntl(PERMFS_OWNER_FD, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    for (int fd = 0; fd < PERMFS_OWNER_FD; fd++) /* the host's own must not be kept open */
        if (dup2(null, fd) < 0)
            return -errno;
    return close_range(PERMFS_OWNER_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

static int signals_start(int *ret_fd)
{
    static const int ignored[] = { SIGINT, SIGHUP, SIGPIPE, SIGXFSZ };
    sigset_t set;
    int fd;

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL); /* for every thread to come */
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static void *serve(void *arg)
{
    struct daemon *d = arg;
    struct fuse_loop_config *loop = fuse_loop_cfg_create();

    if (loop && privilege_drop_worker(d->fs.device.passthrough || d->fs.delta.on) == 0) {
        fuse_loop_cfg_set_idle_threads(loop, WORKERS_MAX);
        fuse_loop_cfg_set_max_threads(loop, WORKERS_MAX);
        fuse_loop_cfg_set_clone_fd(loop, 0);
        fs_epochs_start(&d->fs, d->mount.session);
        watch_start(&d->fs, d->mount.session);
        (void)fuse_session_loop_mt(d->mount.session, loop);
        watch_stop(&d->fs);
    }
    if (loop)
        fuse_loop_cfg_destroy(loop);
    (void)eventfd_write(d->control.ended, 1);
    return NULL;
}

static void unmount(void *user)
{
    struct daemon *d = user;

    if (!d->unmounted)
        mount_stop(&d->mount);
    d->unmounted = true;
}

static int set_rules(void *user, struct rules *rules)
{
    struct daemon *d = user;

    return fs_set_rules(&d->fs, d->mount.session, rules);
}

static int refresh(void *user)
{
    struct daemon *d = user;
    int r = delta_reload(&d->fs.delta);

    delta_refresh(&d->fs);
    fs_forget_all(&d->fs, d->mount.session);
    delta_refresh(&d->fs); /* once more: the kernel held what it has just forgotten */
    return r;
}

static const struct control_ops control_ops = { .unmount = unmount, .set_rules = set_rules, .refresh = refresh };

/* Receives the configuration. Returns 0, or -errno with why; -EPIPE if there is nobody to tell. */
static int settings_receive(struct settings *ret, char why[WHY_MAX])
{
    char *buf = malloc(MSG_PACKET_MAX);
    struct msg msg;
    int r = buf ? msg_recv(PERMFS_OWNER_FD, buf, MSG_PACKET_MAX, &msg) : -ENOMEM;

    if (!r) {
        r = settings_decode(&msg, ret, why);
        msg_release(&msg);
    } else {
        snprintf(why, WHY_MAX, "receiving the configuration: %s", strerror(-r));
    }
    free(buf);
    return r;
}

static int step_failed(int r, const char *step, char why[WHY_MAX])
{
    if (r)
        snprintf(why, WHY_MAX, "%s: %s", step, strerror(-r));
    return r;
}

static int daemon_serve(struct daemon *d, char why[WHY_MAX])
{
    int r =
        step_failed(privilege_drop(d->settings.owner_uid, d->settings.owner_gid), "becoming the codebase's owner", why);

    if (!r && d->settings.audit_fd >= 0)
        r = step_failed(audit_start(&d->fs.audit, d->settings.sandbox, d->settings.audit_fd, d->settings.audit_sock,
                                    d->settings.audit_max),
                        "starting the audit", why);
    if (!r)
        r = step_failed(-pthread_create(&d->server, NULL, serve, d), "starting a thread", why);
    if (r) {
        mount_stop(&d->mount);
        mount_release(&d->mount);
    }
    return r;
}

static int daemon_start(struct daemon *d, char why[WHY_MAX])
{
    int r = fs_init(&d->fs, &d->settings, why);

    if (r)
        return r;
    d->control.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = d->control.ended < 0 ? step_failed(-errno, "making an eventfd", why) : 0;
    if (!r)
        r = mount_start(&d->mount, &d->settings, &d->fs, why);
    if (!r)
        r = daemon_serve(d, why);
    if (r)
        fs_release(&d->fs);
    return r;
}

/* Returns once no thread is left but this one; if that takes too long, not at all. */
static void daemon_end(struct daemon *d)
{
    struct pollfd ended = { d->control.ended, POLLIN, 0 };
    const bool has_ended = poll(&ended, 1, END_WAIT_MS) > 0;

    audit_stop(&d->fs.audit);
    if (!has_ended)
        _exit(0); /* which closes the connection: whoever still has the mount gets ENOTCONN */
    pthread_join(d->server, NULL);
    mount_release(&d->mount);
    fs_release(&d->fs);
    settings_release(&d->settings);
}

static int send_ready(void)
{
    struct wire_out w = { 0 };
    int r;

    wire_put_u32(&w, (uint32_t)getpid());
    r = w.failed ? -ENOMEM : msg_send(PERMFS_OWNER_FD, PERMFS_READY, w.data, w.len, NULL, 0);
    wire_out_release(&w);
    return r;
}

int main(void)
{
    static struct daemon d = { .control = { .owner = PERMFS_OWNER_FD, .ops = &control_ops, .user = &d } };
    char why[WHY_MAX] = "";
    int r;

    if (fds_start() || signals_start(&d.control.signals))
        return 1;
    (void)umask(0);
    (void)setsid(); /* away from the terminal's signals */
    (void)!chdir("/");
    fuse_set_log_func(log_nothing);
    mallopt(M_MMAP_THRESHOLD, 4 << 20); /* a read's buffer is used again, not mapped and faulted in each time */
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    mallopt(M_ARENA_MAX, 1); /* a thread's own grows by a page and a system call at a time */
    mallopt(M_TOP_PAD, 256 << 10);

    d.control.uid = geteuid();
    r = settings_receive(&d.settings, why);
    if (!r)
        r = daemon_start(&d, why);
    if (r) {
        (void)control_send_failed(PERMFS_OWNER_FD, r, why);
        return 1;
    }
    d.control.listen = d.settings.listen_fd;
    d.control.lease = d.settings.lease;
    d.control.lock = &d.settings.lock_fd;
    control_init(&d.control);
    (void)fcntl(PERMFS_OWNER_FD, F_SETFL, O_RDWR | O_NONBLOCK);
    (void)fcntl(d.control.listen, F_SETFL, O_RDWR | O_NONBLOCK);
    (void)send_ready(); /* if the owner is gone, its socket says so at once */
    control_run(&d.control);
    daemon_end(&d);
    return 0;
}
