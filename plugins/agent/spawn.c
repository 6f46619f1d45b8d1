/* From a request to exec(2), in a child that shares the agent's memory (CLONE_VM | CLONE_VFORK) until then. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* since Linux 4.13; asm-generic/ioctls.h */
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define CHILD_STACK (64 << 10)

static struct rlimit nofile_before; /* what commands inherit; the agent itself goes up to the hard limit */

struct child {
    const struct spawn_request *req;
    int streams[3];                  /* what become its fds 0, 1 and 2 */
    volatile enum agent_stage stage; /* written by the child, read after it has execed or ended */
    volatile int err;
};

void spawn_init(void)
{
    struct rlimit up;

    if (getrlimit(RLIMIT_NOFILE, &nofile_before) < 0)
        return;
    up = nofile_before;
    up.rlim_cur = up.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &up);
}

static int child_fail(struct child *child, enum agent_stage stage, int err)
{
    child->stage = stage;
    child->err = err;
    return -1;
}

static int child_limits(const struct spawn_request *req)
{
    struct rlimit nproc = { req->nproc, req->nproc };

    if (nofile_before.rlim_max && setrlimit(RLIMIT_NOFILE, &nofile_before) < 0)
        return errno;
    if (req->nproc && setrlimit(RLIMIT_NPROC, &nproc) < 0)
        return errno;
    if (req->flags & AGENT_CGROUP) {
        if (write(req->fds[3], "0", 1) != 1)
            return errno;
    } else if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        return errno;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}

/* Raw numbers move out of the way first: a passed fd may itself be 0, 1 or 2. */
static int child_fds(const int streams[3])
{
    int high[3];

    for (int i = 0; i < 3; i++) {
        high[i] = fcntl(streams[i], F_DUPFD_CLOEXEC, 3);
        if (high[i] < 0)
            return errno;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(high[i], i) < 0)
            return errno;
    /* CLONE_VM without CLONE_FILES: this is the child's own table. */
    return syscall(SYS_close_range, 3u, ~0u, 0u) < 0 ? errno : 0;
}

static int child_user(const struct spawn_request *req)
{
    if (req->gid != AGENT_SAME_ID && req->gid != getegid()) {
        if (setgroups(0, NULL) < 0 || setresgid(req->gid, req->gid, req->gid) < 0)
            return errno;
    }
    if (req->uid != AGENT_SAME_ID && req->uid != geteuid() && setresuid(req->uid, req->uid, req->uid) < 0)
        return errno;
    return 0;
}

static const char *env_get(const char *const *env, const char *name)
{
    size_t len = strlen(name);

    for (; *env; env++)
        if (!strncmp(*env, name, len) && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

/*
 * execvpe(3) for the command's own PATH, without its fallback to a shell: an argv runs as it is (X1). Returns the
 * errno to report: EACCES of any candidate over ENOENT of the last.
 */
static int child_exec(const struct spawn_request *req)
{
    const char *file = req->argv[0], *path = env_get(req->env, "PATH");
    char *const *argv = (char *const *)(uintptr_t)req->argv, *const *env = (char *const *)(uintptr_t)req->env;
    size_t file_len = strlen(file);
    int err = ENOENT;

    if (strchr(file, '/')) {
        execve(file, argv, env);
        return errno;
    }
    while (file_len && path) {
        const char *end = strchrnul(path, ':');
        size_t len = (size_t)(end - path);
        char full[PATH_MAX];

        if (len + file_len + 2 <= sizeof full) {
            memcpy(full, path, len);
            full[len] = '/';
            memcpy(full + len + (len > 0), file, file_len + 1);
            execve(full, argv, env);
            if (errno == EACCES)
                err = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR)
                return errno;
        }
        path = *end ? end + 1 : NULL;
    }
    return err;
}

/* The one line that a command leaves on its stderr when it could not be executed, as a shell would. */
static void child_complain(const char *file, int err)
{
    char line[512];
    int len = snprintf(line, sizeof line, "exec: %.300s: %s\n", file, strerror(err));

    if (len > 0 && fcntl(2, F_SETFL, O_NONBLOCK) == 0)
        (void)!write(2, line, (size_t)len);
}

static int child_main(void *arg)
{
    struct child *child = arg;
    const struct spawn_request *req = child->req;
    sigset_t none;
    int err;

    setsid();
    if ((err = child_limits(req)) || (err = child_fds(child->streams)))
        return child_fail(child, AGENT_STAGE_SETUP, err);
    if ((req->flags & AGENT_TTY) && ioctl(0, TIOCSCTTY, 0) < 0)
        return child_fail(child, AGENT_STAGE_SETUP, errno);
    if ((err = child_user(req)))
        return child_fail(child, AGENT_STAGE_USER, err);
    if (chdir(req->cwd) < 0)
        return child_fail(child, AGENT_STAGE_CWD, errno);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    err = child_exec(req);
    child_complain(req->argv[0], err);
    return child_fail(child, AGENT_STAGE_EXEC, err);
}

/* A terminal of the sandbox's own devpts: one made outside would be no tty for what runs inside. */
int tty_open(uint32_t rows, uint32_t cols, int *ret_master, int *ret_slave)
{
    struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -1, unlock = 0, err;

    if (master < 0)
        return errno;
    if (ioctl(master, TIOCSPTLCK, &unlock) == 0 && ioctl(master, TIOCSWINSZ, &size) == 0)
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        err = errno;
        close(master);
        return err;
    }
    *ret_master = master;
    *ret_slave = slave;
    return 0;
}

static bool spawn_failed(struct spawn_result *ret, enum agent_stage stage, int err)
{
    if (ret->master >= 0)
        close(ret->master);
    ret->master = -1;
    ret->stage = stage;
    ret->err = err;
    return false;
}

/* The command's own limit of processes holds for the command too: what it would be one too many for, is not made. */
static int child_make(struct child *child)
{
    static char stack[CHILD_STACK] __attribute__((aligned(64)));
    uint32_t most = child->req->nproc;
    struct rlimit before, limit;
    int pid, err;

    if (getrlimit(RLIMIT_NPROC, &before) < 0)
        return -1;
    limit = (struct rlimit){ most < before.rlim_max ? most : before.rlim_max, before.rlim_max };
    if (most && setrlimit(RLIMIT_NPROC, &limit) < 0)
        return -1;
    pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
    err = errno;
    if (most)
        (void)setrlimit(RLIMIT_NPROC, &before);
    errno = err;
    return pid;
}

bool spawn_command(const struct spawn_request *req, struct spawn_result *ret)
{
    struct child child = { .req = req };
    int slave = -1, err, pid;

    *ret = (struct spawn_result){ .master = -1 };
    memcpy(child.streams, req->fds, sizeof child.streams);
    if (req->flags & AGENT_TTY) {
        err = tty_open(req->rows, req->cols, &ret->master, &slave);
        if (err)
            return spawn_failed(ret, AGENT_STAGE_SETUP, err);
        child.streams[0] = child.streams[1] = child.streams[2] = slave;
    }
    pid = child_make(&child);
    err = errno;
    if (slave >= 0)
        close(slave);
    if (pid < 0)
        return spawn_failed(ret, AGENT_STAGE_FORK, err);
    if (child.stage) /* it has ended, and is reaped with the others */
        return spawn_failed(ret, child.stage, child.err);
    ret->pid = pid;
    return true;
}
