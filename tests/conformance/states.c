/* Contract L1 to L5: every op in every state, the illegal ones too, and callers that come at the same time. */
#include "box_ops.h"
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>

/* ---- ops, each on sandbox "box" -----------------------------------------------------------------------------------
 */

static int32_t do_create(rt_call *call)
{
    rt_sandbox_spec spec = box_spec("box");

    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    return fx.ops->create(fx.rt, &spec, call, NULL);
}

static int32_t do_exec(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->exec(fx.rt, "box", REQUEST(.shell = "true"), call, &result);

    fx.ops->exec_result_free(result);
    return status;
}

static int32_t do_spawn(rt_call *call)
{
    rt_process *process = NULL;
    int32_t status =
        fx.ops->process_spawn(fx.rt, "box", REQUEST(.shell = "true", .flags = RT_EXEC_NULL_STDIN), call, &process);

    fx.ops->process_release(fx.rt, process);
    return status;
}

static int32_t do_session(rt_call *call)
{
    return fx.ops->session_create(fx.rt, "box", NULL, call, NULL);
}

static int32_t do_rules(rt_call *call)
{
    return fx.ops->rules_update(fx.rt, "box", &READ_ALL, 1, call);
}

static int32_t do_pause(rt_call *call)
{
    return fx.ops->pause(fx.rt, "box", call);
}

static int32_t do_resume(rt_call *call)
{
    return fx.ops->resume(fx.rt, "box", call);
}

/* ---- states -------------------------------------------------------------------------------------------------------
 */

static void to_none(void)
{
}

static void to_pending(void)
{
    ASSERT_STATUS(RT_OK, do_create(CALL));
}

static void to_running(void)
{
    to_pending();
    ASSERT_STATUS(RT_OK, do_start(CALL));
}

static void to_stopped(void)
{
    to_running();
    ASSERT_STATUS(RT_OK, do_stop(CALL));
}

/* A start that failed; the next one would not. */
static void to_error(void)
{
    char moved[4096];

    to_pending();
    snprintf(moved, sizeof moved, "%s/moved", fx.dir);
    HOST_MUST(rename(fx.codebase, moved) == 0);
    cr_assert(do_start(CALL) != RT_OK);
    HOST_MUST(rename(moved, fx.codebase) == 0);
    cr_assert(box_status("box") == RT_SANDBOX_ERROR);
}

static void to_paused(void)
{
    to_running();
    ASSERT_STATUS(RT_OK, do_pause(CALL));
}

enum { NONE, PENDING, RUNNING, STOPPED, FAILED, PAUSED, STATES };

static const struct {
    const char *name;
    void (*enter)(void);
    uint64_t needs;
} states[STATES] = {
    { "no sandbox", to_none, 0 }, { "pending", to_pending, 0 }, { "running", to_running, 0 },
    { "stopped", to_stopped, 0 }, { "error", to_error, 0 },     { "paused", to_paused, RT_CAP_PAUSE },
};

#define NOWHERE   RT_E_SANDBOX_NOT_FOUND
#define IDLE      RT_E_NOT_RUNNING
#define DEAD      RT_E_UNAVAILABLE
#define RUNS      RT_E_ALREADY_RUNNING
#define UNCHANGED (-1) /* the state after it */

