/* Mounting and unmounting the workspace, and what to tell people when it fails. */
#ifndef STOCKADE_PERMFS_MOUNT_H
#define STOCKADE_PERMFS_MOUNT_H

#include "fs.h"

#include <stdbool.h>
#include <sys/types.h>

struct mount {
    const char *point;
    struct fuse_session *session;
    bool direct; /* by mount(2), not by fusermount3 */
    dev_t dev;   /* of the mounted filesystem */
};

/*
 * Makes the session and mounts it: as root by mount(2), for everybody to use; else by fusermount3, for the own user
 * alone. Returns 0, or -errno with why and nothing mounted. settings must outlive the mount.
 */
int mount_start(struct mount *m, const struct settings *settings, struct fs *fs, char why[WHY_MAX]);
void mount_stop(struct mount *m);    /* unmounts, unless something else is mounted there by now */
void mount_release(struct mount *m); /* frees the session, which no thread serves any more */

#endif
