/* Names a process for longer than its number does: pid, start time and boot, so that a reused pid is not taken for it.
 */
#ifndef STOCKADE_PROC_ID_H
#define STOCKADE_PROC_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_id {
    pid_t pid;      /* 0 = none */
    uint64_t start; /* field 22 of /proc/PID/stat, clock ticks since boot */
};

/* Of /proc/PID/stat what is of use here; see proc(5). Times are clock ticks, c...: of children waited for. */
struct proc_stat {
    char state;
    pid_t parent;
    uint64_t start;
    uint64_t utime, stime, cutime, cstime;
    uint64_t threads;
    uint64_t rss_pages;
};

bool proc_stat_read(pid_t pid, struct proc_stat *ret); /* false if there is no such process */

struct proc_id proc_id_of(pid_t pid); /* {0} if there is no such process */

/* A pidfd of the process if it is still that one and alive; -ESRCH if not, another -errno on failure. */
int proc_id_open(const struct proc_id *id);

/* True also where it cannot be told, for want of fds, say: nobody is taken for dead by mistake. */
bool proc_id_is_alive(const struct proc_id *id);

/*
 * The same of a process that is nothing without its first thread. One that was killed has another that hangs, perhaps:
 * then no pidfd tells of its end.
 */
bool proc_id_first_is_alive(const struct proc_id *id);

int proc_self_open(void); /* a pidfd of this process, or -errno */

/* Whether a pidfd's process has ended (zombies count as ended). */
bool pidfd_ended(int pidfd);

int pidfd_signal(int pidfd, int sig); /* 0 or -errno */

/*
 * Reaps that child if it has ended; never blocks, never takes another's. Without a start time, where that could not be
 * read, the number must do. False as long as there is one to be reaped.
 */
bool child_reap(const struct proc_id *id);

/* This boot, as /proc/sys/kernel/random/boot_id names it; false if it cannot be read, for want of fds, say. */
bool boot_id_read(char ret[40]);

#endif
