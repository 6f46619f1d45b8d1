/* What the kernel says about this process and others: for checks that nothing is left behind. */
#ifndef STOCKADE_TEST_PROC_H
#define STOCKADE_TEST_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How long a test waits for what comes at once on most machines: on none does anything but what hangs take longer. */
#define HANG_MS 120000

/* Waits until the condition holds, at most HANG_MS; whether it does. AWAIT_WITHIN is for what must come sooner. */
#define AWAIT(condition) AWAIT_WITHIN(HANG_MS, condition)
#define AWAIT_WITHIN(ms, condition)                                                                                    \
    ({                                                                                                                 \
        const int64_t await_end_ = now_ns() + (ms)*INT64_C(1000000);                                                   \
        bool await_holds_;                                                                                             \
                                                                                                                       \
        while (!(await_holds_ = (condition)) && now_ns() < await_end_)                                                 \
            sleep_ms(5);                                                                                               \
        await_holds_;                                                                                                  \
    })

/* Processes, zombies and this one excluded, whose command line holds text. ret_first (may be NULL): one of them. */
size_t proc_count(const char *text, pid_t *ret_first);
/* The same after waiting until there are n of them, at most HANG_MS. */
size_t proc_await(const char *text, size_t n, pid_t *ret_first);

/* Children of this process: all of its threads'. Zombies are counted apart; either may be NULL. Nothing is reaped. */
void proc_children(size_t *ret_living, size_t *ret_zombies);

/* "pid (name) state command line" of each living child, a line each, for messages; to be freed. */
char *proc_children_text(void);

/* Stops a child of this process. Of kill() alone its threads learn one after the other, and go on until then. */
bool proc_stop(pid_t child);

size_t proc_fds(void); /* open in this process */
/* The fewest within half a second: a plugin's thread may be closing what has just ended. */
size_t proc_fds_at_rest(void);
/* Those that are open once they are no more than n, or after HANG_MS. */
size_t proc_fds_await(size_t n);
/* "number -> target" lines of the open fds from 3 up that are not close-on-exec; to be freed. */
char *proc_inheritable_fds(void);
size_t proc_threads(void); /* of this process */

/* The first mount point at or below dir, to be freed; NULL if there is none. */
char *proc_mount_below(const char *dir);
bool proc_is_mounted_below(const char *dir);

/* The content of /proc/PID/NAME with NULs made spaces, to be freed; NULL if there is none. */
char *proc_read(pid_t pid, const char *name);

void sleep_ms(int ms);
int64_t now_ns(void); /* CLOCK_MONOTONIC */

#endif
