/* Contract S5 and S6: ending a command but not its session, callers at the same time. */
#include "sessions.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

/* ---- S5 ---- */

static void times_out_with(const char *s, const char *text, int64_t grace_ms)
{
    const struct run *r = session_call(s, REQUEST(.shell = text, .timeout_ms = 300, .grace_ms = grace_ms), NULL);

    cr_expect(r->status == RT_E_TIMEOUT && r->result && (r->flags & RT_RESULT_TIMED_OUT) && r->message[0], "%s: %s: %s",
              fx_shell, text, run_describe(r));
    r = in(s, "echo $keep");
    cr_expect(run_is(r, 0, "kept\n"), "%s: after %s: %s", fx_shell, text, run_describe(r));
}

static void times_out(const char *s, const char *text)
{
    times_out_with(s, text, PATIENT_MS);
}

/* What does not heed the first word needs the whole grace, and then the shell as much again. */
static void times_out_resisting(const char *s, const char *text)
{
    times_out_with(s, text, 2000);
}

SESSION_TEST(S5_timeout_keeps_the_session)
{
    in(s, "keep=kept; f() { while :; do :; done; }");
    times_out(s, "sleep 100; echo not reached");
    times_out(s, "while :; do :; done");
    times_out(s, "f");
    times_out(s, "while :; do sleep 0.01; done");
    times_out(s, "sleep 100 | cat");
    times_out(s, "cat /dev/zero >/dev/null");
    times_out(s, "(while :; do :; done)");
    times_out(s, "x=$(sleep 100; echo y)");
    times_out_resisting(s, "sh -c 'trap \"\" INT TERM; while :; do sleep 1; done'");
    times_out_resisting(s, "sh -c 'kill -STOP $$; sleep 100'");
    times_out(s, "yes");
    times_out(s, "wait; sleep 100");
    times_out(s, "set -e; sleep 100; set +e");
    EXPECT_RUN(in(s, "set +e; echo $keep"), 0, "kept\n");
}

SESSION_TEST(S5_output_so_far)
{
    const struct run *r =
        session_call(s, REQUEST(.shell = "echo out; echo err >&2; sleep 100", .timeout_ms = ENOUGH_MS), NULL);

    cr_expect(r->status == RT_E_TIMEOUT && !strcmp(r->out, "out\n") && !strncmp(r->err, "err\n", 4), "%s",
              run_describe(r));
}

/* What the command started is ended, what was there before is not. */
SESSION_TEST(S5_nothing_of_the_command_is_left)
{
    const char *before = marker_new(), *mine = marker_new();
    char text[512];
    const struct run *r;

    in(s, "sleep %s & job=$! keep=kept", before);
    snprintf(text, sizeof text,
             "sleep %s & (setsid sleep %s &); (setsid sh -c 'trap \"\" INT TERM HUP; sleep %s; :' &) ; sleep %s", mine,
             mine, mine, mine);
    r = session_call(s, REQUEST(.shell = text, .timeout_ms = ENOUGH_MS, .grace_ms = 2000), NULL);
    cr_expect(r->status == RT_E_TIMEOUT, "%s", run_describe(r));
    cr_expect(proc_count(mine, NULL) == 0, "%s: processes of the command are alive", fx_shell);
    cr_expect(proc_count(before, NULL) == 1, "%s: an earlier background job was ended", fx_shell);
    EXPECT_RUN(in(s, "echo $keep; kill $job"), 0, "kept\n");
}

/* What an earlier background job starts meanwhile is no more the command's than the job itself. */
SESSION_TEST(S5_children_of_earlier_jobs_are_left_alone)
{
    const struct run *r;

    in(s, "(while :; do sleep 0.02 || echo hurt >>hurt; done) 2>/dev/null & job=$!");
    for (int i = 0; i < 5; i++) {
        r = session_call(s, REQUEST(.shell = "sleep 100", .timeout_ms = 150, .grace_ms = PATIENT_MS), NULL);
        cr_expect(r->status == RT_E_TIMEOUT, "%s", run_describe(r));
    }
    EXPECT_RUN(in(s, "kill -0 $job && kill $job; echo on"), 0, "on\n");
    cr_expect(!tree_exists(fx.codebase, "hurt"), "%s: a child of an earlier job was ended", fx_shell);
}

