#include "chaos.h"

#include "options.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUND_MS    2000
#define FAULT_MS    60    /* between two faults, on average */
#define WORKER_MS   90000 /* in which a worker must have come to its end */
#define STATE_BYTES "size=3m"
#define CODE_BYTES  "size=16m"

struct world world;
static int log_fd = -1;
static struct timespec began;

struct dice dice_make(uint64_t round, uint64_t who)
{
    return (struct dice){ world.seed * UINT64_C(0x9e3779b97f4a7c15) + round * UINT64_C(1000003) + who };
}

uint64_t dice_next(struct dice *dice)
{
    uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

unsigned dice_roll(struct dice *dice, unsigned sides)
{
    return (unsigned)(dice_next(dice) % sides);
}

static int64_t since_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000;
}

void noting_begin(void)
{
    clock_gettime(CLOCK_MONOTONIC, &began);
    log_fd = open(world.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void note(const char *format, ...)
{
    char line[700];
    va_list args;
    int n = snprintf(line, sizeof line, "%7lld [%d] ", (long long)since_ms(), (int)getpid());

    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    (void)!write(log_fd, line, (size_t)n);
}

/* ---- the world ----------------------------------------------------------------------------------------------------
 */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "chaos: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* The helpers are copies, so that these alone are this run's. */
static void helpers_copy(const char *libexec)
{
    static const char *const names[] = { "permfs", "agent", "hold" };
    char from[PATH_MAX];

    must(realpath(libexec, from) != NULL, libexec);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX + 16];

        snprintf(path, sizeof path, "%s/%s", from, names[i]);
        if (access(path, F_OK) == 0)
            must(tree_copy(path, world.libexec, names[i], 0755), path);
    }
    setenv(OPTION_LIBEXEC, world.libexec, 1);
}

static void world_make(const char *libexec)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(world.dir, sizeof world.dir, "%s/chaos.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    must(mkdtemp(world.dir) != NULL && chmod(world.dir, 0711) == 0, world.dir);
    snprintf(world.state, sizeof world.state, "%s/state", world.dir);
    snprintf(world.code, sizeof world.code, "%s/code", world.dir);
    snprintf(world.libexec, sizeof world.libexec, "%s/libexec", world.dir);
    snprintf(world.log, sizeof world.log, "%s/log", world.dir);
    snprintf(world.prefix, sizeof world.prefix, "chaos%d-", (int)getpid());
    must(tree_mkdir(world.dir, "state") && tree_mkdir(world.dir, "code") && tree_mkdir(world.dir, "libexec") &&
             tree_mkdir(world.dir, "committed"),
         world.dir);
    must(chmod(world.state, 0700) == 0, world.state);
    world.small_disks = geteuid() == 0 && mount("chaos", world.state, "tmpfs", 0, STATE_BYTES ",mode=0700") == 0 &&
                        mount("chaos", world.code, "tmpfs", 0, CODE_BYTES ",mode=0755") == 0;
    helpers_copy(libexec);
    noting_begin();
}

static void world_remove(void)
{
    if (world.small_disks) {
        (void)umount2(world.state, MNT_DETACH);
        (void)umount2(world.code, MNT_DETACH);
    }
    tree_remove(world.dir);
}

int32_t world_open(const struct plugin *plugin, rt_call *call, rt_runtime **ret)
{
    return plugin_open(plugin, world.state, NULL, call, ret);
}

/* ---- a round ------------------------------------------------------------------------------------------------------
 */

static pid_t worker_fork(unsigned round, unsigned number, const int until[2])
{
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid)
        return pid;
    (void)close(until[1]);
    _exit(worker_run(round, number, until[0]));
}

/* Its fault, unless it is a kill of ours. */
static bool worker_ended(unsigned place, int status)
{
    if (!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        return true;
    note("worker %u: wait status %#x", place, (unsigned)status);
    return false;
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
        note("worker %u hangs: process %d", i, (int)pids[i]);
        fprintf(stderr, "chaos: worker %u hangs\n", i);
        kill(pids[i], SIGABRT);
        ok = false;
    }
    return ok;
}

static bool round_run(unsigned round)
{
    struct dice dice = dice_make(round, WORKERS);
    pid_t pids[WORKERS];
    int64_t until = since_ms() + ROUND_MS;
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
    fprintf(stderr,
            "usage: chaos --plugin FILE --libexec DIR [--seed N] [--seconds N] [--config JSON] [--image IMAGE]\n"
            "             [--docker-host ADDRESS]\n");
    exit(2);
}

static unsigned options_take(int argc, char **argv, const char **ret_libexec)
{
    static const struct option options[] = {
        { "plugin", 1, NULL, 'p' },      { "libexec", 1, NULL, 'l' },
        { "seed", 1, NULL, 's' },        { "seconds", 1, NULL, 't' },
        { "config", 1, NULL, 'c' },      { "image", 1, NULL, 'i' },
        { "docker-host", 1, NULL, 'd' }, { 0 },
    };
    unsigned seconds = 20;
    int option;

    world.seed = (uint64_t)time(NULL);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p')
            setenv(OPTION_PLUGIN, optarg, 1);
        else if (option == 'l')
            *ret_libexec = optarg;
        else if (option == 's')
            world.seed = strtoull(optarg, NULL, 10);
        else if (option == 't')
            seconds = (unsigned)atoi(optarg);
        else if (option == 'c')
            setenv(OPTION_CONFIG, optarg, 1);
        else if (option == 'i')
            world.image = optarg;
        else if (option == 'd')
            world.docker_host = optarg;
        else
            usage();
    }
    if (!*ret_libexec || !getenv(OPTION_PLUGIN))
        usage();
    return seconds;
}

int main(int argc, char **argv)
{
    const char *libexec = NULL;
    unsigned seconds = options_take(argc, argv, &libexec), round = 0;
    bool ok = true;

    must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
    world_make(libexec);
    printf("chaos: seed %llu, %u s\n", (unsigned long long)world.seed, seconds);
    (void)fflush(stdout);
    do
        ok = round_run(round++);
    while (ok && since_ms() < (int64_t)seconds * 1000);
    if (!ok) {
        char keep[PATH_MAX];

        snprintf(keep, sizeof keep, "%s.log", world.dir);
        (void)rename(world.log, keep);
        fprintf(stderr, "chaos: round %u of seed %llu failed; what was done is in %s\n", round - 1,
                (unsigned long long)world.seed, keep);
    } else {
        printf("chaos: %u rounds, nothing lost, nothing left\n", round);
    }
    world_remove();
    return !ok;
}
