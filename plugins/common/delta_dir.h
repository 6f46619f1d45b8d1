/* The directory of a copy-on-write workspace, DIR/boxes/ID/delta: made at a start, removed with its sandbox. */
#ifndef STOCKADE_DELTA_DIR_H
#define STOCKADE_DELTA_DIR_H

#include "record.h"

/*
 * Makes it, if it is not there, with a top directory that is to the workspace what the codebase's is, and gives an fd
 * of it. The caller holds the sandbox's lock, and its identity is known.
 */
int32_t delta_dir_make(struct op *op, const struct record *record, int box_fd, int *ret_fd);
/* Removes all of it, however deep and whatever the modes. Returns 0 or -errno; 0 if there is none. */
int delta_dir_remove(int box_fd);
/* Opens a directory for its entries to be removed, and to its owner if a sandbox has closed it. An fd or -errno. */
int delta_dir_open_forced(int dir_fd, const char *name);
/* Removes a directory's entry with all below it. Returns 0 or -errno. */
int delta_tree_remove(int dir_fd, const char *name);

#endif