/* A shell that cannot be got out of its loop is given up, with everything of the session. */
SESSION_TEST(S5_a_shell_that_resists)
{
    const char *marker = marker_new();
    char text[128];
    const struct run *r;

    snprintf(text, sizeof text, "sleep %s & trap '' INT; while :; do :; done", marker);
    r = session_call(s, REQUEST(.shell = text, .timeout_ms = ENOUGH_MS, .grace_ms = 200), NULL);
    cr_expect(r->status == RT_E_TIMEOUT && r->result, "%s", run_describe(r));
    cr_expect(proc_count(marker, NULL) == 0);
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in(s, ":"));
}

/* Code inside stops the keeper: the host gets its session's end all the same, some ten seconds later. */
CONFORMANCE_TEST(sessions, S5_a_stopped_keeper)
{
    const char *marker = marker_new(), *s = "s";
    char text[128];
    const struct run *r;

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    session_up(s, NULL);
    snprintf(text, sizeof text, "sleep %s & kill -STOP $PPID; sleep %s", marker, marker);
    r = session_call(s, REQUEST(.shell = text, .timeout_ms = ENOUGH_MS, .grace_ms = 1), NULL);
    cr_expect(r->status == RT_E_TIMEOUT && r->result && r->code == 137, "%s", run_describe(r));
    cr_expect(proc_count(marker, NULL) == 0);
    EXPECT_RUN_STATUS(RT_E_SESSION_NOT_FOUND, in(s, ":"));
}

/* The same between two commands: whoever comes next has a timeout, and it counts. */
SESSION_TEST(S5_a_keeper_stopped_between_commands)
{
    const struct run *r = in(s, "(sleep 0.1; kill -STOP $PPID) >/dev/null 2>&1 & echo on");
    int32_t status;

    cr_expect(run_is(r, 0, "on\n"), "%s", run_describe(r));
    for (int i = 0; i < 200 && r->status == RT_OK; i++) {
        sleep_ms(50);
        r = session_call(s, REQUEST(.shell = ":", .timeout_ms = 500, .grace_ms = 1), NULL);
    }
    cr_expect(r->status == RT_E_TIMEOUT, "%s", run_describe(r));
    /* If it hit a command after all, the session was given up with that. */
    status = fx.ops->session_destroy(fx.rt, "box", s, CALL);
    cr_expect(status == RT_OK || status == RT_E_SESSION_NOT_FOUND, "%s", status_name(status));
    session_up(s, fx_shell);
    EXPECT_RUN(in(s, "echo on"), 0, "on\n");
}

static void *cancel_soon(void *fd)
{
    uint64_t one = 1;

    cr_expect(tree_await(fx.codebase, "up"));
    HOST_MUST(write(*(int *)fd, &one, sizeof one) == sizeof one);
    return NULL;
}

SESSION_TEST(S5_cancel_keeps_the_session)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    rt_call call = RT_CALL_INIT;
    const struct run *r;
    pthread_t thread;

    HOST_MUST(fd >= 0 && pthread_create(&thread, NULL, cancel_soon, &fd) == 0);
    call.cancel_fd = fd;
    in(s, "keep=kept");
    r = session_call(s, REQUEST(.shell = "echo out; : >up; while :; do :; done", .timeout_ms = RT_FOREVER), &call);
    pthread_join(thread, NULL);
    close(fd);
    cr_expect(r->status == RT_E_CANCELLED && r->result && !strcmp(r->out, "out\n"), "%s", run_describe(r));
    EXPECT_RUN(in(s, "echo $keep"), 0, "kept\n");
}

