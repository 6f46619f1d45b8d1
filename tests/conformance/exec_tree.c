/* Contract X7 to X9: how commands end with everything that they started, and what may live on. */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

/* Nothing with this marker is alive: neither seen from the host, nor from another command in the sandbox. */
static void nothing_alive(const char *marker)
{
    cr_expect(proc_count(marker, NULL) == 0, "the host sees processes of the command");
    cr_expect(!strstr(box_processes("box"), marker), "the sandbox sees processes of the command");
}

static const struct run *timed_out(const char *marker, const char *format, int64_t grace_ms)
{
    char text[1024];
    const struct run *r;

    snprintf(text, sizeof text, "m=%s; %s", marker, format);
    r = run_request("box", REQUEST(.shell = text, .timeout_ms = ENOUGH_MS, .grace_ms = grace_ms));
    cr_expect(r->status == RT_E_TIMEOUT && r->result && (r->flags & RT_RESULT_TIMED_OUT), "%s\n%s", text,
              run_describe(r));
    cr_expect(r->message[0] != '\0');
    nothing_alive(marker);
    return r;
}

CONFORMANCE_TEST(exec_tree, X7_timeout_gives_the_output_so_far)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = timed_out(marker_new(), "echo out; echo err >&2; sleep $m; echo never", 0);
    cr_expect(!strcmp(r->out, "out\n") && !strcmp(r->err, "err\n"), "%s", run_describe(r));
    EXPECT_RUN(sh("box", "echo after"), 0, "after\n");
}

CONFORMANCE_TEST(exec_tree, X7_setsid_and_double_forks)
{
    BOX_UP("box", WRITE_ALL);
    timed_out(marker_new(),
              "setsid sleep $m & (sleep $m &); (setsid sh -c \"(sleep $m; :) & sleep $m & exit\" &) "
              "; (setsid sh -c \"trap '' TERM HUP INT; sleep $m; sleep $m; :\" & ) ; sleep $m",
              300);
}

CONFORMANCE_TEST(exec_tree, X7_tree_whose_root_has_gone)
{
    BOX_UP("box", WRITE_ALL);
    /* What the command waits for is an orphan's pipe, so its own process still runs while the tree's middle has ended.
     */
    timed_out(marker_new(), "mkfifo p; (sh -c \"sleep $m > p & exit\"); cat p", 300);
}

CONFORMANCE_TEST(exec_tree, X7_sigterm_is_ignored)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = timed_out(marker_new(), "trap '' TERM; while :; do sleep 1; : $m; done", 300);
    cr_expect(r->signal == SIGKILL && r->code == 128 + SIGKILL, "%s", run_describe(r));
}

CONFORMANCE_TEST(exec_tree, X7_sigterm_comes_first)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = timed_out(marker_new(), "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1; : $m; done", 30000);
    cr_expect(r->code == 3 && r->signal == 0 && !strcmp(r->out, "up\nbye\n"), "%s", run_describe(r));
}

/* SIGTERM has ended it, or is just about to, when its time for that is over. */
CONFORMANCE_TEST(exec_tree, X7_ended_as_it_is_killed)
{
    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 200; i++)
        EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("box", REQUEST(.shell = "sleep 60 & sleep 60", .timeout_ms = 20,
                                                                   .grace_ms = 1 + i % 12)));
}

CONFORMANCE_TEST(exec_tree, X7_stopped_processes)
{
    BOX_UP("box", WRITE_ALL);
    timed_out(marker_new(),
              "sh -c \"kill -STOP \\$\\$; sleep $m\" & (setsid sh -c \"kill -STOP \\$\\$; sleep $m\" &); "
              "sleep $m",
              300);
    timed_out(marker_new(), "kill -STOP $$; sleep $m", 300);
}

CONFORMANCE_TEST(exec_tree, X7_a_tree_that_forks_on)
{
    BOX_UP("box", WRITE_ALL);
    timed_out(marker_new(),
              "trap '' TERM; while :; do (setsid sh -c \"trap '' TERM; sleep $m; :\" &); sleep 1; "
              "done & while :; do (setsid sleep $m &); sleep 1; done",
              300);
}

