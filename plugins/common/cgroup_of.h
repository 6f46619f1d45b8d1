/* The cgroup that a process is in, as another process finds it; see cgroups(7). */
#ifndef STOCKADE_CGROUP_OF_H
#define STOCKADE_CGROUP_OF_H

#include "cgroup_tree.h"

#include <sys/types.h>

/*
 * The part of /proc/PID/cgroup that leads to the cgroup with a controller: in v1's hierarchy if it is one, else in
 * v2's, which may or may not have it. A hierarchy's root is nobody's own: NULL, as where there is none. Pure.
 */
const char *cgroup_of_path(const char *text, uint32_t controller, size_t *ret_len, bool *ret_is_v1);

/* That cgroup's directory, of which version it is in ret_is_v1; -1 if there is none or it cannot be seen from here. */
int cgroup_of(pid_t pid, uint32_t controller, bool *ret_is_v1);

#endif
