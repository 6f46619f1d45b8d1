#include "chaos.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned helpers_each(const char *name, void (*take)(pid_t pid, void *arg), void *arg)
{
    char path[400];
    struct stat helper, exe;
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "%s/%s", world.libexec, name);
    if (stat(path, &helper) < 0 || !(dir = opendir("/proc")))
        return 0;
    while ((entry = readdir(dir))) {
        snprintf(path, sizeof path, "/proc/%.20s/exe", entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) || stat(path, &exe) < 0 || exe.st_ino != helper.st_ino ||
            exe.st_dev != helper.st_dev)
            continue;
        n++;
        if (take)
            take((pid_t)atoi(entry->d_name), arg);
    }
    closedir(dir);
    return n;
}

/* ---- killing ------------------------------------------------------------------------------------------------------
 */

struct pick {
    pid_t pids[256];
    unsigned n;
};

static void pick_take(pid_t pid, void *arg)
{
    struct pick *pick = arg;

    if (pick->n < sizeof pick->pids / sizeof *pick->pids)
        pick->pids[pick->n++] = pid;
}

static void helper_signal(struct dice *dice, const char *name, int sig)
{
    struct pick pick = { .n = 0 };
    pid_t pid;

    if (!helpers_each(name, pick_take, &pick))
        return;
    pid = pick.pids[dice_roll(dice, pick.n)];
    note("fault: signal %d to %s %d", sig, name, (int)pid);
    kill(pid, sig);
}

static void fault_permfs(struct dice *dice, const pid_t pids[WORKERS])
{
    (void)pids;
    helper_signal(dice, "permfs", SIGKILL);
}

static void fault_hang(struct dice *dice, const pid_t pids[WORKERS])
{
    (void)pids;
    helper_signal(dice, "permfs", SIGSTOP);
}

static void fault_agent(struct dice *dice, const pid_t pids[WORKERS])
{
    (void)pids;
    helper_signal(dice, "agent", SIGKILL);
}

static void fault_bubblewrap(struct dice *dice, const pid_t pids[WORKERS])
{
    (void)pids;
    helper_signal(dice, "bwrap", SIGKILL);
}

static void fault_host(struct dice *dice, const pid_t pids[WORKERS])
{
    pid_t pid = pids[dice_roll(dice, WORKERS)];

    if (!pid)
        return;
    note("fault: host %d is killed", (int)pid);
    kill(pid, SIGKILL);
}

/* ---- exhausting ---------------------------------------------------------------------------------------------------
 */

static void disk_fill(const char *dir)
{
    static const char zeros[65536];
    char path[400];
    int fd;

    snprintf(path, sizeof path, "%s/filler", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    note("fault: %s is full", dir);
    while (write(fd, zeros, sizeof zeros) > 0)
        ;
    (void)close(fd);
}

static void disk_free(const char *dir)
{
    char path[400];

    snprintf(path, sizeof path, "%s/filler", dir);
    (void)unlink(path);
}

static void fault_disk(struct dice *dice, const pid_t pids[WORKERS])
{
    const char *dir = dice_roll(dice, 2) ? world.state : world.code;

    (void)pids;
    if (!world.small_disks)
        return;
    disk_fill(dir);
    usleep(1000 * dice_roll(dice, 100));
    disk_free(dir);
}

/* For a while a host can open no more fds than so many. */
static void fault_fds(struct dice *dice, const pid_t pids[WORKERS])
{
    pid_t pid = pids[dice_roll(dice, WORKERS)];
    struct rlimit before, few;

    if (!pid || prlimit(pid, RLIMIT_NOFILE, NULL, &before) < 0)
        return;
    few = before;
    few.rlim_cur = 5 + dice_roll(dice, 40);
    note("fault: host %d has %u fds", (int)pid, (unsigned)few.rlim_cur);
    (void)prlimit(pid, RLIMIT_NOFILE, &few, NULL);
    usleep(1000 * dice_roll(dice, 100));
    (void)prlimit(pid, RLIMIT_NOFILE, &before, NULL);
}

/* For a while an ordinary user's host can start nothing. */
static void nproc_few(struct dice *dice, pid_t pid)
{
    struct rlimit before, few;

    if (prlimit(pid, RLIMIT_NPROC, NULL, &before) < 0)
        return;
    few = before;
    few.rlim_cur = 1;
    note("fault: host %d can start no process", (int)pid);
    (void)prlimit(pid, RLIMIT_NPROC, &few, NULL);
    usleep(1000 * dice_roll(dice, 100));
    (void)prlimit(pid, RLIMIT_NPROC, &before, NULL);
}

static int cgroup_file(const char *name, int flags)
{
    char path[400];

    snprintf(path, sizeof path, "%s/%s", world.cgroup, name);
    return open(path, flags | O_CLOEXEC);
}

static void cgroup_limit(const char *text)
{
    int fd = cgroup_file("pids.max", O_WRONLY);

    (void)!write(fd, text, strlen(text));
    (void)close(fd);
}

/* For a while all hosts together can start no more than a few processes. */
static void cgroup_few(struct dice *dice)
{
    int fd = cgroup_file("pids.current", O_RDONLY);
    char text[32] = "";

    (void)!read(fd, text, sizeof text - 1);
    (void)close(fd);
    snprintf(text, sizeof text, "%ld", strtol(text, NULL, 10) + dice_roll(dice, 6));
    note("fault: the hosts have %s processes", text);
    cgroup_limit(text);
    usleep(1000 * dice_roll(dice, 100));
    cgroup_limit("max");
}

static void fault_processes(struct dice *dice, const pid_t pids[WORKERS])
{
    pid_t pid = pids[dice_roll(dice, WORKERS)];

    if (world.cgroup[0])
        cgroup_few(dice);
    else if (pid && geteuid() != 0)
        nproc_few(dice, pid);
}

static void fault_engine(struct dice *dice, const pid_t pids[WORKERS])
{
    (void)pids;
    if (world.docker_host)
        engine_fault(dice);
}

static void (*const faults[])(struct dice *dice, const pid_t pids[WORKERS]) = {
    fault_permfs, fault_permfs, fault_agent, fault_agent,     fault_host,   fault_host,   fault_bubblewrap,
    fault_disk,   fault_fds,    fault_hang,  fault_processes, fault_engine, fault_engine,
};

void fault_deal(struct dice *dice, const pid_t pids[WORKERS])
{
    faults[dice_roll(dice, sizeof faults / sizeof *faults)](dice, pids);
}

static void wake(pid_t pid, void *arg)
{
    (void)arg;
    kill(pid, SIGCONT);
}

void faults_lift(void)
{
    (void)helpers_each("permfs", wake, NULL);
}