CONFORMANCE_TEST(exec_tree, X7_output_goes_on_during_the_grace)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    /* More than a pipe holds, so that it can only end if somebody goes on reading. */
    r = timed_out(marker_new(),
                  "trap 'head -c 1000000 /dev/zero; echo done >&2; exit 0' TERM; while :; do sleep 1; "
                  ": $m; done",
                  30000);
    cr_expect(r->code == 0 && r->out_len == 1000000 && strstr(r->err, "done\n"), "%s", run_describe(r));
}

CONFORMANCE_TEST(exec_tree, X7_other_commands_are_left_alone)
{
    const char *other = marker_new();

    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "(setsid sleep %s >/dev/null 2>&1 &)", other), 0, "");
    timed_out(marker_new(), "(setsid sleep $m &); sleep $m", 300);
    cr_expect(proc_await(other, 1, NULL) == 1, "another command's child was killed");
}

CONFORMANCE_TEST(exec_tree, X7_whose_timeout_counts)
{
    rt_sandbox_spec spec = box_spec("box");
    rt_call call = RT_CALL_INIT;

    spec.timeout_ms = 400;
    box_up_spec(&spec);
    EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("box", REQUEST(.shell = "sleep 100")));
    EXPECT_RUN(run_request("box", REQUEST(.shell = "sleep 1; echo on", .timeout_ms = 60000)), 0, "on\n");
    EXPECT_RUN(run_request("box", REQUEST(.shell = "sleep 1; echo on", .timeout_ms = RT_FOREVER)), 0, "on\n");
    call.deadline_ns = now_ns() + 400000000;
    EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_call("box", REQUEST(.shell = "sleep 100", .timeout_ms = RT_FOREVER), &call));
}

CONFORMANCE_TEST(exec_tree, X7_the_sandbox_may_have_none)
{
    rt_sandbox_spec spec = box_spec("box");

    fixture_reopen_with("default_timeout", "\"400ms\"");
    spec.timeout_ms = RT_FOREVER;
    box_up_spec(&spec);
    EXPECT_RUN(run_request("box", REQUEST(.shell = "sleep 1; echo on")), 0, "on\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    spec.timeout_ms = 0; /* the runtime's */
    box_up_spec(&spec);
    EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("box", REQUEST(.shell = "sleep 100")));
    fixture_reopen();
}

CONFORMANCE_TEST(exec_tree, X7_the_default_is_thirty_seconds)
{
    cr_expect(strstr(fx.plugin.info->default_config, "\"default_timeout\"") &&
                  strstr(fx.plugin.info->default_config, "\"30s\""),
              "%s", fx.plugin.info->default_config);
}

/* ---- cancelling ------------------------------------------------------------------------------------------------ */

struct canceller {
    pthread_t thread;
    int fd;
};

static void *canceller_run(void *arg)
{
    struct canceller *me = arg;
    uint64_t one = 1;

    tree_await(fx.codebase, "begun");
    if (write(me->fd, &one, sizeof one) != sizeof one)
        abort();
    return NULL;
}

CONFORMANCE_TEST(exec_tree, X8_cancel)
{
    const char *marker = marker_new();
    rt_call call = RT_CALL_INIT;
    struct canceller canceller;
    const struct run *r;
    char text[256];
    uint64_t count;

    canceller.fd = call.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    BOX_UP("box", WRITE_ALL);
    HOST_MUST(pthread_create(&canceller.thread, NULL, canceller_run, &canceller) == 0);
    snprintf(text, sizeof text, "(setsid sleep %s &); echo out; touch begun; sleep %s", marker, marker);
    r = run_call("box", REQUEST(.shell = text, .timeout_ms = RT_FOREVER, .grace_ms = 300), &call);
    pthread_join(canceller.thread, NULL);
    cr_expect(r->status == RT_E_CANCELLED && r->result && !strcmp(r->out, "out\n"), "%s", run_describe(r));
    cr_expect(r->flags & RT_RESULT_TIMED_OUT, "%s", run_describe(r));
    nothing_alive(marker);
    cr_expect(read(call.cancel_fd, &count, sizeof count) == sizeof count && count == 1, "the cancel fd was read from");
    close(call.cancel_fd);
}

/* ---- background children --------------------------------------------------------------------------------------- */

