/* A sandbox's own cgroups, whoever made them: we, or the backend with what it boots. */
#ifndef STOCKADE_BOX_CGROUP_H
#define STOCKADE_BOX_CGROUP_H

#include "cgroup_tree.h"
#include "record.h"

/*
 * The directory of the cgroup of a sandbox that runs which has a controller, and which version's it is; -1 if it has
 * none of its own. What v2 has built in, CGROUP_CPUACCT and CGROUP_FREEZER, is there in any cgroup of v2's.
 */
int box_cgroup_open(struct op *op, const struct record *record, uint32_t controller, bool *ret_is_v1);

#endif
