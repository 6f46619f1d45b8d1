/* A directory shown by a filesystem under measure: permfs itself, without a sandbox around it, or bindfs. */
#ifndef BENCH_FS_MOUNT_H
#define BENCH_FS_MOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fs_mount {
    char base[128]; /* what is shown */
    char dir[128];  /* where; the same as base for the native directory */
    pid_t pid;      /* of the filesystem's daemon; 0 = none */
    int owner;      /* its connection, of permfs */
};

/* Each ends the program with a message if it fails, but for bindfs where that is not installed: false then. */
void fs_mount_native(struct fs_mount *m, const char *work, const char *name);
/* flags: PERMFS_* of permfs_proto.h. Everything is writable; the rules and the cache time are the defaults. */
void fs_mount_permfs(struct fs_mount *m, const char *work, const char *name, uint32_t flags);
bool fs_mount_bindfs(struct fs_mount *m, const char *work, const char *name);
void fs_mount_end(struct fs_mount *m);

#endif
