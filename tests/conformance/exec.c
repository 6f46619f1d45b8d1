/* Contract X1, X3, X5, X6 and X12 to X14: how a command runs and what is told of it. Streams are in streams.c. */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

CONFORMANCE_TEST(exec, X1_shell_string_is_sh_c)
{
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "x=1; while [ $x -lt 3 ]; do x=$((x+1)); done; echo \"$x\"; (exit 7)"), 7, "3\n");
    EXPECT_RUN(run_request("box", REQUEST(.shell = "")), 0, "");
    EXPECT_RUN(run_request("box", REQUEST(.shell = "# a comment\ncat <<'E'\n$HOME \"quoted\"\nE\n")), 0,
               "$HOME \"quoted\"\n");
}

CONFORMANCE_TEST(exec, X1_argv_runs_as_it_is)
{
    static const char *const argv[] = { PROBE,  "args", "",      " ",  "a b",      "$HOME",      "*",
                                        "`id`", "a\nb", "'\"\\", "--", "\xff\xfe", "$(touch x)", NULL };
    char *expected = NULL;
    size_t len;
    FILE *out = open_memstream(&expected, &len);

    for (int i = 2; argv[i]; i++) {
        for (const char *c = argv[i]; *c; c++)
            fprintf(out, "%02x", (unsigned char)*c);
        fputc('\n', out);
    }
    fclose(out);
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    EXPECT_RUN(run_argv("box", argv), 0, expected);
    cr_expect(!tree_exists(fx.codebase, "x"));
    free(expected);
}

/* As long as the kernel takes: 128 KiB less one in one argument, a megabyte in all. */
CONFORMANCE_TEST(exec, X1_argv_of_any_size)
{
    static char word[(128 << 10) - 1];
    const char *argv[] = { PROBE, "args", word, word, word, word, word, word, word, word, NULL };
    const struct run *r;

    memset(word, 'w', sizeof word - 1);
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    r = run_argv("box", argv);
    cr_expect(r->status == RT_OK && r->code == 0 && r->out_len == 8 * (2 * (sizeof word - 1) + 1), "%s",
              run_describe(r));
}

CONFORMANCE_TEST(exec, X1_argv0_is_found_by_the_commands_path)
{
    HOST_MUST(tree_put(fx.codebase, "bin/sh-like", "#!/bin/sh\necho found \"$1\"\n"));
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "chmod 755 bin/sh-like"), 0, "");
    EXPECT_RUN(
        run_request("box", REQUEST(.argv = ARGV("sh-like", "x"), .env = ARGV("PATH=/workspace/bin:/usr/bin:/bin"))), 0,
        "found x\n");
    EXPECT_RUN(run_argv("box", ARGV("sh", "-c", "echo plain")), 0, "plain\n");
}

/* What a careless host left in its process must not reach the command. */
CONFORMANCE_TEST(exec, X1_signals_and_fds_are_clean)
{
    int secret = open("/dev/zero", O_RDONLY), high = dup2(secret, 200); /* both inheritable on purpose */
    sigset_t set, old;

    HOST_MUST(secret >= 0 && high == 200);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "fds")), 0, "0\n1\n2\n");
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "signals")), 0, "");
    EXPECT_RUN(sh("box", "umask"), 0, "0022\n");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    close(secret);
    close(high);
}

CONFORMANCE_TEST(exec, X3_exit_code_and_signal)
{
    static const int codes[] = { 0, 1, 2, 77, 125, 128, 137, 255 };
    static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV, SIGHUP, SIGUSR1, SIGABRT };

    BOX_UP("box", WRITE_ALL);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const struct run *r = sh("box", "exit %d", codes[i]);

        cr_expect(r->status == RT_OK && r->code == codes[i] && r->signal == 0 && r->flags == 0, "%d: %s", codes[i],
                  run_describe(r));
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        const struct run *r = sh("box", "kill -%d $$; sleep 10", signals[i]);

        cr_expect(r->status == RT_OK && r->code == 128 + signals[i] && r->signal == signals[i] && r->flags == 0,
                  "signal %d: %s", signals[i], run_describe(r));
    }
}

static void not_executed(const struct run *r, int32_t code)
{
    const char *end = strchr(r->err, '\n');

    cr_expect(r->status == RT_OK && r->code == code && r->signal == 0 && r->out_len == 0, "wanted %d: %s", (int)code,
              run_describe(r));
    cr_expect(end && end[1] == '\0' && end > r->err, "one line on stderr is wanted: %s", run_describe(r));
}

