/* Contract S10: sessions on a terminal, and that what one command is typed is no other's. */
#include "sessions.h"

#include <pthread.h>
#include <stdio.h>

#define TTY_SESSION(id, rows, cols)                                                                                    \
    NEED(RT_CAP_SESSION | RT_CAP_TTY);                                                                                 \
    HOST_MUST(tree_symlink("/bin/busybox", fx.codebase, "ash"));                                                       \
    BOX_UP("box", WRITE_ALL);                                                                                          \
    session_up_tty(id, NULL, rows, cols)

CONFORMANCE_TEST(sessions, S10_a_terminal)
{
    const struct run *r;

    TTY_SESSION("t", 33, 111);
    r = in("t", "test -t 0 && test -t 1 && test -t 2 && echo terminal; stty size; tty");
    cr_expect(r->status == RT_OK && r->code == 0 && !strncmp(r->out, "terminal\r\n33 111\r\n/dev/pts/", 27), "%s",
              run_describe(r));
    r = session_call("t", REQUEST(.shell = "stty size", .rows = 50, .cols = 60), NULL);
    cr_expect(run_is(r, 0, "50 60\r\n"), "%s", run_describe(r));
    EXPECT_RUN(in("t", "stty size"), 0, "50 60\r\n");
    EXPECT_RUN(in("t", "printf '\\033[31mred\\033[0m'; x=1"), 0, "\033[31mred\033[0m");
    EXPECT_RUN(in("t", "echo err >&2; echo $x; exit 4"), 4, "err\r\n1\r\n");
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in("t", ":"));
}

/* Who holds its master could make the host's reads and writes of it block, or read what is typed. */
CONFORMANCE_TEST(sessions, S10_nobody_inside_has_the_master)
{
    const struct run *r;

    TTY_SESSION("t", 24, 80);
    r = in("t", "ls -l /proc/$PPID/fd /proc/$$/fd");
    cr_expect(r->status == RT_OK && r->code == 0 && strstr(r->out, "/dev/pts/") && !strstr(r->out, "ptmx"), "%s",
              run_describe(r));
}

