/*
 * Contract L3 to L6, X7, S1 and R1 of a paused sandbox: nothing in it moves, nothing in it notices, and all else works.
 * That something stands still is seen by a file that grows as long as it does not.
 */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#define TICKER "while :; do echo x >>ticks; sleep 0.02; done"

static off_t ticks(void)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%s/ticks", fx.codebase);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void ticks_await(off_t more_than)
{
    cr_assert(AWAIT(ticks() > more_than), "nothing moves");
}

/* Time enough for many ticks, were there any. */
static void stands_still(void)
{
    off_t before = ticks();

    sleep_ms(400);
    cr_expect(ticks() == before, "%ld ticks in a pause", (long)(ticks() - before));
}

/* A sandbox with something in it that moves. */
static void box_up_moving(int lifetime)
{
    static const rt_rule rules[] = { { .size = sizeof(rt_rule), .pattern = "**", .permission = RT_PERM_WRITE } };
    rt_sandbox_spec spec = box_spec("box");

    spec.rules = rules;
    spec.n_rules = 1;
    spec.lifetime = lifetime;
    box_up_spec(&spec);
    EXPECT_RUN(sh("box", "(" TICKER ") >/dev/null 2>&1 &"), 0, "");
    ticks_await(0);
}

static void pauses(void)
{
    ASSERT_STATUS(RT_OK, fx.ops->pause(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_PAUSED);
}

static void resumes(void)
{
    ASSERT_STATUS(RT_OK, fx.ops->resume(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
}

static void moves_again(void)
{
    resumes();
    ticks_await(ticks());
    EXPECT_RUN(sh("box", "echo again"), 0, "again\n");
}

CONFORMANCE_TEST(pause, L6_paused_is_a_state_in_which_nothing_moves)
{
    rt_session_info *session = NULL;
    rt_sandbox_list *list = NULL;

    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_HOST);
    for (int round = 0; round < 2; round++) {
        pauses();
        ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
        cr_expect(list->n == 1 && list->items[0]->status == RT_SANDBOX_PAUSED && list->items[0]->backend_id[0] &&
                  list->items[0]->mount_point[0] && !list->items[0]->last_error[0]);
        fx.ops->sandbox_list_free(list);
        stands_still();
        EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("box", "true"));
        cr_expect(strstr(sh("box", "true")->message, "paused"));
        EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->session_create(fx.rt, "box", NULL, CALL, &session));
        EXPECT_NAMES("paused");
        moves_again();
    }
}

#define STANDSTILL_MS 2000

/* The sandbox's filesystem stands still for a while, and goes on. */
static void *daemon_go_on(void *arg)
{
    sleep_ms(STANDSTILL_MS);
    kill(*(pid_t *)arg, SIGCONT);
    return NULL;
}

/* No process stands still before its call is back from the filesystem, whatever that has to do: it is waited for. */
CONFORMANCE_TEST(pause, L6_in_a_call_to_a_slow_filesystem)
{
    pthread_t thread;
    pid_t daemon;

    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_HOST);
    daemon = helper_pid("permfs");
    HOST_MUST(proc_stop(daemon));
    sleep_ms(500); /* many ticks' time: the next one stands in the filesystem */
    HOST_MUST(pthread_create(&thread, NULL, daemon_go_on, &daemon) == 0);
    EXPECT_STATUS(RT_OK, fx.ops->pause(fx.rt, "box", CALL));
    pthread_join(thread, NULL);
    cr_expect(box_status("box") == RT_SANDBOX_PAUSED);
    stands_still();
    moves_again();
}

CONFORMANCE_TEST(pause, L3_states_that_it_is_not_for)
{
    rt_sandbox_spec spec = box_spec("box");

    NEED(RT_CAP_PAUSE);
    EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->pause(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->resume(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->pause(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->resume(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_ALREADY_RUNNING, fx.ops->resume(fx.rt, "box", CALL));
    pauses();
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->pause(fx.rt, "box", CALL));
    EXPECT_NAMES("paused");
    EXPECT_STATUS(RT_E_ALREADY_RUNNING, fx.ops->start(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_PAUSED);
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->pause(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->resume(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_STOPPED);
}

CONFORMANCE_TEST(pause, L4_a_paused_sandbox_can_be_stopped)
{
    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_HOST);
    pauses();
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_STOPPED);
    stands_still();
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "echo anew"), 0, "anew\n");
    pauses();
    resumes();
}

CONFORMANCE_TEST(pause, L5_a_paused_sandbox_can_be_destroyed)
{
    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_HOST);
    pauses();
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_expect(box_status("box") == -1);
    box_up_moving(RT_LIFETIME_HOST);
    pauses();
    fixture_close(); /* which ends it: the guard finds what is left */
    fixture_reopen();
    cr_expect(box_status("box") == -1);
}

