/* Nothing of the host is reached, whatever is swapped under the daemon (contract W8). */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RACE_MS 3000

static struct harness h;
static char out[96]; /* what must not be reached */

/* With no caching every component is asked for, which gives the swapping its chance. */
static void setup(void)
{
    static const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    struct harness_options options = harness_options();

    harness_init(&h);
    options.cache_ms = 0;
    snprintf(out, sizeof out, "%s/outside", h.dir);
    cr_assert(tree_put(out, "f", "SECRET") && tree_put(out, "sub/f", "SECRET"));
    cr_assert(tree_put(h.base, "d/f", "inside") && tree_put(h.base, "d/sub/f", "inside"));
    cr_assert(tree_put(h.base, "plain", "inside"));
    cr_assert(harness_start(&h, &all, 1, &options), "%s", h.why);
}

static void teardown(void)
{
    harness_release(&h);
}

FS_SUITES(escape, 300);

static const char *in(const char *dir, const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

/* Swaps a name of `dir` for a symlink or a hard link to something else, back and forth, until killed. */
static pid_t swap_in_loop(const char *dir, const char *name, const char *with)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    for (;;)
        syscall(SYS_renameat2, AT_FDCWD, in(dir, name), AT_FDCWD, in(dir, with), RENAME_EXCHANGE);
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The kernel may follow a symlink, as it does for any program that is not confined: read without following. */
static int read_beneath(const char *path, char *buf, size_t size)
{
    uint64_t how[3] = { O_RDONLY, 0, 0x04 | 0x08 }; /* struct open_how: RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH */
    int at = open(h.mnt, O_PATH | O_DIRECTORY), fd = (int)syscall(SYS_openat2, at, path, how, sizeof how);
    ssize_t n = -1;

    if (fd >= 0) {
        n = read(fd, buf, size - 1);
        close(fd);
    }
    close(at);
    buf[n < 0 ? 0 : n] = 0;
    return (int)n;
}

static void race_read(const char *path)
{
    char buf[64];
    int good = 0, leaks = 0;

    for (int64_t end = now_ns() + (int64_t)RACE_MS * 1000000; now_ns() < end;) {
        if (read_beneath(path, buf, sizeof buf) < 0)
            continue;
        good += strcmp(buf, "inside") == 0;
        leaks += strstr(buf, "SECRET") != NULL;
    }
    cr_expect(leaks == 0, "%d leaks", leaks);
    cr_expect(good > 0, "nothing was ever read");
}

FS_TEST(escape, a_directory_swapped_for_a_symlink)
{
    pid_t pid;

    cr_assert(tree_symlink(out, h.base, "evil"));
    pid = swap_in_loop(h.base, "d", "evil");
    race_read("d/f");
    race_read("d/sub/f");
    stop(pid);
}

FS_TEST(escape, a_file_swapped_for_a_symlink)
{
    pid_t pid;

    cr_assert(tree_symlink(in(out, "f"), h.base, "evil"));
    pid = swap_in_loop(h.base, "plain", "evil");
    race_read("plain");
    stop(pid);
}

/* Both sides inside of the workspace: two sandboxes, or two processes of one. */
FS_TEST(escape, swapping_from_within)
{
    pid_t pid;

    cr_assert(tree_symlink(out, h.base, "evil"));
    pid = swap_in_loop(h.mnt, "d", "evil");
    race_read("d/f");
    stop(pid);
}

FS_TEST(escape, writing_while_a_directory_is_swapped)
{
    pid_t pid;
    int made = 0;

    cr_assert(tree_symlink(out, h.base, "evil"));
    pid = swap_in_loop(h.base, "d", "evil");
    for (int64_t end = now_ns() + (int64_t)RACE_MS * 1000000; now_ns() < end;) {
        uint64_t how[3] = { O_WRONLY | O_CREAT | O_TRUNC, 0644, 0x04 | 0x08 };
        int at = open(h.mnt, O_PATH | O_DIRECTORY), fd = (int)syscall(SYS_openat2, at, "d/new", how, sizeof how);

        made += fd >= 0;
        if (fd >= 0)
            close(fd);
        (void)unlinkat(at, "d/new", 0);
        close(at);
    }
    stop(pid);
    cr_expect(made > 0);
    cr_expect(!tree_exists(out, "new"));
    cr_expect(tree_is(out, "f", "SECRET"));
}

FS_TEST(escape, a_directory_that_the_host_moves_away_is_not_followed)
{
    int fd = open(in(h.mnt, "d/sub"), O_PATH | O_DIRECTORY), file;
    struct stat st;

    cr_assert(fd >= 0 && fstatat(fd, "f", &st, 0) == 0);
    cr_assert(rename(in(h.base, "d"), in(h.dir, "moved")) == 0);
    sleep_ms(20);
    file = openat(fd, "f", O_RDONLY);
    cr_expect(file < 0, "a file outside of the codebase was opened");
    cr_expect(openat(fd, "new", O_CREAT | O_WRONLY, 0644) < 0);
    cr_expect(!tree_exists(h.dir, "moved/sub/new"));
    close(fd);
}

FS_TEST(escape, dots_and_symlinks_up_lead_nowhere)
{
    char buf[64];
    struct stat root, up;

    cr_assert(tree_symlink("..", h.base, "up") && tree_symlink("../outside/f", h.base, "rel"));
    cr_expect(read_beneath("up/outside/f", buf, sizeof buf) < 0);
    cr_expect(read_beneath("rel", buf, sizeof buf) < 0);
    cr_assert(stat(h.mnt, &root) == 0 && lstat(in(h.mnt, "up"), &up) == 0);
    cr_expect(S_ISLNK(up.st_mode) && up.st_dev == root.st_dev);
}

FS_TEST(escape, a_fifo_for_a_file_does_not_hang_the_daemon)
{
    int fd = open(in(h.mnt, "plain"), O_PATH);
    char path[64];

    cr_assert(fd >= 0);
    cr_assert(unlink(in(h.base, "plain")) == 0 && mkfifo(in(h.base, "plain"), 0644) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int i = 0; i < 8; i++)
        cr_expect(open(path, O_RDONLY) < 0);
    cr_expect(tree_is(h.mnt, "d/f", "inside"));
    close(fd);
}
