/* Contract W9, W10 and W12: whose the files are, how they behave, and when the host's changes are seen. */
#include "fixture.h"

#include <stdio.h>
#include <sys/stat.h>

/* ---- identity -------------------------------------------------------------------------------------------------- */

static void owner_expect(const char *path, uid_t uid)
{
    char full[4096];
    struct stat st;

    snprintf(full, sizeof full, "%s/%s", fx.codebase, path);
    cr_assert(lstat(full, &st) == 0, "%s is not on the host", path);
    cr_expect(st.st_uid == uid, "%s belongs to %u on the host, wanted %u", path, (unsigned)st.st_uid, (unsigned)uid);
}

/* Runs as the codebase's owner, sees its files as its own, and makes files of its own. */
static void identity_check(uid_t uid)
{
    char want[128];

    HOST_MUST(tree_put(fx.codebase, "d/file", "content"));
    if (uid != getuid())
        HOST_MUST(tree_chown(fx.codebase, uid, (gid_t)uid));
    BOX_UP("box", WRITE_ALL);
    snprintf(want, sizeof want, "%u\n%u\n%u\n%u\n", (unsigned)uid, (unsigned)uid, (unsigned)uid, (unsigned)uid);
    EXPECT_RUN(sh("box", "id -u; stat -c %%u . d d/file"), 0, want);
    snprintf(want, sizeof want, "%u %u\n", (unsigned)uid, (unsigned)uid);
    EXPECT_RUN(sh("box", "echo x > new; mkdir dir; ln -s x link; mkfifo fifo; echo y >> d/file; "
                         "stat -c '%%u' new dir link fifo | sort -u | tr '\\n' ' '; stat -c %%u d/file"),
               0, want);
    owner_expect("new", uid);
    owner_expect("dir", uid);
    owner_expect("link", uid);
    owner_expect("fifo", uid);
    owner_expect("d/file", uid);
}

CONFORMANCE_TEST(workspace, W9_runs_as_the_codebases_owner)
{
    identity_check(fx.owner);
}

CONFORMANCE_TEST(workspace, W9_another_owner)
{
    if (getuid() != 0)
        cr_skip_test("only root can give a codebase to somebody else");
    fx.owner = 31337;
    identity_check(31337);
}

/* What the owner may not do on the host, a sandbox of root's may not do either. */
CONFORMANCE_TEST(workspace, W9_roots_power_is_not_lent)
{
    char full[4096];

    if (getuid() != 0)
        cr_skip_test("only root has power to lend");
    fx.owner = 31337;
    HOST_MUST(tree_put(fx.codebase, "private", "S3CRET") && tree_put(fx.codebase, "d/file", "x"));
    HOST_MUST(tree_put(fx.codebase, "foreign/file", "readable"));
    HOST_MUST(tree_chown(fx.codebase, 31337, 31337));
    BOX_UP("box", WRITE_ALL);
    snprintf(full, sizeof full, "%s/private", fx.codebase);
    HOST_MUST(chown(full, 0, 0) == 0 && chmod(full, 0600) == 0);
    snprintf(full, sizeof full, "%s/foreign", fx.codebase);
    HOST_MUST(chown(full, 0, 0) == 0 && chmod(full, 0755) == 0);
    sleep_ms(1200); /* the cache time */
    EXPECT_RUN(
        sh("box",
           "cat private 2>/dev/null || echo denied; cat foreign/file; echo x 2>/dev/null > foreign/new || echo denied"),
        0, "denied\nreadabledenied\n");
    cr_expect(!tree_exists(fx.codebase, "foreign/new"));
}

CONFORMANCE_TEST(workspace, W9_user_overrides)
{
    rt_sandbox_spec spec = box_spec("box");

    HOST_MUST(tree_put(fx.codebase, "file", "content"));
    spec.user = "4321:8765";
    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    box_up_spec(&spec);
    EXPECT_RUN(sh("box", "id -u; id -g; echo x > new; echo y >> file; stat -c %%u:%%g file new"), 0,
               "4321\n8765\n4321:8765\n4321:8765\n");
    owner_expect("new", fx.owner);
    owner_expect("file", fx.owner);
}

