/*
 * How a file's data goes: past the daemon, to a backing file (device.h), or through it and the kernel's page cache.
 * The kernel wants one answer for all that have one node open at a time, and one backing file: the first to open it
 * decides. Each opening has been checked, and opened below, on its own before it comes here.
 *
 * In an overlay (delta.h) only who writes has a file passed through: opened for reading before it was first written,
 * it is read as it is written then, but mapped as it is in the codebase, for as long as it is open.
 *
 * Registering a backing file costs more than the rest of an opening, so that one is kept for the next opening of the
 * same inode, for BACKING_KEPT_MS to twice as long, where there is a thread to close it then (watch.h). It holds the
 * inode, whose number therefore stays its own, and nothing that anybody can notice: a file that loses its name, or
 * gets another, is let go within milliseconds.
 */
#ifndef STOCKADE_PERMFS_BACKING_H
#define STOCKADE_PERMFS_BACKING_H

#include "fs.h"

/*
 * Decides for a new handle; fd has been opened for it, with `flags` above. Returns the backing id for the reply to the
 * kernel, or 0. *ret_direct: what is read and written goes through the daemon all the same, and is not cached.
 */
int32_t backing_join(struct fs *fs, struct node *node, struct handle *handle, int fd, int flags, bool *ret_direct);
void backing_leave(struct fs *fs, struct handle *handle); /* when it is closed */

#define BACKING_KEPT_MS 1000
void backings_close_unkept(struct fs *fs); /* by the thread that ages them */

#endif
