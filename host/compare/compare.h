/* One comparison: who takes part, what is measured, and what came out. */
#ifndef STOCKADE_COMPARE_H
#define STOCKADE_COMPARE_H

#include "host/measure/rounds.h"
#include "host/measure/stats.h"
#include "subject.h"
#include "workload.h"

#include <cjson/cJSON.h>

/* One subject's values of a figure, or why there are none. */
struct result {
    struct samples samples;
    char failure[SUBJECT_TEXT]; /* "" if nothing failed */
};

/* One line of the report. */
struct figure {
    char id[WORKLOAD_NAME_MAX + 16]; /* "exec"; a user's workload is "workload.NAME" */
    char title[WORKLOAD_NAME_MAX + 64];
    const char *unit;
    bool more_is_better;
    int baseline;           /* index of the figure that the host's side is taken from; -1 = there is none */
    struct result *results; /* one a subject */
};

struct task;

struct compare {
    struct subject *subjects; /* the host first */
    size_t n_subjects;
    struct figure *figures;
    size_t n_figures;
    struct task *tasks;
    size_t n_tasks;
    const struct workload *workloads; /* the user's */
    size_t n_workloads;
    bool bare_workloads; /* these run on the host too */
    const char *only;    /* ids of tasks, separated by commas, that are to be run; NULL = all */
    unsigned runs;
    uint64_t random;
    int cancel_fd;
    bool is_cancelled;
    /* progress, on a terminal only */
    bool shows_progress;
    double began_ms, expected, done; /* of the tasks' nominal cost */
};

/* Work that is done in rounds by all subjects; it gives values to the figures from first on. */
struct task {
    const char *id, *what;
    round_fn *run;
    const struct workload *workload; /* NULL = none */
    size_t first;
    unsigned warm_up, rounds;
    double cost_ms; /* of one round of one subject, roughly: for the estimate */
    bool on_host, needs_session, needs_stream;
};

/* What a task's round_fn gets. */
struct cell {
    struct compare *compare;
    struct subject *subject;
    struct task *task;
};

#define FIGURES_MAX 64

/* tasks.c: fills in figures and tasks, from runs and the workloads. False if memory runs out. */
bool compare_plan(struct compare *compare);
void compare_release(struct compare *compare);

/* The first of the names of only that is no task's, and its length; NULL if all are. */
const char *task_unknown(const struct compare *compare, size_t *ret_len);

/* Whether a task is to be run. */
bool task_is_wanted(const struct compare *compare, const struct task *task);

/* run.c: runs them all. What fails is in results and subjects. False if it was cancelled, or memory ran out. */
bool compare_run(struct compare *compare);

/* A cell's result of the task's n-th figure. */
struct result *cell_result(const struct cell *cell, size_t n);

/* ---- reports --------------------------------------------------------------------------------------------------- */

/* document.c: everything as JSON, what all reports are made from; docs/comparing.md has its form. NULL: no memory. */
cJSON *compare_document(const struct compare *compare);

/* text.c: the plan and the outcome, to stdout. */
void text_plan(const struct compare *compare);
bool text_report(const cJSON *document);

/* html.c: a page that needs nothing but itself. The caller frees it; NULL if memory runs out. */
char *html_report(const cJSON *document);

#endif
