/* Contract W6 and W7: what changes names needs `write` on every name, and hidden names cannot be probed. */
#include "fixture.h"

#include <stdio.h>

CONFORMANCE_TEST(rules_change, W6_renaming_a_directory_that_hides_something)
{
    const struct run *r;

    HOST_MUST(tree_put(fx.codebase, "d/open", "open") && tree_put(fx.codebase, "d/secret", "S3CRET"));
    HOST_MUST(tree_put(fx.codebase, "e/in/secret", "S3CRET") && tree_put(fx.codebase, "e/in/open", "open"));
    HOST_MUST(tree_mkdir(fx.codebase, "into"));
    probe_install();
    BOX_UP("box", WRITE_ALL, GLOB("d/secret", RT_PERM_NONE), GLOB("e/in/secret", RT_PERM_NONE), PROBE_RULE);
    EXPECT_OPS("box", { "rename:d:d2", "EXDEV" }, { "noreplace:d:d2", "EXDEV" }, { "rename:e:e2", "EXDEV" },
               { "rename:e/in:e/out", "EXDEV" }, { "rename:d:into/d", "EXDEV" }, { "exchange:d:into", "EXDEV" },
               { "exchange:into:d", "EXDEV" }, { "rename:d:into", "EXDEV" }, { "stat:d2", "ENOENT" });
    cr_expect(tree_is(fx.codebase, "d/secret", "S3CRET") && tree_is(fx.codebase, "e/in/secret", "S3CRET"));
    /* mv falls back to copying; what is hidden cannot be copied, and stays where it is. */
    r = sh("box", "mv d d3; mv e into/e; cat d3/open into/e/in/open; find . -name '*secret*'");
    cr_expect(r->status == RT_OK && !strcmp(r->out, "openopen"), "%s", run_describe(r));
    cr_expect(tree_is(fx.codebase, "d/secret", "S3CRET") && tree_is(fx.codebase, "e/in/secret", "S3CRET"));
    cr_expect(!tree_exists(fx.codebase, "d3/secret") && !tree_exists(fx.codebase, "into/e/in/secret"));
    r = sh("box", "rm -rf d e; ls");
    cr_expect(tree_is(fx.codebase, "d/secret", "S3CRET") && tree_is(fx.codebase, "e/in/secret", "S3CRET"), "%s",
              run_describe(r));
}

CONFORMANCE_TEST(rules_change, W6_renaming_a_directory_that_protects_something)
{
    HOST_MUST(tree_put(fx.codebase, "r/ro", "read only") && tree_put(fx.codebase, "v/deep/view", "view only"));
    probe_install();
    BOX_UP("box", WRITE_ALL, GLOB("r/ro", RT_PERM_READ), GLOB("v/deep/view", RT_PERM_VIEW), PROBE_RULE);
    EXPECT_OPS("box", { "rename:r:r2", "EXDEV" }, { "rename:v:v2", "EXDEV" }, { "rename:v/deep:v/d", "EXDEV" });
    EXPECT_RUN(sh("box", "cat v/deep/view 2>/dev/null || cat v2/deep/view 2>/dev/null || echo no"), 0, "no\n");
}

