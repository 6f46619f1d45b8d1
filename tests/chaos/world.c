#include "chaos.h"

#include "options.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE_BYTES "size=3m"
#define CODE_BYTES  "size=16m"
#define AWAIT_MS    30000

struct world world;
static int log_fd = -1;
static struct timespec began;

/* ---- dice ------------------------------------------------------------------------------------------------------- */

struct dice dice_make(uint64_t round, uint64_t who)
{
    return (struct dice){ world.seed * UINT64_C(0x9e3779b97f4a7c15) + round * UINT64_C(1000003) + who };
}

unsigned dice_roll(struct dice *dice, unsigned sides)
{
    uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ (z >> 31)) % sides);
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

int64_t since_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000;
}

static void note_list(const char *format, va_list args)
{
    char line[700];
    int n = snprintf(line, sizeof line, "%7lld [%d] ", (long long)since_ms(), (int)getpid());

    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    (void)!write(log_fd, line, (size_t)n);
}

void note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    note_list(format, args);
    va_end(args);
}

bool complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    note_list(format, args);
    va_end(args);
    va_start(args, format);
    fprintf(stderr, "chaos: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    return false;
}

void log_forget(void)
{
    (void)!ftruncate(log_fd, 0);
}

void log_show(unsigned last)
{
    char *text = tree_read(world.dir, "log", NULL), *at = text ? text + strlen(text) : NULL;

    for (unsigned lines = 0; text && at > text && lines <= last; lines += *at == '\n')
        at--;
    if (text)
        fprintf(stderr, "%s\n", at);
    free(text);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

void must(bool ok, const char *what)
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
    must(tree_copy("/usr/bin/bwrap", world.libexec, "bwrap", 0755), "/usr/bin/bwrap");
    setenv(OPTION_LIBEXEC, world.libexec, 1);
}

/* Root is above RLIMIT_NPROC, and not above a cgroup. */
static void cgroup_make(void)
{
    static const char *const bases[] = { "/sys/fs/cgroup/pids", "/sys/fs/cgroup" };

    for (size_t i = 0; geteuid() == 0 && i < sizeof bases / sizeof *bases; i++) {
        char limit[400];

        snprintf(world.cgroup, sizeof world.cgroup, "%s/hosts-of-%sall", bases[i], world.prefix);
        snprintf(limit, sizeof limit, "%s/pids.max", world.cgroup);
        if (mkdir(world.cgroup, 0755) == 0 && access(limit, W_OK) == 0)
            return;
        (void)rmdir(world.cgroup);
    }
    world.cgroup[0] = '\0';
}

void world_make(const char *libexec)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(world.dir, sizeof world.dir, "%s/chaos.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    must(mkdtemp(world.dir) != NULL && chmod(world.dir, 0711) == 0, world.dir);
    snprintf(world.state, sizeof world.state, "%s/state", world.dir);
    snprintf(world.code, sizeof world.code, "%s/code", world.dir);
    snprintf(world.libexec, sizeof world.libexec, "%s/libexec", world.dir);
    snprintf(world.committed, sizeof world.committed, "%s/committed", world.dir);
    snprintf(world.log, sizeof world.log, "%s/log", world.dir);
    snprintf(world.prefix, sizeof world.prefix, "chaos%d-", (int)getpid());
    must(tree_mkdir(world.dir, "state") && tree_mkdir(world.dir, "code") && tree_mkdir(world.dir, "libexec") &&
             tree_mkdir(world.dir, "committed"),
         world.dir);
    must(chmod(world.state, 0700) == 0, world.state);
    world.small_disks = geteuid() == 0 && mount("chaos", world.state, "tmpfs", 0, STATE_BYTES ",mode=0700") == 0 &&
                        mount("chaos", world.code, "tmpfs", 0, CODE_BYTES ",mode=0755") == 0;
    helpers_copy(libexec);
    cgroup_make();
    clock_gettime(CLOCK_MONOTONIC, &began);
    log_fd = open(world.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(log_fd >= 0, world.log);
}

/* Not by force: whoever still uses it has been left. */
static bool disk_remove(const char *dir)
{
    for (int ms = 0; ms < AWAIT_MS; ms += 20) {
        if (umount2(dir, 0) == 0)
            return true;
        usleep(20000);
    }
    (void)complain("%s is in use: %s", dir, strerror(errno));
    (void)umount2(dir, MNT_DETACH);
    return false;
}

bool world_remove(void)
{
    bool ok = true;

    if (world.small_disks) {
        ok = disk_remove(world.state);
        ok = disk_remove(world.code) && ok;
    }
    if (world.cgroup[0] && rmdir(world.cgroup) < 0)
        ok = complain("%s: %s", world.cgroup, strerror(errno));
    tree_remove(world.dir);
    return ok;
}

/* ---- using ------------------------------------------------------------------------------------------------------- */

void world_choose(const struct choice *choice)
{
    setenv(OPTION_PLUGIN, choice->plugin, 1);
    setenv(OPTION_CONFIG, choice->config, 1);
}

int32_t world_open(const struct plugin *plugin, rt_call *call, rt_runtime **ret)
{
    return plugin_open(plugin, world.state, NULL, call, ret);
}
