/* What the kernel tells of processes that it killed for want of memory: how many in a sandbox's cgroup, and which. */
#ifndef STOCKADE_OOM_H
#define STOCKADE_OOM_H

#include "proc_id.h"

/* The file that has the count in a memory cgroup's directory (v1 and v2). The fd, or -1 where there is none, or no
 * directory. */
int oom_open(int dir_fd, bool is_v1);
/* The count as it is now; 0 where fd is -1 or the cgroup is gone. */
uint64_t oom_kills(int fd);

enum oom_verdict {
    OOM_UNKNOWN, /* the kernel's log is not to be read here, or counts processes otherwise than we do */
    OOM_SPARED,  /* whatever it died of, the log does not say that it was this */
    OOM_KILLED
};

/* Whether a process that has died was killed by the kernel for want of memory. */
enum oom_verdict oom_verdict(const struct proc_id *id);

/*
 * Whether a record of /dev/kmsg, NUL-terminated, says that of the process, by its number in the initial namespace.
 * since_us: the record's least time on the log's clock, for numbers are used again. Pure.
 */
bool oom_names(const char *record, pid_t pid, int64_t since_us);

#endif
