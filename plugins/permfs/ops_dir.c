/*
 * Listing directories. Offsets stand for those of the filesystem below (cookie.h), so that telldir, seekdir and changes
 * during a listing behave as there.
 */
#include "below.h"
#include "fs.h"
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR_BUF_SIZE  ((size_t)32 << 10)
#define LIST_SIZE_MAX ((size_t)1 << 20)

struct dir_handle {
    struct handle base;
    pthread_mutex_t lock; /* guards what follows */
    off_t next;           /* offset of the entry at buf + at */
    size_t at, len;
    _Alignas(struct dirent64) char buf[DIR_BUF_SIZE];
};

/* An answer being filled. */
struct listing {
    fuse_req_t req;
    struct fs *fs;
    struct dir_handle *dir;
    struct rules *rules;
    const struct rule_state *state; /* of the directory */
    struct cookie_key key;
    bool plus;
    char *buf;
    size_t size, used;
    uint32_t n_told; /* entries with their attributes */
};

static struct dir_handle *dir_of(const struct fuse_file_info *fi)
{
    return (struct dir_handle *)(uintptr_t)fi->fh;
}

void fs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *node = fs_node(fs, ino);
    struct dir_handle *dir = malloc(sizeof *dir);
    struct stat st;
    int fd, r = dir ? fs_allow(fs, node, PERM_VIEW) : -ENOMEM;

    delta_freshen(fs);
    if (!r)
        r = fs_open_seen(fs, node, O_RDONLY | O_DIRECTORY, &fd, &st);
    if (r) {
        free(dir);
        fs_reply(req, r);
        return;
    }
    delta_stamp_listing(fs, &st);
    dir->base.way = WAY_NONE;
    dir->next = 0;
    dir->at = dir->len = 0;
    pthread_mutex_init(&dir->lock, NULL);
    node_add_handle(&fs->nodes, node, &dir->base, fd);
    fi->fh = (uint64_t)(uintptr_t)dir;
    fi->cache_readdir = fs->settings->cache_ms > 0;
    fi->keep_cache = node_listing_kept(&fs->nodes, node, &st);
    if (fuse_reply_open(req, fi) == -ENOENT)
        handle_drop(fs, &dir->base);
}

static int dir_seek(struct dir_handle *dir, off_t off)
{
    if (off == dir->next)
        return 0;
    dir->at = dir->len = 0; /* also for rewinddir, which shows what has changed since */
    dir->next = off;
    return lseek(dir->base.fd, off, SEEK_SET) < 0 ? -errno : 0;
}

/* The entry at the handle's offset; NULL at the end, and on failure with *ret_err. */
static const struct dirent64 *dir_peek(struct dir_handle *dir, int *ret_err)
{
    ssize_t n;

    if (dir->at == dir->len) {
        n = getdents64(dir->base.fd, dir->buf, sizeof dir->buf);
        if (n <= 0) {
            *ret_err = n < 0 ? -errno : 0;
            return NULL;
        }
        dir->at = 0;
        dir->len = (size_t)n;
    }
    return (const struct dirent64 *)(const void *)(dir->buf + dir->at);
}

static void dir_advance(struct dir_handle *dir, const struct dirent64 *e)
{
    dir->next = e->d_off;
    dir->at += e->d_reclen;
}

static bool is_dots(const struct dirent64 *e)
{
    return strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
}

static bool is_visible(struct listing *l, const struct dirent64 *e, mode_t kind)
{
    const struct rule_state *s = rules_child(l->rules, l->state, e->d_name, strlen(e->d_name), S_ISDIR(kind));

    return s && rule_state_perm(s) > PERM_NONE;
}

static size_t entry_size(struct listing *l, const char *name)
{
    return l->plus ? fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0)
                   : fuse_add_direntry(l->req, NULL, 0, name, NULL, 0);
}

static void append(struct listing *l, const struct dirent64 *e, mode_t kind)
{
    struct fuse_entry_param entry = { .attr = { .st_ino = e->d_ino, .st_mode = kind } };
    struct node *node = l->dir->base.node;
    struct place place = { .dir = node, .fd = l->dir->base.fd, .name = e->d_name };
    char *to = l->buf + l->used;
    size_t room = l->size - l->used;
    off_t next = cookie_seal(&l->key, e->d_off);
    int r;

    if (strcmp(e->d_name, "..") == 0 &&
        node == &l->fs->nodes.root) /* what is above the workspace is nobody's business */
        entry.attr.st_ino = node->ino;
    if (!l->plus) {
        l->used += fuse_add_direntry(l->req, to, room, e->d_name, &entry.attr, next);
        return;
    }
    /* Without an inode the kernel takes it as a plain entry: for "." and "..", and where the look-up fails. */
    r = is_dots(e) ? 0 : fs_enter(l->fs, &place, &entry);
    if (r == -ENOENT || (r && !is_visible(l, e, kind)))
        return;
    l->n_told += entry.ino != 0;
    l->used += fuse_add_direntry_plus(l->req, to, room, e->d_name, &entry, next);
}

/* Returns false when the answer is full. */
static bool list_entry(struct listing *l, const struct dirent64 *e)
{
    mode_t kind = DTTOIF(e->d_type);
    struct stat st;

    if (!is_dots(e)) {
        if (e->d_type == DT_UNKNOWN) {
            if (below_stat(l->dir->base.fd, e->d_name, &st))
                return true;
            kind = st.st_mode & S_IFMT;
        }
        if (!l->plus && !is_visible(l, e, kind)) /* looking it up asks the rules, too */
            return true;
    }
    if (entry_size(l, e->d_name) > l->size - l->used)
        return false;
    append(l, e, kind);
    return true;
}

static int list(struct listing *l, off_t off)
{
    const struct dirent64 *e;
    int r = dir_seek(l->dir, off);

    while (!r && (e = dir_peek(l->dir, &r)) && list_entry(l, e))
        dir_advance(l->dir, e);
    return l->used ? 0 : r;
}

static void read_dir(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
    struct listing l = { .req = req, .fs = fs_of(req), .dir = dir_of(fi), .plus = plus };
    struct node *node = l.dir->base.node;
    uint32_t count = plus ? watch_enter(l.fs, node, l.dir->base.fd) : 0;
    int r;

    l.key = cookie_key_of(&l.fs->secrets.cookies, node->ino);
    l.size = size < LIST_SIZE_MAX ? size : LIST_SIZE_MAX;
    l.buf = malloc(l.size + 1);
    node_get(&l.fs->nodes, node); /* after the reply the kernel may release the handle */
    l.rules = node_rules(&l.fs->nodes, l.dir->base.node, &l.state);
    r = l.buf && l.rules ? 0 : -ENOMEM;
    if (!r) {
        pthread_mutex_lock(&l.dir->lock);
        r = list(&l, cookie_open(&l.key, off));
        pthread_mutex_unlock(&l.dir->lock);
    }
    rules_unref(l.rules);
    node_listed(&l.fs->nodes, node, l.n_told);
    if (r)
        fs_reply(req, r);
    else
        fuse_reply_buf(req, l.buf, l.used);
    if (plus)
        watch_told(l.fs, node, NULL, count);
    node_put(&l.fs->nodes, node);
    free(l.buf);
}

void fs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)ino;
    read_dir(req, size, off, fi, false);
}

void fs_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)ino;
    read_dir(req, size, off, fi, true);
}

void fs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_drop(fs_of(req), &dir_of(fi)->base);
    fs_reply(req, 0);
}

void fs_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    int fd = dir_of(fi)->base.fd;

    (void)ino;
    fs_reply(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0);
}
