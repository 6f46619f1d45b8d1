/* What is measured, and how each is done once. */
#include "compare.h"
#include "footprint.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BYTES ((size_t)64 << 20)
#define STDIN_BYTES  ((size_t)32 << 20)
#define THREADS      8
#define EACH         10 /* commands of a thread in one round */

static const char *const true_argv[] = { "/bin/sh", "-c", "true", NULL };

struct result *cell_result(const struct cell *cell, size_t n)
{
    return &cell->compare->figures[cell->task->first + n].results[cell->subject - cell->compare->subjects];
}

static bool cell_keep(const struct cell *cell, size_t n, double value, bool keep)
{
    return !keep || samples_add(&cell_result(cell, n)->samples, value);
}

/* ---- a sandbox's life ------------------------------------------------------------------------------------------ */

enum { LIFE_CREATE, LIFE_START, LIFE_FIRST, LIFE_STOP, LIFE_DESTROY, LIFE_MEMORY, LIFE_N };

static bool op_failed(const struct cell *cell, const rt_call *call)
{
    for (size_t i = 0; i < LIFE_N; i++)
        snprintf(cell_result(cell, i)->failure, SUBJECT_TEXT, "%s: %s", call->error.op, call->error.message);
    return false;
}

static double memory_of(struct subject *subject, const char *id, const struct pids *before)
{
    rt_call call = subject_call(subject);
    rt_sandbox_info *info;
    double mib;

    if (subject->sb->ops->get(subject->sb->rt, id, &call, &info))
        return 0;
    mib = (double)footprint_of(before, info->backend_id) / (1 << 20);
    subject->sb->ops->sandbox_info_free(info);
    return mib;
}

/* The values of one life; false with the failure told. */
static bool life_live(const struct cell *cell, const char *id, const struct pids *before, double values[LIFE_N])
{
    struct subject *subject = cell->subject;
    const rt_ops *ops = subject->sb->ops;
    rt_call call = subject_call(subject);
    double at[LIFE_N + 1];

    at[0] = measure_now_ms();
    if (subject_box_create(subject, id, &call))
        return op_failed(cell, &call);
    at[1] = measure_now_ms();
    if (ops->start(subject->sb->rt, id, &call))
        return op_failed(cell, &call);
    at[2] = measure_now_ms();
    /* A backend that cannot run the command has a life all the same; the reason stays with this figure. */
    (void)subject_run(subject, id, &(struct job){ .argv = true_argv }, cell_result(cell, LIFE_FIRST)->failure, NULL);
    at[3] = measure_now_ms();
    values[LIFE_MEMORY] = memory_of(subject, id, before);
    at[4] = measure_now_ms();
    if (ops->stop(subject->sb->rt, id, &call))
        return op_failed(cell, &call);
    at[5] = measure_now_ms();
    if (ops->destroy(subject->sb->rt, id, &call))
        return op_failed(cell, &call);
    at[6] = measure_now_ms();
    values[LIFE_CREATE] = at[1] - at[0];
    values[LIFE_START] = at[2] - at[1];
    values[LIFE_FIRST] = at[3] - at[2];
    values[LIFE_STOP] = at[5] - at[4];
    values[LIFE_DESTROY] = at[6] - at[5];
    return true;
}

