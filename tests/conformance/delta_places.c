/*
 * Where a copy-on-write workspace lies: codebases on other filesystems than the usual one, and what is full (D1, D3,
 * R5).
 */
#include "delta_ops.h"
#include "disk.h"
#include "fixture.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* ---- other filesystems below ----------------------------------------------------------------------------------- */

static void need_root(void)
{
    if (geteuid())
        cr_skip_test("mounting takes root");
}

static void over(const char *type, const char *data)
{
    HOST_MUST(mount("test", fx.codebase, type, MS_NOSUID | MS_NODEV, data) == 0);
    HOST_MUST(chmod(fx.codebase, 0755) == 0);
}

static void codebase_unmount(void)
{
    if (fx.rt)
        fixture_close();
    HOST_MUST(umount2(fx.codebase, MNT_DETACH) == 0);
    fixture_reopen();
}

/* A change of each kind there and back. */
static void works_here(void)
{
    cr_assert(tree_put(fx.codebase, "mod", "old") && tree_put(fx.codebase, "dir/in", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "cat mod; echo new >mod; rm -r dir; echo f >dir; mkdir -p made/sub; echo x >made/sub/f; "
                         "chmod 640 mod; ln -s to link"),
               0, "old");
    cr_expect(tree_is(fx.codebase, "mod", "old") && tree_is(fx.codebase, "dir/in", "x"));
    ASSERT_STATUS(RT_OK, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    cr_expect(tree_is(fx.codebase, "mod", "new\n") && tree_is(fx.codebase, "dir", "f\n"));
    cr_expect(tree_is(fx.codebase, "made/sub/f", "x\n") && !has_leftovers());
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "cat mod dir made/sub/f; echo more >>mod"), 0, "new\nf\nx\n");
    ASSERT_STATUS(RT_OK, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    cr_expect(tree_is(fx.codebase, "mod", "new\nmore\n"));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
}

CONFORMANCE_TEST(delta_commit, D3_a_codebase_on_tmpfs)
{
    NEED(RT_CAP_DELTA);
    need_root();
    over("tmpfs", NULL);
    works_here();
    codebase_unmount();
}

/* Of its own, and small: the usual one may be another. */
CONFORMANCE_TEST(delta_commit, D3_a_codebase_on_ext4)
{
    char cmd[2048];

    NEED(RT_CAP_DELTA);
    need_root();
    snprintf(cmd, sizeof cmd,
             "truncate -s 16M %s/image && PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q %s/image && "
             "mount -o loop %s/image %s && rmdir %s/lost+found",
             fx.dir, fx.dir, fx.dir, fx.codebase, fx.codebase);
    if (system(cmd) != 0)
        cr_skip_test("no ext4 of its own can be had here");
    works_here();
    codebase_unmount();
}

/* Directories for an overlay, on a tmpfs of its own that `at` is. */
static const char *overlay_data(const char *at, const char *lower)
{
    static char data[1600];

    HOST_MUST(mkdir(at, 0755) == 0 && mount("test", at, "tmpfs", 0, NULL) == 0);
    cr_assert(tree_mkdir(at, "lower") && tree_mkdir(at, "upper") && tree_mkdir(at, "work"));
    snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower ? lower : path_of(at, "lower"),
             at, at);
    return data;
}

CONFORMANCE_TEST(delta_commit, D3_a_codebase_on_overlayfs)
{
    char one[512];

    NEED(RT_CAP_DELTA);
    need_root();
    snprintf(one, sizeof one, "%s/one", fx.dir);
    over("overlay", overlay_data(one, NULL));
    works_here();
    codebase_unmount();
    HOST_MUST(umount2(one, MNT_DETACH) == 0);
}

/* The kernel stacks two, and ours is the third. */
CONFORMANCE_TEST(delta_commit, D1_a_codebase_on_an_overlay_over_an_overlay_is_refused_with_the_reason)
{
    char one[512], two[512], middle[512];
    rt_sandbox_spec spec = box_spec("box");
    const rt_rule rules[] = { WRITE_ALL };

    NEED(RT_CAP_DELTA);
    need_root();
    snprintf(one, sizeof one, "%s/one", fx.dir);
    snprintf(two, sizeof two, "%s/two", fx.dir);
    snprintf(middle, sizeof middle, "%s/middle", fx.dir);
    HOST_MUST(mkdir(middle, 0755) == 0 && mount("test", middle, "overlay", 0, overlay_data(one, NULL)) == 0);
    over("overlay", overlay_data(two, middle));
    spec.rules = rules;
    spec.n_rules = 1;
    spec.workspace_mode = RT_WORKSPACE_DELTA;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    cr_expect(fx.ops->start(fx.rt, "box", CALL) != RT_OK);
    EXPECT_NAMES("copy-on-write");
    EXPECT_NAMES("overlay");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    codebase_unmount();
    HOST_MUST(umount2(middle, MNT_DETACH) == 0 && umount2(one, MNT_DETACH) == 0 && umount2(two, MNT_DETACH) == 0);
}

/* ---- what is full ---------------------------------------------------------------------------------------------- */

