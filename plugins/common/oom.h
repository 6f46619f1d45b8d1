/* The kernel's own count of processes that it killed for want of memory in a sandbox's cgroup: v1 and v2. */
#ifndef STOCKADE_OOM_H
#define STOCKADE_OOM_H

#include <stdint.h>
#include <sys/types.h>

/* The file that has the count for the memory cgroup of a process. The fd, or -1 where there is none. */
int oom_open(pid_t pid);
/* The same in a memory cgroup's directory; -1 also for a dir_fd of -1. */
int oom_open_at(int dir_fd, int is_v1);
/* The count as it is now; 0 where fd is -1 or the cgroup is gone. */
uint64_t oom_kills(int fd);

/* The part of /proc/PID/cgroup that leads to the memory cgroup, in v1's hierarchy if it is one. Pure; NULL if none. */
const char *oom_cgroup_path(const char *text, size_t *ret_len, int *ret_is_v1);

#endif
