/*
 * Directories that the sandbox has removed and made anew: what the codebase has in them is deleted, as deep as it goes,
 * and stays so until it is committed or discarded (D2 to D4, D6).
 */
#include "delta_ops.h"
#include "fixture.h"

static void restart(void)
{
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
}

/* "a" with "a/f" and "a/b/in", made anew with "a/new" and "a/b/new". */
static void make_anew(void)
{
    cr_assert(tree_put(fx.codebase, "a/f", "f") && tree_put(fx.codebase, "a/b/in", "in"));
    delta_up("box");
    EXPECT_RUN(sh("box", "rm -r a; mkdir -p a/b; echo n >a/new; echo n >a/b/new"), 0, "");
}

CONFORMANCE_TEST(delta_commit, D2_what_was_in_a_directory_made_anew_is_deleted)
{
    make_anew();
    expect_changes("box", "D a/b/in\nA a/b/new\nD a/f\nA a/new\n");
    COMMIT("D a/b/in\nA a/b/new\nD a/f\nA a/new\n");
    cr_expect(!tree_exists(fx.codebase, "a/b/in") && !tree_exists(fx.codebase, "a/f"));
    cr_expect(tree_is(fx.codebase, "a/b/new", "n\n") && tree_is(fx.codebase, "a/new", "n\n"));
    expect_changes("box", "");
    restart();
    EXPECT_RUN(sh("box", "ls a a/b"), 0, "a:\nb\nnew\n\na/b:\nnew\n");
    expect_changes("box", "");
}

CONFORMANCE_TEST(delta_commit, D3_what_was_not_committed_of_one_made_anew_outlives_a_start)
{
    make_anew();
    expect_commit(RT_OK, "box", RT_CONFLICT_FAIL, ARGV("a/new", "a/b/new"), "A a/b/new\nA a/new\n");
    restart();
    expect_changes("box", "D a/b/in\nD a/f\n");
    EXPECT_RUN(sh("box", "find a | sort"), 0, "a\na/b\na/b/new\na/new\n");
    expect_commit(RT_OK, "box", RT_CONFLICT_FAIL, ARGV("a/f"), "D a/f\n");
    restart();
    expect_changes("box", "D a/b/in\n");
    COMMIT("D a/b/in\n");
    restart();
    cr_assert(tree_put(fx.codebase, "a/b/in", "host"));
    EXPECT_RUN(sh("box", "until cat a/b/in 2>/dev/null; do sleep 0.05; done; ls a"), 0, "hostb\nnew\n");
    expect_changes("box", "");
}

/* What the host makes there after the deletion was committed is no change of the sandbox's. */
CONFORMANCE_TEST(delta_commit, D3_what_the_host_makes_again_in_one_made_anew_is_the_hosts)
{
    make_anew();
    COMMIT("D a/b/in\nA a/b/new\nD a/f\nA a/new\n");
    cr_assert(tree_put(fx.codebase, "a/f", "host") && tree_put(fx.codebase, "a/b/in", "host"));
    expect_changes("box", "");
    COMMIT("");
    restart();
    EXPECT_RUN(sh("box", "cat a/f a/b/in; ls a"), 0, "hosthostb\nf\nnew\n");
    expect_changes("box", "");
}

CONFORMANCE_TEST(delta_commit, D4_a_part_of_a_directory_made_anew_is_not_discarded)
{
    static const char *const parts[] = { "a/f", "a/b", "/a/b/in/" };

    make_anew();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        EXPECT_STATUS(RT_E_INVAL, fx.ops->changes_discard(fx.rt, "box", ARGV(parts[i]), CALL));
        EXPECT_NAMES("'a'");
    }
    expect_changes("box", "D a/b/in\nA a/b/new\nD a/f\nA a/new\n");
    ASSERT_STATUS(RT_OK,
                  fx.ops->changes_discard(fx.rt, "box", ARGV("a/new", "a/b/new"), CALL)); /* only the sandbox's */
    expect_changes("box", "D a/b/in\nD a/f\n");
    ASSERT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", ARGV("a"), CALL));
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "find a | sort; cat a/f a/b/in"), 0, "a\na/b\na/b/in\na/f\nfin");
}

/* What rules hide stays in the delta, in its place; all else is the codebase's again. */
CONFORMANCE_TEST(delta_commit, D7_one_made_anew_is_discarded_around_what_is_hidden)
{
    const rt_rule hiding[] = { delta_rules[0],
                               delta_rules[1],
                               { .size = sizeof(rt_rule),
                                 .pattern = "a/later",
                                 .type = RT_RULE_FILE,
                                 .permission = RT_PERM_NONE,
                                 .priority = 10 } };

    make_anew();
    EXPECT_RUN(sh("box", "echo later >a/later"), 0, "");
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", hiding, 3, CALL));
    ASSERT_STATUS(RT_OK, fx.ops->changes_discard(fx.rt, "box", NULL, CALL));
    expect_changes("box", "");
    EXPECT_RUN(sh("box", "find a | sort; cat a/f a/b/in"), 0, "a\na/b\na/b/in\na/f\nfin");
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", delta_rules, 2, CALL));
    EXPECT_RUN(sh("box", "cat a/later"), 0, "later\n");
    expect_changes("box", "A a/later\n");
}
