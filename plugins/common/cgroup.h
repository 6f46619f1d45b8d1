/*
 * cgroup v2 as the exact list of a command's processes, and cgroup.kill as the exact end of them; see cgroups(7) and
 * Documentation/admin-guide/cgroup-v2.rst. Works on a hierarchy without controllers too.
 *
 *     BASE/stockade/SANDBOX/      one a sandbox: init/ for what boots it, e*... one a command at a time
 */
#ifndef STOCKADE_CGROUP_H
#define STOCKADE_CGROUP_H

#include "op.h"

#include <stdbool.h>

/*
 * Makes the cgroup of a sandbox, named after its directory, and init/ in it. ret_path gets its absolute path,
 * ret_procs_fd init's cgroup.procs. False, and both as they were, if no cgroup v2 tree is writable or the
 * kernel is too old (before Linux 5.16).
 */
bool cgroup_make(const char *box_path, char *ret_path, size_t size, int *ret_procs_fd);

/* Kills all that is in it, waits for their end (bounded) and removes it with all below. */
void cgroup_destroy(const char *path);

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
