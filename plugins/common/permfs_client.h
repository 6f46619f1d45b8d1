/* The host's side of permfs_proto.h. */
#ifndef STOCKADE_PERMFS_CLIENT_H
#define STOCKADE_PERMFS_CLIENT_H

#include "record.h"
#include "runtime.h"

struct permfs {
    pid_t pid;
    int fd; /* the owner's connection */
};

/*
 * Starts the daemon for a sandbox and waits until its mount is there. On failure nothing is left of it. Should this
 * process die before permfs_guard(), the daemon ends, and the sandbox stays locked until it has.
 */
int32_t permfs_start(struct op *op, const struct locked *locked, const char *mount_point, struct permfs *ret);

/* Makes the daemon of a running sandbox go by the record's rules, of which it takes all or none. */
int32_t permfs_set_rules(struct op *op, const struct record *record, int box_fd);

/* Tells it, by the owner's connection, whose end is its own: PERMFS_GUARD's fds, borrowed; host_fd -1 = none. */
int32_t permfs_guard(struct op *op, int fd, int init_fd, int notes_fd, int ended_fd, int host_fd);

/* Tells the daemon of a running sandbox that its delta was changed under it. */
int32_t permfs_refresh(struct op *op, int box_fd);

/* Kills the daemon, for one that hangs; whoever waits for it gets an error. */
void permfs_kill(const struct proc_id *id);

/*
 * Ends a sandbox's daemon and its mount, whatever state they are in: asks, then kills, then unmounts.
 * owner_fd is the owner's connection or -1. Returns RT_OK when no mount is left.
 */
int32_t permfs_end(struct op *op, const struct proc_id *id, int owner_fd, int box_fd, const char *mount_point);

#endif
