#include "below.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PARENTS_MAX 4096
#define ONE_EVENTS  8 /* of two files: that one has gone, and that each is watched no more */

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

bool below_name_ok(const char *name)
{
    if (!*name || strchr(name, '/'))
        return false;
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int below_open(int dir, const char *name, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd;

    if (!(flags & O_PATH)) /* openat2 refuses flags that O_PATH makes meaningless */
        how.flags |= O_NONBLOCK | O_NOCTTY;
    do
        fd = syscall(SYS_openat2, dir, name, &how, sizeof how);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : (int)fd;
}

int below_reopen(int fd, int flags)
{
    char room[BELOW_FD_PATH_MAX];
    int again = flags == O_PATH ? open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLOEXEC) : -1; /* without a walk */

    if (again < 0)
        again = open(below_fd_path(fd, room), flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY));
    return again < 0 ? -errno : again;
}

int below_stat(int dir, const char *name, struct stat *ret)
{
    return fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) < 0 ? -errno : 0;
}

bool below_same(const struct stat *st, dev_t dev, ino_t ino, mode_t kind)
{
    return st->st_dev == dev && st->st_ino == ino && (st->st_mode & S_IFMT) == kind;
}

int below_is_inside(int fd, int top_fd)
{
    int at = fcntl(fd, F_DUPFD_CLOEXEC, 0), up;
    struct stat top, st, above;
    bool is_top = false;

    if (at < 0 || fstat(top_fd, &top) < 0)
        return -errno;
    for (int i = 0; i < PARENTS_MAX && fstat(at, &st) == 0; i++) {
        is_top = below_same(&st, top.st_dev, top.st_ino, S_IFDIR);
        up = is_top ? -1 : openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0)
            break;
        close(at);
        at = up;
        if (fstat(at, &above) == 0 && above.st_dev == st.st_dev && above.st_ino == st.st_ino)
            break; /* the root of the host */
    }
    close(at);
    return is_top;
}

bool below_is_local(int fd)
{
    struct statfs st;

    if (fstatfs(fd, &st) < 0)
        return false;
    switch ((unsigned long)st.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
        return true;
    default:
        return false;
    }
}

bool below_is_one(int inotify, int a, int b)
{
    char room_a[BELOW_FD_PATH_MAX], room_b[BELOW_FD_PATH_MAX];
    char events[ONE_EVENTS * sizeof(struct inotify_event)];
    const int wd = inotify_add_watch(inotify, below_fd_path(a, room_a), IN_DELETE_SELF);
    const int other = wd < 0 ? -1 : inotify_add_watch(inotify, below_fd_path(b, room_b), IN_DELETE_SELF);

    if (wd >= 0)
        (void)inotify_rm_watch(inotify, wd);
    if (other >= 0 && other != wd)
        (void)inotify_rm_watch(inotify, other);
    while (read(inotify, events, sizeof events) > 0)
        continue;
    return wd >= 0 && other == wd;
}

const char *below_fd_path(int fd, char *room)
{
    snprintf(room, BELOW_FD_PATH_MAX, "/proc/self/fd/%d", fd);
    return room;
}
