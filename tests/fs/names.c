/*
 * A file with several names: what is changed by one of them is seen by the others at once (contract W10), however long
 * the kernel may keep what it was told, and also when only one of them is left; whether they are one file to it or, for
 * what their rules say, one each.
 */
#include "permfs_harness.h"

#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG_MS 60000 /* longer than any of the tests */

static struct harness h;
static int at, base, below; /* below: the file itself */

static void setup(void)
{
    struct harness_options options;
    const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 }, { "r", RT_RULE_FILE, RT_PERM_READ, 1 } };

    harness_init(&h);
    cr_assert(tree_put(h.base, "a", "0123456789") && tree_put(h.base, "other", "other's") &&
              tree_put(h.base, "d/x", ""));
    options = harness_options();
    options.cache_ms = LONG_MS;
    cr_assert(harness_start(&h, rules, N(rules), &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    base = open(h.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    below = openat(base, "a", O_RDWR | O_CLOEXEC);
    cr_assert(below >= 0);
}

static void teardown(void)
{
    close(at);
    close(base);
    close(below);
    harness_release(&h);
}

FS_SUITES(names, 300);

/* ---- ways to change a file ---- */

static void by_write(int fd)
{
    cr_assert(pwrite(fd, "written", 7, 20) == 7);
}

static void by_overwriting(int fd)
{
    cr_assert(pwrite(fd, "WRITTEN", 7, 0) == 7);
}

static void by_truncation(int fd)
{
    cr_assert(ftruncate(fd, 3) == 0);
}

static void by_growing(int fd)
{
    cr_assert(ftruncate(fd, 30) == 0);
}

static void by_fallocate(int fd)
{
    cr_assert(fallocate(fd, 0, 0, 5000) == 0);
}

static void by_punching(int fd)
{
    cr_assert(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 4) == 0);
}

static void by_copying(int fd)
{
    int from = openat(at, "other", O_RDONLY);
    off_t to = 12;

    cr_assert(copy_file_range(from, NULL, fd, &to, 7, 0) == 7);
    close(from);
}

static void by_mapping(int fd)
{
    char *map = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    cr_assert(map != MAP_FAILED);
    memcpy(map, "mapped", 6);
    cr_assert(msync(map, 10, MS_SYNC) == 0 && munmap(map, 10) == 0);
}

static void by_truncating_open(int fd)
{
    char path[32];
    int again;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    again = open(path, O_RDWR | O_TRUNC);
    if (again >= 0) /* there is no name left to open it by */
        close(again);
    else
        cr_assert(ftruncate(fd, 0) == 0);
}

static void by_mode(int fd)
{
    cr_assert(fchmod(fd, 0640) == 0);
}

static void by_times(int fd)
{
    cr_assert(futimens(fd, (struct timespec[2]){ { 5, 0 }, { 6, 7 } }) == 0);
}

static const struct way {
    const char *name;
    void (*change)(int fd);
} ways[] = {
    { "write", by_write },
    { "overwriting", by_overwriting },
    { "truncation", by_truncation },
    { "growing", by_growing },
    { "fallocate", by_fallocate },
    { "punching a hole", by_punching },
    { "copy_file_range", by_copying },
    { "a mapping", by_mapping },
    { "O_TRUNC", by_truncating_open },
    { "fchmod", by_mode },
    { "futimens", by_times },
};

/* ---- what is seen ---- */

/* As on the filesystem below: attributes, end and content. */
static void expect_same(int fd, const char *what, const char *way)
{
    char got[8192], want[8192];
    struct stat a, b;
    ssize_t n;

    cr_assert(fstat(below, &b) == 0);
    cr_expect(fstat(fd, &a) == 0 && a.st_size == b.st_size, "%s: %s: %jd bytes, wanted %jd", way, what,
              (intmax_t)a.st_size, (intmax_t)b.st_size);
    cr_expect(a.st_mode == b.st_mode && a.st_nlink == b.st_nlink, "%s: %s: mode or links", way, what);
    cr_expect(a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec, "%s: %s: mtime", way,
              what);
    cr_expect(lseek(fd, 0, SEEK_END) == b.st_size, "%s: %s: the end", way, what);
    n = pread(below, want, sizeof want, 0);
    cr_expect(pread(fd, got, sizeof got, 0) == n && memcmp(got, want, (size_t)n) == 0, "%s: %s: content", way, what);
}

/* Fills the kernel's caches of it. */
static void look(int fd, const char *name)
{
    char buf[64];
    struct stat st;

    cr_assert(fstat(fd, &st) == 0 && pread(fd, buf, sizeof buf, 0) >= 0);
    if (name)
        cr_assert(fstatat(at, name, &st, 0) == 0);
}

static void expect_name(const char *name, const char *way)
{
    int fd = openat(at, name, O_RDONLY);
    struct stat a, b;

    cr_assert(fd >= 0 && fstatat(at, name, &a, 0) == 0 && fstat(below, &b) == 0);
    cr_expect(a.st_size == b.st_size && a.st_mode == b.st_mode, "%s: stat of %s", way, name);
    expect_same(fd, name, way);
    close(fd);
}

/* All that changes the file by one of the two, each time seen by the other. Closes both. */
static void change_by_both(int one, const char *one_name, int other, const char *other_name)
{
    for (size_t i = 0; i < N(ways); i++)
        for (int turn = 0; turn < 2; turn++) {
            look(one, one_name);
            look(other, other_name);
            ways[i].change(turn ? other : one);
            expect_same(turn ? one : other, "the other", ways[i].name);
            expect_same(turn ? other : one, "itself", ways[i].name);
            if (one_name)
                expect_name(one_name, ways[i].name);
            if (other_name)
                expect_name(other_name, ways[i].name);
            cr_assert(fchmod(one, 0644) == 0 && ftruncate(one, 0) == 0 && pwrite(one, "0123456789", 10, 0) == 10);
        }
    close(one);
    close(other);
}

static int opened(const char *name)
{
    int fd = openat(at, name, O_RDWR | O_CLOEXEC);

    cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
    return fd;
}

/* ---- the tests ---- */

FS_TEST(names, both_are_there)
{
    int a, b;

    cr_assert(linkat(at, "a", at, "b", 0) == 0);
    a = opened("a");
    b = opened("b");
    change_by_both(a, "a", b, "b");
}

FS_TEST(names, one_was_removed_while_open)
{
    int a, b;

    cr_assert(linkat(at, "a", at, "d/b", 0) == 0);
    a = opened("a");
    b = opened("d/b");
    cr_assert(unlinkat(at, "a", 0) == 0);
    change_by_both(a, NULL, b, "d/b");
}

/* The kernel learns of the other name only after it has kept what it was told of the one that is gone. */
FS_TEST(names, the_other_is_found_after_one_was_removed)
{
    int a, b;

    cr_assert(linkat(base, "a", base, "d/b", 0) == 0);
    a = opened("a");
    cr_assert(unlinkat(at, "a", 0) == 0);
    look(a, NULL);
    b = opened("d/b");
    change_by_both(a, NULL, b, "d/b");
}

FS_TEST(names, one_was_renamed_over)
{
    int a, b;

    cr_assert(linkat(at, "a", at, "b", 0) == 0);
    a = opened("a");
    b = opened("b");
    cr_assert(renameat(at, "other", at, "a") == 0);
    cr_assert(tree_put(h.base, "other", "other's"));
    change_by_both(a, NULL, b, "b");
}

/* It has one name all the time, and a node of the old one. */
FS_TEST(names, the_host_has_renamed_it)
{
    int a = opened("a"), b;

    look(a, "a");
    cr_assert(renameat(base, "a", base, "d/b") == 0);
    b = opened("d/b");
    change_by_both(a, NULL, b, "d/b");
}

/* The kernel has kept that it is the file's only name. */
FS_TEST(names, the_host_has_given_it_another)
{
    int a = opened("a"), b;

    look(a, "a");
    cr_assert(linkat(base, "a", base, "d/b", 0) == 0);
    b = opened("d/b");
    change_by_both(a, "a", b, "d/b");
}

/* A listing tells the attributes of both before the kernel knows either. */
FS_TEST(names, both_are_told_in_one_listing)
{
    int a, b;
    DIR *d = opendir(h.mnt);

    cr_assert(d && linkat(base, "a", base, "b", 0) == 0);
    while (readdir(d))
        ;
    closedir(d);
    a = opened("a");
    b = opened("b");
    change_by_both(a, "a", b, "b");
}

/* It is another file to the kernel. */
FS_TEST(names, the_other_is_only_read_by)
{
    int a = opened("a"), r;

    look(a, "a");
    cr_assert(linkat(base, "a", base, "r", 0) == 0);
    r = openat(at, "r", O_RDONLY | O_CLOEXEC);
    cr_assert(r >= 0 && openat(at, "r", O_RDWR) < 0 && errno == EACCES);
    for (size_t i = 0; i < N(ways); i++) {
        look(a, "a");
        look(r, "r");
        ways[i].change(a);
        expect_same(r, "the other", ways[i].name);
        expect_name("r", ways[i].name);
        cr_assert(fchmod(a, 0644) == 0 && ftruncate(a, 0) == 0 && pwrite(a, "0123456789", 10, 0) == 10);
    }
    close(a);
    close(r);
}
