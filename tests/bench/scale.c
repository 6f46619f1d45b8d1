/* Many sandboxes: what one more of them costs, how a command fares among them, how quickly they start and are found. */
#include "bare_mount.h"
#include "host.h"

#include "host/compare/footprint.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define ALIVE    500
#define BARE     50 /* what is bare of them: shared pages count for little from there on */
#define THREADS  8
#define STARTS   5 /* of each thread */
#define RECORDS  1000
#define BASE_MAX 200 /* rounds of the latency of one sandbox's commands */

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- by several threads ---- */

struct part {
    pthread_t thread;
    struct host host; /* with a call of the thread's own */
    void (*work)(struct host *host, int number);
    int first, n;
};

static void *part_run(void *arg)
{
    struct part *part = arg;

    for (int i = 0; i < part->n; i++)
        part->work(&part->host, part->first + i);
    return NULL;
}

/* work for each number below THREADS * each. */
static void in_threads(const struct host *host, void (*work)(struct host *host, int number), int each)
{
    struct part parts[THREADS];

    for (int i = 0; i < THREADS; i++) {
        parts[i] = (struct part){ .host = *host, .work = work, .first = i * each, .n = each };
        errno = pthread_create(&parts[i].thread, NULL, part_run, &parts[i]);
        if (errno)
            fail("pthread_create");
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(parts[i].thread, NULL);
}

/* ---- starts by 8 threads ---- */

static void start_one(struct host *host, int number)
{
    char id[32];

    snprintf(id, sizeof id, "rate-%d", number);
    box_cycle(host, id);
}

static void start_bare(struct host *host, int number)
{
    char dir[sizeof host->codebase + 24];

    snprintf(dir, sizeof dir, "%s.bare-%d", host->codebase, number);
    bare_cycle(dir);
}

static double rate_of(const struct host *host, void (*work)(struct host *host, int number))
{
    double start = bench_now_ms();

    in_threads(host, work, STARTS);
    return THREADS * STARTS / ((bench_now_ms() - start) / 1e3);
}

static double rate_ours(void *arg)
{
    return rate_of(arg, start_one);
}

static double rate_bare(void *arg)
{
    return rate_of(arg, start_bare);
}

/* ---- 500 alive ---- */

struct crowd {
    struct host *host;
    double alone[BASE_MAX]; /* what commands took while there was one sandbox */
    size_t n_alone, next;
    double ours, bare; /* MiB a sandbox */
};

static void alive_id(char id[32], int number)
{
    snprintf(id, 32, "alive-%d", number);
}

static void alive_start(struct host *host, int number)
{
    char id[32];

    alive_id(id, number);
    if (number < ALIVE)
        box_make(host, id);
}

static void alive_end(struct host *host, int number)
{
    char id[32];

    alive_id(id, number);
    if (number < ALIVE)
        bench_check(host->sb->ops->destroy(host->sb->rt, id, &host->call), &host->call);
}

#define EACH ((ALIVE + THREADS - 1) / THREADS)

/* A command in another of them each time. */
static double exec_among(void *arg)
{
    struct crowd *crowd = arg;
    char id[32];

    alive_id(id, (int)(crowd->host->serial++ * 7919 % ALIVE));
    return exec_in(crowd->host, id);
}

static double exec_alone(void *arg)
{
    struct crowd *crowd = arg;

    return crowd->alone[crowd->next++ % crowd->n_alone];
}

static double mib_each(const struct pids *before, int n)
{
    return (double)footprint_of(before, "") / (1 << 20) / n;
}

/* A bare bubblewrap that waits, and a bare mount, BARE of each. */
static double bare_mib(const struct host *host)
{
    static const char *const sleeping[] = { "/usr/bin/bwrap",
                                            "--unshare-all",
                                            "--die-with-parent",
                                            "--ro-bind",
                                            "/usr",
                                            "/usr",
                                            "--symlink",
                                            "usr/lib",
                                            "/lib",
                                            "--symlink",
                                            "usr/lib64",
                                            "/lib64",
                                            "--",
                                            "/usr/bin/sleep",
                                            "1000",
                                            NULL };
    static pid_t mounts[BARE], sleepers[BARE];
    static char dirs[BARE][sizeof host->codebase + 24];
    struct pids before;
    double mib;

    pids_take(&before);
    for (int i = 0; i < BARE; i++) {
        snprintf(dirs[i], sizeof dirs[i], "%s.bare-%d", host->codebase, i);
        if (mkdir(dirs[i], 0755) < 0)
            fail(dirs[i]);
        mounts[i] = bare_mount_start(dirs[i]);
        errno = posix_spawn(&sleepers[i], sleeping[0], NULL, NULL, (char *const *)(uintptr_t)sleeping, environ);
        if (errno)
            fail(sleeping[0]);
    }
    usleep(500000); /* until each has got as far as to sleep */
    mib = mib_each(&before, BARE);
    for (int i = 0; i < BARE; i++) {
        kill(sleepers[i], SIGKILL);
        waitpid(sleepers[i], NULL, 0);
    }
    for (int i = 0; i < BARE; i++) {
        bare_mount_end(mounts[i], dirs[i]);
        rmdir(dirs[i]);
    }
    pids_release(&before);
    return mib;
}

static double ours_measured(void *arg)
{
    return ((const struct crowd *)arg)->ours;
}

static double bare_measured(void *arg)
{
    return ((const struct crowd *)arg)->bare;
}

static void bench_crowd(struct host *host)
{
    static struct crowd crowd;
    struct pids before;

    if (!bench_is_wanted("memory.bwrap") && !bench_is_wanted("exec_of_500.bwrap"))
        return;
    crowd.host = host;
    for (int i = 0; i < BASE_MAX; i++)
        crowd.alone[crowd.n_alone++] = exec_in(host, "bench");
    crowd.bare = bare_mib(host);
    pids_take(&before);
    in_threads(host, alive_start, EACH);
    crowd.ours = mib_each(&before, ALIVE);
    pids_release(&before);
    bench_run(&(struct bench){ .name = "memory.bwrap",
                               .unit = "MiB",
                               .ours = ours_measured,
                               .baseline = bare_measured,
                               .arg = &crowd,
                               .rounds = 1 });
    bench_run(&(struct bench){ .name = "exec_of_500.bwrap",
                               .unit = "ms",
                               .ours = exec_among,
                               .baseline = exec_alone,
                               .arg = &crowd,
                               .warm_up = ALIVE, /* each has been reached once: the first time opens its handles */
                               .rounds = 500 });
    in_threads(host, alive_end, EACH);
}

/* ---- opening a state directory with many in it ---- */

struct states {
    struct host *host;
    char full[96], empty[96];
};

static double open_timed(const struct host *host, const char *dir)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb;
    double start = bench_now_ms(), took;

    (void)host;
    options.state_dir = dir;
    options.runtime = "bwrap";
    bench_check(stockade_open(&options, &call, &sb), &call);
    took = bench_now_ms() - start;
    stockade_close(sb);
    return took;
}

