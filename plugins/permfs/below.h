/*
 * The only ways into the codebase (contract W8): one name in one directory fd, never through a symlink, never by a
 * path. All return 0 or a new close-on-exec fd on success, -errno on failure.
 */
#ifndef STOCKADE_PERMFS_BELOW_H
#define STOCKADE_PERMFS_BELOW_H

#include <stdbool.h>
#include <sys/stat.h>

#define BELOW_FD_PATH_MAX 32 /* room for below_fd_path */

/* One path component that names an entry: not empty, not "." or "..", without a slash. */
bool below_name_ok(const char *name);
/*
 * Opens `name` in the directory `dir`; O_NOFOLLOW, O_NONBLOCK (a fifo must not hang the daemon), O_NOCTTY and
 * O_CLOEXEC are added. mode matters with O_CREAT alone.
 */
int below_open(int dir, const char *name, int flags, mode_t mode);
/* Opens what fd is open of once more; unlike the name ".", that takes no right to search a directory. */
int below_reopen(int fd, int flags);
int below_stat(int dir, const char *name, struct stat *ret); /* never follows; "" is the directory itself */
bool below_same(const struct stat *st, dev_t dev, ino_t ino, mode_t kind);
int below_is_inside(int fd, int top_fd); /* 1 if the directory fd is top_fd's or below it, 0 if not, or -errno */
/* Whether all changes of its filesystem are made by this kernel, to the inode that an fd is of. */
bool below_is_local(int fd);
/*
 * Whether two fds are of one inode, and not only of one number. False too if it cannot be told: inotify does, to
 * whoever may read the file. inotify: an instance for this alone, non-blocking, that no other thread uses meanwhile;
 * to make one each time and to close it takes ten milliseconds, for which the kernel waits.
 */
bool below_is_one(int inotify, int a, int b);
/* A path to an open fd, O_PATH or not, for the calls that take neither an fd of that kind nor AT_EMPTY_PATH. */
const char *below_fd_path(int fd, char *room);

#endif
