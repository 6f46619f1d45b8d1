/* Contract W1 to W5 and W11: which path may be seen, read and written. */
#include "fixture.h"

#include <stdio.h>
#include <sys/xattr.h>

static void xattr_put(const char *path)
{
    char full[4096];

    snprintf(full, sizeof full, "%s/%s", fx.codebase, path);
    HOST_MUST(setxattr(full, "user.probe", "1", 1, 0) == 0);
}

/* A file, a directory and a symlink of each permission, named after it. */
static void ladder_up(void)
{
    static const char *const names[] = { "none", "view", "read", "write" };
    rt_rule rules[5];

    for (int i = 0; i < 4; i++) {
        char path[64];

        snprintf(path, sizeof path, "%s/file", names[i]);
        HOST_MUST(tree_put(fx.codebase, path, "content"));
        xattr_put(path);
        snprintf(path, sizeof path, "%s/link", names[i]);
        HOST_MUST(tree_symlink("file", fx.codebase, path));
        rules[i] = DIRECTORY(names[i], i);
    }
    rules[4] = PROBE_RULE;
    probe_install();
    box_up_rules("box", rules, 5);
}

CONFORMANCE_TEST(rules, W1_none_does_not_exist)
{
    ladder_up();
    EXPECT_RUN(sh("box", "ls -a | cat"), 0, ".\n..\n.probe\nread\nview\nwrite\n");
    EXPECT_OPS("box", { "stat:none", "ENOENT" }, { "access:none", "ENOENT" }, { "list:none", "ENOENT" },
               { "stat:none/file", "ENOENT" }, { "read:none/file", "ENOENT" }, { "write:none/file", "ENOENT" },
               { "getxattr:none/file", "ENOENT" }, { "listxattr:none/file", "ENOENT" },
               { "readlink:none/link", "ENOENT" }, { "unlink:none/file", "ENOENT" }, { "chmod:none/file", "ENOENT" },
               { "truncate:none/file", "ENOENT" }, { "create:none/file", "ENOENT" }, { "mkdir:none", "EACCES" });
    cr_expect(tree_is(fx.codebase, "none/file", "content"));
}

CONFORMANCE_TEST(rules, W1_view_is_listed_and_no_more)
{
    ladder_up();
    EXPECT_RUN(sh("box", "ls view; stat -c %%s view/file"), 0, "file\nlink\n7\n");
    EXPECT_OPS("box", { "stat:view", "ok" }, { "list:view", "ok" }, { "stat:view/file", "ok" },
               { "access:view/file", "ok" }, { "read:view/file", "EACCES" }, { "write:view/file", "EACCES" },
               { "append:view/file", "EACCES" }, { "getxattr:view/file", "EACCES" },
               { "listxattr:view/file", "EACCES" }, { "readlink:view/link", "EACCES" },
               { "setxattr:view/file", "EACCES" }, { "chmod:view/file", "EACCES" }, { "truncate:view/file", "EACCES" },
               { "utimes:view/file", "EACCES" }, { "unlink:view/file", "EACCES" }, { "create:view/file", "EACCES" },
               { "create:view/new", "EACCES" }, { "mkdir:view/new", "EACCES" }, { "stat:view/absent", "ENOENT" });
    cr_expect(tree_is(fx.codebase, "view/file", "content"));
}