CONFORMANCE_TEST(exec, X3_what_cannot_be_executed)
{
    HOST_MUST(tree_put(fx.codebase, "plain", "not executable") && tree_mkdir(fx.codebase, "dir"));
    HOST_MUST(tree_put(fx.codebase, "bad", "#!/no/such/interpreter\n"));
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "chmod 755 bad"), 0, "");
    not_executed(run_argv("box", ARGV("no-such-command")), 127);
    not_executed(run_argv("box", ARGV("./absent")), 127);
    not_executed(run_argv("box", ARGV("/no/such/file", "x")), 127);
    not_executed(run_argv("box", ARGV("./bad")), 127);
    not_executed(run_argv("box", ARGV("./plain")), 126);
    not_executed(run_argv("box", ARGV("./dir")), 126);
    not_executed(run_argv("box", ARGV("")), 127);
    EXPECT_RUN(sh("box", "echo still"), 0, "still\n");
}

static int line_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines of text sorted, each ended by a newline; to be freed. */
static char *lines_sort(const char *text)
{
    char *copy = strdup(text), *lines[64], *sorted = NULL, *save = NULL;
    size_t n = 0, len;
    FILE *out = open_memstream(&sorted, &len);

    for (char *line = strtok_r(copy, "\n", &save); line && n < 64; line = strtok_r(NULL, "\n", &save))
        lines[n++] = line;
    qsort(lines, n, sizeof *lines, line_order);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s\n", lines[i]);
    fclose(out);
    free(copy);
    return sorted;
}

static void environment_expect(const struct run *r, const char *sorted)
{
    char *got = lines_sort(r->out);

    cr_expect(r->status == RT_OK && r->code == 0 && !strcmp(got, sorted), "wanted\n%s\n%s", sorted, run_describe(r));
    free(got);
}

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"

CONFORMANCE_TEST(exec, X5_default_environment)
{
    BOX_UP("box", WRITE_ALL);
    environment_expect(run_argv("box", ARGV("env")), "HOME=/tmp\nLANG=C.UTF-8\n" DEFAULT_PATH);
    EXPECT_RUN(sh("box", "cd && echo x > file && cat file"), 0, "x\n");
}

CONFORMANCE_TEST(exec, X5_sandbox_then_request)
{
    rt_sandbox_spec spec = box_spec("box");

    spec.env = ARGV("A=sandbox", "B=sandbox", "HOME=/var", "EMPTY=", "EQUALS=a=b=", "BYTES=\xff\xfe \"'$x");
    box_up_spec(&spec);
    environment_expect(run_argv("box", ARGV("env")), "A=sandbox\nB=sandbox\nBYTES=\xff\xfe \"'$x\nEMPTY=\nEQUALS=a=b=\n"
                                                     "HOME=/var\nLANG=C.UTF-8\n" DEFAULT_PATH);
    environment_expect(
        run_request("box", REQUEST(.argv = ARGV("env"), .env = ARGV("B=first", "C=new", "B=request", "LANG=C"))),
        "A=sandbox\nB=request\nBYTES=\xff\xfe \"'$x\nC=new\nEMPTY=\nEQUALS=a=b=\nHOME=/var\n"
        "LANG=C\n" DEFAULT_PATH);
    environment_expect(run_argv("box", ARGV("env")), "A=sandbox\nB=sandbox\nBYTES=\xff\xfe \"'$x\nEMPTY=\nEQUALS=a=b=\n"
                                                     "HOME=/var\nLANG=C.UTF-8\n" DEFAULT_PATH);
}

CONFORMANCE_TEST(exec, X6_cwd)
{
    HOST_MUST(tree_mkdir(fx.codebase, "sub/deep"));
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(run_argv("box", ARGV("pwd")), 0, "/workspace\n");
    EXPECT_RUN(run_request("box", REQUEST(.argv = ARGV("pwd"), .cwd = "sub/deep")), 0, "/workspace/sub/deep\n");
    EXPECT_RUN(run_request("box", REQUEST(.argv = ARGV("pwd"), .cwd = "/tmp")), 0, "/tmp\n");
    EXPECT_RUN(run_request("box", REQUEST(.shell = "pwd; cat ../here", .cwd = ".")), 1, "/workspace\n");
    EXPECT_RUN(run_request("box", REQUEST(.argv = ARGV("pwd"), .cwd = "/")), 0, "/\n");
}

static void cwd_refused(const char *cwd)
{
    const struct run *r = run_request("box", REQUEST(.shell = "touch ran", .cwd = cwd));

    cr_expect(r->status == RT_E_INVAL && strstr(r->message, cwd), "%s: %s", cwd, run_describe(r));
    cr_expect(!r->result, "ret was touched");
}

CONFORMANCE_TEST(exec, X6_cwd_that_does_not_exist)
{
    HOST_MUST(tree_put(fx.codebase, "file", "x") && tree_put(fx.codebase, "hidden/file", "x"));
    BOX_UP("box", WRITE_ALL, DIRECTORY("hidden", RT_PERM_NONE));
    cwd_refused("absent");
    cwd_refused("/no/such/dir");
    cwd_refused("file");
    cwd_refused("hidden");
    cr_expect(!tree_exists(fx.codebase, "ran"), "the command ran all the same");
}