CONFORMANCE_TEST(workspace, W9_user_of_one_command)
{
    const struct run *r;

    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    r = run_request("box", REQUEST(.shell = "id -u", .user = "4321"));
    if (!(fx.plugin.info->capabilities & RT_CAP_EXEC_USER)) {
        cr_expect(r->status == RT_E_UNSUPPORTED && r->message[0], "%s", run_describe(r));
        return;
    }
    EXPECT_RUN(r, 0, "4321\n");
    EXPECT_RUN_STATUS(RT_E_INVAL, run_request("box", REQUEST(.shell = "id -u", .user = "no-such-user")));
}

CONFORMANCE_TEST(workspace, W9_users_that_will_not_do)
{
    static const char *const bad[] = { "", ":", "-1", "4294967295", "1:", ":1", "1:-1", "99999999999", "a b", "1:2:3" };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_sandbox_spec spec = box_spec("box");
        int32_t got;

        spec.user = bad[i];
        got = fx.ops->create(fx.rt, &spec, CALL, NULL);
        cr_expect(got == RT_E_INVAL, "'%s': %s: %s", bad[i], status_name(got), fx.call.error.message);
        fx.ops->destroy(fx.rt, "box", CALL);
    }
}

CONFORMANCE_TEST(workspace, W9_setuid_and_devices_have_no_effect)
{
    const struct run *r;

    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    r = sh("box", "cp $(command -v id) suid && chmod 6755 suid && ./suid -u; id -u; " PROBE " ops mkchar:dev");
    cr_expect(r->status == RT_OK, "%s", run_describe(r));
    cr_expect(strcmp(ops_result(r, "mkchar:dev"), "ok") != 0 || sh("box", "head -c 1 dev")->code != 0,
              "a device node works: %s", run_describe(r));
    EXPECT_RUN(sh("box", "grep -E '^NoNewPrivs' /proc/self/status | tr -d '\\t'"), 0, "NoNewPrivs:1\n");
}

/* ---- behaviour ------------------------------------------------------------------------------------------------- */

/* Runs the probe on the host in a directory beside the codebase, on the same filesystem; to be freed. */
static char *native_run(const char *what)
{
    char command[9000], *text = NULL;
    size_t len;
    FILE *in, *out = open_memstream(&text, &len);
    int c;

    HOST_MUST(tree_mkdir(fx.dir, "native"));
    snprintf(command, sizeof command, "'%s/.probe' %s '%s/native'", fx.codebase, what, fx.dir);
    in = popen(command, "r");
    HOST_MUST(in != NULL);
    while ((c = fgetc(in)) != EOF)
        fputc(c, out);
    fclose(out);
    cr_assert(pclose(in) == 0, "%s", command);
    return text;
}

/* Every line of the probe inside must be the line outside; a clean refusal of O_TMPFILE is allowed. */
static void behaviour_compare(const char *what)
{
    char *native, *at;
    const char *mine;
    const struct run *r;
    int lines = 0;

    probe_install();
    native = native_run(what);
    HOST_MUST(tree_mkdir(fx.codebase, "inside"));
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    r = run_argv("box", ARGV(PROBE, what, "inside"));
    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    mine = r->out;
    for (at = native; *at && *mine; lines++) {
        size_t n = strcspn(at, "\n"), m = strcspn(mine, "\n");

        if (m == strlen("tmpfile EOPNOTSUPP") && !strncmp(mine, "tmpfile EOPNOTSUPP", m)) {
            mine += m + 1;
            while (!strncmp(at, "tmpfile", 7))
                at += strcspn(at, "\n") + 1;
            continue;
        }
        cr_expect(n == m && !strncmp(at, mine, n), "below: %.*s\ninside: %.*s", (int)n, at, (int)m, mine);
        at += n + (at[n] != '\0');
        mine += m + (mine[m] != '\0');
    }
    cr_expect(!*at && !*mine && lines > 40, "the outputs differ in length: %s\nbelow:\n%s", run_describe(r), native);
    free(native);
}

CONFORMANCE_TEST(workspace, W10_open_files)
{
    behaviour_compare("io");
}

CONFORMANCE_TEST(workspace, W10_names)
{
    behaviour_compare("links");
}

