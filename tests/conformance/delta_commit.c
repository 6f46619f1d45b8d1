/* The changes of a copy-on-write workspace: listed (D2), committed (D3, D5, D7), discarded (D4). */
#include "delta_ops.h"
#include "fixture.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

CONFORMANCE_TEST(delta_commit, D2_every_kind_of_change_is_listed)
{
    rt_changes *changes = NULL;

    cr_assert(tree_put(fx.codebase, "mod", "old") && tree_put(fx.codebase, "gone", "x"));
    cr_assert(tree_put(fx.codebase, "dir/in", "x") && tree_put(fx.codebase, "file", "f"));
    cr_assert(tree_put(fx.codebase, "mode", "x") && tree_put(fx.codebase, "same", "x"));
    delta_up("box");
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "echo newer >mod; rm gone; rm -r dir; echo f >dir; rm file; mkdir file; chmod 700 mode; "
                         "mkdir -p new/sub; echo n >new/sub/f; ln -s t link; : >>same; "
                         "echo no >passing; rm passing"),
               0, "");
    expect_changes("box", "T dir\nD dir/in\nT file\nD gone\nA link\nM mod\nm mode\nA new\nA new/sub\nA new/sub/f\n");
    ASSERT_STATUS(RT_OK, fx.ops->changes_list(fx.rt, "box", CALL, &changes));
    cr_expect(changes->items[5]->old_bytes == 3 && changes->items[5]->new_bytes == 6);
    fx.ops->changes_free(changes);
}

CONFORMANCE_TEST(delta_commit, D2_a_direct_workspace_has_none)
{
    rt_changes *changes = NULL;

    NEED(RT_CAP_DELTA);
    BOX_UP("box", WRITE_ALL);
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->changes_list(fx.rt, "box", CALL, &changes));
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->changes_commit(fx.rt, "box", NULL, CALL, &changes));
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->changes_list(fx.rt, "none", CALL, &changes));
}

CONFORMANCE_TEST(delta_commit, D3_a_commit_applies_all)
{
    struct stat st;
    char path[512];

    cr_assert(tree_put(fx.codebase, "mod", "old") && tree_put(fx.codebase, "gone", "x"));
    cr_assert(tree_put(fx.codebase, "dir/in", "x") && tree_put(fx.codebase, "file", "f"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo newer >mod; rm gone; rm -r dir; echo f >dir; rm file; mkdir file; mkdir -p new/sub; "
                         "echo n >new/sub/f; chmod 4751 new/sub/f; chmod 500 new/sub; ln -s t link"),
               0, "");
    COMMIT("T dir\nD dir/in\nT file\nD gone\nA link\nM mod\nA new\nA new/sub\nA new/sub/f\n");
    cr_expect(tree_is(fx.codebase, "mod", "newer\n") && !tree_exists(fx.codebase, "gone"));
    cr_expect(tree_is(fx.codebase, "dir", "f\n") && tree_is(fx.codebase, "new/sub/f", "n\n"));
    snprintf(path, sizeof path, "%s/new/sub/f", fx.codebase);
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 07777) == 0751 && st.st_uid == fx.owner);
    snprintf(path, sizeof path, "%s/new/sub", fx.codebase);
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 07777) == 0500);
    cr_expect(chmod(path, 0700) == 0);
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "cat mod dir new/sub/f"), 0, "newer\nf\nn\n");
    COMMIT("");
    EXPECT_RUN(sh("box", "echo again >mod"), 0, "");
    COMMIT("M mod\n");
    cr_expect(tree_is(fx.codebase, "mod", "again\n"));
}

