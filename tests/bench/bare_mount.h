/* The least that a FUSE mount can be: a daemon of its own with a root directory and nothing in it. */
#ifndef BENCH_BARE_MOUNT_H
#define BENCH_BARE_MOUNT_H

#include <sys/types.h>

#define BARE_MOUNT_OPTION "--bare-mount"

/* What `bench --bare-mount DIR` does: mounts on DIR, writes a byte to stdout, and serves until it is unmounted. */
int bare_mount_main(char *program, const char *dir);

/* Starts that and waits until it answers; then ends it. Each ends the program with a message if it fails. */
pid_t bare_mount_start(const char *dir);
void bare_mount_end(pid_t pid, const char *dir);

#endif
