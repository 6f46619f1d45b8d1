/* Contract W3, W8 and W13 against codebases, names and hosts that mean harm. */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Symlinks in the codebase are resolved inside the sandbox, never on the host. */
CONFORMANCE_TEST(rules_hostile, W8_symlinks_that_lead_out)
{
    char outside[4096], *theirs;

    HOST_MUST(tree_put(fx.dir, "outside/file", "S3CRET") && tree_put(fx.codebase, "hidden/key", "S3CRET"));
    snprintf(outside, sizeof outside, "%s/outside", fx.dir);
    HOST_MUST(tree_symlink("/etc/shadow", fx.codebase, "shadow") && tree_symlink("..", fx.codebase, "up"));
    HOST_MUST(tree_symlink("../outside/file", fx.codebase, "beside") && tree_symlink(outside, fx.codebase, "absolute"));
    HOST_MUST(tree_symlink("hidden/key", fx.codebase, "to-hidden") && tree_symlink("hidden", fx.codebase, "to-dir"));
    HOST_MUST(tree_symlink("../../../../../../../../etc/hostname", fx.codebase, "far-up"));
    probe_install();
    BOX_UP("box", WRITE_ALL, DIRECTORY("hidden", RT_PERM_NONE), PROBE_RULE);
    EXPECT_OPS("box", { "readlink:shadow", "ok" }, { "readlink:up", "ok" }, { "read:beside", "ENOENT" },
               { "list:absolute", "ENOENT" }, { "read:absolute/file", "ENOENT" }, { "read:to-hidden", "ENOENT" },
               { "list:to-dir", "ENOENT" }, { "read:to-dir/key", "ENOENT" }, { "write:to-hidden", "ENOENT" },
               { "create:beside", "ENOENT" }, { "unlink:absolute/file", "ENOENT" },
               { "read:up/outside/file", "ENOENT" });
    /* `up` is the directory above the workspace, inside: the sandbox's root. */
    EXPECT_RUN(sh("box", "[ $(stat -L -c %%d:%%i up/.) = $(stat -c %%d:%%i /.) ] && echo root"), 0, "root\n");
    if ((theirs = tree_read("", "etc/shadow", NULL)))
        cr_expect(!strstr(sh("box", "cat shadow; cat up/etc/shadow")->out, theirs), "the host's shadow file");
    free(theirs);
    cr_expect(tree_is(fx.dir, "outside/file", "S3CRET"));
}

/* Nothing that the codebase holds as a symlink is written through, on the host's side either. */
CONFORMANCE_TEST(rules_hostile, W8_writing_through_symlinks)
{
    HOST_MUST(tree_put(fx.dir, "outside/file", "untouched") && tree_symlink("../outside/file", fx.codebase, "l"));
    HOST_MUST(tree_symlink("../outside", fx.codebase, "d"));
    BOX_UP("box", WRITE_ALL);
    sh("box", "echo x > l; echo x > d/new; mkdir d/dir; chmod 777 l; rm -rf d/; mv l l2; echo x >> l2");
    cr_expect(tree_is(fx.dir, "outside/file", "untouched") && !tree_exists(fx.dir, "outside/new"));
    cr_expect(!tree_exists(fx.dir, "outside/dir"));
}

CONFORMANCE_TEST(rules_hostile, W3_nested_secrets_directories)
{
    HOST_MUST(tree_put(fx.codebase, "secrets/a", "S3CRET") && tree_put(fx.codebase, "src/secrets/b", "S3CRET"));
    HOST_MUST(tree_put(fx.codebase, "src/secrets/deep/secrets/c", "S3CRET"));
    HOST_MUST(tree_put(fx.codebase, "src/open", "open") && tree_put(fx.codebase, "src/secrets.txt", "named alike"));
    HOST_MUST(tree_put(fx.codebase, "x/y/z/secrets", "a file of that name"));
    BOX_UP("box", WRITE_ALL, GLOB("**/secrets/**", RT_PERM_NONE));
    EXPECT_RUN(sh("box", "find . | LC_ALL=C sort"), 0,
               ".\n./src\n./src/open\n./src/secrets.txt\n./x\n./x/y\n./x/y/z\n");
    EXPECT_RUN(sh("box", "cat secrets/a src/secrets/b src/secrets/deep/secrets/c x/y/z/secrets 2>/dev/null; "
                         "mkdir -p new/secrets 2>/dev/null || echo refused; ls new"),
               0, "refused\n");
    EXPECT_RUN(sh("box", "cd src && cat ./secrets/../secrets/b 2>/dev/null; cat secrets/b 2>/dev/null; echo none"), 0,
               "none\n");
}

