/* Operations on names: looking up, making and removing entries. */
#include "audit_fs.h"
#include "below.h"
#include "fs.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Modes that the sandbox may set: setuid and setgid have no effect (contract W9), so they are not kept either. */
#define MODE_MASK 01777

void fs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct fuse_entry_param entry = { 0 };
    struct place place;
    uint32_t count;
    int r;

    delta_freshen(fs);
    r = place_of_name(&fs->nodes, fs_node(fs, parent), name, &place);
    if (r) {
        fs_reply(req, r);
        return;
    }
    count = watch_enter(fs, place.dir, place.fd);
    entry.entry_timeout = fs_missing_timeout(fs, place.dir);
    r = fs_enter(fs, &place, &entry);
    if (r == -ENOENT && fs->settings->cache_ms && entry.entry_timeout > 0) /* the kernel remembers that too; ino is 0 */
        fuse_reply_entry(req, &entry);
    else
        fs_reply_entry(req, r, &entry);
    watch_told(fs, place.dir, name, count);
    place_release(&fs->nodes, &place);
}

void fs_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    struct fs *fs = fs_of(req);

    node_forget(&fs->nodes, fs_node(fs, ino), lookups);
    fuse_reply_none(req);
}

void fs_op_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *v)
{
    struct fs *fs = fs_of(req);

    for (size_t i = 0; i < n; i++)
        node_forget(&fs->nodes, fs_node(fs, v[i].ino), v[i].nlookup);
    fuse_reply_none(req);
}

struct make_args {
    mode_t mode;
    const char *target;
    struct node *source;
};

typedef int make_fn(struct fs *fs, const struct place *place, const struct make_args *args);

static void make_entry(fuse_req_t req, fuse_ino_t parent, const char *name, bool is_dir, make_fn *make,
                       const struct make_args *args)
{
    struct fs *fs = fs_of(req);
    struct node *dir = fs_node(fs, parent);
    struct fuse_entry_param entry;
    struct place place;
    int r = fs_allow_name(fs, dir, name, is_dir);

    if (!r)
        r = place_of_name(&fs->nodes, dir, name, &place);
    if (!r) {
        r = make(fs, &place, args);
        if (r == -EEXIST)
            r = fs_collision(fs, &place);
        if (!r)
            r = fs_enter(fs, &place, &entry);
        if (!r)
            atomic_store(&fs_node(fs, entry.ino)->made, true);
        place_release(&fs->nodes, &place);
    }
    if (!r)
        fs_shorten(fs, &entry);
    fs_reply_entry(req, r, &entry);
}

static int make_node(struct fs *fs, const struct place *place, const struct make_args *args)
{
    (void)fs;
    return mknodat(place->fd, place->name, args->mode, 0) < 0 ? -errno : 0;
}

void fs_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct make_args args = { .mode = mode & (S_IFMT | MODE_MASK) };

    (void)rdev;
    if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
        fs_reply(req, -EPERM);
    else
        make_entry(req, parent, name, false, make_node, &args);
}

static int make_dir(struct fs *fs, const struct place *place, const struct make_args *args)
{
    (void)fs;
    return mkdirat(place->fd, place->name, args->mode) < 0 ? -errno : 0;
}

void fs_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct make_args args = { .mode = mode & MODE_MASK };

    make_entry(req, parent, name, true, make_dir, &args);
}

static int make_symlink(struct fs *fs, const struct place *place, const struct make_args *args)
{
    (void)fs;
    return symlinkat(args->target, place->fd, place->name) < 0 ? -errno : 0;
}

void fs_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct make_args args = { .target = target };

    make_entry(req, parent, name, false, make_symlink, &args);
}

static int link_place(struct node_table *t, const struct place *from, struct node *node, void *arg)
{
    const struct place *to = arg;
    struct stat st;
    int r = below_stat(from->fd, from->name, &st);

    (void)t;
    if (r)
        return r;
    if (!below_same(&st, node->dev, node->ino, node->kind))
        return -ESTALE;
    return linkat(from->fd, from->name, to->fd, to->name, 0) < 0 ? -errno : 0;
}

static int make_link(struct fs *fs, const struct place *place, const struct make_args *args)
{
    return place_run(&fs->nodes, args->source, link_place, (void *)(uintptr_t)place);
}

void fs_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct make_args args = { .source = fs_node(fs, ino) };
    int r = S_ISDIR(args.source->kind) ? -EPERM : fs_allow(fs, args.source, PERM_WRITE);

    if (!r)
        r = delta_touch_node(fs, args.source);

    if (r)
        fs_reply(req, r);
    else
        make_entry(req, parent, name, false, make_link, &args);
}

/* Whoever has the directory open may see that it is not what it was: its size, on some filesystems. */
static void forget_removed_dir(struct fs *fs, const struct place *place)
{
    struct node *dir = node_find(&fs->nodes, place->dir, place->name);

    if (!dir)
        return;
    fs_forget_attr(fs, dir);
    node_put(&fs->nodes, dir);
}

static int remove_place(struct fs *fs, const struct place *place, bool is_dir)
{
    struct stat st;
    int r = unlinkat(place->fd, place->name, is_dir ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;

    if (!r && is_dir)
        forget_removed_dir(fs, place);
    if (!r)
        node_removed(&fs->nodes, place->dir, place->name);
    if (r != -EISDIR && r != -ENOTDIR && r != -EPERM)
        return r;
    /* Something of another kind, which may be hidden where this kind would not be. */
    if (below_stat(place->fd, place->name, &st))
        return r;
    if (node_child_perm(&fs->nodes, place->dir, place->name, S_ISDIR(st.st_mode)) != PERM_NONE)
        return r;
    return audit_denied(fs, place->dir, place->name, S_ISDIR(st.st_mode), -ENOENT);
}

static void remove_entry(fuse_req_t req, fuse_ino_t parent, const char *name, bool is_dir)
{
    struct fs *fs = fs_of(req);
    struct node *dir = fs_node(fs, parent);
    enum perm perm = node_child_perm(&fs->nodes, dir, name, is_dir);
    struct place place;
    int r = perm == PERM_NONE ? -ENOENT : perm < PERM_WRITE ? -EACCES : 0;

    if (r)
        audit_denied(fs, dir, name, is_dir, r);
    else
        r = delta_touch(fs, dir, name);
    if (!r)
        r = place_of_name(&fs->nodes, dir, name, &place);
    if (!r) {
        r = remove_place(fs, &place, is_dir);
        place_release(&fs->nodes, &place);
    }
    fs_reply(req, r);
}

void fs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_entry(req, parent, name, false);
}

void fs_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_entry(req, parent, name, true);
}
