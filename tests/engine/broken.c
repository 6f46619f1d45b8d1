/*
 * An Engine that fails at any one of the requests that an op makes, in any way: the op says so in the Engine's own
 * words, the sandbox goes on, and once it is destroyed nothing is left (contract R4, L5, L7).
 */
#include "box_ops.h"
#include "container.h"
#include "engine_proxy.h"
#include "fixture.h"

#include <stdio.h>

#define REQUESTS_MAX 40 /* more than any op makes */

static struct engine_proxy *proxy;

/* An op on the sandbox "box", what the sandbox has to be before it, and how the runtime reaches into it. */
struct scene {
    const char *name, *transport;
    int32_t (*op)(rt_call *call);
    void (*ready)(void);
    void (*failed)(void); /* what is expected then; NULL = what scene_play() does */
};

static void proxy_reopen(const char *transport)
{
    char keys[256];

    snprintf(keys, sizeof keys, "{\"docker_host\":\"%s\",\"exec_transport\":\"%s\"}", engine_proxy_address(proxy),
             transport);
    fixture_reopen_merged(keys);
}

static void proxy_begin(const char *transport)
{
    char *host = docker_host();

    proxy = engine_proxy_start(host);
    proxy_reopen(transport);
    free(host);
}

static void proxy_end(void)
{
    int32_t status = do_destroy(CALL);

    cr_expect(status == RT_OK || status == RT_E_SANDBOX_NOT_FOUND, "destroy: %s", fx.call.error.message);
    cr_expect(containers_of("box") == 0, "destroyed, and a container is left");
    fixture_reopen();
    engine_proxy_stop(proxy);
}

/* ---- states ---- */

static void ready_made(void)
{
    rt_sandbox_spec spec = box_spec("box");
    int32_t status = box_status("box");

    spec.lifetime = RT_LIFETIME_PERSISTENT;
    if (status == -1)
        ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    else if (status == RT_SANDBOX_RUNNING || status == RT_SANDBOX_PAUSED)
        ASSERT_STATUS(RT_OK, do_stop(CALL));
}

static void ready_running(void)
{
    int32_t status = box_status("box");

    if (status == RT_SANDBOX_PAUSED)
        ASSERT_STATUS(RT_OK, fx.ops->resume(fx.rt, "box", CALL));
    if (status == RT_SANDBOX_RUNNING || status == RT_SANDBOX_PAUSED)
        return;
    ready_made();
    ASSERT_STATUS(RT_OK, do_start(CALL));
}

static void ready_paused(void)
{
    ready_running();
    ASSERT_STATUS(RT_OK, fx.ops->pause(fx.rt, "box", CALL));
}

static void ready_dead(void)
{
    char *container;

    ready_running();
    container = container_of("box");
    DOCKER("kill", container);
    free(container);
}

/* ---- faults ---- */

static bool is_silent(enum proxy_fault fault)
{
    return fault == PROXY_HANG || fault == PROXY_STALL;
}

static void status_expect(const struct scene *scene, int32_t status, enum proxy_fault fault, unsigned n)
{
    const char *message = fx.call.error.message;
    bool says = fault == PROXY_REFUSE || fault == PROXY_SPOIL;

    if (status == RT_OK)
        return;
    cr_expect(status == (is_silent(fault) ? RT_E_CANCELLED : RT_E_UNAVAILABLE), "%s, fault %d at request %u: %s: %s",
              scene->name, (int)fault, n, status_name(status), message);
    cr_expect(!says || strstr(message, PROXY_WORDS), "%s, fault %d at request %u: %s", scene->name, (int)fault, n,
              message);
}

/* The op with the fault at its request n; false if it makes no such request. */
static bool scene_play(const struct scene *scene, enum proxy_fault fault, unsigned n)
{
    rt_call *call;
    int32_t status;
    bool met;

    scene->ready();
    engine_proxy_plan(proxy, fault, n, 0);
    call = CALL;
    if (is_silent(fault))
        call->cancel_fd = engine_proxy_met_fd(proxy);
    status = scene->op(call);
    met = engine_proxy_relent(proxy) > 0;
    status_expect(scene, status, fault, n);
    cr_expect(met || status == RT_OK, "%s without a fault: %s", scene->name, fx.call.error.message);
    if (status && scene->failed)
        scene->failed();
    else
        cr_expect(containers_of("box") <= 1, "%s, fault %d at request %u: containers are left", scene->name, (int)fault,
                  n);
    return met;
}

static void scene_run(const struct scene *scene)
{
    proxy_begin(scene->transport);
    for (enum proxy_fault fault = 0; fault < PROXY_FAULTS; fault++) {
        unsigned n = 0;

        while (scene_play(scene, fault, n))
            cr_assert(++n < REQUESTS_MAX, "%s asks without an end", scene->name);
        cr_expect(n > 0, "%s asks nothing of the Engine", scene->name);
    }
    proxy_end();
}

#define SCENE(...) scene_run(&(const struct scene){ __VA_ARGS__ })

CONFORMANCE_TEST(broken, L7_start)
{
    SCENE(.name = "start", .transport = "agent", .op = do_start, .ready = ready_made);
}

