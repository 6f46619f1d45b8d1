/* Opening files, and their data. */
#include "audit_fs.h"
#include "backing.h"
#include "below.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define CREATE_RETRIES 4

/*
 * O_APPEND stays off below: it can be switched on and off by fcntl, which only shows in a write's flags, and the
 * pages of a mapping are written at their place either way. O_DIRECT would want aligned buffers.
 */
#define OPEN_FLAGS_KEPT (O_ACCMODE | O_SYNC | O_DSYNC)

static int fd_of(const struct fuse_file_info *fi)
{
    return ((struct handle *)(uintptr_t)fi->fh)->fd;
}

static int flags_below(int flags)
{
    int kept = flags & OPEN_FLAGS_KEPT;

    if ((flags & O_TRUNC) && (flags & O_ACCMODE) == O_RDONLY)
        kept = (kept & ~O_ACCMODE) | O_RDWR;
    return kept;
}

/* Hands fd, of which st is just taken, to a new handle in fi. Closes it on failure. *ret_backing is for the reply. */
static int handle_start(struct fs *fs, struct node *node, int fd, struct stat *st, struct fuse_file_info *fi,
                        int32_t *ret_backing)
{
    struct handle *handle = malloc(sizeof *handle);
    bool kept, direct;
    int r = handle ? 0 : -ENOMEM;

    if (!r && (fi->flags & O_TRUNC) && (ftruncate(fd, 0) < 0 || fstat(fd, st) < 0))
        r = -errno;
    if (r) {
        close(fd);
        free(handle);
        return r;
    }
    if (is_for_writing(fi->flags))
        audit_written(fs, node);
    fi->noflush = !is_for_writing(fi->flags);
    *ret_backing = backing_join(fs, node, handle, fd, fi->flags, &direct);
    fi->direct_io = direct;
    kept = node_content_kept(&fs->nodes, node, st);
    fi->keep_cache = kept && !*ret_backing; /* nothing is cached of what is passed through; the kernel insists */
    node_add_handle(&fs->nodes, node, handle, fd);
    if (*ret_backing)
        node_asked(&fs->nodes, node);
    fi->fh = (uint64_t)(uintptr_t)handle;
    return 0;
}

void fs_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *node = fs_node(fs, ino);
    int32_t backing = 0;
    struct stat st;
    int fd, r = fs_allow(fs, node, is_for_writing(fi->flags) ? PERM_WRITE : PERM_READ);

    if (!r && !S_ISREG(node->kind))
        r = S_ISDIR(node->kind) ? -EISDIR : S_ISLNK(node->kind) ? -ELOOP : -ENXIO;
    if (!r && is_for_writing(fi->flags))
        r = delta_touch_node(fs, node);
    if (!r)
        r = fs_open_seen(fs, node, flags_below(fi->flags), &fd, &st);
    if (!r)
        r = handle_start(fs, node, fd, &st, fi, &backing);
    if (r)
        fs_reply(req, r);
    else if (device_reply_open(req, fi, backing) == -ENOENT)
        handle_drop(fs, (struct handle *)(uintptr_t)fi->fh);
}

/* Opens a file that appeared since the kernel looked: no error unless O_EXCL asks for one. */
static int open_existing(struct fs *fs, const struct place *place, int flags, struct stat *ret_st)
{
    int fd, r = fs_collision(fs, place);

    if (r != -EEXIST || (flags & O_EXCL))
        return r;
    r = below_stat(place->fd, place->name, ret_st);
    if (r)
        return r;
    if (!S_ISREG(ret_st->st_mode)) /* the kernel looks again, and then knows what to do with a link or a fifo */
        return S_ISDIR(ret_st->st_mode) ? -EISDIR : -ESTALE;
    r = is_for_writing(flags) ? delta_touch(fs, place->dir, place->name) : 0;
    if (r)
        return r;
    fd = place_open(&fs->nodes, place, flags_below(flags), 0);
    if (fd < 0)
        return fd == -ELOOP ? -ESTALE : fd;
    if (fstat(fd, ret_st) == 0 && S_ISREG(ret_st->st_mode))
        return fd;
    close(fd);
    return -ESTALE;
}

