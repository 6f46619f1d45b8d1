#include "child.h"

#include "clone_into.h"
#include "util.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILD_STACK   ((size_t)256 << 10)
#define CHILD_FDS_MAX 16

struct start {
    const struct child_spec *spec;
    int null_fd;
    bool is_outside;  /* of the cgroup of version 2 that it shall be in */
    volatile int err; /* written by the child, which shares our memory until it execs */
};

/* All numbers move above the range first, so that none is overwritten before it was used. */
CHILD_CODE static int child_fds(const struct child_spec *spec, int null_fd, int *exec_fd)
{
    int high[CHILD_FDS_MAX];

    for (int i = 0; i < spec->n_fds; i++) {
        high[i] = fcntl(spec->fds[i] < 0 ? null_fd : spec->fds[i], F_DUPFD_CLOEXEC, CHILD_FDS_MAX + 1);
        if (high[i] < 0)
            return errno;
    }
    if (*exec_fd >= 0) {
        *exec_fd = fcntl(*exec_fd, F_DUPFD_CLOEXEC, CHILD_FDS_MAX + 1);
        if (*exec_fd < 0)
            return errno;
    }
    for (int i = 0; i < spec->n_fds; i++)
        if (dup2(high[i], i) < 0)
            return errno;
    /* The host's own fds may lack close-on-exec. */
    return syscall(SYS_close_range, (unsigned)spec->n_fds, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) < 0 ? errno : 0;
}

CHILD_CODE static void child_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

CHILD_CODE static int child_cgroups(const struct child_spec *spec, bool is_outside)
{
    if (is_outside) {
        int fd = openat(*spec->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "0", 1) != 1)
            return errno;
        close(fd);
    }
    for (size_t i = 0; i < spec->n_cgroups; i++)
        if (write(spec->cgroups[i], "0", 1) != 1)
            return errno;
    return 0;
}

CHILD_CODE static int child_main(void *arg)
{
    struct start *start = arg;
    const struct child_spec *spec = start->spec;
    int exec_fd = spec->exec_fd, err;

    child_signals();
    (void)setsid();
    (void)umask(022); /* the child's own: it shares no filesystem attributes with the host */
    err = child_cgroups(spec, start->is_outside);
    if (!err && spec->prepare)
        err = spec->prepare(spec->arg);
    if (!err)
        err = child_fds(spec, start->null_fd, &exec_fd);
    if (!err) {
        if (exec_fd >= 0)
            (void)syscall(SYS_execveat, exec_fd, "", spec->argv, spec->env, AT_EMPTY_PATH);
        else
            (void)execve(spec->file, spec->argv, spec->env);
        err = errno;
    }
    start->err = err;
    return 127;
}

pid_t child_start(const struct child_spec *spec)
{
    cleanup_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct start start = { .spec = spec, .null_fd = null_fd };
    sigset_t all, before;
    char *stack;
    pid_t pid;

    if (null_fd < 0)
        return -errno;
    stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    /* A handler of the host must not run in the child, on the host's memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = !spec->cgroup ? -1 : clone_into(*spec->cgroup, child_main, &start, stack, CHILD_STACK);
    if (pid < 0) { /* not wanted, or not to be had: it enters by itself then */
        start.is_outside = spec->cgroup != NULL;
        pid = clone(child_main, stack + CHILD_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
    }
    if (pid < 0)
        start.err = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, CHILD_STACK);
    if (!start.err)
        return pid;
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    return -start.err;
}
