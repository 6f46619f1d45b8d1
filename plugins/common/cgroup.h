/*
 * A sandbox's cgroups: its limits, and in v2 the exact list of each command's processes, with cgroup.kill as the exact
 * end of them; see cgroups(7) and Documentation/admin-guide/cgroup-v2.rst. v2's works without controllers too.
 *
 *     BASE/stockade/SANDBOX/      one a sandbox and hierarchy, with its limits
 *     BASE/stockade/SANDBOX/...   in v2: init for what boots it, e... one a command at a time
 */
#ifndef STOCKADE_CGROUP_H
#define STOCKADE_CGROUP_H

#include "cgroup_tree.h"
#include "op.h"

#include <stdbool.h>
#include <sys/types.h>

/* What a backend keeps outside of the sandbox and in its cgroups: on top of the limit of pids. */
#define CGROUP_OUTSIDE_PIDS 1

struct cgroup_made {
    char path[512];               /* in v2, absolute; "" = none */
    uint32_t controllers;         /* that the sandbox's cgroups have, of either version */
    int init_fd;                  /* in v2, the directory of the one that what boots it is born in; -1 = none */
    int tasks_fds[CGROUP_V1_MAX]; /* of v1's: what boots it writes "0" to each */
    size_t n_tasks;
};
#define CGROUP_MADE_INIT                                                                                               \
    {                                                                                                                  \
        .init_fd = -1                                                                                                  \
    }

/*
 * Makes the cgroups of a sandbox, named after its directory, as far as that can be done here, and writes its limits
 * into them. In v2 only where processes can be moved by what is inside (Linux 5.16).
 * limits   what of them is not kept by a cgroup, controllers tell: cgroup_limits_need()
 * ret      CGROUP_MADE_INIT by the caller, who releases it also after a failure, and then calls cgroup_destroy()
 * Returns RT_OK also if there is nothing to be had; else why a limit could not be written.
 */
int32_t cgroup_make(struct op *op, const char *box_path, const rt_limits *limits, struct cgroup_made *ret);
void cgroup_made_release(struct cgroup_made *made);

/*
 * To be called while there is something else to wait for. Linux moves the first process in a while only after a grace
 * period of RCU, 5 to 20 ms; the sandbox's first command is such a one, as what boots it is born in its cgroup.
 * init_fd  as made above; -1 is a no-op      pid  a process in it
 */
void cgroup_moves_prepare(int init_fd, pid_t pid);

/* Kills all that is in them (v1: waits for it to end), and removes them with all below. path: v2's, "" = as it would be
 * named. 0, or -errno if it could not be looked for: then it may be there still. */
int cgroup_destroy(const char *box_path, const char *path);

/* The directory of a sandbox's cgroup that has a controller, and which version's it is; -1 if there is none. */
int cgroup_open(const char *box_path, const char *path, uint32_t controller, bool *ret_is_v1);

struct cgroup_pool; /* of a sandbox's cgroups for commands; thread-safe */

struct exec_cgroup {
    struct exec_cgroup *next;
    int dir_fd, procs_fd, kill_fd, events_fd;
};

/* path is borrowed for the call. NULL if it cannot be opened. */
struct cgroup_pool *cgroup_pool_new(const char *path);
void cgroup_pool_free(struct cgroup_pool *pool);
/* An empty cgroup for one command; NULL if none can be made. */
struct exec_cgroup *cgroup_get(struct cgroup_pool *pool);
/* Gives it back. One that background children still live in stays until the sandbox stops. NULL is a no-op. */
void cgroup_put(struct cgroup_pool *pool, struct exec_cgroup *cgroup);

bool cgroup_is_empty(const struct exec_cgroup *cgroup);
/* Sends a signal to every process in it. */
void cgroup_signal(const struct exec_cgroup *cgroup, int sig);
void cgroup_kill(const struct exec_cgroup *cgroup);

#endif
