/* Single entries of a delta: comparing one with what the codebase has, and making a copy of it there. */
#ifndef STOCKADE_DELTA_FILE_H
#define STOCKADE_DELTA_FILE_H

#include "delta.h"

/* An entry: a name in a directory, and what was found there. */
struct delta_entry {
    int dir;
    const char *name;
    struct stat st; /* st_mode 0: nothing */
};

/*
 * What stands for an entry of the upper layer in the log. A directory's times tell of what is in it: its size is put as
 * a sum of its attributes instead.
 */
struct delta_stamp delta_entry_stamp(const struct delta_entry *entry);

enum delta_difference { DELTA_SAME, DELTA_METADATA, DELTA_CONTENT };

/*
 * Compares two entries of one kind: content or link target, then mode, the sandbox's attributes and (but for a
 * directory, whose times are its entries') modification time. Returns an enum delta_difference or -errno.
 */
int delta_compare(const struct delta_entry *a, const struct delta_entry *b);

/*
 * So long ago a file must have been changed last for a copy to be sure: what is written later then has another time, by
 * the coarsest of kernel clocks (HZ is at least 100).
 */
#define DELTA_SETTLE_US 20000

/*
 * Makes in the directory dir, under a name that is free, a copy of an entry of any kind but a directory; synced, and
 * with the owner's identity. Returns 0, or -errno and nothing is left of it. -EAGAIN: it was changed meanwhile,
 * or so shortly before that it cannot be told.
 */
int delta_copy(const struct delta *delta, const struct delta_entry *from, int dir, const char *name);
/* The same for a directory, which stays empty and is open to its owner: delta_dir_finish is for when it is filled. */
int delta_copy_dir(const struct delta *delta, int dir, const char *name);
/* Gives a directory the mode, attributes and, of a new one, times of the sandbox's. Returns 0 or -errno. */
int delta_dir_finish(const struct delta_entry *from, int dir, const char *name, bool is_new);

#endif