CONFORMANCE_TEST(delta_commit, D3_only_the_paths_that_are_asked_for)
{
    delta_up("box");
    EXPECT_RUN(sh("box", "mkdir -p a/b c; echo 1 >a/b/one; echo 2 >a/two; echo 3 >c/three"), 0, "");
    expect_commit(RT_OK, "box", RT_CONFLICT_FAIL, ARGV("a/b/one"), "A a\nA a/b\nA a/b/one\n");
    cr_expect(tree_is(fx.codebase, "a/b/one", "1\n") && !tree_exists(fx.codebase, "a/two"));
    expect_changes("box", "A a/two\nA c\nA c/three\n");
    expect_commit(RT_OK, "box", RT_CONFLICT_FAIL, ARGV("/c/"), "A c\nA c/three\n");
    expect_changes("box", "A a/two\n");
}

/* Four files: changed by the sandbox and the host, deleted by one and changed by the other, made by both; and one more.
 */
static void conflicts_make(void)
{
    cr_assert(tree_put(fx.codebase, "both", "old") && tree_put(fx.codebase, "del", "old"));
    cr_assert(tree_put(fx.codebase, "gone", "old") && tree_put(fx.codebase, "free", "old"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo box >both; rm del; echo box >gone; echo box >made; echo box >free"), 0, "");
    cr_assert(tree_put(fx.codebase, "both", "host") && tree_put(fx.codebase, "del", "host"));
    cr_assert(tree_remove(strcat(strcpy((char[512]){ 0 }, fx.codebase), "/gone")));
    cr_assert(tree_put(fx.codebase, "made", "host"));
}
#define CONFLICTS "M both!\nD del!\nA gone!\nM made!\n"

CONFORMANCE_TEST(delta_commit, D3_fail_applies_nothing_that_stands_beside_a_conflict)
{
    conflicts_make();
    expect_changes("box", "M both!\nD del!\nM free\nA gone!\nM made!\n");
    expect_commit(RT_E_CONFLICT, "box", RT_CONFLICT_FAIL, NULL, CONFLICTS);
    cr_expect(tree_is(fx.codebase, "both", "host") && tree_is(fx.codebase, "free", "old"));
    EXPECT_RUN(sh("box", "cat both free made"), 0, "box\nbox\nbox\n");
    expect_commit(RT_OK, "box", RT_CONFLICT_FAIL, ARGV("free"), "M free\n");
    cr_expect(tree_is(fx.codebase, "free", "box\n"));
}

CONFORMANCE_TEST(delta_commit, D3_theirs_keeps_both)
{
    conflicts_make();
    expect_commit(RT_OK, "box", RT_CONFLICT_THEIRS, NULL, "M free\n");
    cr_expect(tree_is(fx.codebase, "both", "host") && tree_is(fx.codebase, "del", "host"));
    cr_expect(!tree_exists(fx.codebase, "gone") && tree_is(fx.codebase, "made", "host"));
    expect_changes("box", CONFLICTS);
    EXPECT_RUN(sh("box", "cat both gone made"), 0, "box\nbox\nbox\n");
}

CONFORMANCE_TEST(delta_commit, D3_ours_overwrites)
{
    conflicts_make();
    expect_commit(RT_OK, "box", RT_CONFLICT_OURS, NULL, "M both!\nD del!\nM free\nA gone!\nM made!\n");
    cr_expect(tree_is(fx.codebase, "both", "box\n") && !tree_exists(fx.codebase, "del"));
    cr_expect(tree_is(fx.codebase, "gone", "box\n") && tree_is(fx.codebase, "made", "box\n"));
    expect_changes("box", "");
}

CONFORMANCE_TEST(delta_commit, D3_two_sandboxes_on_one_codebase)
{
    cr_assert(tree_put(fx.codebase, "shared", "base"));
    delta_up("box");
    delta_up("two");
    EXPECT_RUN(sh("box", "echo one >shared; echo 1 >first"), 0, "");
    EXPECT_RUN(sh("two", "echo two >shared; echo 2 >second"), 0, "");
    COMMIT("A first\nM shared\n");
    expect_commit(RT_E_CONFLICT, "two", RT_CONFLICT_FAIL, NULL, "M shared!\n");
    expect_commit(RT_OK, "two", RT_CONFLICT_THEIRS, NULL, "A second\n");
    cr_expect(tree_is(fx.codebase, "shared", "one\n") && tree_is(fx.codebase, "second", "2\n"));
    EXPECT_RUN(sh("two", "cat shared; until cat first 2>/dev/null; do sleep 0.05; done"), 0, "two\n1\n");
}

CONFORMANCE_TEST(delta_commit, D3_a_committed_file_is_the_hosts_again_after_a_start)
{
    delta_up("box");
    EXPECT_RUN(sh("box", "echo box >file; mkdir dir; echo x >dir/f"), 0, "");
    COMMIT("A dir\nA dir/f\nA file\n");
    cr_assert(tree_put(fx.codebase, "file", "host") && tree_put(fx.codebase, "dir/g", "host"));
    expect_changes("box", "");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "cat file dir/f dir/g"), 0, "hostx\nhost");
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "echo more >>file"), 0, "");
    COMMIT("M file\n");
    cr_expect(tree_is(fx.codebase, "file", "hostmore\n"));
}

