/* The epoll loop that the agent and the keeper of a session both run on; one loop a process, one thread. */
#ifndef STOCKADE_AGENT_LOOP_H
#define STOCKADE_AGENT_LOOP_H

#include <stdint.h>
#include <time.h>

/* What an epoll event stands for; the first member of everything that is watched. */
struct watch {
    void (*ready)(struct watch *watch, uint32_t events);
    int fd;
};

int loop_init(void);                                 /* 0 or -errno */
int watch_add(struct watch *watch, uint32_t events); /* 0 or -errno; watch->fd must be set */
void watch_change(struct watch *watch, uint32_t events);
int watch_release(struct watch *watch); /* stops watching; returns the fd, now the caller's */
void watch_close(struct watch *watch);  /* stops watching and closes; fd becomes -1 */

/* One round: waits for events, at most timeout_ms (-1 = for ever), and serves them. */
void loop_once(int timeout_ms);

uint64_t boot_ns(void);                          /* CLOCK_BOOTTIME */
uint64_t since_ns(const struct timespec *start); /* CLOCK_MONOTONIC */

#endif
