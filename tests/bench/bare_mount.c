#define FUSE_USE_VERSION 35

#include "bare_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the daemon ---- */

static void root_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct stat st = { .st_ino = ino, .st_mode = S_IFDIR | 0755, .st_nlink = 2 };

    (void)info;
    if (ino == FUSE_ROOT_ID)
        fuse_reply_attr(req, &st, 1.0);
    else
        fuse_reply_err(req, ENOENT);
}

int bare_mount_main(char *program, const char *dir)
{
    static const struct fuse_lowlevel_ops ops = { .getattr = root_getattr };
    char *argv[] = { program, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof ops, NULL);
    int failed = 1;

    /* A bench that ends early leaves no mount behind. */
    if (session && fuse_set_signal_handlers(session) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 &&
        fuse_session_mount(session, dir) == 0) {
        if (write(STDOUT_FILENO, "m", 1) == 1)
            failed = fuse_session_loop(session) < 0;
        fuse_session_unmount(session);
    }
    if (session)
        fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return failed;
}

/* ---- starting and ending it ---- */

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

pid_t bare_mount_start(const char *dir)
{
    char program[] = "/proc/self/exe", option[] = BARE_MOUNT_OPTION;
    char *argv[] = { program, option, (char *)(uintptr_t)dir, NULL }, byte;
    posix_spawn_file_actions_t actions;
    struct stat st;
    int ready[2];
    pid_t pid;

    if (pipe2(ready, O_CLOEXEC) < 0)
        fail("pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], STDOUT_FILENO);
    /* libfuse would complain of having been unmounted by others. */
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    errno = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    if (errno)
        fail(program);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1 || stat(dir, &st) < 0)
        fail(dir);
    close(ready[0]);
    return pid;
}

void bare_mount_end(pid_t pid, const char *dir)
{
    if (umount2(dir, 0) < 0)
        fail(dir);
    (void)kill(pid, SIGTERM); /* another mount namespace may have a copy of the mount, and keep it serving */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