/* Ended at any time from its sending on, also before its start was heard of: nothing of it is alive afterwards. */
SESSION_TEST(S5_ended_as_it_begins)
{
    const char *marker = marker_new();
    char text[128];

    snprintf(text, sizeof text, "(trap '' INT TERM; sleep %s; :)", marker);
    in(s, "keep=kept");
    for (int i = 0; i < 16; i++) {
        rt_call call = RT_CALL_INIT;
        const struct run *r;

        call.deadline_ns = now_ns() + i * 40000;
        r = session_call(s, REQUEST(.shell = text, .timeout_ms = RT_FOREVER, .grace_ms = 50), &call);
        cr_expect(r->status == RT_E_TIMEOUT && proc_count(marker, NULL) == 0, "%s: %d: %s", fx_shell, i,
                  run_describe(r));
    }
    EXPECT_RUN(in(s, "echo $keep"), 0, "kept\n");
}

SESSION_TEST(S5_the_calls_deadline)
{
    rt_call call = RT_CALL_INIT;
    const struct run *r;

    call.deadline_ns = now_ns() + ENOUGH_MS * INT64_C(1000000);
    in(s, "keep=kept");
    r = session_call(s, REQUEST(.shell = "sleep 100", .timeout_ms = RT_FOREVER), &call);
    cr_expect(r->status == RT_E_TIMEOUT && r->result, "%s", run_describe(r));
    EXPECT_RUN(in(s, "echo $keep"), 0, "kept\n");
}

/* ---- S6 ---- */

#define CALLERS 8
#define ROUNDS  25

static void *count_up(void *session)
{
    for (int i = 0; i < ROUNDS; i++) {
        /* Read, let others in if they could get in, write. */
        const struct run *r = in(session, "was=$n; echo $was; :; n=$((was + 1)); echo $n");

        cr_expect(r->status == RT_OK && r->code == 0 && atoi(strchr(r->out, '\n') + 1) == atoi(r->out) + 1, "%s",
                  run_describe(r));
    }
    return NULL;
}

