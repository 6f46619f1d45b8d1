/* What the benchmarks of running commands share: an open runtime with one sandbox, and the bare work to compare with.
 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include "bench.h"

#include <spawn.h>

struct host {
    stockade_runtime *sb;    /* with the running sandbox "bench" */
    rt_call call;            /* of the main thread */
    const char *const *argv; /* what is run to measure what running costs */
    char codebase[64];
    unsigned serial;
};

/* Opens the runtime, with a state directory beside the codebase, and makes its "bench". config NULL = the default. */
void host_open(struct host *host, const char *runtime, const char *config);
/* A running sandbox that may write everywhere. */
void box_make(struct host *host, const char *id);

double spawn_and_wait(const char *const *argv, const posix_spawn_file_actions_t *actions); /* ms */
size_t spawn_and_read(const char *const *argv);                   /* bytes of its stdout, by a pipe */
size_t stdout_stream(struct host *host, const char *const *argv); /* the same by exec_stream in "bench" */
double exec_baseline(void *arg);                                  /* host->argv as a bare process, ms */
double exec_ours(void *arg);                                      /* host->argv in "bench", ms */

/* Commands a second of 8 threads, each with `each` of them. arg begins with a struct host and is of that size: every
 * thread has a copy. */
double threads_rate(bench_fn *work, const void *arg, size_t size, int each);

double exec_in(struct host *host, const char *id); /* host->argv in that sandbox, ms */
void box_cycle(struct host *host, const char *id); /* a sandbox made, its first command, its end */
/* What there is to it at the least: a bare FUSE mount on dir, which is made, a bare bubblewrap, and back. */
void bare_cycle(const char *dir);

void bench_scale(struct host *host);
void bench_session(struct host *host, const char *name);
void bench_threads(struct host *host);
/* bwrap has its "bench" in the same codebase. */
void bench_docker(const struct host *bwrap, const char *docker_host);

#endif