/* ---- names are bytes ------------------------------------------------------------------------------------------- */

#define LONG_NAME                                                                                                      \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
    "nnnnn"                                                                                                            \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
    "nnnnn"                                                                                                            \
    "nnnnnnnnnnnnnnnnn"

static const char *const names[] = {
    "new\nline", "q'u\"o`te",   "\xff\xfe\x80", "caf\xc3\xa9", " lead", "trail ", "-rf",
    "*",         "back\\slash", "\x01\x7f",     "$(id)",       "a:b",   "...",    LONG_NAME,
};

#define N_NAMES (sizeof names / sizeof *names)

static void hex_of(const char *text, char *into)
{
    for (; *text; text++, into += 2)
        snprintf(into, 3, "%02x", (unsigned char)*text);
}

CONFORMANCE_TEST(rules_hostile, W13_names_from_the_host)
{
    const struct run *r;
    char hex[600], line[700];

    for (size_t i = 0; i < N_NAMES; i++) {
        char path[300];

        snprintf(path, sizeof path, "d/%s", names[i]);
        HOST_MUST(tree_put(fx.codebase, path, "content"));
    }
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    r = run_argv("box", ARGV(PROBE, "names", "d"));
    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    for (size_t i = 0; i < N_NAMES; i++) {
        hex_of(names[i], hex);
        snprintf(line, sizeof line, "%s content\n", hex);
        cr_expect(strstr(r->out, line), "'%s' is not listed: %s", names[i], run_describe(r));
    }
}

CONFORMANCE_TEST(rules_hostile, W13_names_from_inside)
{
    BOX_UP("box", WRITE_ALL);
    for (size_t i = 0; i < N_NAMES; i++) {
        static const char script[] = "mkdir -p -- \"d/$1\" && printf in > \"d/$1/$1\" && mv -- \"d/$1/$1\" \"./$1\" && "
                                     "ln -s -- \"$1\" \"d/$1/link\" && cat -- \"d/$1/../../$1\"";

        EXPECT_RUN(run_argv("box", ARGV("sh", "-c", script, "sh", names[i])), 0, "in");
        cr_expect(tree_is(fx.codebase, names[i], "in"), "'%s' is not on the host", names[i]);
    }
    EXPECT_RUN(sh("box", "cd d && rm -rf -- * ... && cd .. && rmdir d && echo gone"), 0, "gone\n");
}

/* Rules take bytes as well: each name is hidden by a pattern of itself, with what patterns treat specially escaped. */
CONFORMANCE_TEST(rules_hostile, W13_names_in_rules)
{
    static char patterns[N_NAMES][600];
    rt_rule rules[N_NAMES + 1] = { WRITE_ALL };

    for (size_t i = 0; i < N_NAMES; i++) {
        char *into = patterns[i];

        for (const char *c = names[i]; *c; c++) {
            if (strchr("*?[]\\", *c))
                *into++ = '\\';
            *into++ = *c;
        }
        rules[i + 1] = GLOB(patterns[i], RT_PERM_NONE);
        HOST_MUST(tree_put(fx.codebase, names[i], "content"));
    }
    HOST_MUST(tree_put(fx.codebase, "shown", "content"));
    box_up_rules("box", rules, N_NAMES + 1);
    EXPECT_RUN(sh("box", "ls -A"), 0, "shown\n");
}

/* ---- a host that swaps things under an operation --------------------------------------------------------------- */

struct swapper {
    pthread_t thread;
    atomic_bool stop;
    char a[4096], b[4096];
    unsigned long swaps;
};

static void *swapper_run(void *arg)
{
    struct swapper *me = arg;

    while (!atomic_load(&me->stop)) {
        if (syscall(SYS_renameat2, AT_FDCWD, me->a, AT_FDCWD, me->b, RENAME_EXCHANGE) < 0)
            abort();
        me->swaps++;
    }
    return NULL;
}

/*
 * A sandbox that looks every name up anew, as far as the plugin can be told to: else the kernel's cache would leave
 * but a look-up a second to be raced.
 */
static void racer_up(const rt_rule *rules, size_t n)
{
    if (fixture_has_key("cache_time"))
        fixture_reopen_with("cache_time", "\"0ms\"");
    probe_install();
    box_up_rules("box", rules, n);
}

#define RACER_UP(...) racer_up((const rt_rule[]){ __VA_ARGS__ }, RULES_COUNT(__VA_ARGS__))

