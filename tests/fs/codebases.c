/*
 * What the codebase may lie on: tmpfs, ext4, overlayfs, another FUSE filesystem, a bind mount; and the delta of a
 * copy-on-write workspace. On each the rules hold, a file is what it is, what the host changes is seen within the cache
 * time (contract W10, W12), and with a delta nothing reaches the codebase (D1).
 */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct harness h, below; /* below: the workspace that is a codebase itself */
static int at = -1, base = -1;
static enum { DIRECT, DELTA, DELTA_TMPFS, DELTA_EXT4 } mode;

static void setup(void)
{
    harness_init(&h);
    if (mode > DELTA)
        harness_mounts(&h);
}

static void teardown(void)
{
    close(at);
    close(base);
    harness_release(&h);
    if (below.dir[0])
        harness_release(&below);
}

/* Each test is one for each mode. */
#define MODE(suite, which)                                                                                             \
    static void suite##_setup(void)                                                                                    \
    {                                                                                                                  \
        mode = which;                                                                                                  \
        setup();                                                                                                       \
    }                                                                                                                  \
    TestSuite(suite, .init = suite##_setup, .fini = teardown, .timeout = 300)

MODE(codebases, DIRECT);
MODE(codebases_delta, DELTA);
MODE(codebases_delta_tmpfs_full, DELTA_TMPFS);
MODE(codebases_delta_ext4_full, DELTA_EXT4);

#define CODEBASE_TEST(name)                                                                                            \
    static void name(void);                                                                                            \
    Test(codebases, name)                                                                                              \
    {                                                                                                                  \
        name();                                                                                                        \
    }                                                                                                                  \
    Test(codebases_delta, name)                                                                                        \
    {                                                                                                                  \
        name();                                                                                                        \
    }                                                                                                                  \
    Test(codebases_delta_tmpfs_full, name)                                                                             \
    {                                                                                                                  \
        name();                                                                                                        \
    }                                                                                                                  \
    Test(codebases_delta_ext4_full, name)                                                                              \
    {                                                                                                                  \
        name();                                                                                                        \
    }                                                                                                                  \
    static void name(void)

/* Whether who locks a file by one of the names finds it locked by the other. */
static bool locks_meet(int dir, const char *one, const char *other)
{
    int a = openat(dir, one, O_RDWR | O_CLOEXEC), b = openat(dir, other, O_RDWR | O_CLOEXEC);
    bool meet;

    cr_assert(a >= 0 && b >= 0 && flock(a, LOCK_EX) == 0);
    meet = flock(b, LOCK_EX | LOCK_NB) < 0;
    cr_expect(!meet || errno == EWOULDBLOCK);
    close(a);
    close(b);
    return meet;
}

static void files(void)
{
    struct stat st;
    char buf[16] = "", *map;
    int fd = openat(at, "d/new", O_CREAT | O_RDWR, 0640);

    cr_assert(fd >= 0, "%s", strerror(errno));
    cr_expect(pwrite(fd, "hello", 5, 8190) == 5);
    WORKS(fsync(fd));
    map = mmap(NULL, 8195, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(map != MAP_FAILED, "%s", strerror(errno));
    cr_expect(memcmp(map + 8190, "hello", 5) == 0);
    memcpy(map, "mapped", 6);
    WORKS(munmap(map, 8195));
    cr_expect(pread(fd, buf, 6, 0) == 6 && memcmp(buf, "mapped", 6) == 0);
    WORKS(ftruncate(fd, 6));
    WORKS(linkat(at, "d/new", at, "linked", 0));
    cr_expect(locks_meet(at, "d/new", "linked") == (mode || locks_meet(base, "d/new", "linked")));
    WORKS(renameat(at, "d/new", at, "e/moved"));
    WORKS(fchmodat(at, "e/moved", 0600, 0));
    cr_expect(fstatat(at, "linked", &st, 0) == 0 && st.st_size == 6 && st.st_nlink == 2 &&
              (st.st_mode & 07777) == 0600);
    WORKS(unlinkat(at, "e/moved", 0));
    cr_expect(pread(fd, buf, 6, 0) == 6, "a file without that name is not read any more");
    close(fd);
    WORKS(symlinkat("linked", at, "sym"));
    cr_expect(tree_is(h.mnt, "sym", "mapped") && tree_is(mode ? h.mnt : h.base, "linked", "mapped"));
    WORKS(mkdirat(at, "made", 0755));
    WORKS(renameat(at, "made", at, "d/made"));
    WORKS(unlinkat(at, "d/made", AT_REMOVEDIR));
}

static void many_files(void)
{
    char name[32];
    int n = 0;
    DIR *dir;

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "many/%d", i);
        cr_assert(tree_put(h.mnt, name, name));
    }
    dir = fdopendir(openat(at, "many", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    cr_assert(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    cr_expect(n == 302, "%d entries", n);
}

static long size_of(const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : (long)st.st_size;
}

static void hosts_changes(void)
{
    cr_expect(size_of("d/in") == 4 && size_of("d/later") == -ENOENT);
    cr_assert(tree_put(h.base, "d/in", "longer") && tree_put(h.base, "d/later", "x"));
    cr_expect(AWAIT_WITHIN(SEEN_MS, size_of("d/in") == 6 && size_of("d/later") == 1), "%ld %ld", size_of("d/in"),
              size_of("d/later"));
    cr_expect(tree_is(h.mnt, "d/in", "longer"));
}

/* Names that the host gave a file. The two are files of their own from when one is written to, where it is copied. */
static void linked_below(bool apart)
{
    char buf[8] = "";
    struct stat st;
    int two;

    WORKS(fstatat(at, "e/one", &st, 0)); /* what was looked at last is not what is written to */
    two = openat(at, "e/two", O_RDONLY | O_CLOEXEC);
    cr_assert(two >= 0 && pread(two, buf, 3, 0) == 3 && memcmp(buf, "two", 3) == 0);
    WORKS(fchmodat(at, "e/one", 0640, 0));
    cr_expect(fstatat(at, "e/two", &st, 0) == 0 && (st.st_mode & 0777) == (apart ? 0644 : 0640));
    cr_assert(tree_put(h.mnt, "e/one", "one"));
    cr_expect(tree_is(h.mnt, "e/one", "one") && tree_is(h.mnt, "e/two", apart ? "two" : "one"));
    cr_expect(mode || (tree_is(h.base, "e/one", "one") && tree_is(h.base, "e/two", apart ? "two" : "one")));
    cr_expect(locks_meet(at, "e/one", "e/two") == (mode ? !apart : locks_meet(base, "e/one", "e/two")));
    close(two);
}

static void start(void)
{
    static const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
                                         { "**/secret*", RT_RULE_GLOB, RT_PERM_NONE, 1 },
                                         { "e/kept", RT_RULE_FILE, RT_PERM_READ, 1 } };
    struct harness_options options = harness_options();

    if (mode)
        options.flags |= PERMFS_DELTA;
    cr_assert(harness_start(&h, rules, N(rules), &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    base = open(h.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void delta_mount(void)
{
    if (mode <= DELTA)
        return;
    cr_assert(tree_mkdir(harness_delta(&h), "."));
    if (mode == DELTA_TMPFS)
        harness_mount_tmpfs(harness_delta(&h), "size=16m,mode=700");
    else
        harness_mount_image(&h, harness_delta(&h), "ext4", 16);
}

/* What is there already is copied when it is changed. */
static void changes(void)
{
    struct stat st, was;
    int fd = openat(at, "e/big", O_RDWR);
    char buf[6] = "";

    cr_assert(fd >= 0 && fstat(fd, &was) == 0, "%s", strerror(errno));
    cr_expect(pwrite(fd, "middle", 6, 50000) == 6 && pread(fd, buf, 6, 99994) == 6 && memcmp(buf, "xxxxxx", 6) == 0);
    cr_expect(fstat(fd, &st) == 0 && st.st_size == 100000 && st.st_ino == was.st_ino);
    close(fd);
    WORKS(fchmodat(at, "e/mode", 0600, 0));
    WORKS(renameat(at, "e/name", at, "d/renamed"));
    WORKS(unlinkat(at, "e/gone", 0));
    FAILS(EACCES, unlinkat(at, "e/kept", 0));
    FAILS(EXDEV, renameat(at, "e", at, "f"));
}

static void expect_changed(void)
{
    struct stat st;
    char buf[7] = "";
    int fd = openat(at, "e/big", O_RDONLY);

    cr_expect(pread(fd, buf, 7, 49999) == 7 && memcmp(buf, "xmiddle", 7) == 0, "e/big: %s", strerror(errno));
    close(fd);
    cr_expect(fstatat(at, "e/mode", &st, 0) == 0 && (st.st_mode & 0777) == 0600);
    cr_expect(tree_is(h.mnt, "d/renamed", "name") && size_of("e/name") == -ENOENT && size_of("e/gone") == -ENOENT);
    cr_expect(tree_is(h.mnt, "linked", "mapped") && tree_is(h.mnt, "many/299", "many/299"));
    cr_expect(size_of("d/secret") == -ENOENT && tree_is(h.mnt, "e/kept", "kept"));
}

/* The codebase is as the host made it, and as it changed it. */
static void expect_codebase(void)
{
    char *list = tree_list(h.base, true), *big = tree_read(h.base, "e/big", NULL);

    cr_expect_str_eq(list, "d\nd/in\nd/later\nd/secret\ne\ne/big\ne/gone\ne/kept\ne/mode\ne/name\ne/one\ne/two\n", "%s",
                     list);
    cr_expect(big && strspn(big, "x") == 100000, "e/big");
    cr_expect(tree_is(h.base, "e/one", "two") && tree_is(h.base, "e/two", "two"));
    cr_expect(tree_is(h.base, "d/in", "longer") && tree_is(h.base, "d/secret", "S3CRET"));
    free(list);
    free(big);
}

static void delta(void)
{
    changes();
    expect_changed();
    expect_codebase();
    close(at);
    close(base);
    harness_stop(&h);
    start();
    expect_changed();
    expect_codebase();
}

static void link_below(const char *dir)
{
    char one[80], two[80];

    cr_assert(tree_put(dir, "e/two", "two"));
    snprintf(one, sizeof one, "%s/e/one", dir);
    snprintf(two, sizeof two, "%s/e/two", dir);
    cr_assert(link(two, one) == 0, "%s", strerror(errno));
}

/* With the codebase mounted at h.base. */
static void use(void)
{
    const bool linked_already = tree_exists(h.base, "e/two");
    char big[100001] = "";

    memset(big, 'x', sizeof big - 1);
    cr_assert(tree_put(h.base, "d/in", "in d") && tree_put(h.base, "d/secret", "S3CRET"));
    cr_assert(tree_put(h.base, "e/kept", "kept") && tree_put(h.base, "e/big", big) && tree_put(h.base, "e/mode", "m"));
    cr_assert(tree_put(h.base, "e/name", "name") && tree_put(h.base, "e/gone", "gone"));
    if (!linked_already)
        link_below(h.base);
    delta_mount();
    start();
    FAILS(ENOENT, openat(at, "d/secret", O_RDONLY));
    FAILS(EACCES, openat(at, "e/kept", O_WRONLY));
    files();
    many_files();
    hosts_changes();
    linked_below(mode || linked_already);
    if (mode)
        delta();
}

CODEBASE_TEST(a_directory)
{
    use();
}

CODEBASE_TEST(a_tmpfs)
{
    harness_mounts(&h);
    harness_mount_tmpfs(h.base, "size=16m,mode=755");
    use();
}

CODEBASE_TEST(an_ext4_of_its_own)
{
    harness_mounts(&h);
    harness_mount_image(&h, h.base, "ext4", 16);
    use();
}

CODEBASE_TEST(an_overlay)
{
    char options[512];

    harness_mounts(&h);
    cr_assert(tree_put(h.dir, "lower/d/in", "in d") && tree_put(h.dir, "lower/e/kept", "kept"));
    link_below(strcat(strcpy((char[64]){ 0 }, h.dir), "/lower"));
    cr_assert(tree_mkdir(h.dir, "upper") && tree_mkdir(h.dir, "work"));
    snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", h.dir, h.dir, h.dir);
    cr_assert(mount("codebase", h.base, "overlay", 0, options) == 0, "%s", strerror(errno));
    use();
}

CODEBASE_TEST(a_bind_mount)
{
    char other[64];

    harness_mounts(&h);
    cr_assert(tree_mkdir(h.dir, "other"));
    snprintf(other, sizeof other, "%s/other", h.dir);
    cr_assert(mount(other, h.base, NULL, MS_BIND, NULL) == 0, "%s", strerror(errno));
    use();
}

static void below_start(uint32_t flags)
{
    harness_init(&below);
    harness_flags |= flags;
    cr_assert(harness_start_open(&below), "%s", below.why);
    harness_flags &= ~flags;
    snprintf(h.base, sizeof h.base, "%.40s", below.mnt);
}

/* A workspace on a workspace; without root too. */
CODEBASE_TEST(a_workspace)
{
    below_start(mode ? PERMFS_NO_PASSTHROUGH : 0);
    use();
    harness_stop(&h);
    cr_expect(tree_is(below.base, "d/secret", "S3CRET"));
    cr_expect(mode ? !tree_exists(below.base, "linked") : tree_is(below.base, "linked", "mapped"));
}

/* With what passes data through the kernel has its two levels, and an overlay is one more. */
Test(codebases_delta, a_workspace_with_passthrough_is_refused_with_the_reason)
{
    struct harness_options options = harness_options();

    if (geteuid() != 0)
        harness_skip(&h, "passthrough takes root");
    below_start(0);
    options.flags |= PERMFS_DELTA;
    if (harness_start(&h, NULL, 0, &options))
        harness_skip(&h, "this kernel has no passthrough");
    cr_expect(strstr(h.why, "workspace with passthrough"), "%s", h.why);
}

CODEBASE_TEST(a_bindfs)
{
    harness_mounts(&h);
    cr_assert(tree_mkdir(h.dir, "other"));
    if (access("/usr/bin/bindfs", X_OK) < 0)
        harness_skip(&h, "bindfs is not installed");
    harness_run(&h, "bindfs -o attr_timeout=0 -o entry_timeout=0 %s/other %s", h.dir, h.base);
    use();
}
