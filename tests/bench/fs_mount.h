/* A directory shown by a filesystem under measure: permfs itself, without a sandbox around it, or bindfs. */
#ifndef BENCH_FS_MOUNT_H
#define BENCH_FS_MOUNT_H

#include "runtime_api.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fs_mount_options {
    uint32_t flags; /* PERMFS_* of permfs_proto.h */
    /* Who runs the daemon and owns what is shown: root, or an ordinary user, for whom it is mounted by fusermount3. */
    uid_t uid;
    gid_t gid;
    const rt_rule *rules; /* borrowed as long as the mount is used; n_rules 0: everything is writable */
    size_t n_rules;
    const char *base; /* what is shown; NULL: a directory of its own, which is made */
};

struct fs_mount {
    char base[128]; /* what is shown */
    char dir[128];  /* where; the same as base for the native directory */
    pid_t pid;      /* of the filesystem's daemon; 0 = none */
    int owner;      /* its connection, of permfs */
    struct fs_mount_options options;
};

/* Each ends the program with a message if it fails, but for bindfs where that is not installed: false then. */
void fs_mount_native(struct fs_mount *m, const char *work, const char *name);
/* The cache time is the default. */
void fs_mount_permfs(struct fs_mount *m, const char *work, const char *name, const struct fs_mount_options *options);
bool fs_mount_bindfs(struct fs_mount *m, const char *work, const char *name);
/* Unmounts it and mounts it anew, so that nothing is cached of it; what is mounted by no daemon stays as it is. */
void fs_mount_again(struct fs_mount *m);
void fs_mount_end(struct fs_mount *m);

/*
 * Makes the calling process one that sees an ordinary user's mount, and that user: for a child that is to use it.
 * Nothing for root's.
 */
void fs_mount_become_user(const struct fs_mount *m);

#endif
