/* The rules at work in a mounted workspace (contract W1, W5-W7, W11). */
#include "permfs_harness.h"

#include "permfs_proto.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct harness h;
static int at; /* the workspace */

static void start(const struct rule *rules, size_t n)
{
    struct harness_options options = harness_options();

    cr_assert(harness_start(&h, rules, n, &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert(at >= 0);
}

static void setup(void)
{
    harness_init(&h);
}

static void teardown(void)
{
    close(at);
    harness_release(&h);
}

FS_SUITES(rules, 300);

static int list(const char *path, char *names, size_t size)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY), n = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *d;

    *names = 0;
    if (!dir)
        return -1;
    while ((d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
            snprintf(names + strlen(names), size - strlen(names), "%s ", d->d_name);
            n++;
        }
    closedir(dir);
    return n;
}

static int open_close(const char *path, int flags)
{
    int fd = openat(at, path, flags, 0644);

    if (fd >= 0)
        close(fd);
    return fd;
}

static const struct rule levels[] = {
    { "none", RT_RULE_FILE, RT_PERM_NONE, 9 },      { "view", RT_RULE_FILE, RT_PERM_VIEW, 9 },
    { "read", RT_RULE_FILE, RT_PERM_READ, 9 },      { "hid", RT_RULE_DIRECTORY, RT_PERM_NONE, 9 },
    { "vdir", RT_RULE_DIRECTORY, RT_PERM_VIEW, 9 }, { "rdir", RT_RULE_DIRECTORY, RT_PERM_READ, 9 },
    { "vlink", RT_RULE_FILE, RT_PERM_VIEW, 9 },     { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
};

static void make_levels(void)
{
    static const char *const files[] = { "none", "view", "read", "write", "hid/f", "vdir/f", "rdir/f" };

    for (size_t i = 0; i < N(files); i++)
        cr_assert(tree_put(h.base, files[i], "text"));
    cr_assert(tree_symlink("read", h.base, "vlink"));
    start(levels, N(levels));
}

FS_TEST(rules, none_does_not_exist)
{
    char names[256], value[8];
    struct stat st;

    make_levels();
    FAILS(ENOENT, fstatat(at, "none", &st, 0));
    FAILS(ENOENT, fstatat(at, "hid", &st, 0));
    FAILS(ENOENT, fstatat(at, "hid/f", &st, 0));
    FAILS(ENOENT, open_close("none", O_RDONLY));
    FAILS(ENOENT, open_close("none", O_WRONLY));
    FAILS(ENOENT, open_close("none", O_PATH));
    FAILS(ENOENT, unlinkat(at, "none", 0));
    FAILS(ENOENT, unlinkat(at, "hid", AT_REMOVEDIR));
    FAILS(ENOENT, fchmodat(at, "none", 0600, 0));
    FAILS(ENOENT, readlinkat(at, "none", value, sizeof value));
    FAILS(ENOENT, renameat(at, "none", at, "got"));
    FAILS(ENOENT, linkat(at, "none", at, "got", 0));
    cr_expect(list(".", names, sizeof names) == 6, "%s", names);
    cr_expect(!strstr(names, "none") && !strstr(names, "hid"));
    cr_expect(tree_is(h.base, "none", "text"));
}

FS_TEST(rules, view_shows_and_does_not_open)
{
    char buf[16], path[256];
    struct stat st;

    make_levels();
    WORKS(fstatat(at, "view", &st, 0));
    cr_expect(st.st_size == 4);
    WORKS(faccessat(at, "view", F_OK, 0));
    FAILS(EACCES, open_close("view", O_RDONLY));
    FAILS(EACCES, open_close("view", O_RDWR));
    FAILS(EACCES, open_close("view", O_WRONLY | O_TRUNC));
    FAILS(EACCES, readlinkat(at, "vlink", buf, sizeof buf));
    snprintf(path, sizeof path, "%s/view", h.mnt);
    FAILS(EACCES, getxattr(path, "user.a", buf, sizeof buf));
    FAILS(EACCES, listxattr(path, buf, sizeof buf));
    WORKS(list("vdir", buf, sizeof buf));
    cr_expect(strcmp(buf, "f ") == 0);
    WORKS(fstatat(at, "vdir/f", &st, 0));
    FAILS(EACCES, open_close("vdir/f", O_RDONLY));
}

FS_TEST(rules, read_reads_and_does_not_change)
{
    struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
    char path[256], value[8];

    make_levels();
    cr_expect(tree_is(h.mnt, "read", "text"));
    FAILS(EACCES, open_close("read", O_WRONLY));
    FAILS(EACCES, open_close("read", O_RDWR | O_APPEND));
    FAILS(EACCES, open_close("read", O_RDONLY | O_TRUNC));
    FAILS(EACCES, fchmodat(at, "read", 0777, 0));
    FAILS(EACCES, utimensat(at, "read", now, 0));
    FAILS(EACCES, unlinkat(at, "read", 0));
    FAILS(EACCES, renameat(at, "read", at, "got"));
    FAILS(EACCES, renameat(at, "write", at, "read"));
    FAILS(EACCES, linkat(at, "read", at, "got", 0));
    FAILS(EACCES, linkat(at, "vlink", at, "got", 0));
    FAILS(EACCES, open_close("rdir/new", O_CREAT | O_WRONLY));
    FAILS(EACCES, mkdirat(at, "rdir/new", 0755));
    FAILS(EACCES, unlinkat(at, "rdir/f", 0));
    snprintf(path, sizeof path, "%s/read", h.mnt);
    FAILS(EACCES, truncate(path, 1));
    FAILS(EACCES, setxattr(path, "user.a", "1", 1, 0));
    FAILS(EACCES, removexattr(path, "user.a"));
    FAILS(ENODATA, getxattr(path, "user.a", value, sizeof value));
    cr_expect(tree_is(h.base, "read", "text"));
    cr_expect(tree_exists(h.base, "write") && tree_exists(h.base, "rdir/f"));
}

/* What a hidden name answers, with and without something there, has to be the same (W7). */
static void probe_hidden(const char *what)
{
    FAILS(EACCES, open_close("none", O_CREAT | O_WRONLY));
    FAILS(EACCES, open_close("none", O_CREAT | O_EXCL | O_WRONLY));
    FAILS(EACCES, mknodat(at, "none", S_IFIFO | 0644, 0));
    FAILS(EACCES, symlinkat("x", at, "none"));
    FAILS(EACCES, linkat(at, "write", at, "none", 0));
    FAILS(EACCES, renameat(at, "write", at, "none"));
    FAILS(EACCES, syscall(SYS_renameat2, at, "write", at, "none", RENAME_NOREPLACE));
    FAILS(EACCES, mkdirat(at, "hid", 0755));
    FAILS(EACCES, renameat(at, "wdir", at, "hid"));
    cr_expect(tree_exists(h.base, "write") && tree_exists(h.base, "wdir"), "%s", what);
}

FS_TEST(rules, a_hidden_name_cannot_be_probed)
{
    struct stat st;

    cr_assert(tree_mkdir(h.base, "wdir"));
    make_levels();
    probe_hidden("something there");
    cr_assert(tree_is(h.base, "none", "text") && tree_exists(h.base, "hid/f"));
    cr_assert(unlinkat(AT_FDCWD, strcat(strcpy((char[128]){ 0 }, h.base), "/none"), 0) == 0);
    cr_assert(tree_remove(strcat(strcpy((char[128]){ 0 }, h.base), "/hid")));
    probe_hidden("nothing there");
    FAILS(ENOENT, fstatat(at, "none", &st, 0));
    cr_expect(!tree_exists(h.base, "none") && !tree_exists(h.base, "hid"));
}

/* A name that may be made as one kind, but is there as another and hidden as such. */
FS_TEST(rules, a_hidden_entry_of_another_kind_is_not_told_from_a_denial)
{
    static const struct rule kinds[] = {
        { "x", RT_RULE_DIRECTORY, RT_PERM_NONE, 0 },
        { "x", RT_RULE_FILE, RT_PERM_WRITE, 0 },
        { "other", RT_RULE_FILE, RT_PERM_WRITE, 0 },
    };
    struct stat st;

    cr_assert(tree_put(h.base, "x/secret", "text") && tree_put(h.base, "other", "text"));
    start(kinds, N(kinds));
    FAILS(ENOENT, fstatat(at, "x", &st, 0));
    FAILS(EACCES, open_close("x", O_CREAT | O_WRONLY));
    FAILS(EACCES, symlinkat("y", at, "x"));
    FAILS(EACCES, mknodat(at, "x", S_IFIFO | 0600, 0));
    FAILS(EACCES, linkat(at, "other", at, "x", 0));
    FAILS(EACCES, renameat(at, "other", at, "x"));
    FAILS(ENOENT, unlinkat(at, "x", 0));
    cr_expect(tree_exists(h.base, "x/secret"));
}

static const struct rule moves[] = {
    { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
    { "src/secret", RT_RULE_FILE, RT_PERM_NONE, 9 },
    { "src/deep/**/look", RT_RULE_GLOB, RT_PERM_VIEW, 9 },
    { "**/*.key", RT_RULE_GLOB, RT_PERM_NONE, 9 },
    { "src/shut", RT_RULE_DIRECTORY, RT_PERM_NONE, 9 },
};

FS_TEST(rules, a_directory_moves_only_where_nothing_below_gains)
{
    cr_assert(tree_put(h.base, "src/secret", "s") && tree_put(h.base, "deep2/f", "d"));
    cr_assert(tree_put(h.base, "src/deep/a/b/look", "v") && tree_put(h.base, "free/a/x.key", "k"));
    cr_assert(tree_put(h.base, "src/shut/f", "d"));
    start(moves, N(moves));
    FAILS(EXDEV, renameat(at, "src", at, "got"));
    FAILS(EXDEV, renameat(at, "src/deep", at, "got"));
    FAILS(EXDEV, renameat(at, "src/deep/a", at, "got"));
    FAILS(EXDEV, syscall(SYS_renameat2, at, "src/deep", at, "deep2", RENAME_EXCHANGE));
    FAILS(EXDEV, syscall(SYS_renameat2, at, "deep2", at, "src/deep", RENAME_EXCHANGE));
    WORKS(renameat(at, "free", at, "free2")); /* hidden before and after */
    FAILS(ENOENT, open_close("free2/a/x.key", O_RDONLY));
    cr_expect(tree_exists(h.base, "free2/a/x.key") && tree_exists(h.base, "src/deep/a/b/look"));
    WORKS(renameat(at, "deep2", at, "src/deep2"));
    cr_expect(tree_is(h.base, "src/deep2/f", "d"));
}

FS_TEST(rules, what_is_below_a_moved_directory_goes_by_its_new_name)
{
    static const struct rule down[] = {
        { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
        { "cage/**", RT_RULE_GLOB, RT_PERM_VIEW, 9 },
        { "cage/box", RT_RULE_DIRECTORY, RT_PERM_WRITE, 10 },
        { "box/in/f", RT_RULE_FILE, RT_PERM_READ, 11 },
        { "cage/box/in/f", RT_RULE_FILE, RT_PERM_VIEW, 11 },
    };
    struct stat st;
    char text[8];
    int fd;

    cr_assert(tree_put(h.base, "box/in/f", "text") && tree_mkdir(h.base, "cage"));
    start(down, N(down));
    fd = openat(at, "box/in/f", O_RDONLY);
    WORKS(fd);
    WORKS(renameat(at, "box", at, "cage/box"));
    FAILS(EACCES, open_close("cage/box/in/f", O_RDONLY));
    WORKS(fstatat(at, "cage/box/in/f", &st, 0));
    cr_expect(read(fd, text, sizeof text) == 4, "an open file keeps its rights");
    close(fd);
}

FS_TEST(rules, a_directory_with_hidden_entries_is_not_empty)
{
    cr_assert(tree_put(h.base, "d/x.key", "k") && tree_mkdir(h.base, "e"));
    start(moves, N(moves));
    FAILS(ENOTEMPTY, unlinkat(at, "d", AT_REMOVEDIR));
    FAILS(ENOTEMPTY, renameat(at, "e", at, "d"));
    cr_expect(tree_exists(h.base, "d/x.key"));
}

FS_TEST(rules, a_way_to_something_visible_shows_only_that)
{
    static const struct rule deep[] = { { "a/b/c/file", RT_RULE_FILE, RT_PERM_READ, 0 } };
    char names[64];
    struct stat st;

    cr_assert(tree_put(h.base, "a/b/c/file", "text") && tree_put(h.base, "a/other", "x"));
    cr_assert(tree_put(h.base, "a/b/c/other", "x") && tree_put(h.base, "z/file", "x"));
    start(deep, N(deep));
    cr_expect(tree_is(h.mnt, "a/b/c/file", "text"));
    WORKS(list(".", names, sizeof names));
    cr_expect(strcmp(names, "a ") == 0, "%s", names);
    WORKS(list("a", names, sizeof names));
    cr_expect(strcmp(names, "b ") == 0, "%s", names);
    WORKS(list("a/b/c", names, sizeof names));
    cr_expect(strcmp(names, "file ") == 0, "%s", names);
    FAILS(EACCES, mkdirat(at, "a/new", 0755));
    WORKS(fstatat(at, "a/b", &st, 0));
    cr_expect(st.st_nlink == 1, "the count of links tells of hidden directories");
}

FS_TEST(rules, no_rules_are_an_empty_workspace)
{
    char names[64];
    struct stat st;

    cr_assert(tree_put(h.base, "f", "x"));
    start(NULL, 0);
    WORKS(fstatat(at, "", &st, AT_EMPTY_PATH));
    cr_expect(list(".", names, sizeof names) == 0);
    FAILS(EACCES, mkdirat(at, "d", 0755));
}

FS_TEST(rules, new_rules_hold_at_once)
{
    static const struct rule before[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 }, { "b", 2, RT_PERM_NONE, 1 } };
    static const struct rule after[] = { { "**", RT_RULE_GLOB, RT_PERM_READ, 0 }, { "a", 2, RT_PERM_NONE, 1 } };
    struct stat st;
    int fd;

    cr_assert(tree_put(h.base, "a", "1") && tree_put(h.base, "b", "2") && tree_put(h.base, "d/c", "3"));
    cr_assert(tree_put(h.base, "d/used", "4"));
    start(before, N(before));
    WORKS(open_close("a", O_RDWR)); /* what these opened may be kept (backing.h) */
    WORKS(open_close("d/used", O_RDWR));
    WORKS(fstatat(at, "a", &st, 0));
    FAILS(ENOENT, fstatat(at, "b", &st, 0));
    fd = openat(at, "d/c", O_RDWR);
    WORKS(fd);
    harness_set_rules(&h, after, N(after));
    FAILS(ENOENT, fstatat(at, "a", &st, 0));
    WORKS(fstatat(at, "b", &st, 0));
    FAILS(ENOENT, open_close("a", O_RDONLY));
    FAILS(EACCES, open_close("d/c", O_RDWR));
    FAILS(EACCES, open_close("d/used", O_RDWR));
    WORKS(open_close("d/used", O_RDONLY));
    cr_expect(pwrite(fd, "4", 1, 0) == 1);
    close(fd);
    cr_expect(tree_is(h.mnt, "d/c", "4"));
}

/* A process in a directory that is hidden from it now, which the kernel does not look up again, sees nothing of it. */
FS_TEST(rules, new_rules_hold_for_the_current_directory)
{
    static const struct rule before[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 } };
    static const struct rule after[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 }, { "d/**", 0, RT_PERM_NONE, 1 } };
    struct stat st;
    int dir;

    cr_assert(tree_put(h.base, "d/f", "1"));
    start(before, N(before));
    dir = openat(at, "d", O_PATH | O_DIRECTORY);
    WORKS(dir);
    WORKS(fstatat(dir, "", &st, AT_EMPTY_PATH));
    WORKS(fstatat(dir, "f", &st, 0));
    FAILS(ENOENT, fstatat(dir, "none", &st, 0));
    harness_set_rules(&h, after, N(after));
    FAILS(ENOENT, fstatat(dir, "", &st, AT_EMPTY_PATH));
    FAILS(ENOENT, fstatat(dir, "f", &st, 0));
    FAILS(ENOENT, openat(dir, ".", O_RDONLY | O_DIRECTORY));
    harness_set_rules(&h, before, N(before));
    WORKS(fstatat(dir, "f", &st, 0));
    close(dir);
}

#define LIST_MAX 64

/* The offsets behind each entry of a directory. */
static size_t offsets_of(const char *dir, const char *name, int64_t ret[LIST_MAX])
{
    char path[128];
    struct dirent *d;
    DIR *list;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    list = opendir(path);
    cr_assert(list, "%s: %s", path, strerror(errno));
    while (n < LIST_MAX && (d = readdir(list)))
        ret[n++] = d->d_off;
    closedir(list);
    return n;
}

static void expect_apart(const int64_t *a, size_t n_a, const int64_t *b, size_t n_b, const char *which)
{
    for (size_t i = 0; i < n_a; i++)
        for (size_t k = 0; k < n_b; k++)
            cr_expect(a[i] != b[k], "%s: offset %zu of one is offset %zu of the other", which, i, k);
}

/*
 * Filesystems' offsets are hashes of names, by which a name made elsewhere shows whether the same is hidden here, or
 * positions, which count what is hidden. A directory's size tells of it, too.
 */
FS_TEST(rules, a_listing_tells_nothing_of_what_is_hidden)
{
    static const struct rule v[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 }, { "**/hid*", 0, RT_PERM_NONE, 1 } };
    int64_t one[LIST_MAX], other[LIST_MAX], below[LIST_MAX];
    size_t n_one, n_other, n_below;
    char name[300];
    struct stat few, many;

    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "one/%s%d", i % 3 ? "seen" : "hid", i);
        cr_assert(tree_put(h.base, name, ""));
        snprintf(name, sizeof name, "other/seen%d", i);
        cr_assert(tree_put(h.base, name, ""));
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "many/hid%0200d", i);
        cr_assert(tree_put(h.base, name, ""));
    }
    start(v, N(v));
    n_one = offsets_of(h.mnt, "one", one);
    n_other = offsets_of(h.mnt, "other", other);
    n_below = offsets_of(h.base, "one", below);
    cr_expect(n_one == 15 && n_other == 22 && n_below == 22);
    expect_apart(one, n_one, other, n_other, "two directories");
    expect_apart(one, n_one, below, n_below, "the codebase's and the workspace's");
    WORKS(fstatat(at, "one", &few, 0));
    WORKS(fstatat(at, "many", &many, 0));
    cr_expect(few.st_size == many.st_size && few.st_blocks == many.st_blocks && few.st_nlink == many.st_nlink);
}

