/* Copy-on-write (D1, D6, D8): what a sandbox writes is its own until it is committed. */
#include "fixture.h"

#include <sys/stat.h>

#define D_TEST(name, ...) CONFORMANCE_TEST(delta, name, ##__VA_ARGS__)

static void delta_up(const char *id)
{
    const rt_rule rules[] = { WRITE_ALL };
    rt_sandbox_spec spec = box_spec(id);

    NEED(RT_CAP_DELTA);
    spec.rules = rules;
    spec.n_rules = 1;
    spec.workspace_mode = RT_WORKSPACE_DELTA;
    box_up_spec(&spec);
}

D_TEST(D1_writes_stay_out_of_the_codebase)
{
    cr_assert(tree_put(fx.codebase, "kept", "old") && tree_put(fx.codebase, "dir/gone", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo new >kept; rm -r dir; mkdir made; echo m >made/file; cat kept made/file; ls"), 0,
               "new\nm\nkept\nmade\n");
    cr_expect(tree_is(fx.codebase, "kept", "old") && tree_is(fx.codebase, "dir/gone", "x"));
    cr_expect(!tree_exists(fx.codebase, "made"));
}

D_TEST(D1_a_delta_outlives_a_stop)
{
    cr_assert(tree_put(fx.codebase, "kept", "old"));
    delta_up("box");
    EXPECT_RUN(sh("box", "echo new >kept; rm -f none; echo more >other"), 0, "");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "cat kept other"), 0, "new\nmore\n");
    cr_expect(tree_is(fx.codebase, "kept", "old") && !tree_exists(fx.codebase, "other"));
}

D_TEST(D1_direct_mode_writes_through)
{
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "echo new >made"), 0, "");
    cr_expect(tree_is(fx.codebase, "made", "new\n"));
}

D_TEST(D6_replacing_one_kind_by_another)
{
    cr_assert(tree_put(fx.codebase, "file", "f") && tree_put(fx.codebase, "dir/in", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "rm file; mkdir file; echo 1 >file/in; rm -r dir; echo 2 >dir; cat file/in dir; "
                         "rm dir; mkdir dir; ls dir; mknod w c 0 0 2>/dev/null || echo no"),
               0, "1\n2\nno\n");
    cr_expect(tree_is(fx.codebase, "file", "f") && tree_is(fx.codebase, "dir/in", "x"));
}

D_TEST(D8_two_sandboxes_do_not_see_each_other)
{
    cr_assert(tree_put(fx.codebase, "shared", "base"));
    delta_up("one");
    delta_up("two");
    EXPECT_RUN(sh("one", "echo one >shared; echo 1 >first"), 0, "");
    EXPECT_RUN(sh("two", "cat shared; ls; echo two >shared"), 0, "baseshared\n");
    EXPECT_RUN(sh("one", "cat shared; ls"), 0, "one\nfirst\nshared\n");
    cr_expect(tree_is(fx.codebase, "shared", "base"));
}
