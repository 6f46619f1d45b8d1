/*
 * Directory fds and places. A place is a name in a pinned directory fd: what every operation on an entry works on.
 * A node's directory is reached from the root's fd, a component at a time, each checked to be the inode that the node
 * stands for; an fd is trusted for the table's fd_trust_ns and then checked again, so that a directory which the host
 * moves away, even out of the codebase, is not followed.
 */
#ifndef STOCKADE_PERMFS_DIRS_H
#define STOCKADE_PERMFS_DIRS_H

#include "node.h"

#define DIRS_NAME_MAX 1024 /* the kernel's FUSE_NAME_MAX; most filesystems below stop at 255 */

struct place {
    struct node *dir; /* pinned; NULL for the root itself */
    int fd;           /* of dir */
    const char *name; /* "" for the root itself */
    char room[DIRS_NAME_MAX + 1];
};

/*
 * Pins a directory. *ret_fd stays open until dirs_unpin. Returns 0, -ESTALE if it is no longer where the table has
 * it, or another -errno.
 */
int dirs_pin(struct node_table *t, struct node *dir, int *ret_fd);
/* The same where it has an fd that is trusted; false elsewhere. */
bool dirs_pin_usable(struct node_table *t, struct node *dir, int *ret_fd);
void dirs_unpin(struct node_table *t, struct node *dir);

/* No directory stays open but those in use, and those are checked when they are used again. */
void dirs_drop_all(struct node_table *t);

/* The place of a name, which need not exist, in a directory; name is borrowed. -EINVAL for "." and the like. */
int place_of_name(struct node_table *t, struct node *dir, const char *name, struct place *ret);
void place_release(struct node_table *t, struct place *place);

/*
 * Runs fn on the place where the node is now; again if it fails with -ESTALE or -ENOENT while renames went on,
 * or where the file has another name.
 * Returns what fn returns, but -ESTALE for -ENOENT, -ENOTDIR and -ELOOP: the kernel then looks the name up again.
 */
typedef int place_fn(struct node_table *t, const struct place *place, struct node *node, void *arg);
int place_run(struct node_table *t, struct node *node, place_fn *fn, void *arg);

/* below_open; gives up idle directory fds if the process has no fd left. */
int place_open(struct node_table *t, const struct place *place, int flags, mode_t mode);

#endif