/* A rule that goes with the name wherever the directory goes raises nothing: then the rename is a rename. */
CONFORMANCE_TEST(rules_change, W6_renaming_a_directory_that_raises_nothing)
{
    HOST_MUST(tree_put(fx.codebase, "d/secret", "S3CRET") && tree_put(fx.codebase, "d/sub/secret", "S3CRET"));
    HOST_MUST(tree_put(fx.codebase, "d/open", "open") && tree_put(fx.codebase, "low/x", "x"));
    probe_install();
    BOX_UP("box", WRITE_ALL, GLOB("**/secret", RT_PERM_NONE), DIRECTORY("low", RT_PERM_READ),
           FILE_RULE("d2/open", RT_PERM_READ), FILE_RULE("d/open", RT_PERM_READ), FILE_RULE("shut/open", RT_PERM_VIEW),
           PROBE_RULE);
    EXPECT_OPS("box", { "rename:d:d2", "ok" }, { "stat:d2/secret", "ENOENT" }, { "read:d2/open", "ok" },
               { "stat:d2/sub/secret", "ENOENT" }, { "stat:d", "ENOENT" }, { "rename:d2:shut", "ok" },
               { "read:shut/open", "EACCES" }, { "stat:shut/open", "ok" }, { "stat:shut/secret", "ENOENT" });
    cr_expect(tree_is(fx.codebase, "shut/secret", "S3CRET") && tree_is(fx.codebase, "shut/sub/secret", "S3CRET"));
    EXPECT_OPS("box", { "rename:shut:d3", "EXDEV" }, { "rename:low:low2", "EACCES" });
}

/* What the sandbox has written cannot be brought by a directory to where it may not write, seen or not. */
CONFORMANCE_TEST(rules_change, W6_renaming_a_directory_plants_nothing)
{
    probe_install();
    BOX_UP("box", WRITE_ALL, GLOB("**/.git/hooks/**", RT_PERM_READ), GLOB("**/.yarn/plugins/**", RT_PERM_READ),
           GLOB("dark/in/**", RT_PERM_NONE), PROBE_RULE);
    EXPECT_RUN(sh("box", "mkdir -p x/hooks y/deep/.yarn z/a/in e/hooks q; echo evil > x/hooks/post-checkout; "
                         "mkdir -p y/deep/.yam/plugins; : > z/a/in/f; mkdir -p ok/objects; : > ok/objects/o"),
               0, "");
    EXPECT_OPS("box", { "rename:x:.git", "EXDEV" }, { "noreplace:x:.git", "EXDEV" }, { "exchange:x:q", "ok" },
               { "rename:q:sub", "ok" }, { "rename:sub:.git", "EXDEV" }, { "rename:e:.git", "EXDEV" },
               { "rename:y/deep/.yam:y/deep/.yarn", "EXDEV" }, { "rename:z/a:dark", "EXDEV" },
               { "rename:ok:.git", "ok" }, { "create:.git/objects/p", "ok" }, { "mkdir:.git/hooks", "EACCES" },
               { "rename:sub/hooks:.git/hooks", "EACCES" }, { "exchange:sub:.git", "EXDEV" });
    cr_expect(!tree_exists(fx.codebase, ".git/hooks") && tree_exists(fx.codebase, "sub/hooks/post-checkout"));
    cr_expect(!tree_exists(fx.codebase, "y/deep/.yarn/plugins") && !tree_exists(fx.codebase, "dark/in/f"));
}

CONFORMANCE_TEST(rules_change, W6_hard_links)
{
    HOST_MUST(tree_put(fx.codebase, "secret", "S3CRET") && tree_put(fx.codebase, "ro", "read only"));
    HOST_MUST(tree_put(fx.codebase, "w", "mine") && tree_put(fx.codebase, "view", "view"));
    probe_install();
    BOX_UP("box", WRITE_ALL, FILE_RULE("secret", RT_PERM_NONE), FILE_RULE("ro", RT_PERM_READ),
           FILE_RULE("view", RT_PERM_VIEW), FILE_RULE("ro-new", RT_PERM_READ), FILE_RULE("none-new", RT_PERM_NONE),
           PROBE_RULE);
    EXPECT_OPS("box", { "link:secret:x", "ENOENT" }, { "link:ro:x", "EACCES" }, { "link:view:x", "EACCES" },
               { "link:w:ro-new", "EACCES" }, { "link:w:none-new", "EACCES" }, { "link:w:secret", "EACCES" },
               { "stat:x", "ENOENT" }, { "link:w:w2", "ok" });
    EXPECT_RUN(sh("box", "ln secret y 2>/dev/null; ln ro y 2>/dev/null; ls; cat w2; stat -c %%h w"), 0,
               "ro\nview\nw\nw2\nmine2\n");
    cr_expect(tree_is(fx.codebase, "secret", "S3CRET") && !tree_exists(fx.codebase, "none-new"));
}

