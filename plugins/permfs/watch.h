/*
 * The host's changes to the codebase, by inotify, so that the kernel may keep what it was told for long.
 *
 * A directory is watched once something in it is looked up. That a name is in it or is not, and its own attributes,
 * then hold for FS_LONG_MS, and are taken back when an event says otherwise. Elsewhere they hold for the cache time:
 * with no watch left, without the right to read the directory, and on a filesystem that changes behind inotify's back
 * (a network's). After lost events everything is taken back.
 *
 * A file's attributes always hold for the cache time alone: it can be changed by a hard link elsewhere, or by stores
 * through a mapping, and the directory's watch would not say so. So no event is wanted of data that is written.
 *
 * A thread of its own gives notice to the kernel, for that can wait for a directory's lock, whose holder waits for a
 * worker. The same thread closes the backings that are no longer kept (backing.h).
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
