#include "overlay.h"

#include "below.h"
#include "delta_log.h"
#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAYERS 3
#define UPPER  1

/* Of the overlay, in the order of `keys`. */
struct layers {
    int fd[LAYERS];
};

static int fail(char why[WHY_MAX], int err, const char *what)
{
    const char *hint = "";

    if (err == ELOOP)
        hint = " (the state directory and the codebase must not lie within each other)";
    else if (err == EINVAL)
        hint = " (the state directory must be on a filesystem that can be an overlay's upper layer, such as ext4, xfs, "
               "btrfs or tmpfs, and the codebase neither on two overlays already nor in a workspace with passthrough)";
    else if (err == ENODEV || err == EPERM)
        hint = " (copy-on-write takes the kernel's overlayfs, and without root also user namespaces)";
    snprintf(why, WHY_MAX, "copy-on-write: %s: %s%s", what, strerror(err), hint);
    return -err;
}

static int config(int fs, unsigned cmd, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, cmd, key, value, 0) < 0 ? -errno : 0;
}

static int set_layers(int fs, const struct layers *layers)
{
    static const char *const keys[LAYERS] = { "lowerdir", "upperdir", "workdir" };
    char room[BELOW_FD_PATH_MAX];
    int r = 0;

    /* By fd paths, which hold no `:` and no `,`. */
    for (int i = 0; !r && i < LAYERS; i++)
        r = config(fs, FSCONFIG_SET_STRING, keys[i], below_fd_path(layers->fd[i], room));
    return r;
}

/* Redirects would take what a rule hides along when a directory is renamed: that answers EXDEV instead. */
static int set_options(int fs, bool as_user)
{
    static const char *const off[] = { "redirect_dir", "metacopy" };
    int r = config(fs, FSCONFIG_SET_STRING, "index", "off");

    if (as_user)
        return r ? r : config(fs, FSCONFIG_SET_FLAG, "userxattr", NULL);
    for (size_t i = 0; !r && i < sizeof off / sizeof *off; i++)
        r = config(fs, FSCONFIG_SET_STRING, off[i], "off");
    return r ? r : config(fs, FSCONFIG_SET_STRING, "xino", "on"); /* an inode's number survives its copying up */
}

/* Makes the mount; its fds are the caller's. */
static int make(const struct layers *layers, bool as_user, int *ret_root, int *ret_conf)
{
    int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC), root, r;

    if (fs < 0)
        return -errno;
    r = set_layers(fs, layers);
    if (!r)
        r = set_options(fs, as_user);
    if (!r)
        r = config(fs, FSCONFIG_CMD_CREATE, NULL, NULL);
    if (!r) {
        root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        r = root < 0 ? -errno : 0;
    }
    if (r) {
        close(fs);
        return r;
    }
    *ret_root = root;
    *ret_conf = fs;
    return 0;
}

static int reconfigure(int conf_fd)
{
    return config(conf_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL);
}

/* ---- as an ordinary user ---- */

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int enter_namespaces(void)
{
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    char map[64];
    int r = unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : 0;

    if (!r)
        r = write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "%u %u 1", uid, uid);
    if (!r)
        r = write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "%u %u 1", gid, gid);
    return r ? r : write_file("/proc/self/gid_map", map);
}

/* Where an fd is, to be opened again in another mount namespace: the kernel takes no layer from a foreign one. */
static int fd_place(int fd, char ret[PATH_MAX])
{
    char room[BELOW_FD_PATH_MAX];
    ssize_t n = readlink(below_fd_path(fd, room), ret, PATH_MAX - 1);

    if (n < 0)
        return -errno;
    ret[n] = '\0';
    return 0;
}

static int open_again(int fd, const char *path)
{
    int again = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat was, is;

    if (again < 0)
        return -errno;
    if (fstat(fd, &was) == 0 && fstat(again, &is) == 0 && below_same(&is, was.st_dev, was.st_ino, S_IFDIR))
        return again;
    close(again);
    return -ESTALE;
}

static int make_as_user(const struct layers *layers, int *ret_root, int *ret_conf)
{
    char places[LAYERS][PATH_MAX];
    struct layers ours = { { -1, -1, -1 } };
    int r = 0;

    for (int i = 0; !r && i < LAYERS; i++)
        r = fd_place(layers->fd[i], places[i]);
    if (!r)
        r = enter_namespaces();
    for (int i = 0; !r && i < LAYERS; i++) {
        ours.fd[i] = open_again(layers->fd[i], places[i]);
        r = ours.fd[i] < 0 ? ours.fd[i] : 0;
    }
    if (!r)
        r = make(&ours, true, ret_root, ret_conf);
    for (int i = 0; i < LAYERS; i++)
        if (ours.fd[i] >= 0)
            close(ours.fd[i]);
    return r;
}

