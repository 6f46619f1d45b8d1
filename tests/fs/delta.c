/* Copy-on-write at the daemon: what the sandbox writes stays out of the codebase, and behaves as on a filesystem. */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct harness h;
static int at;
static char *before; /* all paths of the codebase */

static void start(void)
{
    static const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
                                         { "d/secret", RT_RULE_FILE, RT_PERM_NONE, 0 } };
    struct harness_options options = harness_options();

    options.flags |= PERMFS_DELTA;
    cr_assert(harness_start(&h, rules, N(rules), &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void setup(void)
{
    harness_init(&h);
    cr_assert(tree_put(h.base, "f", "one") && tree_put(h.base, "d/in", "in d") && tree_put(h.base, "e/in", "in e"));
    cr_assert(tree_put(h.base, "d/secret", "hidden"));
    before = tree_list(h.base, true);
    start();
}

static void teardown(void)
{
    free(before);
    close(at);
    harness_release(&h);
}

FS_SUITES(delta, 300);

/* The codebase has the entries that it had, and the contents. */
static void expect_untouched(void)
{
    char *now = tree_list(h.base, true);

    cr_expect(strcmp(now, before) == 0, "%s\nwas\n%s", now, before);
    free(now);
    cr_expect(tree_is(h.base, "f", "one") && tree_is(h.base, "d/in", "in d") && tree_is(h.base, "d/secret", "hidden"));
}

static void restart(void)
{
    close(at);
    harness_stop(&h);
    start();
}

FS_TEST(delta, D1_no_write_reaches_the_codebase)
{
    cr_expect(tree_put(h.mnt, "f", "changed") && tree_put(h.mnt, "d/new", "new") && tree_put(h.mnt, "x/y/z", "deep"));
    WORKS(unlinkat(at, "d/in", 0));
    WORKS(fchmodat(at, "e/in", 0600, 0));
    WORKS(renameat(at, "e/in", at, "moved"));
    cr_expect(tree_is(h.mnt, "f", "changed") && tree_is(h.mnt, "x/y/z", "deep") && tree_is(h.mnt, "moved", "in e"));
    FAILS(ENOENT, faccessat(at, "d/in", F_OK, 0));
    expect_untouched();
    restart();
    cr_expect(tree_is(h.mnt, "f", "changed") && tree_is(h.mnt, "x/y/z", "deep") && tree_is(h.mnt, "moved", "in e"));
    FAILS(ENOENT, faccessat(at, "d/in", F_OK, 0));
    expect_untouched();
}

FS_TEST(delta, D1_open_files_see_what_is_written_to_them)
{
    char buf[8] = "";
    int old = openat(at, "f", O_RDONLY), fd = openat(at, "f", O_RDWR | O_APPEND), again;

    cr_assert(old >= 0 && fd >= 0);
    cr_expect(write(fd, "more", 4) == 4);
    again = openat(at, "f", O_RDONLY);
    cr_expect(pread(again, buf, 7, 0) == 7 && memcmp(buf, "onemore", 7) == 0);
    cr_expect(pread(old, buf, 7, 0) == 7 && memcmp(buf, "onemore", 7) == 0);
    close(again);
    close(old);
    close(fd);
    expect_untouched();
}

/* An overlay maps a file that was opened before it was first written as it was then. */
FS_TEST(delta, D1_mappings_see_what_is_written_to_their_file)
{
    int old = openat(at, "f", O_RDONLY), fd;
    char *early, *late;

    cr_assert(old >= 0);
    early = mmap(NULL, 4096, PROT_READ, MAP_SHARED, old, 0);
    cr_assert(early != MAP_FAILED && memcmp(early, "one", 4) == 0);
    fd = openat(at, "f", O_RDWR);
    cr_expect(fd >= 0 && pwrite(fd, "two!", 4, 0) == 4);
    late = mmap(NULL, 4096, PROT_READ, MAP_SHARED, old, 0);
    cr_assert(late != MAP_FAILED);
    cr_expect(memcmp(early, "two!", 5) == 0, "%.5s", early);
    cr_expect(memcmp(late, "two!", 5) == 0, "%.5s", late);
    munmap(early, 4096);
    munmap(late, 4096);
    close(old);
    close(fd);
    expect_untouched();
}

FS_TEST(delta, D6_what_is_removed_while_it_is_open_has_no_name)
{
    int file = openat(at, "f", O_RDONLY), dir = openat(at, "e", O_RDONLY), own;
    struct stat st;

    cr_assert(tree_put(h.mnt, "own", "own"));
    own = openat(at, "own", O_RDONLY);
    cr_assert(file >= 0 && dir >= 0 && own >= 0);
    cr_expect(fstat(file, &st) == 0 && st.st_nlink == 1);
    WORKS(unlinkat(at, "f", 0));
    WORKS(unlinkat(at, "own", 0));
    WORKS(unlinkat(at, "e/in", 0));
    WORKS(unlinkat(at, "e", AT_REMOVEDIR));
    cr_expect(fstat(file, &st) == 0 && st.st_nlink == 0 && st.st_size == 3, "%ju", (uintmax_t)st.st_nlink);
    cr_expect(fstat(own, &st) == 0 && st.st_nlink == 0 && st.st_size == 3, "%ju", (uintmax_t)st.st_nlink);
    cr_expect(fstat(dir, &st) == 0 && st.st_nlink == 0, "%ju", (uintmax_t)st.st_nlink);
    close(file);
    close(dir);
    close(own);
    expect_untouched();
}

FS_TEST(delta, D6_no_name_stands_for_a_deletion)
{
    FAILS(EPERM, mknodat(at, "w", S_IFCHR, 0));
    FAILS(EPERM, mknodat(at, "f2", S_IFCHR | 0600, makedev(0, 0)));
    cr_expect(tree_put(h.mnt, ".wh.f", "") && tree_put(h.mnt, "d/.wh..wh..opq", "") && tree_put(h.mnt, "g", ""));
    FAILS(EOPNOTSUPP, setxattr(strcat(strcpy((char[96]){ 0 }, h.mnt), "/g"), "user.overlay.whiteout", "y", 1, 0));
    FAILS(EOPNOTSUPP, setxattr(strcat(strcpy((char[96]){ 0 }, h.mnt), "/d"), "user.overlay.opaque", "y", 1, 0));
    cr_expect(setxattr(strcat(strcpy((char[96]){ 0 }, h.mnt), "/d"), "trusted.overlay.opaque", "y", 1, 0) <
              0); /* by us, or by the kernel */
    restart();
    cr_expect(tree_is(h.mnt, "f", "one") && tree_is(h.mnt, "d/in", "in d"));
    cr_expect(tree_exists(h.mnt, ".wh.f") && tree_exists(h.mnt, "d/.wh..wh..opq") && tree_exists(h.mnt, "g"));
}

FS_TEST(delta, D6_one_kind_is_replaced_by_another)
{
    struct stat st;

    WORKS(unlinkat(at, "e/in", 0));
    WORKS(unlinkat(at, "e", AT_REMOVEDIR));
    cr_expect(tree_put(h.mnt, "e", "a file"));
    WORKS(unlinkat(at, "f", 0));
    WORKS(mkdirat(at, "f", 0755));
    WORKS(mkdirat(at, "again", 0755));
    WORKS(renameat(at, "again", at, "renamed"));
    restart();
    cr_expect(tree_is(h.mnt, "e", "a file"));
    cr_expect(fstatat(at, "f", &st, 0) == 0 && S_ISDIR(st.st_mode));
    WORKS(unlinkat(at, "e", 0));
    WORKS(mkdirat(at, "e", 0755)); /* is not the one that was there */
    FAILS(ENOENT, faccessat(at, "e/in", F_OK, 0));
    WORKS(unlinkat(at, "renamed", AT_REMOVEDIR));
    expect_untouched();
}

/* A redirect would take d/secret along; whoever renames copies what is to be seen. */
FS_TEST(delta, D7_a_directory_with_hidden_entries_stays)
{
    FAILS(EXDEV, renameat(at, "d", at, "d2"));
    WORKS(unlinkat(at, "d/in", 0));
    FAILS(ENOTEMPTY, unlinkat(at, "d", AT_REMOVEDIR));
    FAILS(ENOENT, faccessat(at, "d/secret", F_OK, 0));
    FAILS(EACCES, openat(at, "d/secret", O_WRONLY | O_CREAT, 0600));
    expect_untouched();
}

#define SEEN(cond) cr_expect(AWAIT_WITHIN(SEEN_MS, cond), "not seen: %s", #cond)

FS_TEST(delta, W12_the_hosts_changes_show_where_the_sandbox_made_none)
{
    cr_expect(tree_put(h.mnt, "d/own", "mine") && !tree_exists(h.mnt, "d/new") && tree_is(h.mnt, "e/in", "in e"));
    cr_assert(tree_put(h.base, "d/new", "new") && tree_put(h.base, "tmp", "another"));
    SEEN(tree_is(h.mnt, "d/new", "new"));
    cr_assert(renameat(AT_FDCWD, strcat(strcpy((char[96]){ 0 }, h.base), "/tmp"), AT_FDCWD,
                       strcat(strcpy((char[96]){ 0 }, h.base), "/e/in")) == 0);
    SEEN(tree_is(h.mnt, "e/in", "another"));
    SEEN(!tree_exists(h.mnt, "tmp"));
    cr_expect(tree_is(h.mnt, "d/own", "mine"));
}

static const char bytes[65536];

/* Writes until no more fits, and returns how much that was; *ret_err is why. */
static size_t fill(int fd, int *ret_err)
{
    size_t n = 0;
    ssize_t r;

    for (; (r = write(fd, bytes, sizeof bytes)) > 0; n += (size_t)r)
        cr_assert(n < 64 << 20, "all of it fits");
    *ret_err = errno;
    return n;
}

/* The delta's place, and the codebase has a file that does not fit there. */
static void scarce_begin(void (*mount_at)(const char *place))
{
    char *large = calloc(1, 4 << 20);

    close(at);
    harness_stop(&h);
    harness_mounts(&h);
    cr_assert(tree_remove(harness_delta(&h)) && tree_mkdir(harness_delta(&h), "."));
    mount_at(harness_delta(&h));
    cr_assert(large && tree_put_bytes(h.base, "large", large, 4 << 20));
    free(large);
    free(before);
    before = tree_list(h.base, true);
    start();
}

static bool large_is(char first)
{
    char byte = 'x';
    struct stat st;
    int fd = openat(at, "large", O_RDONLY);
    bool is = fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 4 << 20 && pread(fd, &byte, 1, 0) == 1 && byte == first;

    close(fd);
    return is;
}

/*
 * A full disk, or a quota that is used up, below is an error for who writes, and costs nothing that was written; with
 * room again all goes on.
 */
static void expect_scarce(int err)
{
    struct stat st;
    size_t size;
    int fd, got;

    cr_expect(tree_put(h.mnt, "kept", "kept"));
    fd = openat(at, "big", O_WRONLY | O_CREAT, 0600);
    size = fill(fd, &got);
    cr_expect(got == err, "%s", strerror(got));
    FAILS(err, write(fd, bytes, sizeof bytes));
    cr_expect(fstat(fd, &st) == 0 && (size_t)st.st_size >= size);
    close(fd);
    FAILS(err, openat(at, "large", O_WRONLY)); /* copied when it is opened for writing */
    FAILS(err, fchmodat(at, "large", 0600, 0));
    FAILS(err, renameat(at, "large", at, "renamed"));
    cr_expect(large_is('\0') && tree_is(h.mnt, "kept", "kept"));
    WORKS(unlinkat(at, "big", 0));
    cr_expect(tree_put(h.mnt, "f", "fits again"));
    restart();
    cr_expect(large_is('\0') && tree_is(h.mnt, "kept", "kept") && tree_is(h.mnt, "f", "fits again"));
    expect_untouched();
}

static void mount_small(const char *place)
{
    harness_mount_tmpfs(place, "size=1m");
}

FS_TEST(delta, R5_a_full_disk_is_told_and_loses_nothing)
{
    scarce_begin(mount_small);
    expect_scarce(ENOSPC);
}

/* By a group of btrfs, which any kernel with btrfs has; others' quotas take a kernel that was built with them. */
static void mount_with_quota(const char *place)
{
    harness_mount_image(&h, place, "btrfs", 128);
    harness_run(
        &h,
        "PATH=$PATH:/sbin:/usr/sbin; btrfs quota enable %s && btrfs qgroup limit 2m 0/5 %s >/dev/null && sync -f %s",
        place, place, place);
}

FS_TEST(delta, R5_a_quota_that_is_used_up_is_told_and_loses_nothing)
{
    scarce_begin(mount_with_quota);
    expect_scarce(EDQUOT);
}

static void paths_of_any_name(const char *name)
{
    char path[300];

    close(at);
    harness_stop(&h);
    snprintf(path, sizeof path, "%s/%s", h.dir, name);
    cr_assert(rename(h.base, path) == 0);
    cr_assert(symlink(path, h.base) == 0); /* is resolved when the daemon's fd is opened */
    start();
    cr_expect(tree_is(h.mnt, "d/in", "in d") && tree_put(h.mnt, "f", "two") && tree_is(path, "f", "one"));
    close(at);
    harness_stop(&h);
    cr_assert(unlink(h.base) == 0 && rename(path, h.base) == 0);
    start();
}

FS_TEST(delta, codebases_of_any_name_work)
{
    paths_of_any_name("a:b,c\\d e=f");
    paths_of_any_name("new\nline\xff");
}

FS_TEST(delta, W13_deep_and_odd_names)
{
    char name[256];
    int dir = fcntl(at, F_DUPFD_CLOEXEC, 0), next;

    for (int i = 0; i < 100; i++) {
        WORKS(mkdirat(dir, "level", 0755));
        next = openat(dir, "level", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    memset(name, 0xff, 255);
    name[0] = '\n';
    name[255] = 0;
    WORKS(mknodat(dir, name, S_IFREG | 0600, 0));
    WORKS(linkat(dir, name, dir, "link", 0));
    WORKS(unlinkat(dir, name, 0));
    close(dir);
    expect_untouched();
}

/* To the overlay names that are linked below it are files of their own: to tell so must not take long, see below.h. */
Test(delta, files_with_two_names_below)
{
    enum { PAIRS = 40000 };
    char name[64], other[64];
    struct stat st;

    for (int i = 0; i < PAIRS; i++) {
        snprintf(name, sizeof name, "%s/d/%d", h.base, i);
        snprintf(other, sizeof other, "%s/e/%d", h.base, i);
        cr_assert(mknod(name, S_IFREG | 0644, 0) == 0 && link(name, other) == 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        snprintf(name, sizeof name, "d/%d", i);
        snprintf(other, sizeof other, "e/%d", i);
        cr_assert(fstatat(at, name, &st, 0) == 0 && fstatat(at, other, &st, 0) == 0);
    }
}

Test(delta_start, a_state_directory_inside_of_the_codebase_is_refused, .timeout = 300)
{
    const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    struct harness_options options;

    harness_init(&h);
    options = harness_options();
    options.flags |= PERMFS_DELTA;
    snprintf(h.base, sizeof h.base, "%s/delta", h.dir);
    cr_assert(tree_mkdir(h.dir, "delta"));
    cr_expect(!harness_start(&h, &all, 1, &options));
    cr_expect(strstr(h.why, "copy-on-write"), "%s", h.why);
    harness_release(&h);
}
