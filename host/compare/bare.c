#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define PIPE_BYTES (64 << 10) /* a pipe's usual size: what is read at once */

/* Our ends of the child's stdin and stdout, and its own; -1 = none. */
struct ends {
    int in[2], out[2];
};

static void end_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void ends_close(struct ends *ends)
{
    for (int i = 0; i < 2; i++) {
        end_close(&ends->in[i]);
        end_close(&ends->out[i]);
    }
}

static int ends_open(const struct job *job, struct ends *ret)
{
    *ret = (struct ends){ { -1, -1 }, { -1, -1 } };
    if (job->in && pipe2(ret->in, O_CLOEXEC) < 0)
        return errno;
    if (job->is_streamed && pipe2(ret->out, O_CLOEXEC) < 0)
        return errno;
    return 0;
}

/* The child's streams and directory. */
static int actions_fill(posix_spawn_file_actions_t *actions, const char *dir, const struct ends *ends)
{
    int err = posix_spawn_file_actions_addchdir_np(actions, dir);

    if (!err && ends->in[0] >= 0)
        err = posix_spawn_file_actions_adddup2(actions, ends->in[0], STDIN_FILENO);
    else if (!err)
        err = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!err && ends->out[1] >= 0)
        err = posix_spawn_file_actions_adddup2(actions, ends->out[1], STDOUT_FILENO);
    else if (!err)
        err = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    return err ? err : posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
}

/* With no signal blocked, though we block some. */
static int child_spawn(const char *dir, const struct job *job, const struct ends *ends, pid_t *ret)
{
    const char *const shell[] = { "/bin/sh", "-c", job->shell, NULL }, *const *argv = job->argv ? job->argv : shell;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    int err;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    err = actions_fill(&actions, dir, ends);
    if (!err)
        err = posix_spawnp(ret, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return err;
}

/* A reader that ended early is no error of ours: its exit code tells. */
static void input_write(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            return;
        data += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
}

static size_t output_count(int fd)
{
    char buffer[PIPE_BYTES];
    size_t total = 0;
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR))
        total += n < 0 ? 0 : (size_t)n;
    return total;
}

bool bare_run(const char *dir, const struct job *job, char why[SUBJECT_TEXT], size_t *ret_bytes)
{
    struct ends ends;
    int status = 0, err = ends_open(job, &ends);
    size_t bytes = 0;
    pid_t pid;

    if (!err)
        err = child_spawn(dir, job, &ends, &pid);
    if (err) {
        ends_close(&ends);
        snprintf(why, SUBJECT_TEXT, "%s", strerror(err));
        return false;
    }
    end_close(&ends.in[0]);
    end_close(&ends.out[1]);
    if (ends.in[1] >= 0)
        input_write(ends.in[1], job->in, job->in_len);
    end_close(&ends.in[1]);
    if (ends.out[0] >= 0)
        bytes = output_count(ends.out[0]);
    ends_close(&ends);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ret_bytes)
        *ret_bytes = bytes;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    snprintf(why, SUBJECT_TEXT, WIFEXITED(status) ? "exit status %d" : "signal %d",
             WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return false;
}
