/*
 * The names of one file are that file to the kernel, as on the filesystem below (contract W10): locks, mappings and
 * sizes meet across those that the rules treat alike. Those that they do not stay apart, and none gives more than its
 * own rule says (W1, W7, W11). What names.c says of content and attributes holds for both.
 */
#include "permfs_harness.h"

#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LONG_MS 60000 /* longer than any of the tests */

static struct harness h;
static int at, base;

static const struct rule all[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 } };

static void start_cached(const struct rule *rules, size_t n, uint32_t cache_ms)
{
    struct harness_options options = harness_options();

    options.cache_ms = cache_ms;
    cr_assert(harness_start(&h, rules, n, &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    base = open(h.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert(at >= 0 && base >= 0);
}

static void start(const struct rule *rules, size_t n)
{
    start_cached(rules, n, LONG_MS);
}

static void setup(void)
{
    harness_init(&h);
    at = base = -1;
    cr_assert(tree_put(h.base, "a", "0123456789") && tree_put(h.base, "d/x", "x") && tree_put(h.base, "e/x", "x"));
}

static void teardown(void)
{
    close(at);
    close(base);
    harness_release(&h);
}

FS_SUITES(one_file, 300);

/* Four at a time. */
static const char *path(const char *dir, const char *name)
{
    static char paths[4][128];
    static int i;

    i = (i + 1) % 4;
    snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
    return paths[i];
}

static void link_below(const char *name)
{
    cr_assert(link(path(h.base, "a"), path(h.base, name)) == 0);
}

static int opened_for(const char *name, int flags)
{
    int fd = openat(at, name, flags | O_CLOEXEC);

    cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
    return fd;
}

static int opened(const char *name)
{
    return opened_for(name, O_RDWR);
}

static bool conflicts(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    cr_assert(fcntl(fd, F_OFD_GETLK, &lock) == 0);
    return lock.l_type != F_UNLCK;
}

/* Whether what is locked by one is locked to the other, by flock and by fcntl alike. */
static bool locks_meet(int one, int other)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    bool flocks, fcntls;

    cr_assert(flock(one, LOCK_EX) == 0);
    flocks = flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    cr_assert(flock(one, LOCK_UN) == 0 && flock(other, LOCK_UN) == 0);
    cr_assert(fcntl(one, F_OFD_SETLK, &lock) == 0);
    fcntls = conflicts(other);
    lock.l_type = F_UNLCK;
    cr_assert(fcntl(one, F_OFD_SETLK, &lock) == 0 && !conflicts(other));
    cr_expect(flocks == fcntls);
    return flocks;
}

/* Closes both. */
static void expect_one(int one, int other)
{
    char *a = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
    char *b = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
    bool same = true;

    cr_expect(locks_meet(one, other) && locks_meet(other, one), "locks do not meet");
    cr_assert(a != MAP_FAILED && b != MAP_FAILED);
    for (int i = 0; i < 10; i++) { /* neither synced nor unmapped */
        a[i] = (char)('a' + i);
        same = same && b[i] == a[i];
        b[i] = (char)('A' + i);
        same = same && b[i] == a[i];
    }
    cr_expect(same, "the mappings differ");
    munmap(a, 10);
    munmap(b, 10);
    close(one);
    close(other);
}

static void expect_names_one(const char *one, const char *other)
{
    expect_one(opened(one), opened(other));
}

static int copied(int from, const char *to)
{
    int fd = openat(at, to, O_WRONLY | O_CREAT | O_TRUNC, 0644), n = 0;
    off_t off = 0;
    ssize_t r;

    cr_assert(fd >= 0);
    while ((r = copy_file_range(from, &off, fd, NULL, 1 << 20, 0)) > 0)
        n += (int)r;
    cr_assert(r == 0, "%s", strerror(errno));
    close(fd);
    return n;
}

static void grow(const char *name, int flags)
{
    int fd = opened_for(name, O_WRONLY | flags);
    off_t end = lseek(fd, 0, SEEK_END);

    cr_assert(pwrite(fd, "more", 4, end) == 4);
    close(fd);
}

/* A shell command in the workspace. */
static int sh(const char *command)
{
    char line[512];

    snprintf(line, sizeof line, "cd '%s' && %s", h.mnt, command);
    return system(line);
}

/* ---- names of equal permission ---- */

FS_TEST(one_file, by_a_link_made_inside)
{
    start(all, N(all));
    WORKS(linkat(at, "a", at, "d/b", 0));
    expect_names_one("a", "d/b");
}

FS_TEST(one_file, by_links_made_outside)
{
    start(all, N(all));
    link_below("b");
    link_below("d/c");
    expect_names_one("a", "d/c");
    expect_names_one("b", "d/c");
}

FS_TEST(one_file, opened_before_the_link_is_made)
{
    int a;

    start(all, N(all));
    a = opened("a");
    WORKS(linkat(at, "a", at, "b", 0));
    expect_one(a, opened("b"));
}

FS_TEST(one_file, one_name_is_removed)
{
    struct stat st;
    int a;

    start(all, N(all));
    WORKS(linkat(at, "a", at, "d/b", 0));
    a = opened("a");
    WORKS(unlinkat(at, "a", 0));
    FAILS(ENOENT, fstatat(at, "a", &st, 0));
    cr_expect(fstatat(at, "d/b", &st, 0) == 0 && st.st_nlink == 1);
    expect_one(a, opened("d/b"));
    WORKS(unlinkat(at, "d/b", 0));
    FAILS(ENOENT, fstatat(at, "d/b", &st, 0));
}

/* Also the directory in which it was first seen. */
FS_TEST(one_file, one_name_goes_with_its_directory)
{
    int b;

    link_below("d/b");
    start(all, N(all));
    b = opened("d/b");
    expect_one(dup(b), opened("a"));
    WORKS(unlinkat(at, "d/b", 0));
    WORKS(unlinkat(at, "d/x", 0));
    WORKS(unlinkat(at, "d", AT_REMOVEDIR));
    expect_one(b, opened("a"));
    cr_expect(tree_is(h.mnt, "a", "ABCDEFGHIJ"));
    WORKS(fchmodat(at, "a", 0600, 0));
}

FS_TEST(one_file, one_name_is_renamed)
{
    int a;

    start(all, N(all));
    WORKS(linkat(at, "a", at, "b", 0));
    a = opened("a");
    WORKS(renameat(at, "b", at, "d/c"));
    expect_one(dup(a), opened("d/c"));
    WORKS(renameat(at, "a", at, "e/a"));
    expect_one(a, opened("d/c"));
    expect_names_one("e/a", "d/c");
    WORKS(renameat(at, "d", at, "e/d"));
    expect_names_one("e/a", "e/d/c");
}

FS_TEST(one_file, one_name_is_renamed_over)
{
    int a;

    start(all, N(all));
    WORKS(linkat(at, "a", at, "b", 0));
    a = opened("a");
    WORKS(renameat(at, "d/x", at, "a"));
    cr_expect(tree_is(h.mnt, "a", "x"));
    expect_one(a, opened("b"));
    cr_expect(tree_is(h.mnt, "a", "x"), "written through a name that is another's now");
}

/* rename(2) does nothing then. */
FS_TEST(one_file, renamed_to_its_own_other_name)
{
    start(all, N(all));
    WORKS(linkat(at, "a", at, "b", 0));
    expect_names_one("a", "b");
    WORKS(renameat(at, "a", at, "b"));
    expect_names_one("a", "b");
}

FS_TEST(one_file, exchanged_with_another)
{
    int a;

    start(all, N(all));
    WORKS(linkat(at, "a", at, "b", 0));
    a = opened("a");
    WORKS(renameat2(AT_FDCWD, path(h.mnt, "a"), AT_FDCWD, path(h.mnt, "d/x"), RENAME_EXCHANGE));
    cr_expect(tree_is(h.mnt, "a", "x"));
    expect_one(dup(a), opened("d/x"));
    expect_one(a, opened("b"));
}

/* The kernel is not told of it, and what stands behind the old name is found by the new one. */
FS_TEST(one_file, renamed_by_the_host_while_open)
{
    int a;

    start(all, N(all));
    a = opened("a");
    cr_assert(renameat(base, "a", base, "d/b") == 0);
    expect_one(a, opened("d/b"));
    WORKS(fchmodat(at, "d/b", 0600, 0));
}

/* More often than names are kept of what is gone. */
FS_TEST(one_file, renamed_by_the_host_over_and_over)
{
    char name[16] = "a", before[16];
    struct stat st;
    int fd;

    start_cached(all, N(all), 0);
    fd = opened("a");
    for (int i = 0; i < 1100; i++) {
        strcpy(before, name);
        snprintf(name, sizeof name, "d/%d", i);
        cr_assert(renameat(base, before, base, name) == 0);
        cr_assert(fstatat(at, name, &st, 0) == 0 && st.st_size == 10, "%s: %s", name, strerror(errno));
    }
    FAILS(ENOENT, fstatat(at, "a", &st, 0));
    FAILS(ENOENT, fstatat(at, "d/7", &st, 0));
    FAILS(ENOENT, fstatat(at, before, &st, 0));
    cr_assert(pwrite(fd, "by the old", 10, 0) == 10);
    cr_expect(tree_is(h.mnt, name, "by the old"));
    WORKS(fchmodat(at, name, 0600, 0));
    WORKS(unlinkat(at, name, 0));
    FAILS(ENOENT, fstatat(at, name, &st, 0));
    close(fd);
}

/* The name that was seen first is another file's now. */
FS_TEST(one_file, the_host_puts_another_in_place_of_one_name)
{
    struct stat st;
    int a;

    start_cached(all, N(all), 0);
    WORKS(linkat(at, "a", at, "b", 0));
    a = opened("a");
    cr_assert(tree_put(h.base, "new", "another") && renameat(base, "new", base, "a") == 0);
    cr_expect(tree_is(h.mnt, "a", "another"));
    WORKS(fchmod(a, 0600));
    cr_expect(fstatat(base, "a", &st, 0) == 0 && (st.st_mode & 0777) != 0600);
    expect_one(a, opened("b"));
    cr_expect(tree_is(h.mnt, "a", "another"));
}

/* What is done to it afterwards is done by a name that is left, however the others went. */
FS_TEST(one_file, the_host_removes_all_names_but_one)
{
    char by_fd[32];
    struct stat st;
    int c;

    start(all, N(all));
    link_below("b");
    link_below("d/c");
    WORKS(fstatat(at, "b", &st, 0));
    c = opened("d/c");
    WORKS(fstatat(at, "a", &st, 0));
    cr_assert(unlinkat(base, "b", 0) == 0 && unlinkat(base, "a", 0) == 0);
    snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d", c);
    WORKS(linkat(AT_FDCWD, by_fd, at, "new", AT_SYMLINK_FOLLOW)); /* no name is looked up again for that */
    close(c);
    WORKS(fchmodat(at, "d/c", 0600, 0));
    WORKS(setxattr(path(h.mnt, "d/c"), "user.a", "1", 1, 0));
    close(opened("d/c"));
}

FS_TEST(one_file, a_size_that_grew_by_the_other_name_is_copied)
{
    int b;

    start(all, N(all));
    WORKS(linkat(at, "a", at, "b", 0));
    b = opened_for("b", O_RDONLY);
    cr_expect(copied(b, "copy") == 10);
    grow("a", O_APPEND);
    cr_expect(copied(b, "copy") == 14);
    grow("a", 0);
    cr_expect(copied(b, "copy") == 18);
    close(b);
    cr_expect(sh("echo more >> a; cp b c && cmp a c; echo more >> c; cat c >> b; cp a c && cmp b c") == 0);
}

/* Many more than have room in anything of fixed size, gone through in any order. */
FS_TEST(one_file, hundreds_of_names)
{
    char name[32];
    int a, b;

    start(all, N(all));
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%c/%d", i & 1 ? 'd' : 'e', i);
        WORKS(linkat(at, "a", at, name, 0));
    }
    a = opened("d/299");
    for (int i = 0; i < 300; i += 3) {
        snprintf(name, sizeof name, "%c/%d", i & 1 ? 'd' : 'e', i);
        WORKS(unlinkat(at, name, 0));
    }
    b = opened("e/298");
    expect_one(a, b);
    for (int i = 1; i < 300; i++) {
        snprintf(name, sizeof name, "%c/%d", i & 1 ? 'd' : 'e', i);
        if (i % 3)
            WORKS(unlinkat(at, name, 0));
    }
    cr_expect(tree_is(h.mnt, "a", "ABCDEFGHIJ"));
}

/* Returns whether all that happened can happen. */
static bool juggle(unsigned seed)
{
    char name[8], other[8], buf[11] = "";
    bool right = true;
    struct stat st;

    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "%c/%d", "de"[rand_r(&seed) % 2], rand_r(&seed) % 6);
        snprintf(other, sizeof other, "%c/%d", "de"[rand_r(&seed) % 2], rand_r(&seed) % 6);
        errno = 0;
        switch (rand_r(&seed) % 5) {
        case 0:
            right = right && (linkat(at, "a", at, name, 0) == 0 || errno == EEXIST);
            break;
        case 1:
            right = right && (unlinkat(at, name, 0) == 0 || errno == ENOENT);
            break;
        case 2:
            right = right && (renameat(at, name, at, other) == 0 || errno == ENOENT);
            break;
        case 3:
            right = right && (fstatat(at, name, &st, 0) == 0 ? st.st_size == 10 : errno == ENOENT);
            break;
        default: {
            int fd = openat(at, name, O_RDWR | O_CLOEXEC);

            right = right && (fd < 0 ? errno == ENOENT : read(fd, buf, 10) == 10 && !strcmp(buf, "0123456789"));
            if (fd >= 0)
                close(fd);
        }
        }
        if (!right)
            fprintf(stderr, "%s, %s: %s\n", name, other, strerror(errno));
    }
    return right;
}

