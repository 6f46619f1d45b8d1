/* The work that filesystems are measured by, in a directory that fs_plant has filled. */
#ifndef BENCH_FS_WORK_H
#define BENCH_FS_WORK_H

#include "fs_mount.h"

#include <stddef.h>

struct fs_work {
    const char *name;
    double (*fn)(struct fs_mount *m); /* what it took, in milliseconds */
    int rounds;
};

extern const struct fs_work fs_data[];     /* on one large file; ends with an empty name */
extern const struct fs_work fs_metadata[]; /* on many files, and programs; likewise */

/* Fills a directory with all that the work needs, or with the large file alone, and makes `beside`/tree.tar. */
void fs_plant(const char *dir, const char *beside);
void fs_plant_big(const char *dir);

/* A shell command in a directory; ends the program with a message if it fails. */
void fs_shell(const char *dir, const char *command);

#endif