CONFORMANCE_TEST(rules_change, W6_renames_need_write_on_both_names)
{
    HOST_MUST(tree_put(fx.codebase, "secret", "S3CRET") && tree_put(fx.codebase, "ro", "read only"));
    HOST_MUST(tree_put(fx.codebase, "w", "mine") && tree_put(fx.codebase, "v", "other"));
    probe_install();
    BOX_UP("box", WRITE_ALL, FILE_RULE("secret*", RT_PERM_NONE), FILE_RULE("ro*", RT_PERM_READ), PROBE_RULE);
    EXPECT_OPS("box", { "rename:w:ro", "EACCES" }, { "rename:ro:x", "EACCES" }, { "rename:w:ro-new", "EACCES" },
               { "exchange:w:ro", "EACCES" }, { "exchange:ro:w", "EACCES" }, { "rename:w:secret", "EACCES" },
               { "rename:w:secret-new", "EACCES" }, { "rename:secret:x", "ENOENT" }, { "exchange:w:secret", "ENOENT" },
               { "noreplace:w:v", "EEXIST" }, { "exchange:w:v", "ok" }, { "rename:w:v", "ok" });
    cr_expect(tree_is(fx.codebase, "ro", "read only") && tree_is(fx.codebase, "secret", "S3CRET"));
    cr_expect(tree_is(fx.codebase, "v", "other") && !tree_exists(fx.codebase, "w"));
}

CONFORMANCE_TEST(rules_change, W6_making_what_a_rule_would_hide_or_protect)
{
    probe_install();
    BOX_UP("box", WRITE_ALL, DIRECTORY("shut", RT_PERM_NONE), DIRECTORY("low", RT_PERM_READ),
           GLOB("**/.env*", RT_PERM_NONE), PROBE_RULE);
    EXPECT_OPS("box", { "mkdir:shut", "EACCES" }, { "mkdir:low", "EACCES" }, { "create:.env", "EACCES" },
               { "symlink:x:.env.local", "EACCES" }, { "mkdir:d", "ok" }, { "create:d/.env", "EACCES" },
               { "mkfifo:d/.envfifo", "EACCES" }, { "rename:d:.env-dir", "EACCES" }, { "create:d/env", "ok" });
}

/* ---- probing --------------------------------------------------------------------------------------------------- */

/* Ops on a hidden name, with %s for it: the answers must not tell whether it exists. */
static const char *const probing[] = {
    "stat:%s",         "access:%s",      "read:%s",           "list:%s",       "write:%s",       "append:%s",
    "create:%s",       "create-excl:%s", "mkdir:%s",          "mkfifo:%s",     "unlink:%s",      "rmdir:%s",
    "truncate:%s",     "chmod:%s",       "utimes:%s",         "chown-self:%s", "setxattr:%s",    "getxattr:%s",
    "listxattr:%s",    "readlink:%s",    "tmpfile:%s",        "stat:%s/x",     "read:%s/x",      "create:%s/x",
    "mkdir:%s/x",      "unlink:%s/x",    "symlink:target:%s", "link:w:%s",     "rename:w:%s",    "noreplace:w:%s",
    "exchange:w:%s",   "link:%s:new",    "rename:%s:new",     "exchange:%s:w", "rename:dir:%s",  "noreplace:dir:%s",
    "exchange:dir:%s", "rename:%s:dir",  "rename:w:%s/x",     "link:w:%s/x",   "symlink:t:%s/x", "rename:%s/x:new",
    "mkchar:%s",       "stat:%s/.",      "stat:%s/..",
};

#define N_PROBING (sizeof probing / sizeof *probing)

