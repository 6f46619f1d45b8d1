/* Commands by several threads at once: how many a second, against bare processes by as many threads. */
#include "host.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8
#define EACH    40

struct worker {
    bench_fn *work;
    void *arg; /* the thread's own */
    int each;
};

static void *worker_run(void *arg)
{
    struct worker *worker = arg;

    for (int i = 0; i < worker->each; i++)
        worker->work(worker->arg);
    return NULL;
}

double threads_rate(bench_fn *work, const void *arg, size_t size, int each)
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    char *copies = malloc(THREADS * size);
    double start = bench_now_ms();

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ work, copies + (size_t)i * size, each };
        if (!copies || !memcpy(workers[i].arg, arg, size) || pthread_create(&threads[i], NULL, worker_run, &workers[i]))
            exit(1);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    free(copies);
    return THREADS * each / ((bench_now_ms() - start) / 1e3);
}

static double threads_ours(void *arg)
{
    return threads_rate(exec_ours, arg, sizeof(struct host), EACH);
}

static double threads_baseline(void *arg)
{
    return threads_rate(exec_baseline, arg, sizeof(struct host), EACH);
}

/* The same by one thread: that and the figure before say how execs scale with the cores. */
static double one_thread(void *arg)
{
    double start = bench_now_ms();

    for (int i = 0; i < EACH; i++)
        exec_ours(arg);
    return EACH / ((bench_now_ms() - start) / 1e3);
}

void bench_threads(struct host *host)
{
    bench_run(&(struct bench){ .name = "exec_8_threads.bwrap",
                               .unit = "1/s",
                               .ours = threads_ours,
                               .baseline = threads_baseline,
                               .arg = host,
                               .warm_up = 1,
                               .rounds = 15,
                               .more_is_better = 1 });
    bench_run(&(struct bench){ .name = "exec_8_threads_vs_1.bwrap",
                               .unit = "1/s",
                               .ours = threads_ours,
                               .baseline = one_thread,
                               .arg = host,
                               .warm_up = 1,
                               .rounds = 15,
                               .more_is_better = 1 });
}