CONFORMANCE_TEST(workspace, W10_two_sandboxes_one_codebase)
{
    BOX_UP("a", WRITE_ALL);
    BOX_UP("b", WRITE_ALL);
    EXPECT_RUN(sh("a", "mkdir d && echo from a > d/file && ln -s file d/link"), 0, "");
    EXPECT_RUN(sh("b", "cat d/link && echo from b >> d/file"), 0, "from a\n");
    sleep_ms(1200); /* the cache time */
    EXPECT_RUN(sh("a", "cat d/file"), 0, "from a\nfrom b\n");
}

CONFORMANCE_TEST(workspace, W10_a_build_like_workload)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = run_request(
        "box",
        REQUEST(.timeout_ms = 100000,
                .shell =
                    "set -e; mkdir -p src out; i=0; while [ $i -lt 300 ]; do mkdir -p src/$((i % 10)); "
                    "echo \"file $i\" > src/$((i % 10))/$i.c; i=$((i + 1)); done; cp -r src copy; "
                    "tar -cf all.tar src; mkdir un; tar -xf all.tar -C un; diff -r src copy; diff -r src un/src; "
                    "find un -name '*.c' | wc -l; cat src/*/*.c | sort | md5sum; cat copy/*/*.c | sort | md5sum; rm "
                    "-rf un copy; ls"));
    cr_expect(r->status == RT_OK && r->code == 0 && !strncmp(r->out, "300\n", 4), "%s", run_describe(r));
    cr_expect(strstr(r->out, "\nall.tar\nout\nsrc\n") && tree_is(fx.codebase, "src/7/297.c", "file 297\n"), "%s",
              run_describe(r));
}

/* ---- the host's changes ---------------------------------------------------------------------------------------- */

/* Not within the cache time to the millisecond: permfs's own tests look at that (tests/fs/host_edits.c). */
static void seen_soon(const char *command, const char *want)
{
    (void)AWAIT(run_is(sh("box", "%s", command), 0, want));
    EXPECT_RUN(sh("box", "%s", command), 0, want);
}

CONFORMANCE_TEST(workspace, W12_the_hosts_changes_are_seen)
{
    char from[4096], to[4096];

    HOST_MUST(tree_put(fx.codebase, "file", "old") && tree_put(fx.codebase, "gone", "x"));
    HOST_MUST(tree_put(fx.codebase, "dir/inner", "inner") && tree_put(fx.codebase, "swap", "short"));
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "cat file gone dir/inner swap; ls; cat new 2>/dev/null || echo none"), 0,
               "oldxinnershortdir\nfile\ngone\nswap\nnone\n");
    HOST_MUST(tree_put(fx.codebase, "file", "new and longer") && tree_put(fx.codebase, "new", "appeared"));
    snprintf(from, sizeof from, "%s/gone", fx.codebase);
    HOST_MUST(unlink(from) == 0);
    snprintf(from, sizeof from, "%s/dir", fx.codebase);
    snprintf(to, sizeof to, "%s/moved", fx.codebase);
    HOST_MUST(rename(from, to) == 0);
    HOST_MUST(tree_put(fx.codebase, "swap.tmp", "a different file"));
    snprintf(from, sizeof from, "%s/swap.tmp", fx.codebase);
    snprintf(to, sizeof to, "%s/swap", fx.codebase);
    HOST_MUST(rename(from, to) == 0);
    if (fx.owner != getuid())
        HOST_MUST(tree_chown(fx.codebase, fx.owner, (gid_t)fx.owner));
    seen_soon("cat file", "new and longer");
    seen_soon("cat new", "appeared");
    seen_soon("cat gone 2>/dev/null || echo none", "none\n");
    seen_soon("cat moved/inner; ls dir 2>/dev/null || echo none", "innernone\n");
    seen_soon("cat swap", "a different file");
    seen_soon("ls", "file\nmoved\nnew\nswap\n");
    seen_soon("stat -c %s file", "14\n");
}

CONFORMANCE_TEST(workspace, W12_the_sandboxs_changes_are_seen_at_once)
{
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "mkdir d; echo one > d/f; echo two >> d/f"), 0, "");
    cr_expect(tree_is(fx.codebase, "d/f", "one\ntwo\n"));
    EXPECT_RUN(sh("box", "mv d/f g; rmdir d; : > g"), 0, "");
    cr_expect(tree_is(fx.codebase, "g", "") && !tree_exists(fx.codebase, "d"));
}
