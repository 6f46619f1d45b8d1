#include "oom.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX   8192 /* longer than the kernel's longest (PRINTK_MESSAGE_MAX) with what goes with it */
#define LOG_DRIFT_US INT64_C(60000000) /* the log's clock is set right by nobody */

int oom_open(int dir_fd, bool is_v1)
{
    return dir_fd < 0 ? -1 : openat(dir_fd, is_v1 ? "memory.oom_control" : "memory.events", O_RDONLY | O_CLOEXEC);
}

uint64_t oom_kills(int fd)
{
    char text[512], *at;
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strstr(text, "oom_kill ");
    return at ? strtoull(at + 9, NULL, 10) : 0;
}

/* "6,76710,24673028977,-;Memory cgroup out of memory: Killed process 21593 (tail) ...": the number is the first thing
 * in it that is not the kernel's own words. Facilities beyond 0 are records that programs wrote. */
bool oom_names(const char *record, pid_t pid, int64_t since_us)
{
    static const char words[] = ": Killed process ";
    const char *at = strchr(record, ';');
    unsigned facility_level;
    int64_t at_us;

    if (!at || sscanf(record, "%u,%*u,%" SCNd64, &facility_level, &at_us) != 2 || facility_level > 7 ||
        at_us < since_us)
        return false;
    at = strstr(at, words);
    return at && strtol(at + sizeof words - 1, NULL, 10) == pid;
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* The log's clock stands still while the machine sleeps, the one that processes' beginnings are told by does not. */
static int64_t log_time_us(uint64_t start)
{
    int64_t slept = clock_us(CLOCK_BOOTTIME) - clock_us(CLOCK_MONOTONIC);

    return (int64_t)(start / (uint64_t)sysconf(_SC_CLK_TCK)) * INT64_C(1000000) - slept - LOG_DRIFT_US;
}

/* The log has numbers of the initial pid namespace. */
static bool is_initial_pid_ns(void)
{
    static const char initial[] = "pid:[4026531836]"; /* PROC_PID_INIT_INO of the kernel's proc_ns.h */
    char name[sizeof initial + 1];
    ssize_t n = readlink("/proc/self/ns/pid", name, sizeof name);

    return n == sizeof initial - 1 && !memcmp(name, initial, sizeof initial - 1);
}

enum oom_verdict oom_verdict(const struct proc_id *id)
{
    cleanup_fd int log = is_initial_pid_ns() ? open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    int64_t since_us = log_time_us(id->start);
    char record[RECORD_MAX];
    ssize_t n;

    if (log < 0)
        return OOM_UNKNOWN;
    /* EPIPE: the oldest have been overwritten, and the next is to be read from there. */
    while ((n = read(log, record, sizeof record - 1)) > 0 || (n < 0 && (errno == EPIPE || errno == EINTR))) {
        if (n < 0)
            continue;
        record[n] = '\0';
        if (oom_names(record, id->pid, since_us))
            return OOM_KILLED;
    }
    return n < 0 && errno == EAGAIN ? OOM_SPARED : OOM_UNKNOWN;
}