static void expect_gone_whole(void)
{
    ASSERT_STATUS(RT_OK, do_destroy(CALL));
    cr_expect(containers_of("box") == 0, "destroyed, and a container is left of a start that failed");
}

CONFORMANCE_TEST(broken, L5_destroy_after_a_failed_start)
{
    SCENE(.name = "start", .transport = "agent", .op = do_start, .ready = ready_made, .failed = expect_gone_whole);
}

CONFORMANCE_TEST(broken, L4_stop)
{
    SCENE(.name = "stop", .transport = "agent", .op = do_stop, .ready = ready_running);
}

CONFORMANCE_TEST(broken, L5_destroy)
{
    SCENE(.name = "destroy", .transport = "agent", .op = do_destroy, .ready = ready_running);
}

CONFORMANCE_TEST(broken, L8_get)
{
    SCENE(.name = "get", .transport = "agent", .op = do_get, .ready = ready_dead);
}

static int32_t do_pause(rt_call *call)
{
    return fx.ops->pause(fx.rt, "box", call);
}

static int32_t do_resume(rt_call *call)
{
    return fx.ops->resume(fx.rt, "box", call);
}

CONFORMANCE_TEST(broken, R4_pause)
{
    SCENE(.name = "pause", .transport = "agent", .op = do_pause, .ready = ready_running);
}

CONFORMANCE_TEST(broken, R4_resume)
{
    SCENE(.name = "resume", .transport = "agent", .op = do_resume, .ready = ready_paused);
}

static int32_t do_exec(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->exec(fx.rt, "box", REQUEST(.argv = ARGV("echo", "well")), call, &result);

    cr_expect(status != RT_OK || !strcmp(result->stdout_data, "well\n"), "%s", result->stdout_data);
    if (result)
        fx.ops->exec_result_free(result);
    return status;
}

/* Each time by a bridge of its own: those that wait for the next command end with the runtime. */
static void ready_unbridged(void)
{
    ready_running();
    proxy_reopen("engine");
}

CONFORMANCE_TEST(broken, R4_exec_by_the_engine)
{
    SCENE(.name = "exec", .transport = "engine", .op = do_exec, .ready = ready_unbridged);
}

CONFORMANCE_TEST(broken, L7_start_by_the_engine)
{
    SCENE(.name = "start", .transport = "engine", .op = do_start, .ready = ready_made);
}

/* ---- the OCI runtime's own threads ---- */

/* A start that fails for them is made again; the limit is named where it always fails. */
CONFORMANCE_TEST(broken, N3_few_processes)
{
    static const rt_limits few = { .size = sizeof few, .pids = 2 };
    rt_sandbox_spec spec = box_spec("box");

    spec.limits = &few;
    proxy_begin("agent");
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    engine_proxy_plan_path(proxy, PROXY_REFUSE, "/start", 4);
    EXPECT_STATUS(RT_OK, do_start(CALL));
    cr_expect(engine_proxy_relent(proxy) == 4, "the start was not made again");
    EXPECT_RUN(run_argv("box", ARGV("echo", "few")), 0, "few\n");
    cr_expect(containers_of("box") == 1, "a container is left of each start");
    ASSERT_STATUS(RT_OK, do_stop(CALL));
    engine_proxy_plan_path(proxy, PROXY_REFUSE, "/start", 1000);
    EXPECT_STATUS(RT_E_RESOURCE, do_start(CALL));
    EXPECT_NAMES("a limit of 2 processes");
    EXPECT_NAMES(PROXY_WORDS);
    cr_expect(engine_proxy_relent(proxy) > 0);
    cr_expect(containers_of("box") == 0, "a container is left of a start that failed");
    proxy_end();
}

/* ---- an Engine that is always broken ---- */

/* Every second request fails: so does, in the Engine's words, what needs two in a row, and what needs one works at
 * last. */
static void every_second(const char *transport, unsigned first)
{
    static int32_t (*const ops[])(rt_call *) = { do_start,  do_start,  do_exec, do_exec, do_get,   do_pause, do_pause,
                                                 do_resume, do_resume, do_exec, do_stop, do_start, do_get };
    int32_t status;

    ready_running();
    proxy_reopen(transport);
    engine_proxy_plan(proxy, PROXY_REFUSE, first, 2);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        status = ops[i](CALL);
        cr_expect(status == RT_OK || status == RT_E_NOT_RUNNING || status == RT_E_ALREADY_RUNNING ||
                      (status == RT_E_UNAVAILABLE && strstr(fx.call.error.message, PROXY_WORDS)),
                  "op %zu: %s: %s", i, status_name(status), fx.call.error.message);
    }
    status = do_destroy(CALL);
    if (status)
        status = do_destroy(CALL);
    cr_expect(status == RT_OK, "destroy: %s", fx.call.error.message);
    cr_expect(engine_proxy_relent(proxy) > 0, "nothing has failed");
    proxy_reopen(transport);
    cr_expect(containers_of("box") == 0, "a container is left");
}

CONFORMANCE_TEST(broken, R4_every_second_request)
{
    proxy_begin("agent");
    every_second("agent", 0);
    every_second("agent", 1);
    every_second("engine", 0);
    every_second("engine", 1);
    proxy_end();
}