CONFORMANCE_TEST(sessions, S10_much_output)
{
    const struct run *r;

    TTY_SESSION("t", 0, 0);
    r = in("t", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done");
    cr_expect(r->status == RT_OK && r->out_len > 14 && !strcmp(r->out + r->out_len - 12, "line 19999\r\n"),
              "%zu: %.40s", r->out_len, r->out_len > 40 ? r->out + r->out_len - 40 : "");
    EXPECT_RUN(in("t", "stty size"), 0, "24 80\r\n");
}

CONFORMANCE_TEST(sessions, S10_input_and_job_control)
{
    const struct run *r;

    TTY_SESSION("t", 24, 80);
    r = session_call(
        "t", REQUEST(.shell = "stty -echo; read -r a; echo \"[$a]\"; cat", .stdin_data = "one\ntwo\n", .stdin_len = 8),
        NULL);
    cr_expect(r->status == RT_OK && strstr(r->out, "[one]\r\n") && strstr(r->out, "two\r\n"), "%s", run_describe(r));
    /* SIGKILL: a child that is not quite there yet still ignores what an interactive shell ignores. */
    r = in("t", "case $- in *m*) echo jobs ;; esac; sleep 100 & jobs; kill -9 %%1; wait");
    cr_expect(r->status == RT_OK && strstr(r->out, "jobs\r\n") && strstr(r->out, "sleep 100"), "%s", run_describe(r));
    r = session_call(
        "t", REQUEST(.shell = "stty raw -echo; sleep 100", .timeout_ms = ENOUGH_MS, .grace_ms = PATIENT_MS), NULL);
    cr_expect(r->status == RT_E_TIMEOUT, "%s", run_describe(r));
    EXPECT_RUN(in("t", "echo sane"), 0, "sane\r\n");
}

CONFORMANCE_TEST(sessions, S10_unread_input_is_nobodys)
{
    TTY_SESSION("t", 24, 80);
    (void)session_call("t", REQUEST(.shell = "stty -echo; true", .stdin_data = "secret\n", .stdin_len = 7), NULL);
    EXPECT_RUN(
        session_call("t", REQUEST(.shell = "read -r x; echo \"[$x]\"", .stdin_data = "mine\n", .stdin_len = 5), NULL),
        0, "[mine]\r\n");
}

/* ---- what a command does not read ---- */

/* More than a terminal holds, and what may lie between it and the host. */
#define MUCH ((size_t)4 << 20)

static const char *secrets(void)
{
    static char text[MUCH + 1];

    for (size_t i = 0; i < MUCH; i += 8)
        memcpy(text + i, "secret!\n", 8);
    return text;
}

#define TYPED(text, len, ...) REQUEST(.stdin_data = (text), .stdin_len = (len), __VA_ARGS__)

static void expect_output(const char *after, const struct run *r, const char *want)
{
    cr_expect(run_is(r, 0, want), "%s: %s, exit %d, %zu bytes: %.60s", after, status_name(r->status), (int)r->code,
              r->out_len, r->out);
}

/* Of what was typed before nothing is to be read, and nothing to be seen. */
static void expect_nothing_of_it(const char *after)
{
    const struct run *r = session_call("t", TYPED("mine\n", 5, .shell = "IFS= read -r x; [ \"$x\" = mine ]"), NULL);

    cr_expect(r->status == RT_OK && r->code == 0 && !strstr(r->out, "secret"), "%s: %s, exit %d, %zu bytes: %.60s",
              after, status_name(r->status), (int)r->code, r->out_len, r->out);
    expect_output(after, in("t", "echo next"), "next\r\n");
    in("t", "stty -echo");
    expect_output(after, session_call("t", TYPED("mine\nthe rest\n", 14, .shell = "cat"), NULL),
                  "mine\r\nthe rest\r\n");
    expect_output(after, session_call("t", TYPED("", 0, .shell = "cat"), NULL), "");
    in("t", "stty echo");
}

CONFORMANCE_TEST(sessions, S10_more_input_than_is_read)
{
    const struct run *r;

    TTY_SESSION("t", 24, 80);
    for (int i = 0; i < 2; i++) {
        (void)session_call("t", TYPED(secrets(), MUCH, .shell = "sleep 0.3"), NULL);
        expect_nothing_of_it("unread lines");
        (void)session_call("t", TYPED("secret", 6, .shell = ":"), NULL);
        expect_nothing_of_it("half a line");
        (void)session_call("t", TYPED("", 0, .shell = ":"), NULL);
        expect_nothing_of_it("the end of the input");
        (void)session_call("t", TYPED(secrets(), MUCH, .shell = "stty raw; sleep 0.3; stty sane"), NULL);
        expect_nothing_of_it("a raw terminal");
        in("t", "stty -icanon min 200");
        (void)session_call("t", TYPED("secret!\n", 8, .shell = ":"), NULL);
        in("t", "stty sane");
        expect_nothing_of_it("less than a raw terminal waits for");
        (void)session_call("t", TYPED(secrets(), MUCH, .shell = "sleep 100", .timeout_ms = 300), NULL);
        expect_nothing_of_it("a timeout");
    }
    r = session_call("t", TYPED(secrets(), MUCH, .shell = "exit 3"), NULL);
    cr_expect(r->status == RT_OK && r->code == 3, "%s", run_describe(r));
}

/*
 * A command whose host sits in its callback before it has typed anything, and until the command is over: there is
 * output from the start on, of a job in the background.
 */
#define HELD "until [ -e held ]; do sleep 0.02; done; : >over"

static void output_lies_ready(void)
{
    in("t", "stty -echo; ( (sleep 0.1; echo ready; : >ready) & )");
    cr_assert(tree_await(fx.codebase, "ready"));
}

static int32_t until_it_is_over(void *over, int32_t stream, const void *data, size_t len)
{
    (void)stream, (void)data, (void)len;
    if (!*(bool *)over) {
        HOST_MUST(tree_put(fx.codebase, "held", ""));
        cr_expect(tree_await(fx.codebase, "over"));
        sleep_ms(300);
    }
    *(bool *)over = true;
    return 1;
}

/* The host has all of it to type yet when the command is over. */
CONFORMANCE_TEST(sessions, S10_input_that_comes_too_late)
{
    bool over = false;

    TTY_SESSION("t", 24, 80);
    output_lies_ready();
    EXPECT_STATUS(RT_OK, fx.ops->session_exec_stream(fx.rt, "box", "t", TYPED(secrets(), MUCH, .shell = HELD),
                                                     until_it_is_over, &over, CALL, NULL));
    expect_nothing_of_it("late input");
}

static int32_t until_it_is_full(void *calls, int32_t stream, const void *data, size_t len)
{
    const int n = (*(int *)calls)++;

    if (n == 0)
        cr_expect(tree_await(fx.codebase, "full"));
    else if (n == 1)
        (void)until_it_is_over(&(bool){ false }, stream, data, len);
    return 1;
}

/* A terminal that is full echoes what is typed once there is room again. */
CONFORMANCE_TEST(sessions, S10_an_echo_that_comes_too_late)
{
    int calls = 0;

    TTY_SESSION("t", 24, 80);
    output_lies_ready();
    EXPECT_STATUS(RT_OK, fx.ops->session_exec_stream(
                             fx.rt, "box", "t",
                             TYPED("secret\n", 7,
                                   .shell = "stty echo; (yes & sleep 0.3; kill -9 $!) 2>/dev/null; : >full; " HELD),
                             until_it_is_full, &calls, CALL, NULL));
    cr_expect(calls > 1);
    expect_nothing_of_it("a late echo");
}

/* ^S, which stops what a terminal shows until somebody types ^Q. */
CONFORMANCE_TEST(sessions, S10_a_stopped_terminal)
{
    TTY_SESSION("t", 24, 80);
    (void)session_call("t", TYPED("\023", 1, .shell = "sleep 0.3"), NULL);
    expect_nothing_of_it("^S");
    EXPECT_RUN_STATUS(
        RT_E_TIMEOUT,
        session_call("t", TYPED("\023", 1, .shell = "sleep 0.3; echo held; sleep 100", .timeout_ms = ENOUGH_MS), NULL));
    expect_nothing_of_it("^S and a timeout");
}

/*
 * ^C around a command's end is a signal to that command or to none, and a shell that dropped all it was told because of
 * it is asked again. busybox may die of one: it leaves its handler by longjmp(3), also out of malloc(3).
 */
CONFORMANCE_TEST(sessions, S10_interrupts_are_not_the_next_ones)
{
    char interrupts[200];

    TTY_SESSION("t", 24, 80);
    memset(interrupts, '\003', sizeof interrupts);
    for (int i = 0; i < 150; i++) {
        const struct run *r = session_call("t", TYPED(interrupts, i % 3 ? 1 : sizeof interrupts, .shell = ":"), NULL);

        if (r->status == RT_OK && r->signal == 0)
            r = in("t", "echo next");
        if (r->status == RT_E_SESSION_CLOSED || r->signal) {
            cr_assert(sh("box", "test -x /bin/bash")->code != 0, "bash does not die of it: %s", run_describe(r));
            EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", "t", CALL));
            session_up_tty("t", NULL, 24, 80);
            continue;
        }
        cr_assert(r->status == RT_OK && r->code == 0 && strstr(r->out, "next\r\n"), "%d: %s", i, run_describe(r));
    }
}

struct other {
    rt_runtime *rt;
    pthread_t thread;
    bool began;
    int32_t status;
    rt_exec_result *result;
};

static void *other_runs(void *arg)
{
    struct other *other = arg;

    other->status = fx.ops->session_exec(
        other->rt, "box", "t",
        REQUEST(.shell = ": >began; sleep 0.5; echo mine; stty -echo -icanon min 0 time 5; cat; stty sane"), NULL,
        &other->result);
    return NULL;
}

/* With the first one's command over the other's is next; the first one has all its input to type yet. */
static int32_t other_is_next(void *arg, int32_t stream, const void *data, size_t len)
{
    struct other *other = arg;

    if (!other->began) {
        other->began = true;
        HOST_MUST(pthread_create(&other->thread, NULL, other_runs, other) == 0);
        (void)until_it_is_over(&(bool){ false }, stream, data, len);
        (void)AWAIT_WITHIN(1000, tree_exists(fx.codebase, "began"));
    }
    return 1;
}

CONFORMANCE_TEST(sessions, S10_input_of_another_host)
{
    struct other other = { .status = RT_E_INTERNAL };
    rt_sandbox_spec spec = box_spec("box");
    const rt_rule all = WRITE_ALL;

    NEED(RT_CAP_SESSION | RT_CAP_TTY);
    spec.lifetime = RT_LIFETIME_PERSISTENT;
    spec.rules = &all;
    spec.n_rules = 1;
    box_up_spec(&spec);
    session_up_tty("t", NULL, 24, 80);
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, fx.state, NULL, CALL, &other.rt));
    output_lies_ready();
    EXPECT_STATUS(RT_OK, fx.ops->session_exec_stream(fx.rt, "box", "t", TYPED(secrets(), MUCH, .shell = HELD),
                                                     other_is_next, &other, CALL, NULL));
    pthread_join(other.thread, NULL);
    cr_assert(other.status == RT_OK && other.result, "%s", status_name(other.status));
    cr_expect(!strcmp(other.result->stdout_data, "mine\r\n"), "%zu bytes: %.60s", other.result->stdout_len,
              other.result->stdout_data);
    fx.ops->exec_result_free(other.result);
    fx.ops->close(other.rt);
}

/* The end of the input is a character like others, for which there may be no room yet. */
CONFORMANCE_TEST(sessions, S10_all_input_and_its_end)
{
    char want[32];

    TTY_SESSION("t", 24, 80);
    in("t", "stty -echo");
    for (size_t len = 11 << 10; len <= 15 << 10; len += 256) {
        snprintf(want, sizeof want, "%zu\r\n", len);
        expect_output("all input", session_call("t", TYPED(secrets(), len, .shell = "sleep 0.1; wc -c"), NULL), want);
        snprintf(want, sizeof want, "%zu\r\n", len - 1);
        expect_output("half a line at its end",
                      session_call("t", TYPED(secrets(), len - 1, .shell = "sleep 0.1; wc -c"), NULL), want);
    }
    snprintf(want, sizeof want, "%zu\r\n", MUCH);
    expect_output("much input", session_call("t", TYPED(secrets(), MUCH, .shell = "wc -c"), NULL), want);
}
