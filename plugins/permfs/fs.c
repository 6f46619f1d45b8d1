#include "fs.h"

#include "audit_fs.h"
#include "backing.h"
#include "below.h"
#include "privilege.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#define DIR_SIZE 4096

#define NOBODY 65534 /* what the kernel shows for ids that have no meaning in a user namespace */

struct device *device_of_userdata(void *userdata)
{
    return &((struct fs *)userdata)->device;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    const unsigned want = FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_AUTO_INVAL_DATA |
                          FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
    const unsigned never = FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_IOCTL_DIR |
                           FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;

    conn->want = (conn->want | (conn->capable & want)) & ~never;
    device_init(device_of_userdata(userdata), conn);
}

const struct fuse_lowlevel_ops fs_ops = {
    .init = op_init,
    .lookup = fs_op_lookup,
    .forget = fs_op_forget,
    .forget_multi = fs_op_forget_multi,
    .mknod = fs_op_mknod,
    .mkdir = fs_op_mkdir,
    .symlink = fs_op_symlink,
    .link = fs_op_link,
    .unlink = fs_op_unlink,
    .rmdir = fs_op_rmdir,
    .rename = fs_op_rename,
    .getattr = fs_op_getattr,
    .setattr = fs_op_setattr,
    .readlink = fs_op_readlink,
    .statfs = fs_op_statfs,
    .getxattr = fs_op_getxattr,
    .listxattr = fs_op_listxattr,
    .setxattr = fs_op_setxattr,
    .removexattr = fs_op_removexattr,
    .opendir = fs_op_opendir,
    .readdir = fs_op_readdir,
    .readdirplus = fs_op_readdirplus,
    .releasedir = fs_op_releasedir,
    .fsyncdir = fs_op_fsyncdir,
    .create = fs_op_create,
    .open = fs_op_open,
    .release = fs_op_release,
    .read = fs_op_read,
    .write = fs_op_write,
    .fsync = fs_op_fsync,
    .fallocate = fs_op_fallocate,
    .lseek = fs_op_lseek,
    .copy_file_range = fs_op_copy_file_range,
};

int fs_init(struct fs *fs, const struct settings *settings, char why[WHY_MAX])
{
    struct rlimit lim = { 1024, 1024 };
    int r;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
    }
    fs->settings = settings;
    if (getrandom(&fs->secrets, sizeof fs->secrets, 0) != sizeof fs->secrets) {
        snprintf(why, WHY_MAX, "getrandom: %s", strerror(errno));
        return -errno;
    }
    r = delta_start(&fs->delta, settings, why);
    if (r) {
        delta_release(&fs->delta);
        return r;
    }
    fs->device = (struct device){ .passthrough = settings->passthrough && privilege_can_raise(), .fd = -1 };
    /* Half of the fds are for directories, the rest for what the sandbox opens. */
    r = node_table_init(&fs->nodes, fs->delta.on ? fs->delta.overlay.root_fd : settings->root_fd, settings->rules,
                        lim.rlim_cur < 1 << 20 ? (size_t)lim.rlim_cur / 2 : 1 << 19,
                        (int64_t)settings->cache_ms * 1000000);
    if (r) {
        delta_release(&fs->delta);
        snprintf(why, WHY_MAX, "opening the codebase: %s", strerror(-r));
        return r;
    }
    fs->nodes.numbers_tell = !fs->delta.on && below_is_local(settings->root_fd);
    fs->prover = fs->nodes.numbers_tell ? -1 : inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    pthread_mutex_init(&fs->prover_lock, NULL);
    pthread_mutex_init(&fs->rename_lock, NULL);
    watch_init(fs);
    return 0;
}

void fs_release(struct fs *fs)
{
    watch_release(fs);
    node_table_release(&fs->nodes);
    delta_release(&fs->delta);
    if (fs->prover >= 0)
        close(fs->prover);
    pthread_mutex_destroy(&fs->prover_lock);
    pthread_mutex_destroy(&fs->rename_lock);
}

/*
 * A node's address, but not to be read as one: file handles and inotify's fdinfo show it to the sandbox. No address has
 * the topmost bit, so that none becomes the root's number.
 */
static uint64_t ino_mask(const struct fs *fs)
{
    return fs->secrets.inos | UINT64_C(1) << 63;
}

struct node *fs_node(struct fs *fs, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? &fs->nodes.root : (struct node *)(uintptr_t)(ino ^ ino_mask(fs));
}

fuse_ino_t fs_ino(const struct fs *fs, const struct node *node)
{
    return node == &fs->nodes.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node ^ ino_mask(fs);
}

static double seconds(const struct fs *fs, bool watched)
{
    const uint32_t ms = fs->settings->cache_ms;

    if (watched && ms < FS_LONG_MS)
        return FS_LONG_MS / 1000.0;
    return ms / (fs->delta.on ? 2000.0 : 1000.0); /* the other half is the overlay's: see delta_freshen */
}

double fs_timeout(const struct fs *fs, struct node *dir)
{
    return seconds(fs, node_is_watched(dir));
}

