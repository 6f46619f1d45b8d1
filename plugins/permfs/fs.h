/*
 * The filesystem: what all operations share, and the operations themselves, by the names that libfuse gives them.
 *
 * Each checks the rules first and touches the codebase then, as the contract's W lines say. Lock order: rename_lock,
 * then a directory handle's own lock, then the node table's. None is held across a fuse_reply_*; after the reply
 * that gives an inode back the kernel may forget it.
 */
#ifndef STOCKADE_PERMFS_FS_H
#define STOCKADE_PERMFS_FS_H

#include "audit.h"
#include "cookie.h"
#include "delta.h"
#include "device.h"
#include "dirs.h"
#include "node.h"
#include "settings.h"

#include <fcntl.h>

/* See watch.h. */
struct watch {
    struct fuse_session *session;
    pthread_t thread;
    bool running; /* constant once there are workers */
    atomic_bool stop;
    int wake;             /* eventfd */
    pthread_mutex_t lock; /* guards late; innermost */
    struct late *late;
};

struct fs {
    const struct settings *settings;
    struct device device;
    struct watch watch;
    struct delta delta;
    struct node_table nodes;
    bool epochs;                 /* constant once there are workers */
    int prover;                  /* inotify, see below_is_one; -1 = not needed, or not to be had */
    pthread_mutex_t prover_lock; /* guards prover; innermost */
    struct audit audit;
    struct fs_secrets {
        struct cookie_key cookies;
        uint64_t inos;
    } secrets; /* constant */
    /* Held over the check and the renaming of a directory: nothing may move in below it between the two. */
    pthread_mutex_t rename_lock;
};

/* Before privileges are dropped. Returns 0, or -errno with why. */
int fs_init(struct fs *fs, const struct settings *settings, char why[WHY_MAX]);
void fs_release(struct fs *fs);
/* Finds out how new rules can be told to the kernel; before there are workers. */
void fs_epochs_start(struct fs *fs, struct fuse_session *session);
/*
 * Once it returns every operation goes by these rules: what the kernel has cached by the old ones is dropped. That can
 * take up to FS_MISSING_MS where the kernel has no epochs. Returns 0 or -ENOMEM.
 */
int fs_set_rules(struct fs *fs, struct fuse_session *session, struct rules *rules);
/* The kernel drops all that it knows. */
void fs_forget_all(struct fs *fs, struct fuse_session *session);
int fs_forget_entries(struct fs *fs, struct fuse_session *session, struct node *node); /* all its names; 0 or -ENOMEM */
/* After what is allowed has changed with a directory's place: the names of one file that differ now are told apart. */
void fs_part_names(struct fs *fs);
extern const struct fuse_lowlevel_ops fs_ops; /* userdata: struct fs */

/* ---- what operations are made of (fs.c) ---- */

static inline struct fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* The nodes that stand behind the kernel's numbers. */
struct node *fs_node(struct fs *fs, fuse_ino_t ino);
fuse_ino_t fs_ino(const struct fs *fs, const struct node *node);
/* Seconds for which the kernel may keep what it was told of a name in the directory, there or not. */
double fs_timeout(const struct fs *fs, struct node *dir);
/* The same of a name that is not there: without epochs it cannot be taken back, and holds for FS_MISSING_MS at most. */
double fs_missing_timeout(const struct fs *fs, struct node *dir);
#define FS_MISSING_MS 1000u
void fs_reply(fuse_req_t req, int r); /* r: 0 or -errno */

/*
 * 0 if the node has at least `want`, -ENOENT if it is not visible, -EACCES otherwise; -ESTALE, at which the kernel
 * looks the name up again, if it may have by the name that is meant.
 */
int fs_allow(struct fs *fs, struct node *node, enum perm want);
/* 0 if an entry of that kind may be made, replaced or removed under the name, -EACCES otherwise. */
int fs_allow_name(struct fs *fs, struct node *dir, const char *name, bool is_dir);
/* What to answer when something is in a new entry's way: -EACCES if it is hidden, else -EEXIST. */
int fs_collision(struct fs *fs, const struct place *place);
/* The attributes as the sandbox sees them (contract W9). */
void fs_show(const struct fs *fs, struct stat *st);
/* Makes the kernel ask again for the node's attributes, and drop those that answer what it has asked already. */
void fs_forget_attr(struct fs *fs, struct node *node);
/* For how long the kernel may keep st of the node. watched: a directory, and since before st was taken. */
double fs_attr_timeout(struct fs *fs, struct node *node, const struct stat *st, bool watched);
/*
 * Looks up what is at the place, and fills the answer with one kernel reference on it. -ENOENT for what is missing
 * and for what is hidden.
 */
int fs_enter(struct fs *fs, const struct place *place, struct fuse_entry_param *ret);
/* The same for an entry whose attributes are known and which is visible. */
int fs_enter_known(struct fs *fs, const struct place *place, const struct stat *st, struct fuse_entry_param *ret);
/* For replies that are not checked by watch_told: they hold for the cache time alone. */
void fs_shorten(const struct fs *fs, struct fuse_entry_param *entry);
/* Replies with what fs_enter gave, or with the error r. */
void fs_reply_entry(fuse_req_t req, int r, const struct fuse_entry_param *entry);

/*
 * The node's attributes as they are below, and an O_PATH or better fd of it; also of one that was removed while
 * open. -ESTALE if the node is no more.
 */
int fs_stat(struct fs *fs, struct node *node, struct stat *ret);
int fs_open_path(struct fs *fs, struct node *node, int *ret_fd);
/* Opens the node by its name and makes sure that it is the node. Returns 0 or -errno. */
int fs_open_node(struct fs *fs, struct node *node, int flags, int *ret_fd);
/* The same, with the attributes that it was made sure by. */
int fs_open_seen(struct fs *fs, struct node *node, int flags, int *ret_fd, struct stat *ret_st);

static inline bool is_for_writing(int open_flags)
{
    return (open_flags & O_ACCMODE) != O_RDONLY || (open_flags & O_TRUNC);
}

void handle_drop(struct fs *fs, struct handle *handle);

/* Whether a directory may be moved from one state to the other, see raise.c: 0, -EXDEV, or -errno (W6). */
int raise_check(struct rules *rules, int dir, const char *name, const struct rule_state *from,
                const struct rule_state *to);

/* ---- the operations: entry (ops_entry.c), attributes (ops_attr.c, ops_xattr.c), directories, files ---- */

void fs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void fs_op_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *v);
void fs_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void fs_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void fs_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void fs_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void fs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent, const char *to_name,
                  unsigned flags);

void fs_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void fs_op_readlink(fuse_req_t req, fuse_ino_t ino);
void fs_op_statfs(fuse_req_t req, fuse_ino_t ino);
void fs_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void fs_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void fs_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void fs_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void fs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

void fs_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void fs_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void fs_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fs_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void fs_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void fs_op_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t off, struct fuse_file_info *fi, fuse_ino_t to_ino,
                           off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags);

#endif