CONFORMANCE_TEST(exec_tree, X9_returns_although_a_child_holds_stdout)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = sh("box", "(i=0; while [ $i -lt 4 ]; do sleep 1; echo tick; echo tock >&2; i=$((i+1)); done; touch late) & "
                  "echo now");
    cr_expect(!tree_exists(fx.codebase, "late"), "it was waited for");
    EXPECT_RUN(r, 0, "now\n");
    cr_expect(tree_await(fx.codebase, "late"), "the child died when it wrote on");
}

/* All that was written before the command ended is delivered, whoever still holds the pipe. */
CONFORMANCE_TEST(exec_tree, X9_nothing_written_before_the_end_is_lost)
{
    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 20; i++) {
        const struct run *r = sh("box", "sleep 3 & head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2");

        cr_expect(r->status == RT_OK && r->out_len == 60000 && r->err_len == 60000, "%d: %s", i, run_describe(r));
    }
}

CONFORMANCE_TEST(exec_tree, X9_a_child_may_write_without_end)
{
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "(sleep 1; head -c 20000000 /dev/zero && head -c 20000000 /dev/zero >&2 && touch late) & "
                         "echo now"),
               0, "now\n");
    cr_expect(tree_await(fx.codebase, "late"), "the child was blocked or killed");
}

CONFORMANCE_TEST(exec_tree, X9_the_child_lives_until_stop)
{
    const char *marker = marker_new();

    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "sleep %s & echo started", marker), 0, "started\n");
    for (int i = 0; i < 5; i++)
        EXPECT_RUN(sh("box", "true"), 0, "");
    cr_expect(proc_await(marker, 1, NULL) == 1 && strstr(box_processes("box"), marker), "the child is gone");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(proc_count(marker, NULL) == 0, "the child outlives the sandbox");
}

/* ---- attacks on what supervises -------------------------------------------------------------------------------- */

struct victim {
    pthread_t thread;
    const struct run *run;
};

static void *victim_run(void *arg)
{
    struct victim *me = arg;

    me->run = run_request("box", REQUEST(.shell = "touch begun; sleep 1000", .timeout_ms = RT_FOREVER));
    return NULL;
}

CONFORMANCE_TEST(exec_tree, L4_kill_everything_from_inside)
{
    struct victim victim;

    BOX_UP("box", WRITE_ALL);
    HOST_MUST(pthread_create(&victim.thread, NULL, victim_run, &victim) == 0);
    cr_assert(tree_await(fx.codebase, "begun"));
    EXPECT_RUN(sh("box", "kill -9 -1; echo survived"), 0, "survived\n");
    pthread_join(victim.thread, NULL);
    cr_expect(victim.run->status == RT_OK && victim.run->signal == SIGKILL, "%s", run_describe(victim.run));
    for (int i = 0; i < 3; i++)
        EXPECT_RUN(sh("box", "kill -9 1; kill -STOP 1; kill -9 -1; echo %d", i), 0,
                   i ? (i == 1 ? "1\n" : "2\n") : "0\n");
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
    EXPECT_RUN(sh("box", "echo later"), 0, "later\n");
}

CONFORMANCE_TEST(exec_tree, N3_fork_bomb)
{
    const rt_limits limits = { .size = sizeof limits, .pids = 64 };
    rt_sandbox_spec spec = box_spec("box");
    const struct run *r;
    char why[32];
    int n = 0;

    NEED(RT_CAP_LIMIT_PIDS);
    probe_install();
    spec.limits = &limits;
    spec.rules = (const rt_rule[]){ WRITE_ALL, PROBE_RULE };
    spec.n_rules = 2;
    box_up_spec(&spec);
    r = run_argv("box", ARGV(PROBE, "forks", "200"));
    cr_expect(r->status == RT_OK && sscanf(r->out, "%d %31s", &n, why) == 2 && n > 32 && n < 64 &&
                  !strcmp(why, "EAGAIN"),
              "%s", run_describe(r));
    for (int i = 0; i < 2; i++) {
        EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("box", REQUEST(.shell = "b() { b | b & }; b & exec sleep 1000",
                                                                   .timeout_ms = 2000, .grace_ms = 300)));
        EXPECT_RUN(sh("box", "echo after"), 0, "after\n");
        EXPECT_RUN(sh("box", "(true) && (true) && echo forks"), 0, "forks\n");
    }
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
}
