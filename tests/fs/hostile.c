/* Trees, rules and hosts that mean harm: crowds of names and of rules, renames under a listing, swaps, a killed daemon.
 */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct harness h;
static int at = -1, base = -1;

static void setup(void)
{
    harness_init(&h);
    base = open(h.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void teardown(void)
{
    close(at);
    close(base);
    harness_release(&h);
}

FS_SUITES(hostile, 300);
TestSuite(hostile_full, .init = setup, .fini = teardown, .timeout = 1800);

static void start_cached(const struct rule *rules, size_t n, uint32_t cache_ms)
{
    struct harness_options options = harness_options();

    options.cache_ms = cache_ms;
    cr_assert(harness_start(&h, rules, n, &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void start(const struct rule *rules, size_t n)
{
    start_cached(rules, n, 1000);
}

static void start_open(void)
{
    static const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };

    start(&all, 1);
}

static void make(int dir, const char *name)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
    close(fd);
}

/* Marks in seen how often each number is listed that is the name of an entry; returns all the entries. */
static size_t list_numbers(const char *name, unsigned char *seen, size_t most)
{
    DIR *dir = fdopendir(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *e;
    size_t n = 0;

    cr_assert(dir, "%s: %s", name, strerror(errno));
    memset(seen, 0, most);
    for (errno = 0; (e = readdir(dir)); errno = 0) {
        char *end;
        size_t number = strtoul(e->d_name, &end, 10);

        n += e->d_name[0] != '.';
        if (!*end && number < most)
            seen[number]++;
    }
    cr_expect(errno == 0, "%s: %s", name, strerror(errno));
    closedir(dir);
    return n;
}

/* ---- renames under a listing ----------------------------------------------------------------------------------- */

#define STAYING 150 /* names in each of the two directories that stay there: numbers */
#define MOVING  40  /* names that go from one to the other and back */

/* By the workspace, or by the host below it. */
static pid_t move_in_loop(int dir)
{
    char there[32], back[32];
    pid_t pid = fork();

    if (pid)
        return pid;
    for (unsigned i = 0;; i++) {
        snprintf(there, sizeof there, "one/m%u", i % MOVING);
        snprintf(back, sizeof back, "two/m%u", i % MOVING);
        if (renameat(dir, there, dir, back) < 0)
            (void)renameat(dir, back, dir, there);
    }
}

/* What stays is listed once, each time; what is hidden never. */
static void list_both(int times)
{
    static const char *const dirs[] = { "one", "two" };
    unsigned char seen[STAYING];
    size_t wrong = 0;

    for (int i = 0; i < times; i++) {
        size_t n = list_numbers(dirs[i % 2], seen, STAYING);

        for (size_t k = 0; k < STAYING; k++)
            wrong += seen[k] != 1;
        /* One that goes back and comes again during a listing may be in it twice. */
        cr_expect(n <= STAYING + 2 * MOVING, "%zu entries", n);
    }
    cr_expect(wrong == 0, "%zu times a name that stays was missing or listed twice", wrong);
}

FS_TEST(hostile, two_directories_are_listed_while_files_move_between_them)
{
    static const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
                                         { "*/hidden*", RT_RULE_GLOB, RT_PERM_NONE, 1 } };
    char name[32];
    pid_t movers[2];
    struct stat st;
    size_t left = 0;

    cr_assert(mkdirat(base, "one", 0755) == 0 && mkdirat(base, "two", 0755) == 0);
    for (int i = 0; i < STAYING + MOVING; i++)
        for (int d = 0; d < (i < STAYING ? 2 : 1); d++) {
            snprintf(name, sizeof name, "%s/%s%d", d ? "two" : "one", i < STAYING ? "" : "m",
                     i < STAYING ? i : i - STAYING);
            make(base, name);
        }
    for (int i = 0; i < 3 * MOVING; i++) {
        snprintf(name, sizeof name, "one/hidden%d", i);
        make(base, name);
    }
    start(rules, N(rules));
    movers[0] = move_in_loop(at);
    movers[1] = move_in_loop(base);
    list_both(24);
    for (int i = 0; i < 2; i++) {
        kill(movers[i], SIGKILL);
        waitpid(movers[i], NULL, 0);
    }
    for (int i = 0; i < MOVING; i++) {
        snprintf(name, sizeof name, "one/m%d", i);
        left += fstatat(base, name, &st, 0) == 0;
        snprintf(name, sizeof name, "two/m%d", i);
        left += fstatat(base, name, &st, 0) == 0;
    }
    cr_expect(left == MOVING, "%zu of %d files are left", left, MOVING);
}

/* ---- crowds ---------------------------------------------------------------------------------------------------- */

/* One in a hundred is looked at, opened, and removed through the workspace. */
static void crowd(size_t n)
{
    unsigned char *seen = calloc(n, 1);
    size_t missing = 0, doubled = 0, got;
    char name[32];
    struct stat st;
    int dir, fd;

    cr_assert(seen && mkdirat(base, "crowd", 0755) == 0);
    dir = openat(base, "crowd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%zu", i);
        make(dir, name);
    }
    close(dir);
    start_open();
    for (int times = 0; times < 2; times++) { /* the second one may be the kernel's own */
        got = list_numbers("crowd", seen, n);
        for (size_t i = 0; i < n; i++) {
            missing += seen[i] == 0;
            doubled += seen[i] > 1;
        }
        cr_expect(got == n && !missing && !doubled, "%zu entries; %zu missing, %zu twice", got, missing, doubled);
    }
    dir = openat(at, "crowd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < n; i += 100) {
        snprintf(name, sizeof name, "%zu", i);
        WORKS(fstatat(dir, name, &st, 0));
        WORKS(fd = openat(dir, name, O_RDWR));
        close(fd);
        WORKS(unlinkat(dir, name, 0));
    }
    close(dir);
    cr_expect(list_numbers("crowd", seen, n) == n - (n + 99) / 100);
    free(seen);
}

Test(hostile, twenty_thousand_names_in_a_directory)
{
    crowd(20000);
}

Test(hostile_full, a_million_names_in_a_directory)
{
    crowd(1000000);
}

#define RULES 10000

/* Of the files f0 to f9999 each has a rule of its own: in turn none, view, read, write. */
static struct rule *rules_make(int turn)
{
    struct rule *rules = calloc(RULES + 1, sizeof *rules);

    cr_assert(rules);
    for (int i = 0; i < RULES; i++) {
        snprintf(rules[i].pattern, sizeof rules[i].pattern, i % 2 ? "**/f%d" : "/f%d", i);
        rules[i].type = i % 2 ? RT_RULE_GLOB : RT_RULE_FILE;
        rules[i].permission = (i + turn) % 4;
    }
    rules[RULES] = (struct rule){ "**", RT_RULE_GLOB, RT_PERM_READ, -1 };
    return rules;
}

static void rules_expect(int turn)
{
    static const struct {
        int read, write; /* errno; 0 = it works */
    } wants[] = { { ENOENT, ENOENT }, { EACCES, EACCES }, { 0, EACCES }, { 0, 0 } };
    char name[16];

    for (int i = 7; i < RULES; i += 311) {
        snprintf(name, sizeof name, "f%d", i);
        for (int writes = 0; writes < 2; writes++) {
            int want = writes ? wants[(i + turn) % 4].write : wants[(i + turn) % 4].read, fd;

            errno = 0;
            fd = openat(at, name, writes ? O_WRONLY : O_RDONLY);
            cr_expect(fd >= 0 ? want == 0 : errno == want, "%s for %s, turn %d: %s", name,
                      writes ? "writing" : "reading", turn, strerror(errno));
            if (fd >= 0)
                close(fd);
        }
    }
}

Test(hostile, ten_thousand_rules_and_ten_thousand_others)
{
    struct rule *rules = rules_make(0);
    char name[16];

    for (int i = 7; i < RULES; i += 311) {
        snprintf(name, sizeof name, "f%d", i);
        make(base, name);
    }
    start(rules, RULES + 1);
    rules_expect(0);
    free(rules);
    rules = rules_make(1);
    harness_set_rules(&h, rules, RULES + 1);
    rules_expect(1);
    free(rules);
}

/* ---- a host that swaps directories ------------------------------------------------------------------------------ */

static pid_t exchange_in_loop(const char *a, const char *b)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    for (;;)
        syscall(SYS_renameat2, base, a, base, b, RENAME_EXCHANGE);
}

/* A directory with something hidden in it comes and goes: that is never seen, nor is anything made in its place. */
FS_TEST(hostile, a_directory_with_a_hidden_one_is_swapped_in)
{
    static const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
                                         { "**/secrets/**", RT_RULE_GLOB, RT_PERM_NONE, 1 } };
    int leaks = 0, seen[2] = { 0 }, fd;
    struct stat st;
    pid_t pid;

    cr_assert(tree_put(h.base, "work/plain", "w") && tree_put(h.base, "other/plain", "other"));
    cr_assert(tree_put(h.base, "other/secrets/key", "S3CRET"));
    start_cached(rules, N(rules), 0); /* all is asked for, which gives the swapping its chance */
    pid = exchange_in_loop("work", "other");
    for (int i = 0; i < 300 || ((!seen[0] || !seen[1]) && i < 300000); i++) {
        leaks += fstatat(at, "work/secrets", &st, AT_SYMLINK_NOFOLLOW) == 0;
        leaks += fstatat(at, "work/secrets/key", &st, AT_SYMLINK_NOFOLLOW) == 0;
        fd = openat(at, "work/secrets/key", O_RDONLY);
        leaks += fd >= 0;
        if (fd >= 0)
            close(fd);
        leaks += mkdirat(at, "work/secrets", 0755) == 0;
        if (fstatat(at, "work/plain", &st, 0) == 0)
            seen[st.st_size > 1]++;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_expect(leaks == 0, "%d leaks", leaks);
    cr_expect(seen[0] && seen[1], "nothing was swapped: %d, %d", seen[0], seen[1]);
}

static bool reads_as(int dir, const char *text)
{
    char buf[8] = "";
    int fd = openat(dir, "f", O_RDONLY);

    if (fd >= 0 && (pread(fd, buf, 7, 0) != 7 || close(fd) < 0))
        cr_assert_fail("%s", strerror(errno));
    return !strcmp(buf, text);
}

/* The directory that a process is in becomes a hidden one, by the host's exchange of the two. */
FS_TEST(hostile, a_held_directory_is_exchanged_for_a_hidden_one)
{
    static const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
                                         { "hid", RT_RULE_DIRECTORY, RT_PERM_NONE, 1 } };
    char buf[8] = "";
    struct stat st;
    int held, fd;

    cr_assert(tree_put(h.base, "pub/f", "was-pub") && tree_put(h.base, "hid/f", "was-hid"));
    start(rules, N(rules));
    held = openat(at, "pub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(held >= 0 && fstatat(held, "f", &st, 0) == 0);
    FAILS(ENOENT, fstatat(at, "hid", &st, 0));
    cr_assert(syscall(SYS_renameat2, base, "pub", base, "hid", RENAME_EXCHANGE) == 0);
    FAILS(ENOENT, fstatat(at, "hid", &st, 0));
    FAILS(ENOENT, openat(at, "hid/f", O_RDONLY));
    cr_expect(AWAIT_WITHIN(SEEN_MS, !reads_as(held, "was-pub")), "what is hidden by now is read by who held it");
    fd = openat(held, "made", O_CREAT | O_WRONLY, 0644);
    if (fd >= 0)
        close(fd);
    cr_expect(!tree_exists(h.base, "hid/made"), "something was made in what is hidden by now");
    WORKS(fd = openat(at, "pub/f", O_RDONLY));
    cr_expect(pread(fd, buf, 7, 0) == 7 && memcmp(buf, "was-hid", 7) == 0);
    close(fd);
    close(held);
}

/* ---- a killed daemon -------------------------------------------------------------------------------------------- */

#define WRITERS 8

static pid_t write_until_it_fails(int n, int up)
{
    char name[16], text[4096];
    pid_t pid = fork();

    if (pid)
        return pid;
    snprintf(name, sizeof name, "file%d", n);
    memset(text, 'x', sizeof text);
    for (int i = 0;; i++) {
        int fd = openat(at, name, O_CREAT | O_RDWR | (i % 7 ? 0 : O_TRUNC), 0644);

        if (fd < 0)
            _exit(1);
        if (write(fd, text, sizeof text) < 0 || fsync(fd) < 0 || close(fd) < 0)
            _exit(1);
        if (i == 3 && write(up, "u", 1) != 1)
            _exit(2);
    }
}

static bool ends(pid_t pid, int *status)
{
    return AWAIT(waitpid(pid, status, WNOHANG) == pid);
}

/* The dead daemon's mount: every user's own to remove. */
static void unmount_dead(void)
{
    char cmd[128];

    snprintf(cmd, sizeof cmd, "fusermount3 -u -z %s", h.mnt);
    cr_expect((geteuid() == 0 ? umount2(h.mnt, MNT_DETACH) : system(cmd)) == 0, "%s", strerror(errno));
}

static void daemon_killed(void)
{
    int status, pipes[2];
    pid_t writers[WRITERS];
    char ups[WRITERS];

    start_open();
    cr_assert(pipe2(pipes, O_CLOEXEC) == 0);
    for (int i = 0; i < WRITERS; i++)
        writers[i] = write_until_it_fails(i, pipes[1]);
    for (ssize_t n = 0, r; n < WRITERS; n += r)
        cr_assert((r = read(pipes[0], ups, sizeof ups)) > 0);
    kill(h.pid, SIGKILL);
    cr_assert(waitpid(h.pid, NULL, 0) == h.pid);
    h.pid = 0;
    for (int i = 0; i < WRITERS; i++) {
        bool ended = ends(writers[i], &status);

        cr_expect(ended && WIFEXITED(status) && WEXITSTATUS(status) == 1, "writer %d: %s", i,
                  ended ? "ended without an error" : "hangs");
        if (!ended)
            kill(writers[i], SIGKILL);
    }
    FAILS(ENOTCONN, openat(at, "file0", O_RDONLY));
    unmount_dead();
    close(at);
    at = -1;
    close(h.owner);
    h.owner = -1;
    close(pipes[0]);
    close(pipes[1]);
    cr_assert(harness_start_open(&h), "not started again: %s", h.why);
    cr_expect(tree_put(h.mnt, "after", "x"));
}

Test(hostile, the_daemon_is_killed_while_eight_write)
{
    daemon_killed();
    cr_expect(tree_exists(h.base, "file0") && tree_exists(h.base, "after"));
}

/* Half of the files are the codebase's; its successor takes the delta over as it is. */
Test(hostile, the_daemon_of_a_delta_is_killed_while_eight_write)
{
    char name[16];

    for (int i = 0; i < WRITERS / 2; i++) {
        snprintf(name, sizeof name, "file%d", i);
        cr_assert(tree_put(h.base, name, "old"));
    }
    harness_flags |= PERMFS_DELTA;
    daemon_killed();
    for (int i = 0; i < WRITERS; i++) {
        snprintf(name, sizeof name, "file%d", i);
        cr_expect(tree_exists(h.mnt, name) && !tree_is(h.mnt, name, "old"), "%s", name);
        cr_expect(i < WRITERS / 2 ? tree_is(h.base, name, "old") : !tree_exists(h.base, name), "%s", name);
    }
    cr_expect(!tree_exists(h.base, "after"));
}
