/* Operations on attributes, link targets and the filesystem as a whole. */
#include "audit_fs.h"
#include "below.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SET_TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)
#define SET_OWNER (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

static void reply_attr(fuse_req_t req, int r, struct node *node, struct stat *st, bool watched)
{
    struct fs *fs = fs_of(req);
    double timeout;

    if (r) {
        fs_reply(req, r);
        return;
    }
    timeout = fs_attr_timeout(fs, node, st, watched);
    fs_show(fs, st);
    fuse_reply_attr(req, st, timeout);
}

/* fstat comes without its handle; who opened a file before new rules hid it still has it (contract W11). */
static int allow_view(struct fs *fs, struct node *node)
{
    struct handle *handle = NULL;

    if (S_ISREG(node->kind) && node_perm(&fs->nodes, node) == PERM_NONE)
        handle = node_some_handle(&fs->nodes, node);
    if (!handle)
        return fs_allow(fs, node, PERM_VIEW);
    handle_drop(fs, handle);
    return 0;
}

/*
 * The kernel asks for a directory's attributes after each change that the sandbox makes in it. Its fd tells them
 * without a walk, and is right where it is watched: if the host moves it, an event says so (watch.c).
 */
static int stat_node(struct fs *fs, struct node *node, bool watched, struct stat *ret)
{
    int fd, r;

    if (!watched || fs->delta.on || !dirs_pin_usable(&fs->nodes, node, &fd))
        return fs_stat(fs, node, ret);
    r = fstat(fd, ret) < 0 ? -errno : 0;
    dirs_unpin(&fs->nodes, node);
    return r;
}

void fs_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *node = fs_node(fs, ino);
    const bool watched = node_is_watched(node); /* before looking */
    struct stat st;
    int r;

    if (!S_ISDIR(node->kind))
        node_asked(&fs->nodes, node);
    if (fi) {
        r = fstat(handle_of(fi)->fd, &st) < 0 ? -errno : 0;
    } else {
        r = allow_view(fs, node);
        if (!r)
            r = stat_node(fs, node, watched, &st);
    }
    reply_attr(req, r, node, &st, watched);
}

/* Owners cannot be changed; setting what is shown already is what cp -p and tar do, and does nothing. */
static int check_owner(struct fs *fs, int fd, const struct stat *attr, int to_set)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    fs_show(fs, &st);
    if ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != st.st_uid)
        return -EPERM;
    if ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != st.st_gid)
        return -EPERM;
    return 0;
}

static int set_mode(int fd, mode_t mode)
{
    char room[BELOW_FD_PATH_MAX];

    return chmod(below_fd_path(fd, room), mode & 01777) < 0 ? -errno : 0;
}

static struct timespec time_to_set(int to_set, int set, int now, struct timespec value)
{
    if (!(to_set & set))
        value.tv_nsec = UTIME_OMIT;
    else if (to_set & now)
        value.tv_nsec = UTIME_NOW;
    return value;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
    struct timespec ts[2] = {
        time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
    };

    return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_size(int fd, off_t size)
{
    char room[BELOW_FD_PATH_MAX];

    return truncate(below_fd_path(fd, room), size) < 0 ? -errno : 0;
}

static int set_attrs(struct fs *fs, int fd, const struct stat *attr, int to_set)
{
    int r = to_set & SET_OWNER ? check_owner(fs, fd, attr, to_set) : 0;

    if (!r && (to_set & FUSE_SET_ATTR_MODE))
        r = set_mode(fd, attr->st_mode);
    if (!r && (to_set & FUSE_SET_ATTR_SIZE))
        r = set_size(fd, attr->st_size);
    if (!r && (to_set & SET_TIMES))
        r = set_times(fd, attr, to_set);
    return r;
}

static int set_by_handle(int fd, const struct stat *attr, int to_set, struct stat *ret)
{
    int r = ftruncate(fd, attr->st_size) < 0 ? -errno : 0;

    if (!r && (to_set & SET_TIMES))
        r = set_times(fd, attr, to_set);
    if (!r && fstat(fd, ret) < 0)
        r = -errno;
    return r;
}

static int set_by_node(struct fs *fs, struct node *node, const struct stat *attr, int to_set, struct stat *ret)
{
    int fd, r = fs_allow(fs, node, PERM_WRITE);

    if (!r && (to_set & FUSE_SET_ATTR_SIZE) && !S_ISREG(node->kind))
        r = S_ISDIR(node->kind) ? -EISDIR : -EINVAL;
    if (!r)
        r = delta_touch_node(fs, node);
    if (!r)
        r = fs_open_path(fs, node, &fd);
    if (r)
        return r;
    if (to_set & FUSE_SET_ATTR_SIZE)
        audit_written(fs, node);
    r = set_attrs(fs, fd, attr, to_set);
    if (!r && fstat(fd, ret) < 0)
        r = -errno;
    close(fd);
    return r;
}

void fs_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    /* KILL_SUID and KILL_SGID come with every truncation by an ordinary user; set-id bits are never shown here. */
    const int by_handle = FUSE_SET_ATTR_SIZE | SET_TIMES | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW |
                          FUSE_SET_ATTR_CTIME | FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID;
    struct stat st;
    int r;

    /* ftruncate: the right to it was checked when the file was opened. */
    if (fi && (to_set & FUSE_SET_ATTR_SIZE) && !(to_set & ~by_handle))
        r = set_by_handle(handle_of(fi)->fd, attr, to_set, &st);
    else
        r = set_by_node(fs, fs_node(fs, ino), attr, to_set, &st);
    reply_attr(req, r, fs_node(fs, ino), &st, false);
}

void fs_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    struct node *node = fs_node(fs, ino);
    char target[PATH_MAX + 1];
    ssize_t n = 0;
    int fd, r = fs_allow(fs, node, PERM_READ);

    if (!r)
        r = fs_open_node(fs, node, O_PATH, &fd);
    if (!r) {
        n = readlinkat(fd, "", target, sizeof target - 1);
        if (n < 0)
            r = -errno;
        close(fd);
    }
    if (r) {
        fs_reply(req, r);
        return;
    }
    target[n] = 0;
    fuse_reply_readlink(req, target);
}

void fs_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    struct statvfs st;

    (void)ino;
    if (fstatvfs(fs->nodes.root.fd, &st) < 0)
        fs_reply(req, -errno);
    else
        fuse_reply_statfs(req, &st);
}
