/* Commands by several threads at once: how many a second, against bare processes by as many threads. */
#include "host.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 8
#define EACH    40

struct worker {
    bench_fn *work;
    struct host host; /* with a call of the thread's own */
};

static void *worker_run(void *arg)
{
    struct worker *worker = arg;

    for (int i = 0; i < EACH; i++)
        worker->work(&worker->host);
    return NULL;
}

static double threads_rate(bench_fn *work, const struct host *host)
{
    static struct worker workers[THREADS];
    pthread_t threads[THREADS];
    double start = bench_now_ms();

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ work, *host };
        if (pthread_create(&threads[i], NULL, worker_run, &workers[i]))
            exit(1);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return THREADS * EACH / ((bench_now_ms() - start) / 1e3);
}

static double threads_ours(void *arg)
{
    return threads_rate(exec_ours, arg);
}

static double threads_baseline(void *arg)
{
    return threads_rate(exec_baseline, arg);
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
