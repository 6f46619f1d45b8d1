/*
 * A sandbox's limits (N3) as cgroups have them. The numbers mean what they mean to Docker: memory is memory and swap
 * together, cpu_millis a quota in every period of 100 ms, shares v1's, which v2 counts as weight.
 */
#ifndef STOCKADE_CGROUP_LIMITS_H
#define STOCKADE_CGROUP_LIMITS_H

#include "cgroup_tree.h"
#include "runtime_api.h"

/* The controllers without which these limits cannot be kept. Pure. */
uint32_t cgroup_limits_need(const rt_limits *limits);

/*
 * Writes what of the limits the cgroup at dir_fd can have. controllers are those that it has; extra_pids come on top
 * of the limit, for processes that are not the sandbox's own. 0, or an errno with *ret_file naming the file (static).
 */
int cgroup_limits_write(int dir_fd, bool is_v1, uint32_t controllers, const rt_limits *limits, unsigned extra_pids,
                        const char **ret_file);

/* v1's shares (2..262144) as v2's weight (1..10000), as runc counts. Pure. */
uint32_t cgroup_weight(uint32_t shares);

#endif
