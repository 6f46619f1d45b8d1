/*
 * workspace [FLAG...] DIR COMMAND [ARG...]: runs COMMAND while DIR/base is shown at DIR/base.mnt by permfs, everything
 * writable; its environment has CODEBASE and WORKSPACE, these two, and PLAIN, a directory beside them that is nothing
 * but a directory. Returns what COMMAND returned. FLAG is one of --no-passthrough, --no-watch and --no-epoch.
 */
#include "fs_mount.h"
#include "permfs_proto.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static uint32_t flag_of(const char *arg)
{
    static const struct {
        const char *arg;
        uint32_t flag;
    } flags[] = {
        { "--no-passthrough", PERMFS_NO_PASSTHROUGH },
        { "--no-watch", PERMFS_NO_WATCH },
        { "--no-epoch", PERMFS_NO_EPOCH },
    };

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(arg, flags[i].arg) == 0)
            return flags[i].flag;
    }
    fprintf(stderr, "workspace: unknown flag %s\n", arg);
    exit(2);
}

static int run(char **argv)
{
    int status, err;
    pid_t pid;

    err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    if (err) {
        fprintf(stderr, "workspace: %s: %s\n", argv[0], strerror(err));
        return 127;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    struct fs_mount_options options = { .uid = geteuid(), .gid = getegid() };
    struct fs_mount mount;
    char plain[160];
    int at = 1, code;

    while (at < argc && strncmp(argv[at], "--", 2) == 0)
        options.flags |= flag_of(argv[at++]);
    if (argc - at < 2) {
        fprintf(stderr, "usage: workspace [FLAG...] DIR COMMAND [ARG...]\n");
        return 2;
    }
    fs_mount_permfs(&mount, argv[at], "base", &options);
    snprintf(plain, sizeof plain, "%s/plain", argv[at]);
    if (mkdir(plain, 0755) < 0 || setenv("CODEBASE", mount.base, 1) < 0 || setenv("WORKSPACE", mount.dir, 1) < 0 ||
        setenv("PLAIN", plain, 1) < 0) {
        perror(plain);
        code = 2;
    } else {
        code = run(argv + at + 1);
    }
    fs_mount_end(&mount);
    return code;
}
