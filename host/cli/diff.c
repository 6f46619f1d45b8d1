#include "diff.h"

#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OLD_FD 3
#define NEW_FD 4

extern char **environ;

/* A regular file below dir, or /dev/null where there is none; -1 for what is no regular file. */
static int file_open(int dir, const char *path)
{
    const struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -1;
}

/* A name for diff's heading, without what could be taken for another line. */
static char *label_make(const char *side, const char *path)
{
    char *label;

    if (asprintf(&label, "--label=%s/%s", side, path) < 0)
        return NULL;
    for (char *at = label; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            *at = '?';
    return label;
}

/* Prints what comes from a pipe, its control characters shown as '?'. */
static void pipe_print(int fd)
{
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)) {
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != '\n' && buf[i] != '\t')
                buf[i] = text_shown(buf[i]);
        if (n > 0)
            fwrite(buf, 1, (size_t)n, stdout);
    }
}

static int diff_run(char *const *argv, int old_fd, int new_fd)
{
    posix_spawn_file_actions_t actions;
    int status, err, out[2] = { -1, -1 };
    pid_t pid;

    if (isatty(STDOUT_FILENO) && pipe2(out, O_CLOEXEC) < 0)
        return report_error("diff: %s", strerror(errno));
    /* Away from the numbers that they are given to diff by. */
    old_fd = fcntl(old_fd, F_DUPFD_CLOEXEC, NEW_FD + 1);
    new_fd = fcntl(new_fd, F_DUPFD_CLOEXEC, NEW_FD + 1);
    fflush(stdout);
    posix_spawn_file_actions_init(&actions);
    if (out[1] >= 0)
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, old_fd, OLD_FD);
    posix_spawn_file_actions_adddup2(&actions, new_fd, NEW_FD);
    err = posix_spawnp(&pid, "diff", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(old_fd);
    close(new_fd);
    if (out[1] >= 0) {
        close(out[1]);
        pipe_print(out[0]);
        close(out[0]);
    }
    if (err)
        return report_error("diff: %s", strerror(err));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) <= 1 ? EXIT_OK : report_error("diff failed");
}

static int diff_one(int old_fd, int new_fd, const char *path)
{
    char *argv[] = { (char[]){ "diff" },
                     (char[]){ "-u" },
                     label_make("a", path),
                     label_make("b", path),
                     (char[]){ "/dev/fd/3" },
                     (char[]){ "/dev/fd/4" },
                     NULL };
    int code = argv[2] && argv[3] ? diff_run(argv, old_fd, new_fd) : report_error("out of memory");

    free(argv[2]);
    free(argv[3]);
    return code;
}

static int change_diff(int codebase, int workspace, const rt_change *change, void (*other)(const rt_change *change))
{
    int old_fd = file_open(codebase, change->path), new_fd = file_open(workspace, change->path), code = EXIT_OK;

    if (old_fd >= 0 && new_fd >= 0 && change->kind != RT_CHANGE_METADATA)
        code = diff_one(old_fd, new_fd, change->path);
    else
        other(change);
    if (old_fd >= 0)
        close(old_fd);
    if (new_fd >= 0)
        close(new_fd);
    return code;
}

int diff_print(const char *codebase, const char *workspace, const rt_changes *changes,
               void (*other)(const rt_change *change))
{
    int a = open(codebase, O_PATH | O_DIRECTORY | O_CLOEXEC), b = open(workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int code = a < 0 || b < 0 ? report_error("%s: %s", a < 0 ? codebase : workspace, strerror(errno)) : EXIT_OK;

    for (size_t i = 0; !code && i < changes->n; i++)
        code = change_diff(a, b, changes->items[i], other);
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    return code;
}
