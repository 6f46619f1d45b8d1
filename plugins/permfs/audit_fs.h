/* What the filesystem's operations tell the audit. Each is next to nothing where no audit is wanted. */
#ifndef STOCKADE_PERMFS_AUDIT_FS_H
#define STOCKADE_PERMFS_AUDIT_FS_H

#include "fs.h"

/*
 * The rules have refused the operation that this thread serves, on the name in the directory, or on the directory (or
 * file) itself if name is NULL. Returns r.
 */
int audit_denied(struct fs *fs, struct node *node, const char *name, bool is_dir, int r);
/* A file is about to be changed: it is opened for writing, made, or cut. Told once for each node. */
void audit_written(struct fs *fs, struct node *node);
void audit_rules(struct fs *fs, const struct rules *rules); /* others are in force from now on */

#endif
