#include "mount.h"

#include "below.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int fail(char why[WHY_MAX], int r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, WHY_MAX, fmt, ap);
    va_end(ap);
    return r;
}

static int open_device(int *ret_fd, char why[WHY_MAX])
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), err = errno;

    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    if (err == ENOENT || err == ENODEV || err == ENXIO)
        return fail(why, -err,
                    "/dev/fuse is missing: load the kernel module (modprobe fuse), and where this is a "
                    "container, give it the device");
    if (err == EACCES || err == EPERM)
        return fail(why, -err,
                    "/dev/fuse: permission denied: make it usable for this user (chmod 0666 /dev/fuse), "
                    "or run as root");
    return fail(why, -err, "/dev/fuse: %s", strerror(err));
}

/* A mount inside of what it shows would lead permfs into itself. */
static int check_outside(const struct settings *settings, char why[WHY_MAX])
{
    int fd = open(settings->mount_point, O_PATH | O_DIRECTORY | O_CLOEXEC), r;

    if (fd < 0)
        return fail(why, -errno, "mount point %s: %s", settings->mount_point, strerror(errno));
    r = below_is_inside(fd, settings->root_fd);
    close(fd);
    if (r < 0)
        return fail(why, r, "codebase: %s", strerror(-r));
    return r ? fail(why, -EINVAL, "mount point %s lies inside of the codebase", settings->mount_point) : 0;
}

static int mount_direct(struct mount *m, int device, char why[WHY_MAX])
{
    char options[128];
    int err;

    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other,default_permissions",
             device, geteuid(), getegid());
    if (mount("stockade", m->point, "fuse.stockade", MS_NOSUID | MS_NODEV, options) < 0) {
        err = errno;
        if (err == ENODEV)
            return fail(why, -err, "mount: the kernel has no FUSE: load its module (modprobe fuse)");
        if (err == EPERM)
            return fail(why, -err, "mount on %s: not permitted: it takes CAP_SYS_ADMIN", m->point);
        return fail(why, -err, "mount on %s: %s", m->point, strerror(err));
    }
    m->direct = true;
    return 0;
}

/* fusermount3 says on stderr what is wrong: its last line goes to why. Nothing else writes there. */
static void read_complaint(int from, char why[WHY_MAX])
{
    char text[WHY_MAX], *line;
    ssize_t n = read(from, text, sizeof text - 1);

    if (n <= 0)
        return;
    text[n] = 0;
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = 0;
    line = strrchr(text, '\n');
    if (n)
        fail(why, 0, "%s", line ? line + 1 : text);
}

static int run_helper(struct mount *m, char why[WHY_MAX])
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), ends[2], r;

    if (null < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        r = fail(why, -errno, "mounting: %s", strerror(errno));
        if (null >= 0)
            close(null);
        return r;
    }
    (void)dup2(ends[1], STDERR_FILENO);
    errno = 0; /* libfuse tells of no error, but leaves that of a fork that failed */
    r = fuse_session_mount(m->session, m->point) == 0 ? 0 : errno == EAGAIN ? -EAGAIN : -EPERM;
    (void)dup2(null, STDERR_FILENO);
    if (r)
        read_complaint(ends[0], why);
    close(ends[0]);
    close(ends[1]);
    close(null);
    return r;
}

static int mount_by_helper(struct mount *m, char why[WHY_MAX])
{
    if (access("/usr/bin/fusermount3", X_OK) < 0 && access("/bin/fusermount3", X_OK) < 0)
        return fail(why, -ENOENT, "fusermount3 is missing: install fuse3, or run as root");
    fail(why, 0, "fusermount3 could not mount on %s: it must be setuid root, and may not be run with no_new_privs",
         m->point);
    return run_helper(m, why);
}

static struct fuse_session *session_new(bool direct, void *userdata)
{
    char *direct_argv[] = { (char[]){ "permfs" }, NULL };
    char *helper_argv[] = { (char[]){ "permfs" }, (char[]){ "-o" },
                            (char[]){ "default_permissions,nosuid,nodev,fsname=stockade,subtype=stockade" }, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(direct ? 1 : 3, direct ? direct_argv : helper_argv);
    struct fuse_session *session = fuse_session_new(&args, &fs_ops, sizeof fs_ops, userdata);

    fuse_opt_free_args(&args);
    return session;
}

/* The device of what is mounted there. Asks the kernel alone, not the filesystem, which nobody serves or which hangs.
 */
static int mounted_dev(const char *point, dev_t *ret)
{
    struct statx st;

    if (statx(AT_FDCWD, point, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
        return -errno;
    *ret = makedev(st.stx_dev_major, st.stx_dev_minor);
    return 0;
}

/* Gives the session its device, or tells us of the one that it has. */
static int attach(struct mount *m, struct fs *fs, int device, char why[WHY_MAX])
{
    if (device_attach(&fs->device, m->session, m->direct ? device : fuse_session_fd(m->session)) == 0)
        return 0;
    mount_stop(m);
    return fail(why, -EIO, "libfuse does not take the mount's fd");
}

int mount_start(struct mount *m, const struct settings *settings, struct fs *fs, char why[WHY_MAX])
{
    bool direct = geteuid() == 0;
    int device = -1, r = check_outside(settings, why);

    if (!r)
        r = open_device(&device, why);
    if (r)
        return r;
    *m = (struct mount){ .point = settings->mount_point, .session = session_new(direct, fs) };
    if (!m->session)
        r = fail(why, -ENOMEM, "libfuse: cannot make a session");
    else
        r = direct ? mount_direct(m, device, why) : mount_by_helper(m, why);
    if (!r)
        r = attach(m, fs, device, why);
    if (r || !direct)
        close(device);
    if (!r && mounted_dev(m->point, &m->dev)) {
        r = fail(why, -EIO, "%s is not there after mounting on it", m->point);
        mount_stop(m);
    }
    if (r)
        mount_release(m);
    return r;
}

void mount_stop(struct mount *m)
{
    dev_t dev;
    int r = mounted_dev(m->point, &dev);

    /* Somebody else may have unmounted it, and mounted another there. */
    if (r == -ENOENT || (!r && m->dev && dev != m->dev))
        return;
    if (m->direct)
        (void)umount2(m->point, MNT_DETACH | UMOUNT_NOFOLLOW);
    else
        fuse_session_unmount(m->session);
}

void mount_release(struct mount *m)
{
    if (m->session)
        fuse_session_destroy(m->session);
    m->session = NULL;
}
