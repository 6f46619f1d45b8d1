/* Running the plan. */
#include "compare.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

static bool cancel_seen(struct compare *compare)
{
    struct pollfd fd = { .fd = compare->cancel_fd, .events = POLLIN };

    if (!compare->is_cancelled && poll(&fd, 1, 0) > 0)
        compare->is_cancelled = true;
    return compare->is_cancelled;
}

/* ---- progress -------------------------------------------------------------------------------------------------- */

static double task_cost(const struct compare *compare, const struct task *task)
{
    return !task_is_wanted(compare, task)
               ? 0
               : task->cost_ms * (double)(compare->n_subjects * (task->warm_up + task->rounds));
}

static void progress_show(struct compare *compare, const struct task *task, unsigned round)
{
    double done = compare->done + task_cost(compare, task) * round / (task->warm_up + task->rounds);
    double spent = measure_now_ms() - compare->began_ms;

    if (!compare->shows_progress)
        return;
    fprintf(stderr, CLEAR_LINE "%3.0f %%  %s, round %u of %u", 100 * done / compare->expected, task->id, round + 1,
            task->warm_up + task->rounds);
    /* An estimate from nothing helps nobody. */
    if (done > compare->expected / 50)
        fprintf(stderr, "; about %.0f s left", spent * (compare->expected - done) / done / 1e3);
}

struct at {
    struct compare *compare;
    struct task *task;
};

static bool round_begin(void *user, unsigned round)
{
    struct at *at = user;

    progress_show(at->compare, at->task, round);
    return !cancel_seen(at->compare);
}

/* ---- a task ---------------------------------------------------------------------------------------------------- */

static void failure_set(struct cell *cell, const char *text)
{
    snprintf(cell_result(cell, 0)->failure, SUBJECT_TEXT, "%s", text);
}

/* Whether this subject takes part; if not, its result says why. */
static bool cell_prepare(struct cell *cell)
{
    const struct task *task = cell->task;
    struct subject *subject = cell->subject;
    uint64_t can = subject->sb ? subject->sb->plugin->capabilities : 0;

    if (*subject->error)
        return false; /* that is said once, for all figures */
    if (subject->is_host && !task->on_host)
        return false;
    if (task->needs_session && !(can & RT_CAP_SESSION))
        return failure_set(cell, "the runtime has no sessions"), false;
    if (task->needs_stream && !subject->is_host && !(can & RT_CAP_STREAM))
        return failure_set(cell, "the runtime does not stream"), false;
    if (!subject_box_up(subject))
        return false;
    return !task->workload || !task->workload->setup ||
           subject_run(subject, SUBJECT_BOX, &(struct job){ .shell = task->workload->setup },
                       cell_result(cell, 0)->failure, NULL);
}

static bool task_run(struct compare *compare, struct task *task)
{
    struct round_item *items = calloc(compare->n_subjects, sizeof *items);
    struct cell *cells = calloc(compare->n_subjects, sizeof *cells);
    struct at at = { compare, task };
    bool is_done = items && cells;

    for (size_t i = 0; is_done && i < compare->n_subjects; i++) {
        cells[i] = (struct cell){ compare, &compare->subjects[i], task };
        items[i] = (struct round_item){ .run = task->run, .arg = &cells[i], .has_failed = !cell_prepare(&cells[i]) };
    }
    is_done = is_done && rounds_run(&(struct rounds){ .items = items,
                                                      .n = compare->n_subjects,
                                                      .warm_up = task->warm_up,
                                                      .rounds = task->rounds,
                                                      .random = &compare->random,
                                                      .before_round = round_begin,
                                                      .user = &at });
    free(cells);
    free(items);
    compare->done += task_cost(compare, task);
    return is_done;
}

bool compare_run(struct compare *compare)
{
    bool is_done = true;

    compare->began_ms = measure_now_ms();
    compare->shows_progress = isatty(STDERR_FILENO);
    for (size_t i = 0; i < compare->n_tasks; i++)
        compare->expected += task_cost(compare, &compare->tasks[i]);
    for (size_t i = 0; is_done && i < compare->n_tasks; i++)
        is_done = !task_is_wanted(compare, &compare->tasks[i]) || task_run(compare, &compare->tasks[i]);
    if (compare->shows_progress)
        fprintf(stderr, CLEAR_LINE);
    return is_done && !cancel_seen(compare);
}