static double open_full(void *arg)
{
    const struct states *states = arg;

    return open_timed(states->host, states->full);
}

static double open_empty(void *arg)
{
    const struct states *states = arg;

    return open_timed(states->host, states->empty);
}

static void records_make(const struct host *host, const char *dir)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb;

    options.state_dir = dir;
    options.runtime = "bwrap";
    bench_check(stockade_open(&options, &call, &sb), &call);
    for (int i = 0; i < RECORDS; i++) {
        char id[32];
        const rt_sandbox_spec spec = {
            .size = sizeof spec, .id = id, .codebase = host->codebase, .lifetime = RT_LIFETIME_PERSISTENT
        };

        snprintf(id, sizeof id, "stopped-%d", i);
        bench_check(sb->ops->create(sb->rt, &spec, &call, NULL), &call);
    }
    stockade_close(sb);
}

static void bench_open(struct host *host)
{
    struct states states = { .host = host };

    if (!bench_is_wanted("open_1000.bwrap"))
        return;
    snprintf(states.full, sizeof states.full, "%s.full", host->codebase);
    snprintf(states.empty, sizeof states.empty, "%s.empty", host->codebase);
    records_make(host, states.full);
    bench_run(&(struct bench){ .name = "open_1000.bwrap",
                               .unit = "ms",
                               .ours = open_full,
                               .baseline = open_empty,
                               .arg = &states,
                               .warm_up = 1,
                               .rounds = 20 });
    (void)spawn_and_wait((const char *const[]){ "/bin/rm", "-rf", states.full, states.empty, NULL }, NULL);
}

/* A sandbox takes a handful of fds of its host. */
static void fds_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("setrlimit");
}

void bench_scale(struct host *host)
{
    fds_raise();
    bench_run(&(struct bench){ .name = "start_8_threads.bwrap",
                               .unit = "1/s",
                               .ours = rate_ours,
                               .baseline = rate_bare,
                               .arg = host,
                               .warm_up = 1,
                               .rounds = 7,
                               .more_is_better = 1 });
    bench_crowd(host);
    bench_open(host);
}