SESSION_TEST(S6_one_after_the_other)
{
    pthread_t threads[CALLERS];

    in(s, "n=0");
    for (int i = 0; i < CALLERS; i++)
        HOST_MUST(pthread_create(&threads[i], NULL, count_up, (void *)(uintptr_t)s) == 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_RUN(in(s, "echo $n"), 0, "200\n");
}

static void *hold(void *session)
{
    const struct run *r = in(session, ": >held; until [ -e go ]; do sleep 0.02; done; echo held");

    cr_expect(run_is(r, 0, "held\n"), "%s", run_describe(r));
    return NULL;
}

/* Who waits for a turn can give up; the timeout of a command counts from its own start. */
SESSION_TEST(S6_waiting_for_a_turn)
{
    rt_session_info *info = NULL;
    rt_call call = RT_CALL_INIT;
    const struct run *r;
    pthread_t holder;

    HOST_MUST(pthread_create(&holder, NULL, hold, (void *)(uintptr_t)s) == 0);
    cr_assert(tree_await(fx.codebase, "held"));
    ASSERT_STATUS(RT_OK, fx.ops->session_get(fx.rt, "box", s, CALL, &info));
    cr_expect(info->status == RT_SESSION_BUSY);
    fx.ops->session_info_free(info);
    call.deadline_ns = now_ns() + 300000000;
    r = session_call(s, REQUEST(.shell = ": >never"), &call);
    cr_expect(r->status == RT_E_TIMEOUT, "%s", run_describe(r));
    HOST_MUST(tree_put(fx.codebase, "go", ""));
    pthread_join(holder, NULL);
    EXPECT_RUN(in(s, "echo next"), 0, "next\n");
    cr_expect(!tree_exists(fx.codebase, "never"), "%s: a command that was given up has run", fx_shell);
}

static volatile int others_go_on;

static void *run_on(void *session)
{
    while (others_go_on)
        in(session, ":");
    return NULL;
}

/* Who runs command after command does not keep others out. */
SESSION_TEST(S6_first_come_first_served)
{
    pthread_t threads[2];
    rt_call call = RT_CALL_INIT;

    others_go_on = 1;
    for (int i = 0; i < 2; i++)
        HOST_MUST(pthread_create(&threads[i], NULL, run_on, (void *)(uintptr_t)s) == 0);
    for (int i = 0; i < 20; i++) {
        call.deadline_ns = now_ns() + HANG_MS * INT64_C(1000000);
        EXPECT_RUN(session_call(s, REQUEST(.shell = "echo turn"), &call), 0, "turn\n");
    }
    others_go_on = 0;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* ---- many ---- */

CONFORMANCE_TEST(sessions, S8_nothing_gathers_in_the_host)
{
    size_t before = 0;

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", ":"), 0, "");
    for (int i = 0; i <= 30; i++) {
        char id[16];

        if (i == 1) /* what is kept for the next one is there now */
            before = proc_fds_at_rest();
        snprintf(id, sizeof id, "n%d", i);
        session_up(id, NULL);
        EXPECT_RUN(in(id, "echo on"), 0, "on\n");
        EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", id, CALL));
    }
    cr_expect(proc_fds_await(before) <= before, "%zu fds, %zu before", proc_fds(), before);
}

/* Its keeper is gone, and so is the host that asks for its end before it hears of it. */
CONFORMANCE_TEST(sessions, S8_destroyed_by_who_does_not_wait)
{
    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 30; i++) {
        rt_call call = RT_CALL_INIT;

        session_up("gone", NULL);
        in("gone", "kill -9 $PPID; sleep 1");
        call.deadline_ns = now_ns() + i * 20000;
        (void)fx.ops->session_destroy(fx.rt, "box", "gone", &call);
        (void)fx.ops->session_destroy(fx.rt, "box", "gone", CALL);
        EXPECT_RUN(sh("box", "echo on"), 0, "on\n");
    }
}

#define MANY 200

static void *one_session(void *number)
{
    char id[16];
    const struct run *r;

    snprintf(id, sizeof id, "m%d", *(int *)number);
    session_up(id, NULL);
    for (int i = 0; i < 3; i++) {
        r = in(id, "n=$((n + 1)); echo %s $n", id);
        cr_expect(r->status == RT_OK && r->out[0] == 'm', "%s", run_describe(r));
    }
    return NULL;
}

CONFORMANCE_TEST(sessions, S6_two_hundred_sessions)
{
    static int numbers[MANY];
    pthread_t threads[MANY];
    rt_session_list *list = NULL;

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < MANY; i++) {
        numbers[i] = i;
        HOST_MUST(pthread_create(&threads[i], NULL, one_session, &numbers[i]) == 0);
    }
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
    ASSERT_STATUS(RT_OK, fx.ops->session_list(fx.rt, "box", CALL, &list));
    cr_expect(list->n == MANY, "%zu", list->n);
    for (size_t i = 0; i < list->n; i++)
        cr_expect(list->items[i]->commands == 3 && list->items[i]->status == RT_SESSION_IDLE);
    fx.ops->session_list_free(list);
    EXPECT_RUN(in("m7", "echo $n"), 0, "3\n");
}

/* ---- B3 ---- */

/* A keeper in hostile hands: whoever closes an fd that it sent could be made to wait (SO_LINGER). */
SESSION_TEST(B3_no_fd_comes_out_of_a_session)
{
    char keeper[32];
    const struct run *r;
    int sockets = 0, sent = -1;

    probe_install();
    r = in(s, "echo $PPID"); /* the connection stays, for the next one */
    cr_assert(r->status == RT_OK && r->out_len > 1 && r->out_len < sizeof keeper, "%s", run_describe(r));
    snprintf(keeper, sizeof keeper, "%.*s", (int)r->out_len - 1, r->out);
    r = run_argv("box", (const char *const[]){ "./.probe", "steal", keeper, NULL });
    cr_expect(r->status == RT_OK && sscanf(r->out, "sockets %d sent %d", &sockets, &sent) == 2, "%s", run_describe(r));
    cr_expect(sockets >= 2, "%s: neither the agent's socket nor the host's was there: %s", fx_shell, run_describe(r));
    cr_expect(sent == 0, "%s: %d of its %d sockets took an fd", fx_shell, sent, sockets);
    EXPECT_RUN(in(s, "echo on"), 0, "on\n");
}
