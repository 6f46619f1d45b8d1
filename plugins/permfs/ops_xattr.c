/*
 * Extended attributes: those of the sandbox's own, "user.". The others carry meaning for the host's kernel (file
 * capabilities, ACLs by the host's ids, security labels), and are neither shown nor set.
 */
#include "below.h"
#include "fs.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PREFIX     "user."
#define PREFIX_LEN (sizeof PREFIX - 1)

/* Where the directory is a layer of an overlay, these mean deletions and the like (contract D6). */
#define OVERLAY_PREFIX "user.overlay."

static bool is_ours(const char *name)
{
    return strncmp(name, PREFIX, PREFIX_LEN) == 0 && name[PREFIX_LEN] &&
           strncmp(name, OVERLAY_PREFIX, sizeof OVERLAY_PREFIX - 1) != 0;
}

/* For what changes them. */
static int open_for_change(struct fs *fs, fuse_ino_t ino, const char *name, int *ret_fd)
{
    struct node *node = fs_node(fs, ino);
    int r = is_ours(name) ? fs_allow(fs, node, PERM_WRITE) : -EOPNOTSUPP;

    if (!r)
        r = delta_touch_node(fs, node);
    return r ? r : fs_open_path(fs, node, ret_fd);
}

static int open_for(struct fs *fs, fuse_ino_t ino, enum perm want, int *ret_fd)
{
    struct node *node = fs_node(fs, ino);
    int r = fs_allow(fs, node, want);

    return r ? r : fs_open_path(fs, node, ret_fd);
}

/* n: what a call gave for a buffer of `size` bytes; 0 asks for the length alone. */
static void reply_value(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
    if (n < 0)
        fs_reply(req, (int)n);
    else if (!size)
        fuse_reply_xattr(req, (size_t)n);
    else if ((size_t)n > size)
        fs_reply(req, -ERANGE);
    else
        fuse_reply_buf(req, buf, (size_t)n);
}

void fs_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct fs *fs = fs_of(req);
    char room[BELOW_FD_PATH_MAX], *buf;
    ssize_t n = -ENODATA;
    int fd, r;

    if (!is_ours(name)) { /* first, and cheap: the kernel asks for security.capability before every write */
        fs_reply(req, -ENODATA);
        return;
    }
    if (size > XATTR_SIZE_MAX)
        size = XATTR_SIZE_MAX;
    buf = size ? malloc(size) : NULL;
    r = size && !buf ? -ENOMEM : open_for(fs, ino, PERM_READ, &fd);
    if (!r) {
        n = getxattr(below_fd_path(fd, room), name, buf, size);
        r = n < 0 ? -errno : 0;
        close(fd);
    }
    reply_value(req, r ? r : n, buf, size);
    free(buf);
}

/* Moves our names to the front; returns their length. */
static ssize_t keep_ours(char *names, ssize_t n)
{
    ssize_t kept = 0;

    for (ssize_t at = 0, len; at < n; at += len) {
        len = (ssize_t)strnlen(names + at, (size_t)(n - at)) + 1;
        if (!is_ours(names + at))
            continue;
        memmove(names + kept, names + at, (size_t)len);
        kept += len;
    }
    return kept;
}

void fs_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct fs *fs = fs_of(req);
    char room[BELOW_FD_PATH_MAX], *names = malloc(XATTR_LIST_MAX);
    ssize_t n = 0;
    int fd, r = names ? open_for(fs, ino, PERM_READ, &fd) : -ENOMEM;

    if (!r) {
        n = listxattr(below_fd_path(fd, room), names, XATTR_LIST_MAX);
        r = n < 0 ? -errno : 0;
        close(fd);
    }
    if (!r)
        n = keep_ours(names, n);
    reply_value(req, r ? r : n, names, size);
    free(names);
}

void fs_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    char room[BELOW_FD_PATH_MAX];
    int fd, r = open_for_change(fs_of(req), ino, name, &fd);

    if (!r) {
        r = setxattr(below_fd_path(fd, room), name, value, size, flags) < 0 ? -errno : 0;
        close(fd);
    }
    fs_reply(req, r);
}

void fs_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    char room[BELOW_FD_PATH_MAX];
    int fd, r = open_for_change(fs_of(req), ino, name, &fd);

    if (!r) {
        r = removexattr(below_fd_path(fd, room), name) < 0 ? -errno : 0;
        close(fd);
    }
    fs_reply(req, r);
}