CONFORMANCE_TEST(delta_commit, D3_of_a_stopped_sandbox)
{
    delta_up("box");
    EXPECT_RUN(sh("box", "echo box >file"), 0, "");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    expect_changes("box", "A file\n");
    COMMIT("A file\n");
    cr_expect(tree_is(fx.codebase, "file", "box\n"));
    expect_changes("box", "");
}

/* A directory's times tell of what is in it, and not of its attributes. */
CONFORMANCE_TEST(delta_commit, D2_a_directorys_attributes_after_a_commit)
{
    rt_sandbox_info *info = NULL;

    cr_assert(tree_put(fx.codebase, "dir/in", "x"));
    HOST_MUST(setxattr(path_of(fx.codebase, "dir"), "user.a", "1", 1, 0) == 0);
    HOST_MUST(setxattr(path_of(fx.codebase, "dir"), "user.b", "1", 1, 0) == 0);
    delta_up("box");
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    EXPECT_RUN(sh("box", "chmod 700 dir"), 0, "");
    COMMIT("m dir\n");
    EXPECT_RUN(sh("box", "echo new >dir/new"), 0, "");
    COMMIT("A dir/new\n");
    cr_expect(removexattr(path_of(info->mount_point, "dir"), "user.a") == 0, "%s", strerror(errno));
    cr_expect(setxattr(path_of(info->mount_point, "dir"), "user.b", "2", 1, 0) == 0, "%s", strerror(errno));
    COMMIT("m dir\n");
    cr_expect(getxattr(path_of(fx.codebase, "dir"), "user.a", NULL, 0) < 0 && errno == ENODATA);
    cr_expect(getxattr(path_of(fx.codebase, "dir"), "user.b", (char[1]){ 0 }, 1) == 1);
    expect_changes("box", "");
    fx.ops->sandbox_info_free(info);
}

CONFORMANCE_TEST(delta_commit, D4_discard_forgets)
{
    cr_assert(tree_put(fx.codebase, "mod", "old") && tree_put(fx.codebase, "dir/in", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo box >mod; rm -r dir; mkdir new; echo n >new/f; echo k >keep"), 0, "");
    ASSERT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", ARGV("new", "mod"), CALL));
    expect_changes("box", "D dir\nD dir/in\nA keep\n");
    EXPECT_RUN(sh("box", "cat mod; ls"), 0, "oldkeep\nmod\n");
    EXPECT_STATUS(RT_E_INVAL, fx.ops->changes_discard(fx.rt, "box", ARGV("dir/in"), CALL));
    EXPECT_NAMES("dir");
    ASSERT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "cat dir/in mod; ls"), 0, "xolddir\nmod\n");
    cr_assert(tree_put(fx.codebase, "mod", "host"));
    EXPECT_RUN(sh("box", "until grep -q host mod; do sleep 0.05; done; echo box >mod"), 0, "");
    COMMIT("M mod\n");
}

