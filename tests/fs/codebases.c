/*
 * What the codebase may lie on: tmpfs, ext4, overlayfs, another FUSE filesystem, a bind mount. On each the rules hold,
 * a file is what it is, and what the host changes is seen within the cache time (contract W10, W12).
 */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct harness h, below; /* below: the workspace that is a codebase itself */
static int at = -1;

static void setup(void)
{
    harness_init(&h);
}

static void teardown(void)
{
    close(at);
    if (!below.dir[0])
        (void)umount2(h.base, MNT_DETACH); /* what a test has mounted; the harness counts every mount as left behind */
    harness_release(&h);
    if (below.dir[0])
        harness_release(&below);
}

TestSuite(codebases, .init = setup, .fini = teardown, .timeout = 120);

static void run_or_skip(const char *cmd)
{
    if (system(cmd) != 0) {
        cr_log_info("%s", cmd);
        harness_skip(&h, "such a filesystem cannot be had here");
    }
}

static void only_root(void)
{
    if (geteuid() != 0)
        harness_skip(&h, "only root can mount this");
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
    WORKS(renameat(at, "d/new", at, "e/moved"));
    WORKS(fchmodat(at, "e/moved", 0600, 0));
    cr_expect(fstatat(at, "linked", &st, 0) == 0 && st.st_size == 6 && st.st_nlink == 2 &&
              (st.st_mode & 07777) == 0600);
    WORKS(unlinkat(at, "e/moved", 0));
    cr_expect(pread(fd, buf, 6, 0) == 6, "a file without that name is not read any more");
    close(fd);
    WORKS(symlinkat("linked", at, "sym"));
    cr_expect(tree_is(h.mnt, "sym", "mapped") && tree_is(h.base, "linked", "mapped"));
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
    bool seen = false;

    cr_expect(size_of("d/in") == 4 && size_of("d/later") == -ENOENT);
    cr_assert(tree_put(h.base, "d/in", "longer") && tree_put(h.base, "d/later", "x"));
    /* Twice the cache time where the codebase is a workspace itself, and what a busy machine takes. */
    for (int64_t end = now_ns() + INT64_C(6000000000); !seen && now_ns() < end; sleep_ms(10))
        seen = size_of("d/in") == 6 && size_of("d/later") == 1;
    cr_expect(seen, "%ld %ld", size_of("d/in"), size_of("d/later"));
    cr_expect(tree_is(h.mnt, "d/in", "longer"));
}

/* With the codebase mounted at h.base. */
static void use(void)
{
    static const struct rule rules[] = { { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
                                         { "**/secret*", RT_RULE_GLOB, RT_PERM_NONE, 1 },
                                         { "e/kept", RT_RULE_FILE, RT_PERM_READ, 1 } };
    const struct harness_options options = harness_options();

    cr_assert(tree_put(h.base, "d/in", "in d") && tree_put(h.base, "d/secret", "S3CRET"));
    cr_assert(tree_put(h.base, "e/kept", "kept"));
    cr_assert(harness_start(&h, rules, N(rules), &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    FAILS(ENOENT, openat(at, "d/secret", O_RDONLY));
    FAILS(EACCES, openat(at, "e/kept", O_WRONLY));
    files();
    many_files();
    hosts_changes();
}

Test(codebases, a_tmpfs)
{
    only_root();
    cr_assert(mount("codebase", h.base, "tmpfs", 0, "size=16m,mode=755") == 0, "%s", strerror(errno));
    use();
}

Test(codebases, an_ext4_of_its_own)
{
    char cmd[512];

    only_root();
    snprintf(
        cmd, sizeof cmd,
        "truncate -s 16M %s/image && PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q %s/image && mount -o loop %s/image %s",
        h.dir, h.dir, h.dir, h.base);
    run_or_skip(cmd);
    use();
}

Test(codebases, an_overlay)
{
    char options[512];

    only_root();
    cr_assert(tree_put(h.dir, "lower/d/in", "in d") && tree_put(h.dir, "lower/e/kept", "kept"));
    cr_assert(tree_mkdir(h.dir, "upper") && tree_mkdir(h.dir, "work"));
    snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", h.dir, h.dir, h.dir);
    cr_assert(mount("codebase", h.base, "overlay", 0, options) == 0, "%s", strerror(errno));
    use();
}

Test(codebases, a_bind_mount)
{
    char other[64];

    only_root();
    cr_assert(tree_mkdir(h.dir, "other"));
    snprintf(other, sizeof other, "%s/other", h.dir);
    cr_assert(mount(other, h.base, NULL, MS_BIND, NULL) == 0, "%s", strerror(errno));
    use();
}

/* A workspace on a workspace; without root too. */
Test(codebases, a_workspace)
{
    harness_init(&below);
    cr_assert(harness_start_open(&below), "%s", below.why);
    snprintf(h.base, sizeof h.base, "%.40s", below.mnt);
    use();
    harness_stop(&h);
    cr_expect(tree_is(below.base, "linked", "mapped") && tree_is(below.base, "d/secret", "S3CRET"));
}

Test(codebases, a_bindfs)
{
    char cmd[256];

    only_root();
    cr_assert(tree_mkdir(h.dir, "other"));
    if (access("/usr/bin/bindfs", X_OK) < 0)
        harness_skip(&h, "bindfs is not installed");
    snprintf(cmd, sizeof cmd, "bindfs -o attr_timeout=0 -o entry_timeout=0 %s/other %s", h.dir, h.base);
    run_or_skip(cmd);
    use();
}
