/* A child that is born in a cgroup: nothing has to be moved. */
#ifndef STOCKADE_CLONE_INTO_H
#define STOCKADE_CLONE_INTO_H

#include <stddef.h>
#include <sys/types.h>

/*
 * As clone(2) with CLONE_VM and CLONE_VFORK: run(arg) on a stack of its own, and its result as the exit code, while
 * the caller waits until it has exec'ed or ended.
 * cgroup_fd  the directory of a cgroup of version 2
 * stack      its lowest address, aligned to 16 bytes, as its size is
 * Returns the pid, or -errno; -ENOSYS also where only this function does not know how (other machines, Linux < 5.7).
 */
pid_t clone_into(int cgroup_fd, int (*run)(void *arg), void *arg, void *stack, size_t size);

#endif