CONFORMANCE_TEST(rules, W1_read_is_content_attributes_and_targets)
{
    ladder_up();
    EXPECT_RUN(sh("box", "cat read/file; readlink read/link; cat read/link"), 0, "contentfile\ncontent");
    EXPECT_OPS("box", { "read:read/file", "ok" }, { "getxattr:read/file", "ok" }, { "listxattr:read/file", "ok" },
               { "readlink:read/link", "ok" }, { "write:read/file", "EACCES" }, { "append:read/file", "EACCES" },
               { "otrunc:read/file", "EACCES" }, { "rtrunc:read/file", "EACCES" }, { "truncate:read/file", "EACCES" },
               { "chmod:read/file", "EACCES" }, { "utimes:read/file", "EACCES" }, { "setxattr:read/file", "EACCES" },
               { "removexattr:read/file", "EACCES" }, { "unlink:read/file", "EACCES" }, { "create:read/new", "EACCES" },
               { "create-excl:read/new", "EACCES" }, { "mkdir:read/new", "EACCES" }, { "mkfifo:read/new", "EACCES" },
               { "symlink:x:read/new", "EACCES" }, { "rename:read/file:write/new", "EACCES" },
               { "rename:write/file:read/file", "EACCES" }, { "rename:write/file:read/new", "EACCES" },
               { "rmdir:read", "EACCES" }, { "create:read/file", "EACCES" });
    cr_expect(tree_is(fx.codebase, "read/file", "content") && !tree_exists(fx.codebase, "read/new"));
    cr_expect(tree_is(fx.codebase, "write/file", "content"));
}

CONFORMANCE_TEST(rules, W1_write_is_everything)
{
    const struct run *r;

    ladder_up();
    EXPECT_OPS("box", { "read:write/file", "ok" }, { "getxattr:write/file", "ok" }, { "removexattr:write/file", "ok" },
               { "setxattr:write/file", "ok" }, { "chmod:write/file", "ok" }, { "utimes:write/file", "ok" },
               { "chown-self:write/file", "ok" }, { "create-excl:write/new", "ok" },
               { "symlink:any:write/new-link", "ok" }, { "mkdir:write/new-dir", "ok" }, { "mkfifo:write/fifo", "ok" },
               { "link:write/file:write/hard", "ok" }, { "rename:write/new:write/new-dir/new", "ok" },
               { "otrunc:write/file", "ok" }, { "unlink:write/hard", "ok" }, { "unlink:write/new-dir/new", "ok" },
               { "rmdir:write/new-dir", "ok" }, { "readlink:write/new-link", "ok" });
    cr_expect(tree_is(fx.codebase, "write/file", "") && !tree_exists(fx.codebase, "write/new-dir"));
    /* EPERM, or EINVAL where the kernel knows no such user inside. */
    r = run_argv("box", ARGV(PROBE, "ops", "chown-other:write/file"));
    cr_expect(ops_result(r, "chown-other:write/file")[0] == 'E', "%s", run_describe(r));
    cr_expect(tree_exists(fx.codebase, "write/fifo") && tree_exists(fx.codebase, "write/new-link"));
}

CONFORMANCE_TEST(rules, W2_no_rule_is_none)
{
    rt_sandbox_spec spec = box_spec("bare");

    HOST_MUST(tree_put(fx.codebase, "file", "content"));
    box_up_spec(&spec);
    EXPECT_RUN(sh("bare", "ls -A | cat; cat file 2>/dev/null; echo x 2>/dev/null > new || echo refused"), 0,
               "refused\n");
    cr_expect(!tree_exists(fx.codebase, "new"));
}

/* What the sandbox may do with the file d/e/f.txt. */
static int permission_get(const char *id)
{
    const struct run *r = run_argv(id, ARGV(PROBE, "ops", "stat:d/e/f.txt", "read:d/e/f.txt", "write:d/e/f.txt"));

    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    if (!strcmp(ops_result(r, "stat:d/e/f.txt"), "ENOENT"))
        return RT_PERM_NONE;
    if (!strcmp(ops_result(r, "read:d/e/f.txt"), "EACCES"))
        return RT_PERM_VIEW;
    return !strcmp(ops_result(r, "write:d/e/f.txt"), "EACCES") ? RT_PERM_READ : RT_PERM_WRITE;
}

struct precedence {
    int want;
    rt_rule rules[4];
};

#define AT(level, ...)                                                                                                 \
    {                                                                                                                  \
        sizeof(rt_rule), __VA_ARGS__, level, 0                                                                         \
    }