/* Returns an fd or -errno; the place is known to be writable as a file. *ret_made: there was none before. */
static int create_file(struct fs *fs, const struct place *place, mode_t mode, int flags, struct stat *ret_st,
                       bool *ret_made)
{
    for (int i = 0; i < CREATE_RETRIES; i++) {
        int fd = place_open(&fs->nodes, place, flags_below(flags) | O_CREAT | O_EXCL, mode & 01777);

        *ret_made = fd >= 0;
        if (fd == -EEXIST)
            fd = open_existing(fs, place, flags, ret_st);
        else if (fd >= 0 && fstat(fd, ret_st) < 0) {
            close(fd);
            return -EIO;
        }
        if (fd != -ENOENT)
            return fd;
    }
    return -ENOENT;
}

static int create_entry(struct fs *fs, const struct place *place, mode_t mode, struct fuse_file_info *fi,
                        struct fuse_entry_param *ret, int32_t *ret_backing)
{
    struct stat st;
    bool made;
    int fd = create_file(fs, place, mode, fi->flags, &st, &made), r;

    if (fd < 0)
        return fd;
    r = fs_enter_known(fs, place, &st, ret);
    if (r) {
        close(fd);
        return r;
    }
    if (made)
        atomic_store(&fs_node(fs, ret->ino)->made, true);
    r = handle_start(fs, fs_node(fs, ret->ino), fd, &st, fi, ret_backing);
    if (r)
        node_forget(&fs->nodes, fs_node(fs, ret->ino), 1);
    else if (fi->flags & O_TRUNC)
        ret->attr.st_size = 0;
    return r;
}

void fs_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *dir = fs_node(fs, parent);
    struct fuse_entry_param entry;
    struct place place;
    int32_t backing = 0;
    int r = fs_allow_name(fs, dir, name, false);

    if (!r)
        r = place_of_name(&fs->nodes, dir, name, &place);
    if (!r) {
        r = create_entry(fs, &place, mode, fi, &entry, &backing);
        place_release(&fs->nodes, &place);
    }
    if (!r)
        fs_shorten(fs, &entry);
    if (r) {
        fs_reply(req, r);
    } else if (device_reply_create(req, &entry, fi, backing) == -ENOENT) {
        handle_drop(fs, (struct handle *)(uintptr_t)fi->fh);
        node_forget(&fs->nodes, fs_node(fs, entry.ino), 1);
    }
}

void fs_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_drop(fs_of(req), (struct handle *)(uintptr_t)fi->fh);
    fs_reply(req, 0);
}

void fs_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    char *buf = malloc(size + 1);
    ssize_t n = buf ? 0 : -ENOMEM;
    size_t got = 0;

    (void)ino;
    while (n >= 0 && got < size) { /* a short answer means the end of the file to the kernel */
        n = pread(fd_of(fi), buf + got, size - got, off + (off_t)got);
        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
        else if (errno == EINTR)
            n = 0;
        else
            n = -errno;
    }
    if (n < 0 && !got)
        fs_reply(req, (int)n);
    else
        fuse_reply_buf(req, buf, got);
    free(buf);
}

void fs_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
    const int how = fi->flags & O_APPEND ? RWF_APPEND : 0;
    size_t put = 0;
    ssize_t n = 0;

    (void)ino;
    while (n >= 0 && put < size) {
        struct iovec iov = { (void *)(uintptr_t)(buf + put), size - put };

        n = pwritev2(fd_of(fi), &iov, 1, off + (off_t)put, how);
        if (n == 0)
            break;
        if (n > 0)
            put += (size_t)n;
        else if (errno == EINTR)
            n = 0;
        else
            n = -errno;
    }
    if (n < 0 && !put)
        fs_reply(req, (int)n);
    else
        fuse_reply_write(req, put);
}

void fs_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    fs_reply(req, (datasync ? fdatasync(fd_of(fi)) : fsync(fd_of(fi))) < 0 ? -errno : 0);
}

void fs_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    (void)ino;
    fs_reply(req, fallocate(fd_of(fi), mode, off, len) < 0 ? -errno : 0);
}

void fs_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    off_t r = lseek(fd_of(fi), off, whence);

    (void)ino;
    if (r < 0)
        fs_reply(req, -errno);
    else
        fuse_reply_lseek(req, r);
}

void fs_op_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t off, struct fuse_file_info *fi, fuse_ino_t to_ino,
                           off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
    ssize_t n = copy_file_range(fd_of(fi), &off, fd_of(to_fi), &to_off, len, (unsigned)flags);

    (void)ino;
    (void)to_ino;
    if (n < 0)
        fs_reply(req, -errno);
    else
        fuse_reply_write(req, (size_t)n);
}