/* What a sandbox has closed to its owner, who may be whoever runs it, holds up neither a start nor a discard. */
CONFORMANCE_TEST(delta_commit, D4_what_the_sandbox_has_closed_is_discarded)
{
    cr_assert(tree_put(fx.codebase, "file", "old") && tree_put(fx.codebase, "dir/in", "old"));
    delta_up("box");
    EXPECT_RUN(sh("box", "mkdir made; echo x >made/in; rm -r dir; mkdir dir; echo new >dir/new; echo new >file"), 0,
               "");
    COMMIT("D dir/in\nA dir/new\nM file\nA made\nA made/in\n");
    EXPECT_RUN(sh("box", "echo newer >file; mkdir deep deep/deep; echo x >deep/deep/in; chmod 500 made dir; "
                         "chmod 0 file deep/deep"),
               0, "");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "stat -c %%a file made dir deep/deep; cat made/in dir/new; ls"), 0,
               "0\n500\n500\n0\nx\nnew\ndeep\ndir\nfile\nmade\n");
    ASSERT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "cat file made/in dir/new; ls"), 0, "new\nx\nnew\ndir\nfile\nmade\n");
}

CONFORMANCE_TEST(delta_commit, D5_the_policy_after_an_exec)
{
    delta_up_policy("box", RT_COMMIT_ON_SUCCESS);
    EXPECT_RUN(sh("box", "echo 1 >first; exit 3"), 3, "");
    cr_expect(!tree_exists(fx.codebase, "first"));
    EXPECT_RUN(sh("box", "echo 2 >second"), 0, "");
    cr_expect(tree_is(fx.codebase, "first", "1\n") && tree_is(fx.codebase, "second", "2\n"));
    delta_up_policy("two", RT_COMMIT_ALWAYS);
    EXPECT_RUN(sh("two", "echo 3 >third; exit 3"), 3, "");
    cr_expect(tree_is(fx.codebase, "third", "3\n"));
}

CONFORMANCE_TEST(delta_commit, D6_no_name_of_the_sandboxs_deletes)
{
    cr_assert(tree_put(fx.codebase, "a", "a") && tree_put(fx.codebase, "d/b", "b"));
    delta_up("box");
    EXPECT_RUN(sh("box", "touch .wh.a d/.wh.b d/.wh..wh..opq"), 0, "");
    COMMIT("A .wh.a\nA d/.wh..wh..opq\nA d/.wh.b\n");
    cr_expect(tree_is(fx.codebase, "a", "a") && tree_is(fx.codebase, "d/b", "b"));
}

CONFORMANCE_TEST(delta_commit, D7_hidden_files_are_never_touched)
{
    const rt_rule hiding[] = { WRITE_ALL,
                               delta_rules[1],
                               { .size = sizeof(rt_rule),
                                 .pattern = "later",
                                 .type = RT_RULE_FILE,
                                 .permission = RT_PERM_NONE,
                                 .priority = 10 } };

    cr_assert(tree_put(fx.codebase, "d/f", "f") && tree_put(fx.codebase, "later", "old"));
    delta_up("box");
    EXPECT_RUN(sh("box", "rm -r d; echo box >later; echo v >visible"), 0, "");
    cr_assert(tree_put(fx.codebase, "d/secret", "host's"));
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", hiding, 3, CALL));
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", delta_rules, 2, CALL));
    expect_commit(RT_E_CONFLICT, "box", RT_CONFLICT_OURS, NULL, "D d!\n"); /* it cannot go with what is in it */
    cr_expect(tree_is(fx.codebase, "d/secret", "host's") && !tree_exists(fx.codebase, "d/f"));
    cr_expect(tree_is(fx.codebase, "later", "box\n") && tree_is(fx.codebase, "visible", "v\n"));
    expect_commit(RT_OK, "box", RT_CONFLICT_THEIRS, NULL, "");
    EXPECT_RUN(sh("box", "echo hidden >later"), 0, "");
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", hiding, 3, CALL));
    expect_commit(RT_E_CONFLICT, "box", RT_CONFLICT_FAIL, NULL, "D d!\n");
    ASSERT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    cr_expect(tree_is(fx.codebase, "later", "box\n"));
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", delta_rules, 2, CALL));
    EXPECT_RUN(sh("box", "cat later"), 0, "hidden\n");
}

