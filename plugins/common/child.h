/* Starting a helper process from a host that may have many threads, without disturbing it. */
#ifndef STOCKADE_CHILD_H
#define STOCKADE_CHILD_H

#include <sys/types.h>

/*
 * For what runs in the child before exec: its stack is one that sanitizers do not know, and what they would note about
 * it outlives it.
 */
#define CHILD_CODE __attribute__((no_sanitize("address,undefined,thread")))

struct child_spec {
    const char *file; /* path of the program; exec_fd is used instead if it is not -1 */
    int exec_fd;
    char *const *argv, *const *env;
    const int *fds; /* fds[i] becomes fd i of the child; -1 = /dev/null; all others are closed */
    int n_fds;
    const int *cgroups; /* of version 1, their files "tasks": it enters these first */
    size_t n_cgroups;
    const int *cgroup; /* the directory of one of version 2 that it begins in; NULL = ours */
    /*
     * Runs in the child just before exec, or NULL. It shares the parent's memory and may only make system calls,
     * raw ones where libc would act on other threads (setuid). Returns 0, or an errno that child_start() returns.
     */
    int (*prepare)(void *arg);
    void *arg;
};

/* Starts it in a session of its own, signals at their defaults. Returns the pid, or -errno if it did not exec. */
pid_t child_start(const struct child_spec *spec);

#endif
