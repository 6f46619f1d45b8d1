/* Measuring: ours and the baseline in turns in one run, so that a noisy machine is noisy for both. */
#ifndef BENCH_H
#define BENCH_H

#include "host/stockade.h"

#include <stdbool.h>
#include <stddef.h>

/* One measured piece of work; returns what it took, in the bench's unit. */
typedef double bench_fn(void *arg);

struct bench {
    const char *name, *unit;
    bench_fn *ours, *baseline;
    void *arg;
    int warm_up, rounds;
    int more_is_better; /* for the reader; ratio is ours to baseline in any case */
};

/* Whether BENCH in the environment is not there, or a pattern that the name matches. */
bool bench_is_wanted(const char *name);

/* Whether that can be so for any name that begins like this: else nothing needs to be prepared. */
bool bench_any_is_wanted(const char *prefix);

/* Runs it and adds its medians to the report; not if BENCH in the environment is a pattern that its name does not
 * match; with at most BENCH_ROUNDS rounds, if that is there. */
void bench_run(const struct bench *bench);

/* Writes all that was run as JSON: an array of {"name", "ours", "baseline", "unit", "ratio"}. 0 on success. */
int bench_write(const char *file);

double bench_now_ms(void);

/* The workspace filesystem (fs.c), below dir; takes root. */
void bench_fs(const char *dir);

/* Ends the program with a message if an op failed. */
void bench_check(int32_t status, const rt_call *call);

#endif
