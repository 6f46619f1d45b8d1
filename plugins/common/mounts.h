/* Mounts that are left: found in the mount table, never by touching them, for a hung one would hang us too. */
#ifndef STOCKADE_MOUNTS_H
#define STOCKADE_MOUNTS_H

#include "op.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whether something is mounted exactly there, and the device's minor number (the FUSE connection's number). */
bool mount_find(const char *path, unsigned *ret_minor);

/* The same as another process sees it; false also where that cannot be read. */
bool mount_find_of(pid_t pid, const char *path, unsigned *ret_minor);

/* The first mount point below dir that another process sees, to be freed; NULL if there is none. */
char *mount_below_of(pid_t pid, const char *dir);

/* Whether another process sees a mount that may be written of a file system whose type begins so; or -errno. */
int mount_is_writable_of(pid_t pid, const char *type);

/* All mount points of one look at the mount table, for who has many to ask for. */
struct mount_table {
    char **points; /* sorted */
    size_t n;
};

bool mount_table_read(struct mount_table *ret); /* false: it may lack some. To be released in any case */
bool mount_table_has(const struct mount_table *table, const char *path);
void mount_table_release(struct mount_table *table);

/*
 * Cuts the FUSE connection of the mount at path, if there is one; what waits for an answer then gets an error. False if
 * that cannot be done: an ordinary user can where fusectl is mounted, and else only by ending the daemon.
 */
bool mount_abort(const char *path);

/* Detaches whatever is mounted at path. RT_OK if nothing is (any more). */
int32_t mount_remove(struct op *op, const char *path);

#endif