double fs_missing_timeout(const struct fs *fs, struct node *dir)
{
    const double timeout = fs_timeout(fs, dir), most = FS_MISSING_MS / 1000.0;

    return fs->epochs || timeout < most ? timeout : most;
}

/*
 * What changes by one name of a file must be seen by the others at once, so nothing is kept of one that has others, or
 * is still open by one that it had. What is kept of the only one is taken back when another comes: see forget_twins.
 */
double fs_attr_timeout(struct fs *fs, struct node *node, const struct stat *st, bool watched)
{
    if (S_ISDIR(node->kind))
        return seconds(fs, watched);
    return node_keeps_attr(&fs->nodes, node, st->st_nlink) ? seconds(fs, false) : 0;
}

void fs_reply(fuse_req_t req, int r)
{
    fuse_reply_err(req, -r);
}

int fs_allow(struct fs *fs, struct node *node, enum perm want)
{
    enum perm perm = node_perm(&fs->nodes, node);

    if (perm < want && node_names_differ(&fs->nodes, node))
        return -ESTALE;
    if (perm == PERM_NONE && node != &fs->nodes.root)
        return audit_denied(fs, node, NULL, false, -ENOENT);
    return perm >= want || want == PERM_VIEW ? 0 : audit_denied(fs, node, NULL, false, -EACCES);
}

int fs_allow_name(struct fs *fs, struct node *dir, const char *name, bool is_dir)
{
    if (node_child_perm(&fs->nodes, dir, name, is_dir) == PERM_WRITE)
        return 0;
    return audit_denied(fs, dir, name, is_dir, -EACCES);
}

int fs_collision(struct fs *fs, const struct place *place)
{
    struct stat st;

    if (below_stat(place->fd, place->name, &st))
        return -EEXIST; /* it has gone by now, and was there */
    if (node_child_perm(&fs->nodes, place->dir, place->name, S_ISDIR(st.st_mode)) != PERM_NONE)
        return -EEXIST;
    return audit_denied(fs, place->dir, place->name, S_ISDIR(st.st_mode), -EACCES);
}

void fs_show(const struct fs *fs, struct stat *st)
{
    const struct settings *c = fs->settings;

    st->st_uid = st->st_uid == c->owner_uid ? c->shown_uid : NOBODY;
    st->st_gid = st->st_gid == c->owner_gid ? c->shown_gid : NOBODY;
    st->st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
    /* A count would tell of hidden directories, and a size of what else is hidden; not where nothing is left. */
    if (S_ISDIR(st->st_mode) && st->st_nlink) {
        st->st_nlink = 1;
        st->st_size = DIR_SIZE;
        st->st_blocks = DIR_SIZE / 512;
    }
}

void fs_forget_attr(struct fs *fs, struct node *node)
{
    (void)fuse_lowlevel_notify_inval_inode(fs->watch.session, fs_ino(fs, node), -1, 0);
}

/* Before the reply that tells of a file's new node. */
static int forget_twins(struct fs *fs, struct node *node)
{
    struct nodes twins;
    int r = node_twins_kept(&fs->nodes, node, &twins);

    if (r)
        return r;
    for (size_t i = 0; i < twins.n; i++)
        fs_forget_attr(fs, twins.v[i]);
    nodes_keep_no_attr(&fs->nodes, &twins);
    nodes_release(&fs->nodes, &twins);
    return 0;
}

/*
 * The node that the file at the place is proven to have, where inode numbers do not tell: to an overlay, names that are
 * linked below it are a file each, which shows the same number until one is written to. Referenced; NULL if there is
 * none.
 */
static struct node *prove(struct fs *fs, const struct place *place, const struct stat *st)
{
    struct node *node = fs->prover < 0 ? NULL : node_joinable(&fs->nodes, place->dir, place->name, st);
    bool is_one = false;
    int one, other;

    if (!node)
        return NULL;
    if (!fs_open_path(fs, node, &one)) {
        other = place_open(&fs->nodes, place, O_PATH, 0);
        pthread_mutex_lock(&fs->prover_lock);
        is_one = other >= 0 && below_is_one(fs->prover, one, other);
        pthread_mutex_unlock(&fs->prover_lock);
        if (other >= 0)
            close(other);
        close(one);
    }
    if (is_one)
        return node;
    node_put(&fs->nodes, node);
    return NULL;
}

int fs_enter_known(struct fs *fs, const struct place *place, const struct stat *st, struct fuse_entry_param *ret)
{
    struct node *node = NULL, *proven = prove(fs, place, st);
    bool joins;
    int r = node_look_up(&fs->nodes, place->dir, place->name, st, proven, &node, &joins);

    if (proven)
        node_put(&fs->nodes, proven);
    if (!r && joins) {
        r = forget_twins(fs, node);
        if (r)
            node_forget(&fs->nodes, node, 1);
    }
    if (r)
        return r;
    *ret = (struct fuse_entry_param){
        .ino = fs_ino(fs, node),
        .generation = node->generation,
        .attr = *st,
        .attr_timeout = fs_attr_timeout(fs, node, st, false),
        .entry_timeout = fs_timeout(fs, place->dir),
    };
    fs_show(fs, &ret->attr);
    return 0;
}

