#include "proc_id.h"

#include "util.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static bool stat_read(pid_t pid, char *state, uint64_t *start)
{
    char path[32], text[1024], *p;
    cleanup_fd int fd = -1;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    p = strrchr(text, ')');
    if (!p || sscanf(p + 1, " %c", state) != 1)
        return false;
    for (int field = 2; field < 22 && p; field++)
        p = strchr(p + 1, ' ');
    if (!p)
        return false;
    *start = strtoull(p + 1, NULL, 10);
    return true;
}

struct proc_id proc_id_of(pid_t pid)
{
    struct proc_id id = { .pid = pid };
    char state;

    return pid > 0 && stat_read(pid, &state, &id.start) ? id : (struct proc_id){ 0 };
}

int proc_id_open(const struct proc_id *id)
{
    uint64_t start;
    char state;
    int fd;

    if (id->pid <= 0)
        return -ESRCH;
    fd = (int)syscall(SYS_pidfd_open, id->pid, 0);
    if (fd < 0)
        return -errno;
    /* The fd first, then the look: whatever the number means from now on, the fd stays with what it was then. */
    if (!stat_read(id->pid, &state, &start) || start != id->start || state == 'Z' || state == 'X') {
        close(fd);
        return -ESRCH;
    }
    return fd;
}

bool proc_id_is_alive(const struct proc_id *id)
{
    int fd = proc_id_open(id);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
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

void child_reap(pid_t pid)
{
    if (pid > 0)
        (void)waitpid(pid, NULL, WNOHANG);
}

void boot_id_read(char ret[40])
{
    cleanup_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, 36);

    ret[n > 0 ? n : 0] = '\0';
}
