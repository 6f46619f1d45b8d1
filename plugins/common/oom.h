/* The kernel's own count of processes that it killed for want of memory in a sandbox's cgroup: v1 and v2. */
#ifndef STOCKADE_OOM_H
#define STOCKADE_OOM_H

#include <stdbool.h>
#include <stdint.h>

/* The file that has the count in a memory cgroup's directory. The fd, or -1 where there is none, or no directory. */
int oom_open(int dir_fd, bool is_v1);
/* The count as it is now; 0 where fd is -1 or the cgroup is gone. */
uint64_t oom_kills(int fd);

#endif