CONFORMANCE_TEST(pause, L6_what_was_stopped_before_stays_so)
{
    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_HOST);
    EXPECT_RUN(sh("box", "sh -c 'kill -STOP $$; touch woken' >/dev/null 2>&1 & "
                         "while ! grep -q '^State:.T' /proc/$!/status; do sleep 0.02; done"),
               0, "");
    pauses();
    moves_again();
    cr_expect(!tree_exists(fx.codebase, "woken"));
}

CONFORMANCE_TEST(pause, R1_every_process_sees_it)
{
    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_PERSISTENT);
    pauses();
    fixture_reopen();
    cr_expect(box_status("box") == RT_SANDBOX_PAUSED);
    stands_still();
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("box", "true"));
    moves_again();
}

/* Another process pauses what this one has handles to. */
CONFORMANCE_TEST(pause, R1_paused_by_another_process)
{
    rt_runtime *other = NULL;

    NEED(RT_CAP_PAUSE);
    box_up_moving(RT_LIFETIME_PERSISTENT);
    HOST_MUST(plugin_open(&fx.plugin, fx.state, NULL, NULL, &other) == RT_OK);
    ASSERT_STATUS(RT_OK, fx.ops->pause(other, "box", CALL));
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("box", "true"));
    stands_still();
    ASSERT_STATUS(RT_OK, fx.ops->resume(other, "box", CALL));
    fx.ops->close(other);
    EXPECT_RUN(sh("box", "echo again"), 0, "again\n");
}

CONFORMANCE_TEST(pause, X4_a_command_goes_on_where_it_was)
{
    rt_process *process = NULL;
    rt_exit how = RT_EXIT_INIT;
    char text[64] = "";

    NEED(RT_CAP_PAUSE | RT_CAP_PROCESS);
    BOX_UP("box", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->process_spawn(fx.rt, "box", REQUEST(.shell = "read x; echo got $x"), CALL, &process));
    pauses();
    HOST_MUST(write(process->stdin_fd, "it\n", 3) == 3);
    resumes();
    ASSERT_STATUS(RT_OK, fx.ops->process_wait(fx.rt, process, CALL, &how));
    HOST_MUST(read(process->stdout_fd, text, sizeof text - 1) > 0);
    cr_expect(how.exit_code == 0 && !strcmp(text, "got it\n"), "%d '%s'", (int)how.exit_code, text);
    fx.ops->process_release(fx.rt, process);
}

struct waiter {
    pthread_t thread;
    const char *text;
    const struct run *run;
};

static void *waiter_run(void *arg)
{
    struct waiter *me = arg;

    me->run = run_request("box", REQUEST(.shell = me->text, .timeout_ms = ENOUGH_MS, .grace_ms = 100));
    return NULL;
}

/* Its caller is not kept waiting, and nothing of it is alive for long once the sandbox goes on. */
CONFORMANCE_TEST(pause, X7_a_timeout_in_a_pause)
{
    const char *marker = marker_new();
    struct waiter waiter;
    char text[256];

    NEED(RT_CAP_PAUSE);
    BOX_UP("box", WRITE_ALL);
    snprintf(text, sizeof text, "trap '' TERM; echo so far; touch begun; (setsid sleep %s &); sleep %s; :", marker,
             marker);
    waiter.text = text;
    HOST_MUST(pthread_create(&waiter.thread, NULL, waiter_run, &waiter) == 0);
    cr_assert(tree_await(fx.codebase, "begun"));
    if (fx.ops->pause(fx.rt, "box", CALL) == RT_OK) {
        pthread_join(waiter.thread, NULL);
        cr_expect(waiter.run->status == RT_E_TIMEOUT && waiter.run->result &&
                      (waiter.run->flags & RT_RESULT_TIMED_OUT) && !strcmp(waiter.run->out, "so far\n"),
                  "%s", run_describe(waiter.run));
        resumes();
    }
    cr_expect(proc_await(marker, 0, NULL) == 0, "the command lives on");
    EXPECT_RUN(sh("box", "echo again"), 0, "again\n");
}

CONFORMANCE_TEST(pause, S1_a_session_lasts)
{
    const rt_session_spec session = { .size = sizeof session, .id = "s" };

    NEED(RT_CAP_PAUSE | RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &session, CALL, NULL));
    EXPECT_RUN(in("s", "kept=value"), 0, "");
    pauses();
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, in("s", "echo $kept"));
    resumes();
    EXPECT_RUN(in("s", "echo $kept"), 0, "value\n");
}