/* What does not fit is told; what was there is whole, and after there is room again the commit completes. */
CONFORMANCE_TEST(delta_commit, D3_a_full_codebase)
{
    NEED(RT_CAP_DELTA);
    need_root();
    over("tmpfs", "size=1m");
    cr_assert(tree_put(fx.codebase, "a", "old") && tree_put(fx.codebase, "ballast", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo new >a; head -c 3000000 /dev/zero >big"), 0, "");
    EXPECT_STATUS(RT_E_RESOURCE, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    EXPECT_NAMES("big");
    cr_expect(tree_is(fx.codebase, "a", "old") || tree_is(fx.codebase, "a", "new\n"));
    cr_expect(!tree_exists(fx.codebase, "big") && !has_leftovers());
    EXPECT_RUN(sh("box", "cat a; stat -c %%s big; head -c 1000 /dev/zero >big"), 0, "new\n3000000\n");
    EXPECT_STATUS(RT_OK, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    cr_expect(tree_is(fx.codebase, "a", "new\n") && tree_exists(fx.codebase, "big"));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    codebase_unmount();
}

#define FILES 40 /* whose names fill pages of the journal and of the log */
#define LONG                                                                                                           \
    "a-name-that-is-as-long-as-a-hundred-and-fifty-bytes-or-so-so-that-few-of-them-fill-a-page-of-the-journal-"        \
    "and-a-page-of-the-log-of-what-was-committed"

/* Half of the files are the codebase's, and changed; two directories are made, and one entry of each kind. */
static void many_changes_make(void)
{
    char name[200];

    for (int i = 0; i < FILES / 2; i++) {
        snprintf(name, sizeof name, LONG "-%d", i);
        cr_assert(tree_put(fx.codebase, name, "old"));
    }
    cr_assert(tree_put(fx.codebase, "gone", "old") && tree_put(fx.codebase, "dir/in", "old"));
    delta_up("box");
    EXPECT_RUN(sh("box",
                  "for i in $(seq 0 %d); do printf new >" LONG "-$i; done; rm -r gone dir; printf new >dir; "
                  "mkdir made made/too; chmod 750 made",
                  FILES - 1),
               0, "");
}

static int files_committed(void)
{
    char name[200];
    int n = 0;

    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, LONG "-%d", i);
        if (tree_is(fx.codebase, name, "new"))
            n++;
        else
            cr_expect(i < FILES / 2 ? tree_is(fx.codebase, name, "old") : !tree_exists(fx.codebase, name), "%s", name);
    }
    return n;
}

static bool is_committed(void)
{
    struct stat st;

    return files_committed() == FILES && tree_is(fx.codebase, "dir", "new") && !tree_exists(fx.codebase, "gone") &&
           stat(path_of(fx.codebase, "made/too"), &st) == 0 && stat(path_of(fx.codebase, "made"), &st) == 0 &&
           (st.st_mode & 07777) == 0750;
}

static bool is_as_before(void)
{
    return files_committed() == 0 && tree_is(fx.codebase, "dir/in", "old") && tree_is(fx.codebase, "gone", "old") &&
           !tree_exists(fx.codebase, "made");
}

/* The codebase is as before or has it all, the sandbox goes on, and once there is room the commit can be run again. */
static void full_state(const struct shortage *what, int n)
{
    int32_t status;

    many_changes_make();
    what->begin(n);
    status = commit("box", RT_CONFLICT_FAIL, CALL, NULL);
    cr_expect(status == RT_OK || status == RT_E_RESOURCE, "%d %s: %s: %s", n, what->name, status_name(status),
              fx.call.error.message);
    cr_expect(is_committed() || (status != RT_OK && is_as_before()), "%d %s: %d of the files are committed", n,
              what->name, files_committed());
    cr_expect(!has_leftovers(), "%d %s", n, what->name);
    EXPECT_RUN(sh("box", "cat dir; cat " LONG "-0"), 0, "newnew");
    what->end();
    EXPECT_STATUS(RT_OK, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    cr_expect(is_committed() && !has_leftovers(), "%d %s: with room again", n, what->name);
    expect_changes("box", "");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_assert(tree_remove(fx.codebase) && tree_mkdir(fx.codebase, "."));
}

static void full_state_walk(const struct shortage *what, int step, int to)
{
    NEED(RT_CAP_DELTA);
    disk_mount();
    for (int n = 0; n <= to; n += step)
        full_state(what, n);
    disk_unmount();
}

CONFORMANCE_TEST(delta_commit, R5_a_full_state_directory_during_a_commit)
{
    full_state_walk(&shortage_pages, 4, 8);
}

CONFORMANCE_TEST(delta_commit_full, R5_a_state_directory_ever_less_full_during_commits)
{
    full_state_walk(&shortage_pages, 1, 24);
    full_state_walk(&shortage_inodes, 1, 4);
}

/* Where even that does not fit which a commit leaves to be logged: changes are listed, and room is made of them. */
CONFORMANCE_TEST(delta_commit, R5_a_full_state_directory_is_discarded_from)
{
    rt_changes *changes = NULL;

    NEED(RT_CAP_DELTA);
    disk_mount();
    many_changes_make();
    EXPECT_RUN(sh("box", "head -c 100000 /dev/zero >big"), 0, "");
    for (int n = 0; n < 24; n++) {
        shortage_pages.begin(n);
        EXPECT_STATUS(RT_E_RESOURCE, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
        EXPECT_STATUS(RT_OK, fx.ops->changes_list(fx.rt, "box", CALL, &changes));
        fx.ops->changes_free(changes);
        changes = NULL;
        if (!is_as_before())
            break;
        shortage_pages.end();
    }
    cr_expect(is_committed());
    EXPECT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    shortage_pages.end();
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "cat " LONG "-0; ls -d b* made/*"), 0, "newbig\nmade/too\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    disk_unmount();
}
