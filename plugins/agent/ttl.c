/* The sandbox's time: ends it when it is over, without any host. */
#include "agent.h"
#include "permfs_proto.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NOTE_WAIT_MS 1000 /* for permfs to have written the cause */

static struct watch timer = { .fd = -1 };
static uint64_t ends_at, idle_ns, idle_since; /* 0 = no such limit; CLOCK_BOOTTIME: time asleep counts */
static int notes = -1;

static void arm(void)
{
    uint64_t at = ends_at;
    struct itimerspec when = { 0 };

    if (idle_ns && (!at || idle_since + idle_ns < at))
        at = idle_since + idle_ns;
    when.it_value.tv_sec = (time_t)(at / 1000000000u);
    when.it_value.tv_nsec = (long)(at % 1000000000u);
    (void)timerfd_settime(timer.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The cause is on disk before the sandbox is gone: who then asks finds it. */
static _Noreturn void expire(char cause)
{
    struct pollfd pfd = { .fd = notes }; /* POLLERR: nobody reads any more */

    if (write(notes, &cause, 1) == 1)
        (void)poll(&pfd, 1, NOTE_WAIT_MS);
    agent_stop();
}

/* A command that runs is use of the sandbox; what it left in the background is not. */
static bool is_used(void)
{
    for (const struct cmd *cmd = cmds; cmd; cmd = cmd->next)
        if (!cmd->session && cmd->phase != CMD_NEW && cmd->phase != CMD_ENDED)
            return true;
    return false;
}

static void timer_ready(struct watch *watch, uint32_t events)
{
    uint64_t ticks, now = boot_ns(), used;

    (void)events;
    if (read(watch->fd, &ticks, sizeof ticks) < 0)
        return;
    if (ends_at && now >= ends_at)
        expire(PERMFS_ENDED_LIFETIME);
    used = is_used() ? now : sessions_used(now);
    if (used > idle_since)
        idle_since = used;
    if (idle_ns && now - idle_since >= idle_ns)
        expire(PERMFS_ENDED_IDLE);
    arm();
}

void ttl_used(void)
{
    if (idle_ns)
        idle_since = boot_ns();
}

int ttl_init(uint64_t max_lifetime_ms, uint64_t idle_timeout_ms, int notes_fd)
{
    notes = notes_fd;
    if (!max_lifetime_ms && !idle_timeout_ms)
        return 0;
    idle_since = boot_ns();
    idle_ns = idle_timeout_ms * 1000000u;
    ends_at = max_lifetime_ms ? idle_since + max_lifetime_ms * 1000000u : 0;
    timer = (struct watch){ .ready = timer_ready, .fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK) };
    if (timer.fd < 0 || watch_add(&timer, EPOLLIN) < 0)
        return -errno;
    arm();
    return 0;
}
