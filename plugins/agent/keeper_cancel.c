/*
 * Ending a command but not its shell: SIGINT to the shell and to all that has started since the command began, then
 * SIGTERM and SIGKILL to what is left of it; a shell that does not come back from that is killed too. What earlier
 * commands left running in the background is not touched.
 */
#include "keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS      5
#define LAST_WAIT_MS 1500 /* for a shell whose command was killed to come back to its prompt */

enum stage { NONE, INTERRUPTED, TERMINATED, KILLED, GIVEN_UP };

/* A point in time that tells who started after it. */
struct mark {
    uint64_t tick; /* clock ticks since boot */
    pid_t pid;     /* the last one that was given out before */
};

static enum stage stage;
static int64_t until_ms; /* of the stage */
static uint32_t grace_ms;
static struct mark begun, interrupted; /* the command's begin; the last SIGINT to it */

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The last field of /proc/loadavg: the most recent pid of this namespace, proc(5). */
static pid_t last_pid(void)
{
    static int fd = -1;
    char text[128], *space;
    ssize_t n;

    if (fd < 0)
        fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    space = strrchr(text, ' ');
    return space ? atoi(space + 1) : 0;
}

static struct mark mark_now(void)
{
    return (struct mark){ (uint64_t)clock_ms(CLOCK_BOOTTIME) * (uint64_t)sysconf(_SC_CLK_TCK) / 1000, last_pid() };
}

void cancel_mark(void)
{
    begun = mark_now();
}

static bool is_after(const struct proc *proc, const struct mark *mark)
{
    return proc->started > mark->tick || (proc->started == mark->tick && proc->pid > mark->pid);
}

static int mine, others; /* as owners: of the running command; of earlier ones */

/*
 * Marks the descendants: the keeper is their subreaper, so none is anywhere else. What a command started is a child
 * of the shell, or, once its parent has died, of the keeper; what these start in turn is theirs, however new.
 */
static bool scan(void)
{
    pid_t self = getpid();

    if (!procs_scan())
        return false;
    for (size_t i = 0; i < n_procs; i++)
        if ((procs[i].ppid == self || (shell.pid && procs[i].ppid == shell.pid)) && procs[i].pid != shell.pid)
            procs[i].owner = is_after(&procs[i], &begun) ? &mine : &others;
    procs_inherit(self);
    return true;
}

/* Signals what the command started; returns whether there was anything alive of it. sig 0 only looks. */
static bool signal_new(int sig)
{
    bool alive = false;

    if (!scan())
        return true;
    for (size_t i = 0; i < n_procs; i++) {
        if (procs[i].owner != &mine || procs[i].zombie)
            continue;
        alive = true;
        if (sig)
            kill(procs[i].pid, sig);
        if (sig && sig != SIGKILL)
            kill(procs[i].pid, SIGCONT); /* a stopped process acts on nothing else */
    }
    return alive;
}

static void enter(enum stage next, int sig, uint32_t wait_ms)
{
    stage = next;
    until_ms = clock_ms(CLOCK_MONOTONIC) + wait_ms;
    signal_new(sig);
}

static void interrupt_shell(int sig)
{
    if (!shell.pid)
        return;
    kill(shell.pid, sig);
    kill(shell.pid, SIGCONT);
}

/*
 * A shell that waits for a child takes SIGINT to be the child's affair unless that died of it, so a loop over short
 * commands may go on: each new one is interrupted together with the shell, until the shell is back.
 */
static void interrupt_again(void)
{
    struct mark now = mark_now();
    bool any = false;

    for (size_t i = 0; i < n_procs; i++) {
        if (procs[i].owner != &mine || procs[i].zombie || !is_after(&procs[i], &interrupted))
            continue;
        if (!any)
            interrupt_shell(shell.interrupt);
        any = true;
        kill(procs[i].pid, SIGINT);
    }
    interrupted = now;
}

void cancel_begin(uint32_t grace)
{
    if (stage != NONE)
        return;
    grace_ms = grace;
    interrupted = mark_now();
    interrupt_shell(shell.interrupt); /* first: what its child's death makes it do must not be interrupted too */
    enter(INTERRUPTED, SIGINT, grace_ms);
}

bool cancel_active(void)
{
    return stage != NONE;
}

bool cancel_tick(bool shell_is_back, int *ret_wait)
{
    bool late = clock_ms(CLOCK_MONOTONIC) >= until_ms;
    bool alive = signal_new(stage >= KILLED ? SIGKILL : 0);

    *ret_wait = TICK_MS;
    if (shell_is_back && !alive)
        return false;
    if (stage == INTERRUPTED && (late || shell_is_back))
        enter(TERMINATED, SIGTERM, grace_ms);
    else if (stage == INTERRUPTED)
        interrupt_again();
    else if (stage == TERMINATED && late)
        enter(KILLED, SIGKILL, LAST_WAIT_MS);
    else if (stage == KILLED && late && !shell_is_back) {
        /* Not earlier: it acts on the first one only now that its child is dead, and the next command must not. */
        enter(GIVEN_UP, SIGKILL, LAST_WAIT_MS);
        interrupt_shell(SIGINT); /* itself: a trap of ours may have been replaced */
    } else if (stage == GIVEN_UP && late && !shell_is_back && shell.pid)
        kill(shell.pid, SIGKILL); /* its end is reported like any other */
    return true;
}

void cancel_end(void)
{
    stage = NONE;
}