FS_TEST(one_file, names_come_and_go_in_several_processes)
{
    pid_t pids[4];
    int status;

    start(all, N(all));
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(!juggle((unsigned)i + 1));
    }
    for (int i = 0; i < 4; i++)
        cr_expect(waitpid(pids[i], &status, 0) == pids[i] && status == 0, "%d: %#x", i, status);
    WORKS(linkat(at, "a", at, "last", 0));
    expect_names_one("a", "last");
}

/* A pipe's two ends find each other. */
FS_TEST(one_file, a_fifo)
{
    char buf[8] = "";
    int in, out;

    start(all, N(all));
    WORKS(mkfifoat(at, "p", 0600));
    WORKS(linkat(at, "p", at, "d/q", 0));
    in = opened_for("p", O_RDONLY | O_NONBLOCK);
    out = openat(at, "d/q", O_WRONLY | O_NONBLOCK);
    cr_assert(out >= 0, "%s", strerror(errno));
    cr_expect(write(out, "hello", 5) == 5 && read(in, buf, sizeof buf) == 5 && strcmp(buf, "hello") == 0);
    close(in);
    close(out);
}

/* ---- names of different permission ---- */

static const struct rule different[] = {
    { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
    { "read", RT_RULE_FILE, RT_PERM_READ, 1 },
    { "view", RT_RULE_FILE, RT_PERM_VIEW, 1 },
    { "none", RT_RULE_FILE, RT_PERM_NONE, 1 },
};

static void expect_differ(void)
{
    struct stat st;

    FAILS(ENOENT, fstatat(at, "none", &st, 0));
    FAILS(ENOENT, openat(at, "none", O_RDONLY));
    FAILS(EACCES, openat(at, "view", O_RDONLY));
    FAILS(EACCES, fchmodat(at, "view", 0600, 0));
    FAILS(EACCES, openat(at, "read", O_RDWR));
    FAILS(EACCES, fchmodat(at, "read", 0600, 0));
    FAILS(EACCES, linkat(at, "read", at, "new", 0));
    close(opened_for("read", O_RDONLY));
    close(opened_for("a", O_RDWR));
    WORKS(fchmodat(at, "a", 0644, 0));
    WORKS(fstatat(at, "view", &st, 0));
    WORKS(fstatat(at, "read", &st, 0));
}

FS_TEST(one_file, each_name_gives_what_its_rule_says)
{
    link_below("read");
    link_below("view");
    link_below("none");
    start(different, N(different));
    expect_differ();
    expect_differ();
    WORKS(linkat(at, "a", at, "d/b", 0));
    expect_names_one("a", "d/b");
    expect_differ();
}

static nlink_t count_at(const char *name)
{
    struct stat st;

    cr_assert(fstatat(at, name, &st, 0) == 0, "%s: %s", name, strerror(errno));
    return st.st_nlink;
}

/* What the kernel keeps of a file that has one name is not kept once it knows another, of whatever permission. */
FS_TEST(one_file, what_is_kept_of_the_only_name_goes_with_the_second)
{
    start(different, N(different));
    cr_expect(count_at("a") == 1);
    link_below("read");
    cr_expect(count_at("read") == 2 && count_at("a") == 2);
    link_below("view");
    cr_expect(count_at("view") == 3 && count_at("a") == 3 && count_at("read") == 3);
}

/* cp and the like look at a file, by its name or once it is open, before they copy it. */
FS_TEST(one_file, a_size_that_grew_by_a_name_of_more_permission_is_copied)
{
    struct stat st;
    int fd;

    link_below("read");
    start(different, N(different));
    WORKS(fstatat(at, "read", &st, 0));
    fd = opened_for("read", O_RDONLY);
    cr_expect(copied(fd, "copy") == 10);
    close(fd);
    for (int i = 1; i <= 4; i++) {
        grow("a", i & 1 ? O_APPEND : 0);
        fd = opened_for("read", O_RDONLY);
        cr_expect(copied(fd, "copy") == 10 + 4 * i, "%d: %d", i, copied(fd, "copy"));
        close(fd);
    }
    cr_expect(sh("echo more >> a; cp read c && cmp a c; cat c >> a; cp read c && cmp a c") == 0);
}

/* ---- rules that change ---- */

/* Those that are alike no more part at once, and what is open stays as it was (contract W11). */
FS_TEST(one_file, new_rules_tell_names_apart)
{
    int a, b;

    link_below("read");
    link_below("view");
    link_below("none");
    start(all, N(all));
    expect_names_one("a", "none");
    expect_names_one("read", "view");
    a = opened("a");
    b = opened("none");
    harness_set_rules(&h, different, N(different));
    expect_differ();
    cr_expect(pwrite(b, "still", 5, 0) == 5);
    expect_one(a, b);
    harness_set_rules(&h, all, N(all));
    expect_names_one("a", "none");
    expect_names_one("read", "view");
}

/* What a rule says of one name is nothing to those who lock the file by others. */
FS_TEST(one_file, names_whose_permission_stays_are_one_still)
{
    int a;

    link_below("d/b");
    link_below("read");
    link_below("view");
    start(all, N(all));
    expect_names_one("read", "d/b");
    a = opened("a");
    harness_set_rules(&h, different, N(different));
    if (!(harness_flags & PERMFS_NO_EPOCH))
        expect_one(dup(a), opened("a"));
    expect_names_one("a", "d/b");
    WORKS(fchmodat(at, "a", 0600, 0));
    expect_differ();
    close(a);
}

static int opened_again(int path_fd, int flags)
{
    char name[64];
    int fd;

    snprintf(name, sizeof name, "/proc/self/fd/%d", path_fd);
    fd = open(name, flags | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd;
}

/* What names the file and has not opened it gives no more than a name that the file still has. */
FS_TEST(one_file, a_descriptor_from_before_new_rules_gives_no_more_than_a_name)
{
    static const struct rule less[] = {
        { "**", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "none", RT_RULE_FILE, RT_PERM_NONE, 1 },
    };
    static const struct rule nothing[] = { { "**", RT_RULE_GLOB, RT_PERM_VIEW, 0 } };
    int hidden, kept;

    link_below("none");
    start(all, N(all));
    expect_names_one("a", "none");
    hidden = opened_for("none", O_PATH);
    kept = opened_for("a", O_PATH);
    cr_expect(opened_again(hidden, O_RDWR) >= 0 && opened_again(kept, O_RDWR) >= 0);
    harness_set_rules(&h, less, N(less));
    cr_expect(opened_again(hidden, O_RDWR) < 0 && opened_again(kept, O_RDWR) < 0);
    close(opened_for("a", O_RDONLY));
    cr_expect(opened_again(hidden, O_RDWR) < 0 && opened_again(kept, O_RDWR) < 0);
    harness_set_rules(&h, nothing, N(nothing));
    cr_expect(opened_again(hidden, O_RDONLY) < 0 && opened_again(kept, O_RDONLY) < 0);
    close(hidden);
    close(kept);
}

/* A directory may come to where less is allowed, and what is in it with it. */
FS_TEST(one_file, a_renamed_directory_tells_names_apart)
{
    static const struct rule moves[] = {
        { "**", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "d", RT_RULE_GLOB, RT_PERM_WRITE, 2 },
        { "hid", RT_RULE_GLOB, RT_PERM_WRITE, 2 },
        { "hid/*", RT_RULE_GLOB, RT_PERM_NONE, 1 },
    };
    char value[8];
    struct stat st;

    link_below("d/b");
    start(moves, N(moves));
    WORKS(fstatat(at, "d/b", &st, 0));
    WORKS(fstatat(at, "a", &st, 0));
    close(opened_for("a", O_RDONLY));
    WORKS(renameat(at, "d", at, "hid"));
    FAILS(ENOENT, openat(at, "hid/b", O_RDONLY));
    close(opened_for("a", O_RDONLY));
    FAILS(ENODATA, getxattr(path(h.mnt, "a"), "user.a", value, sizeof value));
    FAILS(ENOENT, fstatat(at, "hid/b", &st, 0));
    WORKS(fstatat(at, "a", &st, 0));
    FAILS(EACCES, openat(at, "a", O_RDWR));
}

/* ---- so many names that none may cost a look at all of them ---- */

#define NAMES 150000

static const char *nth_name(int i)
{
    static char name[32];

    snprintf(name, sizeof name, "d/%s%d", i < NAMES / 2 ? "keep" : "read", i);
    return name;
}

/* Longer than the suite may take, if the time for each grows with their number. */
Test(one_file, more_names_than_are_looked_through)
{
    static const struct rule reads[] = {
        { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
        { "d/read*", RT_RULE_GLOB, RT_PERM_READ, 1 },
    };
    struct stat st;

    harness_mounts(&h);
    harness_mount_tmpfs(h.base, "size=256m,mode=755"); /* others have no room for as many */
    cr_assert(tree_put(h.base, "a", "0123456789") && tree_mkdir(h.base, "d"));
    for (int i = 0; i < NAMES; i++)
        link_below(nth_name(i));
    start(all, N(all));
    for (int i = 0; i < NAMES; i++)
        cr_assert(fstatat(at, nth_name(i), &st, 0) == 0);
    harness_set_rules(&h, reads, N(reads));
    expect_names_one("a", nth_name(0));
    FAILS(EACCES, openat(at, nth_name(NAMES - 1), O_RDWR));
    harness_set_rules(&h, all, N(all));
    expect_names_one("a", nth_name(NAMES - 1));
    for (int i = 0; i < NAMES; i++)
        cr_assert(unlinkat(at, nth_name(i), 0) == 0);
    WORKS(fstatat(at, "a", &st, 0));
    cr_expect(st.st_nlink == 1);
}