/* A directory that may be read and not searched: its names can be listed, and not looked up. */
FS_TEST(rules, a_listing_without_a_look_tells_nothing_of_what_is_hidden)
{
    static const struct rule v[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 }, { "**/hid*", 0, RT_PERM_NONE, 1 } };
    struct harness_options options = harness_options();
    char names[256], shut[64];

    snprintf(shut, sizeof shut, "%s/shut", h.base);
    cr_assert(tree_put(h.base, "shut/hidden", "x") && tree_put(h.base, "shut/seen", "x"));
    if (geteuid() == 0) { /* root looks everywhere */
        options.owner_uid = options.owner_gid = 1234;
        cr_assert(tree_chown(h.base, 1234, 1234));
    }
    cr_assert(chmod(shut, 0600) == 0);
    cr_assert(harness_start(&h, v, N(v), &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert(at >= 0);
    cr_expect(list("shut", names, sizeof names) == 1 && strcmp(names, "seen ") == 0, "%s", names);
    cr_assert(chmod(shut, 0700) == 0);
}

/* Where the daemon's memory lies is nobody's business: a kernel without file handles of FUSE's tells nothing either. */
FS_TEST(rules, file_handles_are_no_addresses)
{
    static const struct rule v[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 } };
    static const char *const names[] = { "a", "b", "d", "d/c" };
    const int handle_fid = 0x200; /* AT_HANDLE_FID */

    cr_assert(tree_put(h.base, "a", "1") && tree_put(h.base, "b", "2") && tree_put(h.base, "d/c", "3"));
    start(v, N(v));
    for (size_t i = 0; i < N(names); i++) {
        union {
            struct file_handle handle;
            char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } u = { .handle.handle_bytes = MAX_HANDLE_SZ };
        uint32_t words[2]; /* the upper one first, see fs/fuse/inode.c */
        int mount;

        if (name_to_handle_at(at, names[i], &u.handle, &mount, handle_fid) < 0)
            cr_skip_test("%s", strerror(errno));
        memcpy(words, u.handle.f_handle, sizeof words);
        cr_expect(words[0] >> 24, "%s: %#x%08x may be an address", names[i], words[0], words[1]);
    }
}
