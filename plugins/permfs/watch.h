/*
 * The host's changes to the codebase, by inotify, so that the kernel may keep what it was told for long.
 *
 * A directory is watched once something in it is looked up. What is told of entries in a watched directory holds for
 * FS_LONG_MS, and is taken back when an event says otherwise; elsewhere it holds for the cache time: with no watch
 * left, without the right to read the directory, and on a filesystem that changes behind inotify's back (a network's).
 * After lost events everything is taken back. inotify does not see stores through a host's shared mapping: times and
 * sizes changed so are seen when the file is closed, or after FS_LONG_MS.
 *
 * A thread of its own gives notice to the kernel, for that can wait for a directory's lock, whose holder waits for a
 * worker.
 */
#ifndef STOCKADE_PERMFS_WATCH_H
#define STOCKADE_PERMFS_WATCH_H

#include "fs.h"

#define FS_LONG_MS 60000

/* watch_init before the mount; without inotify nothing is watched. */
void watch_init(struct fs *fs);
void watch_release(struct fs *fs);
/* Starts and ends the thread; from a worker's, whose privileges it is to have. */
void watch_start(struct fs *fs, struct fuse_session *session);
void watch_stop(struct fs *fs);

/*
 * To be called with a directory's fd before looking at an entry in it. Returns a count to be given to watch_told after
 * the reply, when the caller still holds the directory: what changed in between is taken back. name NULL: all entries.
 */
uint32_t watch_enter(struct fs *fs, struct node *dir, int fd);
void watch_told(struct fs *fs, struct node *dir, const char *name, uint32_t count);

#endif
