/* A snapshot of the processes that /proc shows. */
#ifndef STOCKADE_AGENT_PROCS_H
#define STOCKADE_AGENT_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
    pid_t pid, ppid;
    bool zombie;
    uint64_t started; /* clock ticks since boot */
    void *owner;      /* for whoever walks the snapshot; NULL in a fresh one */
};

extern struct proc *procs; /* the last snapshot, ordered by pid */
extern size_t n_procs;

int procs_init(void); /* 0 or -errno */
bool procs_scan(void);
bool proc_of(pid_t pid, struct proc *ret); /* one process now; false if there is none */
struct proc *procs_find(pid_t pid);

/*
 * Passes owners on from parents to children that have none, whose pids may be lower than theirs. Processes whose
 * parent is `root` keep what they have.
 */
void procs_inherit(pid_t root);

/* realloc for one more element; NULL if memory runs out, then the array is as it was. */
void *grow(void *array, size_t *cap, size_t n, size_t size);

#endif
