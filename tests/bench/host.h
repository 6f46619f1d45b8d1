/* What the benchmarks of running commands share: an open runtime with one sandbox, and the bare work to compare with.
 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include "bench.h"

#include <spawn.h>

struct host {
    stockade_runtime *sb; /* with the running sandbox "bench" */
    rt_call call;         /* of the main thread */
    char codebase[64];
    unsigned serial;
};

extern const char *const true_argv[]; /* /bin/sh -c true */

double spawn_and_wait(const char *const *argv, const posix_spawn_file_actions_t *actions); /* ms */
double exec_baseline(void *arg);                                                           /* true_argv, ms */
double exec_ours(void *arg);                                                               /* arg: struct host */

void bench_session(struct host *host);
void bench_threads(struct host *host);

#endif