/* Reads path inside for three seconds while the host exchanges a and b. No secret must appear, and files must. */
static void swap_race(const char *a, const char *b, const char *path)
{
    struct swapper swapper = { .swaps = 0 };
    unsigned long public = 0, secret = 0, errors = 0;
    const struct run *r;

    snprintf(swapper.a, sizeof swapper.a, "%s/%s", fx.codebase, a);
    snprintf(swapper.b, sizeof swapper.b, "%s/%s", fx.codebase, b);
    HOST_MUST(pthread_create(&swapper.thread, NULL, swapper_run, &swapper) == 0);
    r = run_argv("box", ARGV(PROBE, "race", path, "3000", "S3CRET"));
    atomic_store(&swapper.stop, true);
    pthread_join(swapper.thread, NULL);
    cr_assert(r->status == RT_OK && sscanf(r->out, "%lu %lu %lu", &public, &secret, &errors) == 3, "%s",
              run_describe(r));
    cr_expect(secret == 0, "%lu of %lu reads gave a secret (%lu swaps)", secret, public + secret + errors,
              swapper.swaps);
    cr_expect(public > 100 && swapper.swaps > 100, "%lu reads and %lu swaps prove nothing", public, swapper.swaps);
}

CONFORMANCE_TEST(rules_hostile, W8_directory_swapped_for_a_symlink)
{
    HOST_MUST(tree_put(fx.dir, "outside/file", "S3CRET") && tree_put(fx.codebase, "d/file", "public"));
    HOST_MUST(tree_symlink("../outside", fx.codebase, "d.other"));
    RACER_UP(WRITE_ALL, PROBE_RULE);
    swap_race("d", "d.other", "d/file");
}

/* The path of the secret exists on the host alone: only who resolves the link there can find it. */
CONFORMANCE_TEST(rules_hostile, W8_directory_swapped_for_an_absolute_symlink)
{
    char outside[4096];

    snprintf(outside, sizeof outside, "%s/outside", fx.dir);
    HOST_MUST(tree_put(fx.dir, "outside/file", "S3CRET") && tree_put(fx.codebase, "d/file", "public"));
    HOST_MUST(tree_symlink(outside, fx.codebase, "d.other"));
    RACER_UP(WRITE_ALL, PROBE_RULE);
    swap_race("d", "d.other", "d/file");
}

CONFORMANCE_TEST(rules_hostile, W8_file_swapped_for_a_symlink)
{
    HOST_MUST(tree_put(fx.dir, "outside", "S3CRET") && tree_put(fx.codebase, "file", "public"));
    HOST_MUST(tree_symlink("../outside", fx.codebase, "file.other"));
    RACER_UP(WRITE_ALL, PROBE_RULE);
    swap_race("file", "file.other", "file");
}

/* The link stays within the codebase, but what it leads to is hidden from the sandbox. */
CONFORMANCE_TEST(rules_hostile, W8_directory_swapped_for_a_symlink_to_a_hidden_one)
{
    HOST_MUST(tree_put(fx.codebase, "hidden/file", "S3CRET") && tree_put(fx.codebase, "d/file", "public"));
    HOST_MUST(tree_symlink("hidden", fx.codebase, "d.other"));
    RACER_UP(WRITE_ALL, DIRECTORY("hidden", RT_PERM_NONE), PROBE_RULE);
    swap_race("d", "d.other", "d/file");
}

/* The attacker is a second sandbox on the same codebase: it swaps, the first one reads. */
CONFORMANCE_TEST(rules_hostile, W8_another_sandbox_swaps)
{
    unsigned long public = 0, secret = 0, errors = 0;
    const struct run *r;

    HOST_MUST(tree_put(fx.dir, "outside/file", "S3CRET") && tree_put(fx.codebase, "d/file", "public"));
    RACER_UP(WRITE_ALL, PROBE_RULE);
    BOX_UP("attacker", WRITE_ALL);
    EXPECT_RUN(sh("attacker", "ln -s ../outside l; (until [ -e stop ]; do mv d e; mv l d; mv d l; mv e d; done) "
                              ">/dev/null 2>&1 &"),
               0, "");
    r = run_argv("box", ARGV(PROBE, "race", "d/file", "3000", "S3CRET"));
    HOST_MUST(tree_put(fx.codebase, "stop", ""));
    cr_assert(r->status == RT_OK && sscanf(r->out, "%lu %lu %lu", &public, &secret, &errors) == 3, "%s",
              run_describe(r));
    cr_expect(secret == 0, "%lu reads gave a secret", secret);
    cr_expect(public > 100 && errors > 0, "%lu reads and %lu misses prove nothing", public, errors);
}