/* The keeper: makes the mount, sends its root, then reconfigures it for each byte that it is sent. Its end is EOF's. */
static _Noreturn void keep(const struct layers *layers, int sock)
{
    int root = -1, conf = -1, r;
    char byte;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    r = make_as_user(layers, &root, &conf);
    if (msg_send(sock, (uint32_t)-r, NULL, 0, &root, r ? 0 : 1))
        _exit(1);
    /* The mount's and the socket's are all that it needs; permfs's own must not be kept open. */
    if (r || dup2(sock, 0) < 0 || dup2(conf, 1) < 0 || close_range(2, ~0u, 0) < 0)
        _exit(1);
    (void)prctl(PR_SET_DUMPABLE, 0);
    while (read(0, &byte, 1) == 1) {
        (void)reconfigure(1);
        if (send(0, &byte, 1, MSG_NOSIGNAL) != 1)
            break;
    }
    _exit(0);
}

static int keeper_start(struct overlay *overlay, const struct layers *layers)
{
    char buf[256];
    struct msg msg;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    overlay->pid = fork();
    if (overlay->pid == 0)
        keep(layers, pair[1]);
    close(pair[1]);
    overlay->keeper = pair[0];
    if (overlay->pid < 0) {
        overlay->pid = 0;
        return -errno;
    }
    r = msg_recv(pair[0], buf, sizeof buf, &msg);
    if (r)
        return r;
    r = -(int)msg.type;
    if (!r)
        overlay->root_fd = msg_take_fd(&msg, 0);
    msg_release(&msg);
    return r || overlay->root_fd >= 0 ? r : -EPROTO;
}

static void keeper_refresh(struct overlay *overlay)
{
    char byte = 0;

    if (send(overlay->keeper, &byte, 1, MSG_NOSIGNAL) == 1)
        (void)!read(overlay->keeper, &byte, 1);
}

/* ---- both ---- */

static int layers_open(int codebase_fd, int delta_fd, struct layers *ret)
{
    ret->fd[0] = fcntl(codebase_fd, F_DUPFD_CLOEXEC, 0);
    ret->fd[UPPER] = below_open(delta_fd, DELTA_UPPER, O_PATH | O_DIRECTORY, 0);
    ret->fd[2] = below_open(delta_fd, DELTA_WORK, O_PATH | O_DIRECTORY, 0);
    for (int i = 0; i < LAYERS; i++)
        if (ret->fd[i] < 0)
            return i ? ret->fd[i] : -errno;
    return 0;
}

int overlay_open(struct overlay *overlay, int codebase_fd, int delta_fd, char why[WHY_MAX])
{
    struct layers layers = { { -1, -1, -1 } };
    int r = layers_open(codebase_fd, delta_fd, &layers);

    *overlay = (struct overlay)OVERLAY_INIT;
    if (!r && below_is_inside(delta_fd, codebase_fd)) /* the kernel would let a layer lie within another */
        r = -ELOOP;
    if (!r)
        r = geteuid() == 0 ? make(&layers, false, &overlay->root_fd, &overlay->conf_fd)
                           : keeper_start(overlay, &layers);
    if (!r) {
        overlay->upper_fd = layers.fd[UPPER];
        layers.fd[UPPER] = -1;
    }
    for (int i = 0; i < LAYERS; i++)
        if (layers.fd[i] >= 0)
            close(layers.fd[i]);
    if (r) {
        overlay_release(overlay);
        return fail(why, -r, "mount an overlay");
    }
    return 0;
}

void overlay_release(struct overlay *overlay)
{
    const int fds[] = { overlay->root_fd, overlay->upper_fd, overlay->conf_fd, overlay->keeper };

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (overlay->pid)
        (void)waitpid(overlay->pid, NULL, 0);
    *overlay = (struct overlay)OVERLAY_INIT;
}

void overlay_refresh(struct overlay *overlay)
{
    const bool is_raised = privilege_is_raised();

    if (overlay->keeper >= 0) {
        keeper_refresh(overlay);
        return;
    }
    /* Not tried without the right to it: the kernel gives up a configuration that failed once. */
    if (!is_raised && privilege_raise())
        return;
    (void)reconfigure(overlay->conf_fd);
    if (!is_raised)
        privilege_lower();
}
