#include "proc_id.h"

#include "util.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The name in field 2 may hold anything, brackets and spaces too: what counts begins behind the last bracket. */
static bool stat_parse(const char *text, struct proc_stat *ret)
{
    const char *at = strrchr(text, ')');
    unsigned long long utime, stime, threads, start, rss;
    long long cutime, cstime;

    if (!at ||
        sscanf(at + 1, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %lld %lld %*s %*s %llu %*s %llu %*s %llu",
               &ret->state, &ret->parent, &utime, &stime, &cutime, &cstime, &threads, &start, &rss) != 9)
        return false;
    ret->utime = utime;
    ret->stime = stime;
    ret->cutime = (uint64_t)cutime;
    ret->cstime = (uint64_t)cstime;
    ret->threads = threads;
    ret->start = start;
    ret->rss_pages = rss;
    return true;
}

bool proc_stat_read(pid_t pid, struct proc_stat *ret)
{
    char path[32], text[1024];
    cleanup_fd int fd = -1;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return stat_parse(text, ret);
}

struct proc_id proc_id_of(pid_t pid)
{
    struct proc_stat stat;

    return pid > 0 && proc_stat_read(pid, &stat) ? (struct proc_id){ pid, stat.start } : (struct proc_id){ 0 };
}

int proc_id_open(const struct proc_id *id)
{
    struct proc_stat stat;
    int fd;

    if (id->pid <= 0)
        return -ESRCH;
    fd = (int)syscall(SYS_pidfd_open, id->pid, 0);
    if (fd < 0)
        return -errno;
    /* The fd first, then the look: whatever the number means from now on, the fd stays with what it was then. */
    errno = 0;
    if (!proc_stat_read(id->pid, &stat)) {
        int err = errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -ESRCH;

        close(fd);
        return err;
    }
    /* Not by the state there, which is that of its first thread: others may be at work still. */
    if (stat.start != id->start || pidfd_ended(fd)) {
        close(fd);
        return -ESRCH;
    }
    return fd;
}

bool proc_id_first_is_alive(const struct proc_id *id)
{
    struct proc_stat stat;

    return proc_id_is_alive(id) && !(proc_stat_read(id->pid, &stat) && stat.start == id->start && stat.state == 'Z');
}

int proc_self_open(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    return fd < 0 ? -errno : fd;
}

bool proc_id_is_alive(const struct proc_id *id)
{
    int fd = proc_id_open(id);

    if (fd >= 0)
        close(fd);
    return fd != -ESRCH;
}

bool pidfd_ended(int pidfd)
{
    struct pollfd pfd = { .fd = pidfd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

int pidfd_signal(int pidfd, int sig)
{
    return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

bool child_reap(const struct proc_id *id)
{
    siginfo_t ended = { .si_pid = 0 };
    struct proc_stat stat;

    if (id->pid <= 0 || waitid(P_PID, (id_t)id->pid, &ended, WEXITED | WNOHANG | WNOWAIT) < 0)
        return true; /* no child of ours */
    /* A zombie keeps its number: what is looked at is what is reaped. It may be a child that the host has started. */
    if (!ended.si_pid || (id->start && !proc_stat_read(id->pid, &stat)))
        return false;
    if (!id->start || stat.start == id->start)
        (void)waitpid(id->pid, NULL, WNOHANG);
    return true;
}

bool boot_id_read(char ret[40])
{
    cleanup_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, 36);

    ret[n > 0 ? n : 0] = '\0';
    return n == 36;
}