/* What each op answers in each state, and the state that it leads to: NONE to PAUSED, -1 = the same. */
static const struct transition {
    const char *name;
    int32_t (*run)(rt_call *call);
    uint64_t needs;
    int32_t status[STATES];
    int to[STATES];
} transitions[] = {
    /*                     none      pending     running    stopped    error     paused */
    { "create",
      do_create,
      0,
      { RT_OK, RT_E_EXISTS, RT_E_EXISTS, RT_E_EXISTS, RT_E_EXISTS, RT_E_EXISTS },
      { PENDING, -1, -1, -1, -1, -1 } },
    { "start", do_start, 0, { NOWHERE, RT_OK, RUNS, RT_OK, RT_OK, RUNS }, { -1, RUNNING, -1, RUNNING, RUNNING, -1 } },
    { "stop", do_stop, 0, { NOWHERE, IDLE, RT_OK, IDLE, RT_OK, RT_OK }, { -1, -1, STOPPED, -1, STOPPED, STOPPED } },
    { "destroy", do_destroy, 0, { NOWHERE, RT_OK, RT_OK, RT_OK, RT_OK, RT_OK }, { -1, NONE, NONE, NONE, NONE, NONE } },
    { "get", do_get, 0, { NOWHERE, RT_OK, RT_OK, RT_OK, RT_OK, RT_OK }, { -1, -1, -1, -1, -1, -1 } },
    { "exec", do_exec, 0, { NOWHERE, IDLE, RT_OK, IDLE, DEAD, IDLE }, { -1, -1, -1, -1, -1, -1 } },
    { "process_spawn",
      do_spawn,
      RT_CAP_PROCESS,
      { NOWHERE, IDLE, RT_OK, IDLE, DEAD, IDLE },
      { -1, -1, -1, -1, -1, -1 } },
    { "session_create",
      do_session,
      RT_CAP_SESSION,
      { NOWHERE, IDLE, RT_OK, IDLE, DEAD, IDLE },
      { -1, -1, -1, -1, -1, -1 } },
    { "rules_update",
      do_rules,
      RT_CAP_RULES_UPDATE,
      { NOWHERE, RT_OK, RT_OK, RT_OK, RT_OK, RT_OK },
      { -1, -1, -1, -1, -1, -1 } },
    { "pause", do_pause, RT_CAP_PAUSE, { NOWHERE, IDLE, RT_OK, IDLE, DEAD, IDLE }, { -1, -1, PAUSED, -1, -1, -1 } },
    { "resume", do_resume, RT_CAP_PAUSE, { NOWHERE, IDLE, RUNS, IDLE, DEAD, RT_OK }, { -1, -1, -1, -1, -1, RUNNING } },
};

/* What get() says in a state. */
static int32_t status_of(int state)
{
    static const int32_t of[STATES] = {
        -1, RT_SANDBOX_PENDING, RT_SANDBOX_RUNNING, RT_SANDBOX_STOPPED, RT_SANDBOX_ERROR, RT_SANDBOX_PAUSED
    };

    return of[state];
}

static void transition_expect(const struct transition *t, int state)
{
    rt_call call = RT_CALL_INIT;
    int want = t->to[state] == UNCHANGED ? state : t->to[state];
    int32_t status;

    states[state].enter();
    status = t->run(&call);
    cr_expect(status == t->status[state], "%s, %s: %s, wanted %s: %s", states[state].name, t->name, status_name(status),
              status_name(t->status[state]), call.error.message);
    cr_expect(!status || strstr(call.error.message, "box"), "%s, %s: the message names no sandbox: %s",
              states[state].name, t->name, call.error.message);
    cr_expect(box_status("box") == status_of(want), "%s, %s: then it is %d", states[state].name, t->name,
              (int)box_status("box"));
    (void)do_destroy(CALL);
    cr_expect(box_status("box") == -1, "%s, %s: it cannot be destroyed", states[state].name, t->name);
}

static void state_expect(int state)
{
    if (states[state].needs)
        NEED(states[state].needs);
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++)
        if ((fx.plugin.info->capabilities & transitions[i].needs) == transitions[i].needs)
            transition_expect(&transitions[i], state);
}

CONFORMANCE_TEST(states, L1_without_a_sandbox)
{
    state_expect(NONE);
}

CONFORMANCE_TEST(states, L1_pending)
{
    state_expect(PENDING);
}

CONFORMANCE_TEST(states, L3_running)
{
    state_expect(RUNNING);
}

CONFORMANCE_TEST(states, L4_stopped)
{
    state_expect(STOPPED);
}

CONFORMANCE_TEST(states, L7_error)
{
    state_expect(FAILED);
}

CONFORMANCE_TEST(states, L4_paused)
{
    state_expect(PAUSED);
}

/* ---- at the same time ---------------------------------------------------------------------------------------------
 */

struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    int32_t (*run)(rt_call *call);
    int32_t status;
    rt_call call;
};

static void *racer_run(void *arg)
{
    struct racer *me = arg;

    me->call = (rt_call)RT_CALL_INIT;
    pthread_barrier_wait(me->start);
    me->status = me->run(&me->call);
    return NULL;
}