/* All probing ops on one name; the answers in order. */
static const struct run *probe_name(const char *id, const char *name)
{
    static char text[N_PROBING][128];
    const char *argv[N_PROBING + 3] = { PROBE, "ops" };
    const struct run *r;

    for (size_t i = 0; i < N_PROBING; i++) {
        const char *hole = strstr(probing[i], "%s");

        snprintf(text[i], sizeof text[i], "%.*s%s%s", (int)(hole - probing[i]), probing[i], name, hole + 2);
        argv[2 + i] = text[i];
    }
    r = run_argv(id, argv);
    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    return r;
}

static void answers_compare(const struct run *there, const struct run *absent, const char *what)
{
    const char *a = there->out, *b = absent->out;

    for (size_t i = 0; i < N_PROBING && a && b; i++) {
        const char *x = strchr(a, ' '), *y = strchr(b, ' ');

        cr_assert(x && y);
        cr_expect(strcspn(x, "\n") == strcspn(y, "\n") && !strncmp(x, y, strcspn(x, "\n")),
                  "%s: %s tells%.*s, and%.*s of an absent one", what, probing[i], (int)strcspn(x, "\n"), x,
                  (int)strcspn(y, "\n"), y);
        cr_expect(strncmp(x, " ok\n", 4) != 0, "%s: %s succeeded", what, probing[i]);
        a = strchr(a, '\n');
        b = strchr(b, '\n');
        a += a != NULL;
        b += b != NULL;
    }
}

CONFORMANCE_TEST(rules_change, W7_hidden_names_cannot_be_probed)
{
    const struct run *absent;
    char *before, *after;

    HOST_MUST(tree_put(fx.codebase, "hid-file", "S3CRET") && tree_put(fx.codebase, "hid-dir/x", "S3CRET"));
    HOST_MUST(tree_symlink("w", fx.codebase, "hid-link") && tree_mkdir(fx.codebase, "hid-empty"));
    HOST_MUST(tree_put(fx.codebase, "w", "mine") && tree_put(fx.codebase, "dir/in", "x"));
    probe_install();
    BOX_UP("box", WRITE_ALL, GLOB("hid-*/**", RT_PERM_NONE), PROBE_RULE);
    before = tree_list(fx.codebase, true);
    absent = probe_name("box", "hid-none");
    answers_compare(probe_name("box", "hid-file"), absent, "a hidden file");
    answers_compare(probe_name("box", "hid-dir"), absent, "a hidden directory");
    answers_compare(probe_name("box", "hid-empty"), absent, "an empty hidden directory");
    answers_compare(probe_name("box", "hid-link"), absent, "a hidden symlink");
    after = tree_list(fx.codebase, true);
    cr_expect(!strcmp(before, after), "the codebase changed:\n%s\n%s", before, after);
    cr_expect(tree_is(fx.codebase, "hid-file", "S3CRET") && tree_is(fx.codebase, "w", "mine"));
    free(before);
    free(after);
}

/* A symlink of the sandbox's own reaches a hidden file no more than its name does. */
CONFORMANCE_TEST(rules_change, W7_symlinks_to_hidden_names)
{
    HOST_MUST(tree_put(fx.codebase, "hid/file", "S3CRET"));
    probe_install();
    BOX_UP("box", WRITE_ALL, DIRECTORY("hid", RT_PERM_NONE), PROBE_RULE);
    EXPECT_OPS("box", { "symlink:hid/file:a", "ok" }, { "symlink:hid/none:b", "ok" }, { "read:a", "ENOENT" },
               { "read:b", "ENOENT" }, { "write:a", "ENOENT" }, { "create:a", "ENOENT" }, { "create:b", "ENOENT" },
               { "symlink:hid:c", "ok" }, { "list:c", "ENOENT" }, { "create:c", "EACCES" }, { "mkdir:c/x", "ENOENT" });
    cr_expect(tree_is(fx.codebase, "hid/file", "S3CRET") && !tree_exists(fx.codebase, "hid/none"));
}
