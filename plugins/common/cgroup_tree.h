/*
 * Where on this machine cgroups can be made, and what they can limit there: cgroup v2, v1's hierarchies, or a mixture,
 * as /proc/self/mountinfo and /proc/self/cgroup tell (cgroups(7)).
 *
 * Root makes its cgroups at a hierarchy's top, whatever its own is: a persistent sandbox outlives the service that
 * started it. An ordinary user needs a part of v2's tree delegated to it; v1 cannot be delegated safely.
 */
#ifndef STOCKADE_CGROUP_TREE_H
#define STOCKADE_CGROUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Controllers, as bits; v2 has cpuacct and freezer built in. */
#define CGROUP_MEMORY  1u
#define CGROUP_CPU     2u
#define CGROUP_PIDS    4u
#define CGROUP_CPUACCT 8u
#define CGROUP_FREEZER 16u
#define CGROUP_IO      32u /* v1 calls it blkio */

#define CGROUP_V1_MAX   8
#define CGROUP_PATH_MAX 256

struct cgroup_v1 {
    char mount[CGROUP_PATH_MAX];
    uint32_t controllers;
    bool is_ours; /* we may make cgroups there */
};

struct cgroup_tree {
    char v2_mount[CGROUP_PATH_MAX]; /* "" = not mounted */
    char v2_base[CGROUP_PATH_MAX];  /* where ours begin; "" = nowhere */
    uint32_t v2_controllers;        /* that cgroups there can have */
    struct cgroup_v1 v1[CGROUP_V1_MAX];
    size_t n_v1;
};

/* mountinfo and self are the two files' texts. Looks at the directories that they name, and changes nothing. */
void cgroup_tree_read(const char *mountinfo, const char *self, bool is_root, struct cgroup_tree *ret);

/* This process's, as it was when first it could be read; until then one that has nothing. Thread-safe. */
const struct cgroup_tree *cgroup_tree_get(void);

/* All controllers that a cgroup of ours can have, of either version. */
uint32_t cgroup_tree_controllers(const struct cgroup_tree *tree);
/* The v1 hierarchy that has a controller; NULL if none has. */
const struct cgroup_v1 *cgroup_tree_v1(const struct cgroup_tree *tree, uint32_t controller);

/* The controllers that a v2 cgroup has. */
uint32_t cgroup_controllers_at(int dir_fd);
/* Makes the controllers of a v2 cgroup available to those below it, as far as they are to be had. */
void cgroup_enable_below(int dir_fd, uint32_t controllers);

/* Names separated by any of " ,\n", as bits; names that we have no use for count for nothing. Pure. */
uint32_t cgroup_controllers_parse(const char *names, size_t len);

#endif