/* ---- many at once, figures, zombies ---------------------------------------------------------------------------- */

struct client {
    pthread_t thread;
    int number, wrong;
    const struct run *last;
};

static void *client_run(void *arg)
{
    struct client *me = arg;
    char text[64], want[64];

    for (int i = 0; i < 13; i++) {
        const struct run *r;

        snprintf(text, sizeof text, "echo %d.%d; echo err >&2; exit %d", me->number, i, i);
        snprintf(want, sizeof want, "%d.%d\n", me->number, i);
        r = run_request("box", REQUEST(.shell = text));
        if (!run_is(r, i, want) || strcmp(r->err, "err\n") != 0) {
            me->wrong++;
            me->last = r;
        }
    }
    return NULL;
}

CONFORMANCE_TEST(exec, X12_a_hundred_from_eight_threads)
{
    struct client clients[8] = { 0 };

    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 8; i++) {
        clients[i].number = i;
        HOST_MUST(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]) == 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(clients[i].thread, NULL);
        cr_expect(clients[i].wrong == 0, "%d went wrong: %s", clients[i].wrong, run_describe(clients[i].last));
    }
}

struct sleeper {
    pthread_t thread;
    const struct run *run;
};

static void *sleeper_run(void *arg)
{
    struct sleeper *me = arg;

    me->run =
        run_request("box", REQUEST(.shell = "until [ -e go ]; do sleep 1; done; echo went", .timeout_ms = 200000));
    return NULL;
}

/* Sixty commands that can only end when a sixty-first has run. */
CONFORMANCE_TEST(exec, X12_commands_wait_for_each_other)
{
    static struct sleeper sleepers[60];

    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 60; i++)
        HOST_MUST(pthread_create(&sleepers[i].thread, NULL, sleeper_run, &sleepers[i]) == 0);
    EXPECT_RUN(run_request("box", REQUEST(.shell = "touch go", .timeout_ms = 200000)), 0, "");
    for (int i = 0; i < 60; i++) {
        pthread_join(sleepers[i].thread, NULL);
        EXPECT_RUN(sleepers[i].run, 0, "went\n");
    }
}

CONFORMANCE_TEST(exec, X13_duration_cpu_and_memory)
{
    const rt_exit *idle, *busy, *large;
    const struct run *r;

    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    r = sh("box", "sleep 1");
    cr_assert(run_is(r, 0, ""), "%s", run_describe(r));
    idle = &r->result->exit;
    cr_expect(idle->duration_ns >= 1000000000 && idle->duration_ns < 60000000000, "%lld ns",
              (long long)idle->duration_ns);
    r = sh("box", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo $i");
    cr_assert(run_is(r, 0, "300000\n"), "%s", run_describe(r));
    busy = &r->result->exit;
    cr_expect(busy->user_cpu_ns + busy->sys_cpu_ns > idle->user_cpu_ns + idle->sys_cpu_ns);
    cr_expect(busy->user_cpu_ns >= 20000000, "%lld ns for 300,000 rounds", (long long)busy->user_cpu_ns);
    r = run_argv("box", ARGV(PROBE, "memory", "96"));
    cr_assert(run_is(r, 0, "1\n"), "%s", run_describe(r));
    large = &r->result->exit;
    cr_expect(large->max_rss_bytes >= UINT64_C(95) << 20 && large->max_rss_bytes < UINT64_C(128) << 20, "%llu bytes",
              (unsigned long long)large->max_rss_bytes);
    cr_expect(idle->max_rss_bytes > 0 && idle->max_rss_bytes < UINT64_C(96) << 20);
}

/* The number of processes in state Z, by the stat files: the letter behind the last ')' of a line. */
static int zombies_count(const char *id)
{
    const struct run *r = sh(id, "cat /proc/[0-9]*/stat 2>/dev/null");
    char *copy = strdup(r->out), *save = NULL;
    int zombies = 0, lines = 0;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *state = strrchr(line, ')');

        lines++;
        zombies += state && state[1] == ' ' && state[2] == 'Z';
    }
    free(copy);
    cr_expect(lines >= 2, "no processes seen: %s", run_describe(r));
    return zombies;
}

CONFORMANCE_TEST(exec, X14_no_zombies)
{
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "orphans", "200")), 0, "");
    EXPECT_RUN(sh("box", "i=0; while [ $i -lt 50 ]; do (sh -c 'exit 3' & ) ; i=$((i+1)); done"), 0, "");
    EXPECT_RUN_STATUS(RT_E_TIMEOUT,
                      run_request("box", REQUEST(.shell = "(setsid sleep 1000 &); sleep 1000", .timeout_ms = 200)));
    /* Orphans that end just now are not yet reaped. */
    cr_expect(AWAIT(zombies_count("box") == 0), "%d zombies stay", zombies_count("box"));
}