static bool life_run(void *arg, bool keep)
{
    struct cell *cell = arg;
    double values[LIFE_N];
    struct pids before;
    bool is_good;
    char id[32];

    snprintf(id, sizeof id, "life-%u", cell->subject->serial++);
    pids_take(&before);
    is_good = life_live(cell, id, &before, values);
    pids_release(&before);
    if (!is_good) {
        rt_call call = RT_CALL_INIT; /* not the cancelled one: what is left must go */

        (void)cell->subject->sb->ops->destroy(cell->subject->sb->rt, id, &call);
    }
    for (size_t i = 0; is_good && i < LIFE_N; i++)
        if (!*cell_result(cell, i)->failure)
            is_good = cell_keep(cell, i, values[i], keep);
    return is_good;
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

static bool timed_run(const struct cell *cell, const struct job *job, double *ret_ms, size_t *ret_bytes)
{
    double start = measure_now_ms();

    if (!subject_run(cell->subject, SUBJECT_BOX, job, cell_result(cell, 0)->failure, ret_bytes))
        return false;
    *ret_ms = measure_now_ms() - start;
    return true;
}

static bool exec_run(void *arg, bool keep)
{
    double ms;

    return timed_run(arg, &(struct job){ .argv = true_argv }, &ms, NULL) && cell_keep(arg, 0, ms, keep);
}

static bool session_run(void *arg, bool keep)
{
    double ms;

    return timed_run(arg, &(struct job){ .shell = ":", .in_session = true }, &ms, NULL) && cell_keep(arg, 0, ms, keep);
}

static double rate(size_t bytes, double ms)
{
    return (double)bytes / (1 << 20) / (ms / 1e3);
}

static bool stdout_run(void *arg, bool keep)
{
    static const char *const argv[] = { "head", "-c", "67108864", "/dev/zero", NULL };
    const struct cell *cell = arg;
    size_t bytes = 0;
    double ms;

    if (!timed_run(cell, &(struct job){ .argv = argv, .is_streamed = true }, &ms, &bytes))
        return false;
    if (bytes == STREAM_BYTES)
        return cell_keep(cell, 0, rate(bytes, ms), keep);
    snprintf(cell_result(cell, 0)->failure, SUBJECT_TEXT, "%zu of %zu bytes arrived", bytes, STREAM_BYTES);
    return false;
}

static bool stdin_run(void *arg, bool keep)
{
    struct job job = { .shell = "test $(wc -c) -eq 33554432", .in_len = STDIN_BYTES };
    const struct cell *cell = arg;
    void *zeros = calloc(1, STDIN_BYTES);
    bool is_good;
    double ms;

    job.in = zeros;
    is_good = zeros && timed_run(cell, &job, &ms, NULL) && cell_keep(cell, 0, rate(STDIN_BYTES, ms), keep);
    free(zeros);
    return is_good;
}

/* ---- several at once ------------------------------------------------------------------------------------------- */

struct worker {
    const struct subject *subject;
    char failure[SUBJECT_TEXT];
    bool is_good;
};

static void *worker_run(void *arg)
{
    struct worker *worker = arg;

    worker->is_good = true;
    for (int i = 0; worker->is_good && i < EACH; i++)
        worker->is_good =
            subject_run(worker->subject, SUBJECT_BOX, &(struct job){ .argv = true_argv }, worker->failure, NULL);
    return NULL;
}

static bool concurrent_run(void *arg, bool keep)
{
    struct worker workers[THREADS];
    const struct cell *cell = arg;
    pthread_t threads[THREADS];
    double start = measure_now_ms();
    size_t n = 0;
    bool is_good;

    for (; n < THREADS; n++) {
        workers[n].subject = cell->subject;
        if (pthread_create(&threads[n], NULL, worker_run, &workers[n]))
            break;
    }
    is_good = n == THREADS;
    if (!is_good)
        snprintf(cell_result(cell, 0)->failure, SUBJECT_TEXT, "only %zu threads could be started", n);
    for (size_t i = 0; i < n; i++) {
        (void)pthread_join(threads[i], NULL);
        if (is_good && !workers[i].is_good)
            memcpy(cell_result(cell, 0)->failure, workers[i].failure, SUBJECT_TEXT);
        is_good = is_good && workers[i].is_good;
    }
    return is_good && cell_keep(cell, 0, THREADS * EACH / ((measure_now_ms() - start) / 1e3), keep);
}

/* ---- workloads ------------------------------------------------------------------------------------------------- */

/* Made without a library's help on either side: what the smallest image has. */
#define SH_TREE                                                                                                        \
    "mkdir tree && i=0 && while [ $i -lt 1000 ]; do [ -d tree/$((i / 50)) ] || mkdir tree/$((i / 50)); "               \
    "echo \"line of file $i\" > tree/$((i / 50))/$i; i=$((i + 1)); done"
#define SH_BUILD                                                                                                       \
    "mkdir src && i=0 && while [ $i -lt 8 ]; do { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; "             \
    "echo \"int f$i(int x) { printf(\\\"%d\\\", x); return abs(x) + $i; }\"; } > src/$i.c; i=$((i + 1)); done && "     \
    "echo 'int main(void) { return 0; }' > src/main.c"

static char no_name[] = ""; /* ours are not called by theirs */
#define OURS(...)                                                                                                      \
    {                                                                                                                  \
        .name = no_name, __VA_ARGS__                                                                                   \
    }

static char tree_make[] = SH_TREE, tree_stat[] = "ls -lR tree > /dev/null", tree_read[] = "cat tree/*/* > /dev/null";
static char big_make[] = "dd if=/dev/zero of=big bs=1048576 count=64 2> /dev/null";
static char big_read[] = "dd if=big of=/dev/null bs=1048576 2> /dev/null";
static char new_write[] = "dd if=/dev/zero of=new bs=1048576 count=64 2> /dev/null", new_remove[] = "rm new";
static char src_make[] = SH_BUILD,
            src_build[] = "for f in src/*.c; do cc -O1 -c $f -o ${f%.c}.o || exit; done && "
                          "cc src/*.o -o src/prog",
            src_clean[] = "rm -f src/*.o src/prog";
static char tree_ready[] = "test -d tree";

static const struct workload own_workloads[] = {
    OURS(.setup = tree_make, .command = tree_stat),
    OURS(.setup = tree_ready, .command = tree_read),
    OURS(.setup = big_make, .command = big_read),
    OURS(.command = new_write, .cleanup = new_remove),
    OURS(.setup = src_make, .command = src_build, .cleanup = src_clean),
};

static bool workload_run(void *arg, bool keep)
{
    const struct cell *cell = arg;
    const struct workload *workload = cell->task->workload;
    double ms;

    if (!timed_run(cell, &(struct job){ .shell = workload->command }, &ms, NULL) || !cell_keep(cell, 0, ms, keep))
        return false;
    return !workload->cleanup || subject_run(cell->subject, SUBJECT_BOX, &(struct job){ .shell = workload->cleanup },
                                             cell_result(cell, 0)->failure, NULL);
}

/* ---- the plan -------------------------------------------------------------------------------------------------- */

static bool figure_add(struct compare *compare, const char *id, const char *title, const char *unit, int baseline)
{
    struct figure *figure = &compare->figures[compare->n_figures];

    if (compare->n_figures == FIGURES_MAX)
        return false;
    figure->results = calloc(compare->n_subjects, sizeof *figure->results);
    if (!figure->results)
        return false;
    snprintf(figure->id, sizeof figure->id, "%s", id);
    snprintf(figure->title, sizeof figure->title, "%s", title);
    figure->unit = unit;
    figure->more_is_better = !strcmp(unit, "MiB/s") || !strcmp(unit, "1/s");
    figure->baseline = baseline;
    compare->n_figures++;
    return true;
}

static unsigned least(unsigned rounds, unsigned min)
{
    return rounds < min ? min : rounds;
}

/* The next figure's own host side is its baseline. */
static int own(const struct compare *compare)
{
    return (int)compare->n_figures;
}

static void task_add(struct compare *compare, const struct task *task)
{
    struct task *added = &compare->tasks[compare->n_tasks++];

    *added = *task;
    added->first = compare->n_figures;
    added->warm_up = task->warm_up ? task->warm_up : 1;
}

static bool commands_plan(struct compare *compare)
{
    const unsigned runs = compare->runs;
    int exec = own(compare);
    bool fits;

    task_add(compare, &(struct task){ .id = "exec",
                                      .what = "/bin/sh -c true",
                                      .run = exec_run,
                                      .warm_up = 5,
                                      .rounds = 10 * runs,
                                      .cost_ms = 2,
                                      .on_host = true });
    fits = figure_add(compare, "exec", "a command in a running sandbox", "ms", exec);
    task_add(compare, &(struct task){ .id = "session_exec",
                                      .what = "':' in a session's shell",
                                      .run = session_run,
                                      .warm_up = 5,
                                      .rounds = 10 * runs,
                                      .cost_ms = 1,
                                      .needs_session = true });
    fits = fits && figure_add(compare, "session_exec", "a command in a session", "ms", exec);
    task_add(compare, &(struct task){ .id = "stdout",
                                      .what = "64 MiB from a command to a callback",
                                      .run = stdout_run,
                                      .rounds = least(runs / 2, 3),
                                      .cost_ms = 60,
                                      .on_host = true,
                                      .needs_stream = true });
    fits = fits && figure_add(compare, "stdout", "output, streamed", "MiB/s", own(compare));
    task_add(compare, &(struct task){ .id = "stdin",
                                      .what = "32 MiB to a command that counts them",
                                      .run = stdin_run,
                                      .rounds = least(runs / 2, 3),
                                      .cost_ms = 60,
                                      .on_host = true });
    fits = fits && figure_add(compare, "stdin", "input", "MiB/s", own(compare));
    task_add(compare, &(struct task){ .id = "concurrent",
                                      .what = "8 threads, 10 commands each",
                                      .run = concurrent_run,
                                      .rounds = least(runs / 2, 3),
                                      .cost_ms = 80,
                                      .on_host = true });
    return fits && figure_add(compare, "concurrent", "commands a second by 8 threads", "1/s", own(compare));
}

static bool files_plan(struct compare *compare)
{
    static const char *const ids[] = { "fs_stat", "fs_small_reads", "fs_read", "fs_write", "fs_build" };
    static const char *const titles[] = { "listing 1000 files with their attributes", "reading 1000 small files",
                                          "reading 64 MiB, warm", "writing 64 MiB", "compiling 9 C files" };
    bool fits = true;

    for (size_t i = 0; fits && i < sizeof ids / sizeof *ids; i++) {
        task_add(compare, &(struct task){ .id = ids[i],
                                          .what = titles[i],
                                          .run = workload_run,
                                          .workload = &own_workloads[i],
                                          .rounds = least(compare->runs / 2, 3),
                                          .cost_ms = i == 4 ? 500 : 40,
                                          .on_host = true });
        fits = figure_add(compare, ids[i], titles[i], "ms", own(compare));
    }
    return fits;
}

static bool life_plan(struct compare *compare)
{
    static const struct {
        const char *id, *title, *unit;
    } lines[LIFE_N] = {
        [LIFE_CREATE] = { "create", "create", "ms" },
        [LIFE_START] = { "start", "start", "ms" },
        [LIFE_FIRST] = { "first_exec", "the first command after start", "ms" },
        [LIFE_STOP] = { "stop", "stop", "ms" },
        [LIFE_DESTROY] = { "destroy", "destroy", "ms" },
        [LIFE_MEMORY] = { "memory", "memory of an idle sandbox (PSS)", "MiB" },
    };
    int exec = LIFE_N; /* the figure after these */
    bool fits = true;

    task_add(compare, &(struct task){ .id = "life",
                                      .run = life_run,
                                      .warm_up = 2,
                                      .rounds = compare->runs,
                                      .what = "a new sandbox: create, start, first command, memory, stop, destroy",
                                      .cost_ms = 150 });
    for (size_t i = 0; fits && i < LIFE_N; i++)
        fits = figure_add(compare, lines[i].id, lines[i].title, lines[i].unit, i == LIFE_FIRST ? exec : -1);
    return fits;
}

static bool workloads_plan(struct compare *compare)
{
    bool fits = true;

    for (size_t i = 0; fits && i < compare->n_workloads; i++) {
        const struct workload *workload = &compare->workloads[i];
        char id[WORKLOAD_NAME_MAX + 16];

        snprintf(id, sizeof id, "workload.%s", workload->name);
        task_add(compare, &(struct task){ .id = "workload",
                                          .what = workload->name,
                                          .run = workload_run,
                                          .workload = workload,
                                          .rounds = compare->runs,
                                          .cost_ms = 100,
                                          .on_host = compare->bare_workloads });
        fits = figure_add(compare, id, workload->name, "ms", compare->bare_workloads ? own(compare) : -1);
    }
    return fits;
}

bool compare_plan(struct compare *compare)
{
    compare->figures = calloc(FIGURES_MAX, sizeof *compare->figures);
    compare->tasks = calloc(FIGURES_MAX, sizeof *compare->tasks);
    return compare->figures && compare->tasks && life_plan(compare) && commands_plan(compare) && files_plan(compare) &&
           workloads_plan(compare);
}

/* The name behind the one at `at`, in a list with commas between them; NULL at its end. */
static const char *name_next(const char *at)
{
    const char *comma = strchr(at, ',');

    return comma ? comma + 1 : NULL;
}

static bool name_is(const char *at, const char *id)
{
    const size_t len = strcspn(at, ",");

    return strlen(id) == len && !strncmp(at, id, len);
}

const char *task_unknown(const struct compare *compare, size_t *ret_len)
{
    for (const char *at = compare->only; at; at = name_next(at)) {
        size_t i = 0;

        while (i < compare->n_tasks && !name_is(at, compare->tasks[i].id))
            i++;
        *ret_len = strcspn(at, ",");
        if (i == compare->n_tasks)
            return at;
    }
    return NULL;
}

bool task_is_wanted(const struct compare *compare, const struct task *task)
{
    for (const char *at = compare->only; at; at = name_next(at))
        if (name_is(at, task->id))
            return true;
    return !compare->only;
}

void compare_release(struct compare *compare)
{
    for (size_t i = 0; i < compare->n_figures; i++) {
        for (size_t k = 0; k < compare->n_subjects; k++)
            samples_release(&compare->figures[i].results[k].samples);
        free(compare->figures[i].results);
    }
    free(compare->figures);
    free(compare->tasks);
}
