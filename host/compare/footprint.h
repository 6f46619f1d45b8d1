/* What a sandbox's helpers keep in memory, seen from outside. */
#ifndef STOCKADE_COMPARE_FOOTPRINT_H
#define STOCKADE_COMPARE_FOOTPRINT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Processes there at one moment. */
struct pids {
    pid_t *items;
    size_t n;
};

/* All that run now. Left empty if memory runs out or /proc cannot be read. */
void pids_take(struct pids *pids);
void pids_release(struct pids *pids);

/*
 * Sum of the proportional set sizes (PSS of /proc/PID/smaps_rollup, see proc(5)), in bytes, of the processes that
 * belong to a sandbox and were not there before: descendants of this process or of the sandbox's init, and those whose
 * cgroup or arguments name its container. backend_id as rt_sandbox_info has it: a container's id, or the init's pid.
 * What another user's rights hide counts 0.
 */
uint64_t footprint_of(const struct pids *before, const char *backend_id);

#endif
