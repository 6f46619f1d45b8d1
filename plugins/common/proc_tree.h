/* The processes of a sandbox as the host sees them: its init and all that descends from it. */
#ifndef STOCKADE_PROC_TREE_H
#define STOCKADE_PROC_TREE_H

#include "proc_id.h"

#include <stddef.h>

struct proc_entry {
    pid_t pid;
    struct proc_stat stat;
};

/*
 * A snapshot, parents before their children; what forks meanwhile may be missing. Whoever loses its parent becomes a
 * child of the init or of a subreaper, which descends from it: nobody of the pid namespace is left out.
 * ret      to be freed; n = 0 if the init is gone
 * Returns 0 or -errno.
 */
int proc_tree_read(pid_t init, struct proc_entry **ret, size_t *ret_n);

#endif
