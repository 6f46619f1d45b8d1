/*
 * A kernel overlayfs that is mounted nowhere: the codebase below, the sandbox's writes above it. It is reached by the
 * fd of its root alone. Root makes it as it is; anybody else in a user and mount namespace of its own, where a small
 * process stays that may reconfigure it.
 */
#ifndef STOCKADE_PERMFS_OVERLAY_H
#define STOCKADE_PERMFS_OVERLAY_H

#include "settings.h"

struct overlay {
    int root_fd;  /* of the mount; -1 = none */
    int upper_fd; /* O_PATH: the layer of what the sandbox has written */
    int conf_fd;  /* the filesystem's configuration; -1 = the keeper has it */
    int keeper;   /* the socket to it; -1 = none */
    pid_t pid;    /* the keeper's, 0 = none */
};

#define OVERLAY_INIT                                                                                                   \
    {                                                                                                                  \
        .root_fd = -1, .upper_fd = -1, .conf_fd = -1, .keeper = -1                                                     \
    }

/*
 * Before there are threads, and before privileges are dropped. codebase_fd and delta_fd are borrowed.
 * Returns 0, or -errno with one line for people in why.
 */
int overlay_open(struct overlay *overlay, int codebase_fd, int delta_fd, char why[WHY_MAX]);
void overlay_release(struct overlay *overlay);
/*
 * Drops what the kernel has cached of names that nobody holds open: the overlay asks for each but once, and would not
 * see what the host changes in the codebase. Not for two threads at once.
 */
void overlay_refresh(struct overlay *overlay);

#endif