/* Racers at even places do `a`, the others `b`. */
static void race(struct racer *racers, unsigned n, int32_t (*a)(rt_call *call), int32_t (*b)(rt_call *call))
{
    pthread_barrier_t start;

    HOST_MUST(pthread_barrier_init(&start, NULL, n) == 0);
    for (unsigned i = 0; i < n; i++) {
        racers[i] = (struct racer){ .start = &start, .run = i % 2 ? b : a };
        HOST_MUST(pthread_create(&racers[i].thread, NULL, racer_run, &racers[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(racers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

static unsigned racers_with(const struct racer *racers, unsigned n, int32_t status)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++)
        count += racers[i].status == status;
    return count;
}

#define MANY 8

/* All do the same: one wins, and the others get the same answer. */
static void one_winner(int state, int32_t (*run)(rt_call *call), int32_t others)
{
    struct racer racers[MANY];

    states[state].enter();
    race(racers, MANY, run, run);
    cr_expect(racers_with(racers, MANY, RT_OK) == 1 && racers_with(racers, MANY, others) == MANY - 1,
              "%u won, %u got %s", racers_with(racers, MANY, RT_OK), racers_with(racers, MANY, others),
              status_name(others));
    (void)do_destroy(CALL);
}

CONFORMANCE_TEST(states, L2_eight_create_the_same_id)
{
    one_winner(NONE, do_create, RT_E_EXISTS);
}

CONFORMANCE_TEST(states, L4_eight_stop_it)
{
    one_winner(RUNNING, do_stop, RT_E_NOT_RUNNING);
}

CONFORMANCE_TEST(states, L5_eight_destroy_it)
{
    one_winner(PENDING, do_destroy, RT_E_SANDBOX_NOT_FOUND);
    one_winner(RUNNING, do_destroy, RT_E_SANDBOX_NOT_FOUND);
}

/* Two kinds at once: each answer is one of two, and at the end the sandbox can be destroyed. */
static const struct pair {
    const char *name;
    int state;
    int32_t (*a)(rt_call *call), (*b)(rt_call *call);
    int32_t a_or[2], b_or[2]; /* beside RT_OK */
} pairs[] = {
    { "start, destroy", PENDING, do_start, do_destroy, { RUNS, NOWHERE }, { NOWHERE, NOWHERE } },
    { "start, stop", STOPPED, do_start, do_stop, { RUNS, RUNS }, { IDLE, IDLE } },
    { "exec, stop", RUNNING, do_exec, do_stop, { IDLE, IDLE }, { IDLE, IDLE } },
    { "exec, destroy", RUNNING, do_exec, do_destroy, { IDLE, NOWHERE }, { NOWHERE, NOWHERE } },
    { "session_create, stop", RUNNING, do_session, do_stop, { IDLE, IDLE }, { IDLE, IDLE } },
    { "get, destroy", RUNNING, do_get, do_destroy, { NOWHERE, NOWHERE }, { NOWHERE, NOWHERE } },
    { "stop, destroy", RUNNING, do_stop, do_destroy, { IDLE, NOWHERE }, { NOWHERE, NOWHERE } },
    { "create, destroy", PENDING, do_create, do_destroy, { RT_E_EXISTS, RT_E_EXISTS }, { NOWHERE, NOWHERE } },
};

static void pair_expect(const struct pair *pair)
{
    struct racer racers[4];

    states[pair->state].enter();
    race(racers, 4, pair->a, pair->b);
    for (int i = 0; i < 4; i++) {
        const int32_t *other = i % 2 ? pair->b_or : pair->a_or;

        cr_expect(racers[i].status == RT_OK || racers[i].status == other[0] || racers[i].status == other[1],
                  "%s: caller %d: %s: %s", pair->name, i, status_name(racers[i].status), racers[i].call.error.message);
    }
    (void)do_destroy(CALL);
    cr_expect(box_status("box") == -1, "%s: it is still there", pair->name);
}

static void pairs_expect(int rounds)
{
    NEED(RT_CAP_SESSION);
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            pair_expect(&pairs[i]);
}

CONFORMANCE_TEST(states, L5_two_kinds_of_callers_at_once)
{
    pairs_expect(2);
}

CONFORMANCE_TEST_LONG(states_full, L5_two_kinds_of_callers_at_once_many_times)
{
    pairs_expect(40);
}
