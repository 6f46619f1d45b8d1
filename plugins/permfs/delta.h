/*
 * Copy-on-write (contract D1): the filesystem works on an overlay (overlay.h) in place of the codebase, keeps a log of
 * what the sandbox touches (delta_log.h), and makes the overlay see what the host changes in the codebase.
 */
#ifndef STOCKADE_PERMFS_DELTA_H
#define STOCKADE_PERMFS_DELTA_H

#include "overlay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct fs;
struct node;
struct touched;

struct delta {
    bool on; /* constant; all functions do nothing without it */
    struct overlay overlay;
    int lower_fd; /* the codebase; borrowed */
    int log_fd;
    pthread_mutex_t lock; /* guards touched; no other is taken while it is held */
    struct touched *touched;
    pthread_mutex_t refresh_lock; /* over a refresh; taken before the node table's */
    _Atomic int64_t refreshed_ns; /* CLOCK_MONOTONIC */
    atomic_bool unwatched;        /* a directory of the codebase could not be watched */
};

/* On if the settings say so. Before there are threads and before privileges are dropped. 0, or -errno with why. */
int delta_start(struct delta *delta, const struct settings *settings, char why[WHY_MAX]);
void delta_release(struct delta *delta);
/* Reads the log again: another process has written to it. Returns 0 or -errno. */
int delta_reload(struct delta *delta);

/*
 * Before an entry is changed, or made anew where there was one: what the codebase has under the name is logged, the
 * first time. Returns 0, or -errno (-ENOSPC): then it may not be changed.
 */
int delta_touch(struct fs *fs, struct node *dir, const char *name);
int delta_touch_node(struct fs *fs, struct node *node);

/* An O_PATH fd of what a directory is in the codebase, or -errno (-ENOENT: the sandbox made it). */
int delta_lower_dir(struct fs *fs, struct node *dir);

/* The next look-ups see the codebase as it is. Not from a worker that holds a place. */
void delta_refresh(struct fs *fs);
/* The same if no event tells of changes and the last time is too long ago for the cache time to be kept. */
void delta_freshen(struct fs *fs);

/*
 * Changes what tells one listing of a directory from another: the overlay's times do not tell of what has come and gone
 * below, so that none is the same across a refresh.
 */
void delta_stamp_listing(struct fs *fs, struct stat *st);

#endif
