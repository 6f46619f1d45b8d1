#include "chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUND_MS      2000
#define ROUND_SLOW_MS 6000  /* where an Engine takes part */
#define FAULT_MS      60    /* between two faults, on average */
#define WORKER_MS     90000 /* in which a worker must have come to its end */

/* ---- a round ------------------------------------------------------------------------------------------------------
 */

/* In the child. */
static void cgroup_enter(void)
{
    char path[400];
    int fd;

    snprintf(path, sizeof path, "%s/cgroup.procs", world.cgroup);
    fd = world.cgroup[0] ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    must(write(fd, "0", 1) == 1, path);
    (void)close(fd);
}

static pid_t worker_fork(unsigned round, unsigned number, const int until[2])
{
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid)
        return pid;
    (void)close(until[1]);
    cgroup_enter();
    world_choose(&world.choices[number % world.n_choices]);
    _exit(worker_run(round, number, until[0]));
}

/* Its fault, unless it is a kill of ours. */
static bool worker_ended(unsigned place, int status)
{
    if (!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        return true;
    return complain("worker %u: wait status %#x", place, (unsigned)status);
}

/* Takes whoever has ended: workers, and the orphans of killed ones, which are ours, too. */
static bool workers_reap(pid_t pids[WORKERS])
{
    bool ok = true;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < WORKERS; i++)
            if (pids[i] == pid) {
                pids[i] = 0;
                ok = worker_ended(i, status) && ok;
            }
    return ok;
}

static bool workers_await(pid_t pids[WORKERS])
{
    bool ok = true, any = true;

    for (int waited = 0; any && waited < WORKER_MS; waited += 20) {
        ok = workers_reap(pids) && ok;
        any = false;
        for (unsigned i = 0; i < WORKERS; i++)
            any = any || pids[i];
        if (any)
            usleep(20000);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        if (!pids[i])
            continue;
        ok = complain("worker %u hangs: process %d", i, (int)pids[i]);
        kill(pids[i], SIGKILL);
    }
    return ok;
}

static bool round_run(unsigned round)
{
    struct dice dice = dice_make(round, WORKERS);
    pid_t pids[WORKERS];
    int64_t until = since_ms() + (world.docker_host ? ROUND_SLOW_MS : ROUND_MS);
    unsigned number = 0;
    int end[2];
    bool ok = true;

    note("round %u", round);
    must(pipe2(end, O_CLOEXEC) == 0, "pipe");
    for (; number < WORKERS; number++)
        pids[number] = worker_fork(round, number, end);
    while (since_ms() < until) {
        usleep(1000 * (FAULT_MS / 2 + dice_roll(&dice, FAULT_MS)));
        fault_deal(&dice, pids);
        ok = workers_reap(pids) && ok;
        for (unsigned i = 0; i < WORKERS; i++)
            if (!pids[i])
                pids[i] = worker_fork(round, number++, end);
    }
    faults_lift();
    (void)close(end[1]);
    ok = workers_await(pids) && ok;
    (void)close(end[0]);
    return verify_round() && ok;
}

/* ---- options ------------------------------------------------------------------------------------------------------
 */

static void usage(void)
{
    fprintf(stderr, "usage: chaos --build DIR [--seed N] [--seconds N] [--round N] [--no-bwrap]\n"
                    "             [--docker-host ADDRESS --image IMAGE [--engine DIR]]\n");
    exit(2);
}

static void choices_make(const char *build, bool bwrap)
{
    char lib[PATH_MAX];

    must(realpath(build, lib) != NULL, build);
    if (bwrap) {
        struct choice *choice = &world.choices[world.n_choices++];

        snprintf(choice->plugin, sizeof choice->plugin, "%.300s/lib/stockade/bwrap.so", lib);
        snprintf(choice->config, sizeof choice->config, "{\"bwrap_path\":\"%s/bwrap\"}", world.libexec);
    }
    if (world.docker_host) {
        struct choice *choice = &world.choices[world.n_choices++];

        snprintf(choice->plugin, sizeof choice->plugin, "%.300s/lib/stockade/docker.so", lib);
        snprintf(choice->config, sizeof choice->config, "{\"docker_host\":\"%s\"}", world.docker_host);
    }
    if (!world.n_choices)
        usage();
}

struct options {
    const char *build;
    unsigned seconds, first;
    bool bwrap;
};

static struct options options_take(int argc, char **argv)
{
    static const struct option table[] = {
        { "build", 1, NULL, 'b' },       { "seed", 1, NULL, 's' },   { "seconds", 1, NULL, 't' },
        { "round", 1, NULL, 'r' },       { "image", 1, NULL, 'i' },  { "no-bwrap", 0, NULL, 'n' },
        { "docker-host", 1, NULL, 'd' }, { "engine", 1, NULL, 'e' }, { 0 },
    };
    struct options options = { .seconds = 20, .bwrap = true };
    int option;

    world.seed = (uint64_t)time(NULL);
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == 'b')
            options.build = optarg;
        else if (option == 's')
            world.seed = strtoull(optarg, NULL, 10);
        else if (option == 't')
            options.seconds = (unsigned)atoi(optarg);
        else if (option == 'r')
            options.first = (unsigned)atoi(optarg);
        else if (option == 'n')
            options.bwrap = false;
        else if (option == 'i')
            world.image = optarg;
        else if (option == 'd')
            world.docker_host = optarg;
        else if (option == 'e')
            world.engine_dir = optarg;
        else
            usage();
    }
    if (!options.build)
        usage();
    return options;
}

static void log_keep(void)
{
    char keep[PATH_MAX];

    snprintf(keep, sizeof keep, "%s.log", world.dir);
    (void)rename(world.log, keep);
    fprintf(stderr, "chaos: the whole round is in %s\n", keep);
}

int main(int argc, char **argv)
{
    struct options options = options_take(argc, argv);
    unsigned round = options.first;
    char libexec[PATH_MAX];
    bool ok;

    must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
    snprintf(libexec, sizeof libexec, "%s/libexec/stockade", options.build);
    world_make(libexec);
    choices_make(options.build, options.bwrap);
    printf("chaos: seed %llu, %u s\n", (unsigned long long)world.seed, options.seconds);
    (void)fflush(stdout);
    do {
        log_forget();
        ok = round_run(round++);
    } while (ok && since_ms() < (int64_t)options.seconds * 1000);
    if (!ok) {
        log_show(100);
        fprintf(stderr, "chaos: failed: --seed %llu --round %u\n", (unsigned long long)world.seed, round - 1);
        log_keep();
    }
    if (world_remove() && ok)
        printf("chaos: %u rounds, nothing lost, nothing left\n", round - options.first);
    else
        ok = false;
    return !ok;
}