int fs_enter(struct fs *fs, const struct place *place, struct fuse_entry_param *ret)
{
    struct stat st;
    int r = below_stat(place->fd, place->name, &st);

    /* Unless it is sure that this is newer than what another thread has just entered, look again. */
    if (!r && node_differs(&fs->nodes, place->dir, place->name, &st))
        r = below_stat(place->fd, place->name, &st);
    if (r == -ENOENT)
        node_missed(&fs->nodes, place->dir, place->name);
    if (r)
        return r;
    if (node_child_perm(&fs->nodes, place->dir, place->name, S_ISDIR(st.st_mode)) == PERM_NONE) {
        if (fs->audit.running) /* each look at it is to be told: the kernel may not remember that it is missing */
            ret->entry_timeout = 0;
        return audit_denied(fs, place->dir, place->name, S_ISDIR(st.st_mode), -ENOENT);
    }
    return fs_enter_known(fs, place, &st, ret);
}

void fs_shorten(const struct fs *fs, struct fuse_entry_param *entry)
{
    const double most = seconds(fs, false);

    entry->entry_timeout = entry->entry_timeout < most ? entry->entry_timeout : most;
    entry->attr_timeout = entry->attr_timeout < most ? entry->attr_timeout : most;
}

void fs_reply_entry(fuse_req_t req, int r, const struct fuse_entry_param *entry)
{
    struct fs *fs = fs_of(req);

    if (r)
        fs_reply(req, r);
    else if (fuse_reply_entry(req, entry) == -ENOENT) /* interrupted: the kernel did not take its reference */
        node_forget(&fs->nodes, fs_node(fs, entry->ino), 1);
}

static int stat_place(struct node_table *t, const struct place *place, struct node *node, void *arg)
{
    struct stat *st = arg;
    int r = below_stat(place->fd, place->name, st);

    (void)t;
    if (r)
        return r;
    return below_same(st, node->dev, node->ino, node->kind) ? 0 : -ESTALE;
}

/* An fd of a node that may have no name any more: of an open file, or the one kept of a directory. */
static int dup_open(struct fs *fs, struct node *node)
{
    struct handle *handle = node_some_handle(&fs->nodes, node);
    struct stat st;
    int fd = -1;

    if (handle) {
        fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
        handle_drop(fs, handle);
        return fd < 0 ? -errno : fd;
    }
    pthread_mutex_lock(&fs->nodes.lock);
    if (node->fd >= 0)
        fd = fcntl(node->fd, F_DUPFD_CLOEXEC, 0);
    pthread_mutex_unlock(&fs->nodes.lock);
    /* A directory that still has a name was moved, perhaps out of the codebase. */
    if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_nlink)) {
        close(fd);
        fd = -1;
    }
    return fd < 0 ? -ESTALE : fd;
}

int fs_stat(struct fs *fs, struct node *node, struct stat *ret)
{
    int r = place_run(&fs->nodes, node, stat_place, ret), fd;

    if (r != -ESTALE)
        return r;
    fd = dup_open(fs, node);
    if (fd < 0)
        return fd;
    r = fstat(fd, ret) < 0 ? -errno : 0;
    close(fd);
    /* An overlay counts the name that is still in the codebase. */
    if (fs->delta.on && !r && (S_ISDIR(ret->st_mode) || ret->st_nlink == 1))
        ret->st_nlink = 0;
    return r;
}

struct open_args {
    int flags;
    int fd;
    struct stat *st;
};

static int open_place(struct node_table *t, const struct place *place, struct node *node, void *arg)
{
    struct open_args *a = arg;
    int fd = place_open(t, place, a->flags, 0);

    if (fd < 0)
        return fd;
    if (fstat(fd, a->st) < 0 || !below_same(a->st, node->dev, node->ino, node->kind)) {
        close(fd);
        return -ESTALE;
    }
    a->fd = fd;
    return 0;
}

int fs_open_node(struct fs *fs, struct node *node, int flags, int *ret_fd)
{
    struct stat st;

    return fs_open_seen(fs, node, flags, ret_fd, &st);
}

int fs_open_seen(struct fs *fs, struct node *node, int flags, int *ret_fd, struct stat *ret_st)
{
    struct open_args a = { .flags = flags, .fd = -1, .st = ret_st };
    int r = place_run(&fs->nodes, node, open_place, &a);

    if (!r)
        *ret_fd = a.fd;
    return r;
}

int fs_open_path(struct fs *fs, struct node *node, int *ret_fd)
{
    int r = fs_open_node(fs, node, O_PATH, ret_fd), fd;

    if (r != -ESTALE)
        return r;
    fd = dup_open(fs, node);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

void handle_drop(struct fs *fs, struct handle *handle)
{
    if (!node_drop_handle(&fs->nodes, handle))
        return;
    backing_leave(fs, handle);
    close(handle->fd);
    free(handle);
}