CONFORMANCE_TEST(delta_commit, W13_names_are_bytes)
{
    char want[400];

    cr_assert(tree_put(fx.codebase, "line\nbreak", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "rm line*; printf 1 >\"$(printf 'inv\\377alid')\"; printf 2 >%0255d; printf 3 >\\'\\\"", 7), 0,
               "");
    snprintf(want, sizeof want, "A '\"\nA %0255d\nA inv\xff%s\nD line\nbreak\n", 7, "alid");
    COMMIT(want);
    cr_expect(!tree_exists(fx.codebase, "line\nbreak"));
    EXPECT_RUN(sh("box", "cat inv*"), 0, "1");
    expect_changes("box", "");
}

/* The sandbox's own were there first: that it writes to them once more does not make the host's what it found. */
CONFORMANCE_TEST(delta_commit, D3_what_the_host_makes_under_the_names_of_the_sandboxs_is_a_conflict)
{
    static const char *const names[] = { "file", "dir/in", "moved/in", "link", "gone", "kind" };

    delta_up("box");
    EXPECT_RUN(sh("box", "mkdir dir early; for f in file dir/in early/in link gone; do echo box >$f; done; "
                         "mv early moved; mkdir kind"),
               0, "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert(tree_put(fx.codebase, names[i], "host"));
    cr_assert(tree_put(fx.codebase, "seen", ""));
    EXPECT_RUN(sh("box",
                  "until [ -e seen ]; do sleep 0.05; done; for f in file dir/in moved/in; do echo more >>$f; done; "
                  "rm link gone; ln -s t link; chmod 700 kind; cat file moved/in"),
               0, "box\nmore\nbox\nmore\n");
    expect_commit(RT_E_CONFLICT, "box", RT_CONFLICT_FAIL, NULL,
                  "M dir/in!\nM file!\nD gone!\nT kind!\nT link!\nM moved/in!\n");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect(tree_is(fx.codebase, names[i], "host"), "%s", names[i]);
}

/* What the sandbox made and removed again before the host made it is the host's, and no conflict. */
CONFORMANCE_TEST(delta_commit, D3_what_the_sandbox_gave_up_is_the_hosts)
{
    delta_up("box");
    EXPECT_RUN(sh("box", "echo box >file; echo box >>file; rm file"), 0, "");
    cr_assert(tree_put(fx.codebase, "file", "host"));
    EXPECT_RUN(sh("box", "until [ -e file ]; do sleep 0.05; done; rm file; echo box >file"), 0, "");
    COMMIT("M file\n");
    cr_expect(tree_is(fx.codebase, "file", "box\n"));
}

/* A codebase that is away for a while: nothing of the delta is lost, and what is missing is named. */
CONFORMANCE_TEST(delta_commit, D3_a_codebase_that_is_away_is_named_and_nothing_is_lost)
{
    char away[600];
    rt_changes *changes = NULL;

    cr_assert(tree_put(fx.codebase, "file", "old"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo new >file"), 0, "");
    snprintf(away, sizeof away, "%s-away", fx.codebase);
    cr_assert(rename(fx.codebase, away) == 0);
    EXPECT_STATUS(RT_E_IO, fx.ops->changes_list(fx.rt, "box", CALL, &changes));
    cr_expect(strstr(fx.call.error.message, fx.codebase), "%s", fx.call.error.message);
    EXPECT_STATUS(RT_E_IO, fx.ops->changes_commit(fx.rt, "box", NULL, CALL, &changes));
    EXPECT_STATUS(RT_E_IO, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    cr_assert(rename(away, fx.codebase) == 0);
    COMMIT("M file\n");
    cr_expect(tree_is(fx.codebase, "file", "new\n"));
}
