/* The epoll loop that the agent and the keeper of a session both run on. */
#include "loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

static int epoll_fd = -1;

int loop_init(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -errno : 0;
}

int watch_add(struct watch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

void watch_change(struct watch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

int watch_release(struct watch *watch)
{
    int fd = watch->fd;

    if (fd >= 0)
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    watch->fd = -1;
    return fd;
}

void watch_close(struct watch *watch)
{
    int fd = watch_release(watch);

    if (fd >= 0)
        close(fd);
}

void loop_once(int timeout_ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(epoll_fd, events, sizeof events / sizeof *events, timeout_ms);

    for (int i = 0; i < n; i++) {
        struct watch *watch = events[i].data.ptr;

        watch->ready(watch, events[i].events);
    }
}

uint64_t boot_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t since_ns(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - start->tv_sec) * 1000000000LL + (now.tv_nsec - start->tv_nsec));
}