CONFORMANCE_TEST(rules, W3_which_rule_wins)
{
    static const struct precedence cases[] = {
        { RT_PERM_NONE, { AT(0, "d/e/g.txt", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_NONE, { AT(1, "**", RT_RULE_GLOB, RT_PERM_NONE), AT(0, "d/e/f.txt", RT_RULE_FILE, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(INT32_MAX, "**", RT_RULE_GLOB, RT_PERM_READ), AT(1, "d/e/f.txt", RT_RULE_FILE, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "**", RT_RULE_GLOB, RT_PERM_READ), AT(INT32_MIN, "d/e/f.txt", RT_RULE_FILE, RT_PERM_WRITE) } },
        { RT_PERM_VIEW, { AT(0, "**", RT_RULE_FILE, RT_PERM_VIEW), AT(0, "d/e", RT_RULE_DIRECTORY, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d", RT_RULE_DIRECTORY, RT_PERM_READ), AT(0, "d/e/f.txt", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d/e/f.txt", RT_RULE_GLOB, RT_PERM_READ), AT(0, "d/e/f*", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d/e", RT_RULE_DIRECTORY, RT_PERM_READ), AT(0, "d", RT_RULE_DIRECTORY, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d/e/*", RT_RULE_GLOB, RT_PERM_READ), AT(0, "d/*/f.txt", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d/*/f.txt", RT_RULE_GLOB, RT_PERM_READ), AT(0, "d/*/f*", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d/*/f.txt", RT_RULE_GLOB, RT_PERM_READ), AT(0, "d/**/f.txt", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_WRITE,
          { AT(0, "d/e/f.txt", RT_RULE_GLOB, RT_PERM_READ), AT(0, "d/e/f.txt", RT_RULE_GLOB, RT_PERM_WRITE) } },
        { RT_PERM_READ,
          { AT(0, "d/e/f.txt", RT_RULE_GLOB, RT_PERM_WRITE), AT(0, "/d/e/f.txt", RT_RULE_GLOB, RT_PERM_READ) } },
        { RT_PERM_VIEW,
          { AT(0, "/d/e/f.txt", RT_RULE_GLOB, RT_PERM_WRITE), AT(0, "d/e/f.txt", RT_RULE_GLOB, RT_PERM_VIEW) } },
        { RT_PERM_NONE,
          { AT(5, "**", RT_RULE_GLOB, RT_PERM_WRITE), AT(5, "**/f.txt", RT_RULE_GLOB, RT_PERM_NONE),
            AT(4, "d/e/f.txt", RT_RULE_FILE, RT_PERM_READ) } },
        { RT_PERM_WRITE,
          { AT(0, "**", RT_RULE_GLOB, RT_PERM_READ), AT(0, "d/**", RT_RULE_GLOB, RT_PERM_VIEW),
            AT(0, "d/e/**", RT_RULE_GLOB, RT_PERM_WRITE) } },
    };

    HOST_MUST(tree_put(fx.codebase, "d/e/f.txt", "content"));
    probe_install();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_rule rules[5] = { PROBE_RULE };
        size_t n = 1;
        int got;

        rules[0].priority = INT32_MAX;
        for (; n < 5 && cases[i].rules[n - 1].pattern; n++)
            rules[n] = cases[i].rules[n - 1];
        box_up_rules("box", rules, n);
        got = permission_get("box");
        cr_expect(got == cases[i].want, "case %zu, '%s' and so on: %d, wanted %d", i, cases[i].rules[0].pattern, got,
                  cases[i].want);
        ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    }
}

#define ALL "./[k]\n./a\n./b.c\n./d/a\n./d/e/a\n./d/e/f/b.c\n./x/y/x/y/z\n"

CONFORMANCE_TEST(rules, W4_what_a_pattern_covers)
{
    static const struct {
        const char *pattern;
        int type;
        const char *files;
    } cases[] = {
        { "a", RT_RULE_GLOB, "./a\n" },
        { "/a", RT_RULE_GLOB, "./a\n" },
        { "A", RT_RULE_GLOB, "" },
        { "**", RT_RULE_GLOB, ALL },
        { "/**", RT_RULE_GLOB, ALL },
        { "*", RT_RULE_GLOB, "./[k]\n./a\n./b.c\n" },
        { "**/*", RT_RULE_GLOB, ALL },
        { "**/a", RT_RULE_GLOB, "./a\n./d/a\n./d/e/a\n" },
        { "**/**/a", RT_RULE_GLOB, "./a\n./d/a\n./d/e/a\n" },
        { "d/**", RT_RULE_GLOB, "./d/a\n./d/e/a\n./d/e/f/b.c\n" },
        { "/d/e/**", RT_RULE_GLOB, "./d/e/a\n./d/e/f/b.c\n" },
        { "a/**", RT_RULE_GLOB, "./a\n" },
        { "**/b.c/**", RT_RULE_GLOB, "./b.c\n./d/e/f/b.c\n" },
        { "d/*", RT_RULE_GLOB, "./d/a\n" },
        { "d/e", RT_RULE_GLOB, "" },
        { "d*", RT_RULE_GLOB, "" },
        { "d/*/a", RT_RULE_GLOB, "./d/e/a\n" },
        { "*/*/*", RT_RULE_GLOB, "./d/e/a\n" },
        { "d/**/a", RT_RULE_GLOB, "./d/a\n./d/e/a\n" },
        { "**/e/**", RT_RULE_GLOB, "./d/e/a\n./d/e/f/b.c\n" },
        { "**/e/**/b.c", RT_RULE_GLOB, "./d/e/f/b.c\n" },
        { "**/*.c", RT_RULE_GLOB, "./b.c\n./d/e/f/b.c\n" },
        { "**/y/**/z", RT_RULE_GLOB, "./x/y/x/y/z\n" },
        { "**/y/z", RT_RULE_GLOB, "./x/y/x/y/z\n" },
        { "x/**/x/**/z", RT_RULE_GLOB, "./x/y/x/y/z\n" },
        { "x/**/x/**/x/**", RT_RULE_GLOB, "" },
        { "?", RT_RULE_GLOB, "./a\n" },
        { "b?c", RT_RULE_GLOB, "./b.c\n" },
        { "d?a", RT_RULE_GLOB, "" },
        { "[ab]*", RT_RULE_GLOB, "./a\n./b.c\n" },
        { "[!a]*", RT_RULE_GLOB, "./[k]\n./b.c\n" },
        { "[^a]*", RT_RULE_GLOB, "./[k]\n./b.c\n" },
        { "[a-c].c", RT_RULE_GLOB, "./b.c\n" },
        { "[[]k]", RT_RULE_GLOB, "./[k]\n" },
        { "\\[k\\]", RT_RULE_GLOB, "./[k]\n" },
        { "\\*", RT_RULE_GLOB, "" },
        { "\\a", RT_RULE_GLOB, "./a\n" },
        { "d/e", RT_RULE_DIRECTORY, "./d/e/a\n./d/e/f/b.c\n" },
        { "*", RT_RULE_DIRECTORY, "./d/a\n./d/e/a\n./d/e/f/b.c\n./x/y/x/y/z\n" },
        { "**/f", RT_RULE_DIRECTORY, "./d/e/f/b.c\n" },
        { "**/x", RT_RULE_DIRECTORY, "./x/y/x/y/z\n" },
        { "x/*/x", RT_RULE_DIRECTORY, "./x/y/x/y/z\n" },
        { "a", RT_RULE_DIRECTORY, "" },
        { "**", RT_RULE_FILE, ALL },
        { "*", RT_RULE_FILE, "./[k]\n./a\n./b.c\n" },
        { "**/a", RT_RULE_FILE, "./a\n./d/a\n./d/e/a\n" },
        { "d", RT_RULE_FILE, "" },
        { "d/e/a", RT_RULE_FILE, "./d/e/a\n" },
    };
    static const char *const files[] = { "[k]", "a", "b.c", "d/a", "d/e/a", "d/e/f/b.c", "x/y/x/y/z" };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        HOST_MUST(tree_put(fx.codebase, files[i], "content"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rt_rule rule = RULE_OF(cases[i].type, cases[i].pattern, RT_PERM_READ);
        const struct run *r;

        box_up_rules("box", &rule, 1);
        r = sh("box", "find . -type f | LC_ALL=C sort");
        cr_expect(run_is(r, 0, cases[i].files), "'%s' type %d\nwanted %s: %s", cases[i].pattern, cases[i].type,
                  cases[i].files, run_describe(r));
        ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    }
}

CONFORMANCE_TEST(rules, W4_malformed_patterns)
{
    static const char *const bad[] = { "", "[", "a[b", "d/[a/b", "[]", "[!]", "a\\", "..", "../x", "a/../b", "**/.." };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const rt_rule rules[] = { WRITE_ALL, GLOB("good/*", RT_PERM_READ), GLOB(bad[i], RT_PERM_NONE), READ_ALL };
        rt_sandbox_spec spec = box_spec("box");

        spec.rules = rules;
        spec.n_rules = 4;
        EXPECT_STATUS(RT_E_PATTERN, fx.ops->create(fx.rt, &spec, CALL, NULL));
        cr_expect(strchr(fx.call.error.message, '2'), "'%s': the index is missing: %s", bad[i], fx.call.error.message);
        cr_expect(box_status("box") == -1);
    }
}

/* Patterns that make naive matchers take for ever. */
CONFORMANCE_TEST(rules, W4_patterns_that_explode)
{
    char stars[512] = "", deep[2048] = "", name[201];

    for (int i = 0; i < 60; i++)
        strcat(stars, "*a");
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    strcat(stars, "b");
    for (int i = 0; i < 60; i++)
        strcat(deep, "**/a/");
    strcat(deep, "b");
    HOST_MUST(tree_put(fx.codebase, name, "content") && tree_put(fx.codebase, "a/a/a/a/a/a/a/a/a/a/a/a/a/a/c", "deep"));
    BOX_UP("box", READ_ALL, GLOB(stars, RT_PERM_NONE), GLOB(deep, RT_PERM_NONE));
    EXPECT_RUN(sh("box", "cat a*a a/a/a/a/a/a/a/a/a/a/a/a/a/a/c"), 0, "contentdeep");
}

CONFORMANCE_TEST(rules, W4_thousands_of_rules)
{
    static rt_rule rules[5001];
    static char patterns[5000][32];

    for (int i = 0; i < 5000; i++) {
        snprintf(patterns[i], sizeof patterns[i], i % 2 ? "dir%d/**" : "**/file%d", i);
        rules[i] = GLOB(patterns[i], i % 2 ? RT_PERM_READ : RT_PERM_VIEW);
    }
    rules[5000] = GLOB("dir4999/hidden", RT_PERM_NONE);
    HOST_MUST(tree_put(fx.codebase, "dir4999/shown", "read") && tree_put(fx.codebase, "dir4999/hidden", "secret"));
    HOST_MUST(tree_put(fx.codebase, "any/file4998", "view") && tree_put(fx.codebase, "dir5001/x", "x"));
    box_up_rules("box", rules, 5001);
    EXPECT_RUN(sh("box", "find . -type f | LC_ALL=C sort; cat dir4999/shown; cat any/file4998 2>/dev/null"), 1,
               "./any/file4998\n./dir4999/shown\nread");
}

CONFORMANCE_TEST(rules, W5_the_way_to_what_is_visible)
{
    HOST_MUST(tree_put(fx.codebase, "src/deep/ok.txt", "ok") && tree_put(fx.codebase, "src/deep/no.txt", "no"));
    HOST_MUST(tree_put(fx.codebase, "src/other/x", "x") && tree_put(fx.codebase, "private/x", "x"));
    HOST_MUST(tree_put(fx.codebase, "top", "x") && tree_symlink("deep/ok.txt", fx.codebase, "src/link"));
    probe_install();
    BOX_UP("box", GLOB("src/deep/ok.txt", RT_PERM_WRITE), PROBE_RULE);
    EXPECT_RUN(sh("box", "find . | LC_ALL=C sort"), 0, ".\n./.probe\n./src\n./src/deep\n./src/deep/ok.txt\n");
    EXPECT_OPS("box", { "list:src", "ok" }, { "stat:src/deep", "ok" }, { "stat:src/other", "ENOENT" },
               { "read:src/other/x", "ENOENT" }, { "stat:src/deep/no.txt", "ENOENT" }, { "list:private", "ENOENT" },
               { "stat:src/link", "ENOENT" }, { "stat:top", "ENOENT" }, { "mkdir:src/new", "EACCES" },
               { "create:src/deep/new", "EACCES" }, { "write:src/deep/ok.txt", "ok" }, { "chmod:src", "EACCES" },
               { "rmdir:src/other", "ENOENT" });
}

CONFORMANCE_TEST(rules, W5_a_closed_subtree_is_invisible)
{
    HOST_MUST(tree_put(fx.codebase, "a/ok.txt", "1") && tree_put(fx.codebase, "a/no", "x"));
    HOST_MUST(tree_put(fx.codebase, "shut/ok.txt", "2") && tree_put(fx.codebase, "shut/in/ok.txt", "3"));
    HOST_MUST(tree_put(fx.codebase, "ajar/ok.txt", "4") && tree_put(fx.codebase, "ajar/in/ok.txt", "5"));
    BOX_UP("box", GLOB("**/ok.txt", RT_PERM_READ), DIRECTORY("shut", RT_PERM_NONE), DIRECTORY("ajar", RT_PERM_NONE),
           FILE_RULE("ajar/ok.txt", RT_PERM_READ));
    EXPECT_RUN(sh("box", "find . | LC_ALL=C sort"), 0, ".\n./a\n./a/ok.txt\n./ajar\n./ajar/ok.txt\n");
}

CONFORMANCE_TEST(rules, W11_rules_update)
{
    const rt_rule fewer[] = { READ_ALL, GLOB("b", RT_PERM_NONE), PROBE_RULE };
    const rt_rule bad[] = { WRITE_ALL, GLOB("[", RT_PERM_NONE) };
    const struct run *r;

    NEED(RT_CAP_RULES_UPDATE);
    HOST_MUST(tree_put(fx.codebase, "a", "a") && tree_put(fx.codebase, "b", "b"));
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    EXPECT_RUN(sh("box", "cat a b; (exec 3>>b 4<b; until [ -e go ]; do sleep 1; done; echo kept >&3; cat <&4 > /tmp/x; "
                         "touch /tmp/done) >/dev/null 2>&1 &"),
               0, "ab");
    sleep_ms(300);
    EXPECT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", fewer, 3, CALL));
    EXPECT_OPS("box", { "read:a", "ok" }, { "write:a", "EACCES" }, { "stat:b", "ENOENT" }, { "create:new", "EACCES" });
    EXPECT_RUN(sh("box", "ls"), 0, "a\n");
    EXPECT_STATUS(RT_E_PATTERN, fx.ops->rules_update(fx.rt, "box", bad, 2, CALL));
    EXPECT_OPS("box", { "write:a", "EACCES" }, { "stat:b", "ENOENT" });
    HOST_MUST(tree_put(fx.codebase, "go", ""));
    r = sh("box", "i=0; until [ -e /tmp/done ] || [ $i = 30 ]; do sleep 1; i=$((i+1)); done; cat /tmp/x");
    cr_expect(run_is(r, 0, "bkept\n"), "files open before the change: %s", run_describe(r));
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_OPS("box", { "write:a", "EACCES" }, { "stat:b", "ENOENT" });
}

/* What get() says of a sandbox's rules, against what was given. */
static void rules_told(const char *id, const rt_rule *rules, size_t n)
{
    rt_sandbox_info *info = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, id, CALL, &info));
    cr_assert_geq(info->size, sizeof *info, "a plugin that updates rules tells them too");
    cr_assert_eq(info->n_rules, n);
    for (size_t i = 0; i < n; i++) {
        const rt_rule *told = info->rules[i];

        cr_expect(!strcmp(told->pattern, rules[i].pattern) && told->type == rules[i].type &&
                      told->permission == rules[i].permission && told->priority == rules[i].priority,
                  "rule %zu: '%s' %d %d %d", i, told->pattern, told->type, told->permission, told->priority);
    }
    cr_expect_eq(info->flags, 0);
    fx.ops->sandbox_info_free(info);
}

/* Rules of a sandbox that does not run hold from its next start on, for another host process too. */
CONFORMANCE_TEST(rules, W11_rules_of_a_sandbox_that_does_not_run)
{
    const rt_rule first[] = { READ_ALL, GLOB("b", RT_PERM_NONE), PROBE_RULE };
    const rt_rule second[] = { WRITE_ALL, DIRECTORY("a\n\"dir", RT_PERM_VIEW), PROBE_RULE };
    rt_sandbox_spec spec = box_spec("box");

    NEED(RT_CAP_RULES_UPDATE);
    HOST_MUST(tree_put(fx.codebase, "b", "b"));
    probe_install();
    spec.lifetime = RT_LIFETIME_PERSISTENT;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    rules_told("box", NULL, 0);
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", first, 3, CALL));
    rules_told("box", first, 3);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_OPS("box", { "stat:b", "ENOENT" }, { "create:new", "EACCES" });
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", second, 3, CALL));
    cr_expect_eq(box_status("box"), RT_SANDBOX_STOPPED);
    fixture_reopen();
    rules_told("box", second, 3);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_OPS("box", { "stat:b", "ok" }, { "unlink:b", "ok" });
    /* And by a process that did not start it. */
    fixture_reopen();
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", first, 3, CALL));
    EXPECT_OPS("box", { "create:new", "EACCES" });
    ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", NULL, 0, CALL));
    rules_told("box", NULL, 0);
}

/* Whatever the sandbox has just seen or missed, and may have cached: the update's end is the line. */
CONFORMANCE_TEST(rules, W11_again_and_again)
{
    const rt_rule open[] = { WRITE_ALL, GLOB("**/never", RT_PERM_NONE) };
    const rt_rule shut[] = { READ_ALL, GLOB("d/**", RT_PERM_NONE) };

    NEED(RT_CAP_RULES_UPDATE);
    HOST_MUST(tree_put(fx.codebase, "d/in/f", "text") && tree_put(fx.codebase, "never", "x"));
    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 8; i++) {
        ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", shut, 2, CALL));
        EXPECT_RUN(sh("box", "cat d/in/f || ls; (: > new) || echo refused; (cd d) || echo none"), 0,
                   "never\nrefused\nnone\n");
        ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", open, 2, CALL));
        EXPECT_RUN(sh("box", "cat d/in/f; ls; : > d/new && rm d/new; cd d/in && ls"), 0, "textd\nf\n");
    }
}

/* The same with one fast path of the filesystem off after the other, where the plugin has such switches. */
CONFORMANCE_TEST(rules, W11_without_a_fast_path)
{
    static const char *const keys[] = { "passthrough", "watch", "epochs" };
    const rt_rule shut[] = { READ_ALL, GLOB("d/**", RT_PERM_NONE) };

    NEED(RT_CAP_RULES_UPDATE);
    HOST_MUST(tree_put(fx.codebase, "d/f", "text"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!fixture_has_key(keys[i]))
            cr_skip_test("the plugin has no such switch");
        fixture_reopen_with(keys[i], "false");
        BOX_UP("box", WRITE_ALL);
        EXPECT_RUN(sh("box", "cat d/f; cat none 2>/dev/null; echo more > d/f; cat d/f; echo text > d/f"), 0,
                   "textmore\n");
        ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", shut, 2, CALL));
        EXPECT_RUN(sh("box", "cat d/f || ls; (: > new) || echo refused"), 0, "refused\n");
        ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
        HOST_MUST(tree_put(fx.codebase, "d/f", "text"));
    }
}
