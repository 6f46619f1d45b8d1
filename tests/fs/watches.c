/*
 * Where inotify fails: without watches left, and after more events than its queue holds, what the host changes is seen
 * within the cache time still (contract W12).
 */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CACHE_MS 1000
#define DIRS     24

#define INSIDE    "STOCKADE_TEST_WATCHES" /* in the environment where there are only so many watches */
#define NOT_THERE 99                      /* exit code: there is no such namespace to be had */

static struct harness h;
static int at = -1, base = -1;

static void setup(void)
{
    harness_init(&h);
}

static void teardown(void)
{
    close(at);
    close(base);
    harness_release(&h);
}

TestSuite(watches, .init = setup, .fini = teardown, .timeout = 300);

static void start(void)
{
    cr_assert(harness_start_open(&h), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    base = open(h.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static long number(const char *path)
{
    FILE *file = fopen(path, "r");
    long n = -1;

    if (file && fscanf(file, "%ld", &n) != 1)
        n = -1;
    if (file)
        fclose(file);
    return n;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* This program once more, for one test alone where there are so many watches. */
struct again {
    char filter[64], variable[64];
    const char *most;
    char **env;
};

/* All that takes memory: a forked child of a process with threads may ask for none. */
static void again_make(struct again *again, const char *most, const char *test)
{
    size_t n = 0, kept = 0;

    again->most = most;
    snprintf(again->filter, sizeof again->filter, "watches/%s", test);
    snprintf(again->variable, sizeof again->variable, INSIDE "=%s", most);
    while (environ[n])
        n++;
    again->env = calloc(n + 2, sizeof *again->env);
    cr_assert(again->env);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "BXFI_MAP=", 9)) /* by which Criterion would know itself for a test that is running */
            again->env[kept++] = environ[i];
    again->env[kept] = again->variable;
}

/* In the new namespace. */
static void run_inside(struct again *again)
{
    char *argv[] = { "fs", "--filter", again->filter, NULL };

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        write_text("/proc/sys/user/max_inotify_watches", again->most))
        execve("/proc/self/exe", argv, again->env);
    _exit(NOT_THERE);
}

static bool map_ids(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    if (!write_text(path, "0 0 1"))
        return false;
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    return write_text(path, "0 0 1");
}

/*
 * A user namespace counts watches of its own: there is room for so many, as if the user's other programs had all the
 * rest. Returns whether this is that namespace; else the test has been run there.
 */
static bool with_watches(const char *most, const char *test)
{
    struct again again;
    int ready[2], go[2], status;
    char byte;
    pid_t pid;

    if (getenv(INSIDE))
        return true;
    if (geteuid() != 0)
        harness_skip(&h, "giving a namespace root's number takes root");
    again_make(&again, most, test);
    cr_assert(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(NOT_THERE);
        run_inside(&again);
    }
    close(ready[1]);
    free(again.env);
    cr_assert(pid > 0);
    if (read(ready[0], &byte, 1) == 1 && map_ids(pid))
        cr_assert(write(go[1], "g", 1) == 1);
    close(go[1]);
    cr_assert(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_THERE)
        harness_skip(&h, "no user namespace to count watches in");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x, see above", status);
    return false;
}

static long size_of(const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : (long)st.st_size;
}

static int listed(const char *name)
{
    DIR *dir = fdopendir(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int n = 0;

    cr_assert(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

/* Of each directory: what is in it, what is not, and the listing; twice, so that all is known that can be. */
static void warm(void)
{
    char name[32];

    for (int i = 0; i < 2 * DIRS; i++) {
        snprintf(name, sizeof name, "d%d/in", i % DIRS);
        cr_assert(size_of(name) == 2);
        snprintf(name, sizeof name, "d%d/new", i % DIRS);
        cr_assert(size_of(name) == -ENOENT);
        snprintf(name, sizeof name, "d%d", i % DIRS);
        cr_assert(listed(name) == 1);
    }
}

static void plant(void)
{
    char name[32];

    for (int i = 0; i < DIRS; i++) {
        snprintf(name, sizeof name, "d%d/in", i);
        cr_assert(tree_put(h.base, name, "in"));
    }
}

/* By the host: one more in each directory, and the one that was there is gone. */
static void change(void)
{
    char name[32], gone[32];

    for (int i = 0; i < DIRS; i++) {
        snprintf(name, sizeof name, "d%d/new", i);
        snprintf(gone, sizeof gone, "d%d/in", i);
        cr_assert(tree_put(h.base, name, "new") && unlinkat(base, gone, 0) == 0);
    }
}

static int seen(void)
{
    char name[32];
    int n = 0;

    for (int i = 0; i < DIRS; i++) {
        snprintf(name, sizeof name, "d%d/new", i);
        n += size_of(name) == 3;
        snprintf(name, sizeof name, "d%d/in", i);
        n += size_of(name) == -ENOENT;
        snprintf(name, sizeof name, "d%d", i);
        n += listed(name) == 1;
    }
    return n;
}

static void expect_seen(void)
{
    int n;

    (void)AWAIT_WITHIN(SEEN_MS, (n = seen()) == 3 * DIRS);
    cr_expect(n == 3 * DIRS, "%d of %d changes are seen", n, 3 * DIRS);
}

static void run_out(const char *most, const char *test)
{
    if (!with_watches(most, test))
        return;
    plant();
    start();
    warm();
    change();
    expect_seen();
}

Test(watches, none_is_left_for_most_directories)
{
    run_out("4", "none_is_left_for_most_directories");
}

Test(watches, none_is_left_at_all)
{
    run_out("0", "none_is_left_at_all");
}

/* Two files in turn: equal events in a row would be one. */
static void fill_queue(long most)
{
    static const char *const names[] = { "d0/a", "d0/b" };

    cr_assert(tree_put(h.base, names[0], "") && tree_put(h.base, names[1], ""));
    for (long i = 0; i < most + 100; i++)
        cr_assert(utimensat(base, names[i % 2], NULL, 0) == 0);
    cr_assert(unlinkat(base, names[0], 0) == 0 && unlinkat(base, names[1], 0) == 0);
}

Test(watches, the_queue_of_events_overflows)
{
    long most = number("/proc/sys/fs/inotify/max_queued_events");

    if (most < 0 || most > 200000)
        harness_skip(&h, "the queue is too long to fill");
    plant();
    start();
    sleep_ms(150); /* what has just changed is not kept */
    warm();
    cr_assert(proc_stop(h.pid));
    waitpid(h.pid, NULL, WUNTRACED);
    fill_queue(most);
    change(); /* of which no event is left */
    kill(h.pid, SIGCONT);
    expect_seen();
}
