/* Several runtimes, processes and threads at once; what outlives a host and what does not. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Without the fixture's subreaper a daemon is init's to reap, and every child left is the plugin's own neglect. */
CONFORMANCE_TEST(sharing, A5_a_plugin_reaps_its_own)
{
    size_t living, zombies;

    fixture_close();
    HOST_MUST(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    fixture_reopen();
    for (int i = 0; i < 3; i++) {
        BOX_UP("box", WRITE_ALL);
        EXPECT_RUN(sh("box", "(setsid sleep 1000 >/dev/null 2>&1 &); echo ok"), 0, "ok\n");
        ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    }
    proc_children(&living, &zombies);
    cr_expect(living == 0 && zombies == 0, "%zu children, %zu zombies after destroy", living, zombies);
    BOX_UP("box", WRITE_ALL);
    fixture_close();
    proc_children(&living, &zombies);
    cr_expect(living == 0 && zombies == 0, "%zu children, %zu zombies after close", living, zombies);
}

CONFORMANCE_TEST(sharing, L5_host_sandboxes_end_with_close)
{
    const char *marker = marker_new();
    int32_t status;

    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "sleep %s >/dev/null 2>&1 & echo up", marker), 0, "up\n");
    cr_expect(proc_await(marker, 1, NULL) == 1);
    fixture_close();
    cr_expect(proc_count(marker, NULL) == 0, "a process outlives the runtime");
    cr_expect(proc_mount_below(fx.dir) == NULL, "a mount outlives the runtime");
    fixture_reopen();
    status = box_status("box");
    cr_expect(status != RT_SANDBOX_RUNNING, "it is still said to run");
}

static void persistent_up(const char *id)
{
    static const rt_rule rules[] = {
        { sizeof(rt_rule), "**", RT_RULE_GLOB, RT_PERM_WRITE, 0, 0 },
        { sizeof(rt_rule), "hidden", RT_RULE_FILE, RT_PERM_NONE, 0, 0 },
    };
    rt_sandbox_spec spec = box_spec(id);

    spec.lifetime = RT_LIFETIME_PERSISTENT;
    spec.rules = rules;
    spec.n_rules = 2;
    spec.env = ARGV("KEPT=yes");
    spec.codebase_id = "kept-too";
    box_up_spec(&spec);
}

CONFORMANCE_TEST(sharing, R1_persistent_sandboxes_are_found_again)
{
    const char *marker = marker_new();
    rt_sandbox_info *info = NULL;

    HOST_MUST(tree_put(fx.codebase, "hidden", "S3CRET"));
    persistent_up("keeper");
    EXPECT_RUN(sh("keeper", "echo in tmp > /tmp/x; sleep %s >/dev/null 2>&1 & echo up", marker), 0, "up\n");
    for (int i = 0; i < 3; i++) {
        fixture_reopen();
        cr_expect(box_status("keeper") == RT_SANDBOX_RUNNING);
        cr_expect(proc_await(marker, 1, NULL) == 1, "its processes are gone");
        EXPECT_RUN(
            sh("keeper", "cat /tmp/x; echo $KEPT; ls -A; echo x > made%d; cat hidden 2>/dev/null; rm made%d", i, i), 0,
            "in tmp\nyes\n");
        EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("keeper", REQUEST(.shell = "sleep 100", .timeout_ms = 200)));
    }
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "keeper", CALL, &info));
    cr_expect(info->lifetime == RT_LIFETIME_PERSISTENT && !strcmp(info->codebase_id, "kept-too"));
    fx.ops->sandbox_info_free(info);
    EXPECT_STATUS(RT_OK, fx.ops->stop(fx.rt, "keeper", CALL));
    cr_expect(proc_count(marker, NULL) == 0);
    fixture_reopen();
    cr_expect(box_status("keeper") == RT_SANDBOX_STOPPED);
    EXPECT_STATUS(RT_OK, fx.ops->start(fx.rt, "keeper", CALL));
    EXPECT_RUN(sh("keeper", "echo $KEPT; ls -A"), 0, "yes\n");
}

/* Runs a function in a child process that opens the runtime for itself; its exit code. */
static int process_run(int (*function)(rt_runtime *rt))
{
    pid_t pid;
    int status = -1;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        rt_runtime *rt = NULL;
        int code = 99;

        if (plugin_open(&fx.plugin, fx.state, NULL, NULL, &rt) == RT_OK) {
            code = function(rt);
            fx.ops->close(rt);
        }
        _exit(code);
    }
    HOST_MUST(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int visitor(rt_runtime *rt)
{
    rt_exec_result *result = NULL;
    int32_t status =
        fx.ops->exec(rt, "keeper", REQUEST(.shell = "cat /tmp/x; echo visited > /tmp/y; exit 5"), NULL, &result);

    if (status != RT_OK)
        return 100 + status;
    status = !strcmp(result->stdout_data, "in tmp\n") ? result->exit.exit_code : 98;
    fx.ops->exec_result_free(result);
    return status;
}

static int stopper(rt_runtime *rt)
{
    return fx.ops->stop(rt, "keeper", NULL);
}

static int starter(rt_runtime *rt)
{
    return fx.ops->start(rt, "keeper", NULL);
}

CONFORMANCE_TEST(sharing, R1_a_second_process)
{
    persistent_up("keeper");
    EXPECT_RUN(sh("keeper", "echo in tmp > /tmp/x"), 0, "");
    for (int i = 0; i < 3; i++)
        cr_expect(process_run(visitor) == 5);
    EXPECT_RUN(sh("keeper", "cat /tmp/y"), 0, "visited\n");
    cr_expect(process_run(starter) == RT_E_ALREADY_RUNNING);
    cr_expect(process_run(stopper) == RT_OK);
    cr_expect(box_status("keeper") == RT_SANDBOX_STOPPED);
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("keeper", "true"));
    cr_expect(process_run(starter) == RT_OK);
    EXPECT_RUN(sh("keeper", "echo again"), 0, "again\n");
}

static int destroyer(rt_runtime *rt)
{
    return fx.ops->destroy(rt, "keeper", NULL);
}

/* What stands on this process's children is ended by another process, which cannot reap them. */
CONFORMANCE_TEST(sharing, A5_a_plugin_reaps_what_others_end)
{
    rt_sandbox_list *list = NULL;
    size_t living, zombies;

    fixture_close();
    HOST_MUST(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    fixture_reopen();
    for (int i = 0; i < 2; i++) {
        persistent_up("keeper");
        cr_expect(process_run(destroyer) == RT_OK);
    }
    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_expect(list->n == 0);
    fx.ops->sandbox_list_free(list);
    proc_children(&living, &zombies);
    cr_expect(living == 0 && zombies == 0, "%zu children, %zu zombies after list", living, zombies);
}

/* A host that is killed: its `host` sandboxes end by themselves, its `persistent` ones go on. */
CONFORMANCE_TEST(sharing, R1_a_host_is_killed)
{
    const char *dying = marker_new(), *staying = marker_new();
    pid_t pid;
    int status;
    char *mount;

    fixture_close();
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (plugin_open(&fx.plugin, fx.state, NULL, NULL, &fx.rt) == RT_OK) {
            BOX_UP("mortal", WRITE_ALL);
            persistent_up("keeper");
            sh("mortal", "sleep %s >/dev/null 2>&1 &", dying);
            sh("keeper", "sleep %s >/dev/null 2>&1 &", staying);
        }
        raise(SIGKILL);
    }
    HOST_MUST(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cr_expect(proc_await(dying, 0, NULL) == 0, "a `host` sandbox outlives its host");
    cr_expect(proc_await(staying, 1, NULL) == 1, "a `persistent` sandbox died with its host");
    fixture_reopen();
    cr_expect(box_status("mortal") != RT_SANDBOX_RUNNING && box_status("keeper") == RT_SANDBOX_RUNNING);
    EXPECT_RUN(sh("keeper", "echo on"), 0, "on\n");
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "keeper", CALL));
    if (box_status("mortal") != -1)
        EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "mortal", CALL));
    mount = proc_mount_below(fx.dir);
    cr_expect(mount == NULL, "%s is still mounted", mount);
    free(mount);
}

CONFORMANCE_TEST(sharing, A6_two_runtimes_on_two_state_directories)
{
    rt_sandbox_spec spec = box_spec("same-id");
    rt_runtime *other = NULL;
    rt_exec_result *result = NULL;
    rt_sandbox_list *list = NULL;
    char state[4096];

    snprintf(state, sizeof state, "%s/other", fx.dir);
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, state, NULL, CALL, &other));
    BOX_UP("same-id", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->list(other, CALL, &list));
    cr_expect(list->n == 0, "it sees the other one's sandboxes");
    fx.ops->sandbox_list_free(list);
    ASSERT_STATUS(RT_OK, fx.ops->create(other, &spec, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->start(other, "same-id", CALL));
    EXPECT_RUN(sh("same-id", "echo first > /tmp/x"), 0, "");
    ASSERT_STATUS(RT_OK, fx.ops->exec(other, "same-id", REQUEST(.shell = "cat /tmp/x"), CALL, &result));
    cr_expect(result->exit.exit_code == 1 && result->stdout_len == 0);
    fx.ops->exec_result_free(result);
    ASSERT_STATUS(RT_OK, fx.ops->destroy(other, "same-id", CALL));
    EXPECT_RUN(sh("same-id", "cat /tmp/x"), 0, "first\n");
    fx.ops->close(other);
    EXPECT_RUN(sh("same-id", "cat /tmp/x"), 0, "first\n");
}

CONFORMANCE_TEST(sharing, A6_two_runtimes_on_one_state_directory)
{
    rt_runtime *other = NULL;
    rt_exec_result *result = NULL;
    rt_sandbox_spec spec = box_spec("box");

    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, fx.state, NULL, CALL, &other));
    BOX_UP("box", WRITE_ALL);
    EXPECT_STATUS(RT_E_EXISTS, fx.ops->create(other, &spec, CALL, NULL));
    EXPECT_STATUS(RT_E_ALREADY_RUNNING, fx.ops->start(other, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->exec(other, "box", REQUEST(.shell = "echo shared"), CALL, &result));
    cr_expect(!strcmp(result->stdout_data, "shared\n"));
    fx.ops->exec_result_free(result);
    fx.ops->close(other); /* ends the sandboxes that it started: none */
    EXPECT_RUN(sh("box", "echo mine"), 0, "mine\n");
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, fx.state, NULL, CALL, &other));
    EXPECT_STATUS(RT_OK, fx.ops->destroy(other, "box", CALL));
    cr_expect(box_status("box") == -1);
    EXPECT_RUN_STATUS(RT_E_SANDBOX_NOT_FOUND, sh("box", "true"));
    fx.ops->close(other);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

struct life {
    pthread_t thread;
    char id[16];
    const char *failed; /* the step that did */
    char message[600];
};

#define STEP(name, expr)                                                                                               \
    do {                                                                                                               \
        int32_t got_ = (expr);                                                                                         \
        if (got_ != RT_OK && !life->failed) {                                                                          \
            life->failed = name;                                                                                       \
            snprintf(life->message, sizeof life->message, "%s: %s", status_name(got_), call.error.message);            \
        }                                                                                                              \
    } while (0)

static void *life_run(void *arg)
{
    const rt_rule rule = WRITE_ALL;
    struct life *life = arg;
    rt_sandbox_spec spec = box_spec(life->id);

    spec.rules = &rule;
    spec.n_rules = 1;
    for (int i = 0; i < 4; i++) {
        rt_call call = RT_CALL_INIT;
        rt_sandbox_list *list = NULL;
        const struct run *r;

        STEP("create", fx.ops->create(fx.rt, &spec, &call, NULL));
        STEP("start", fx.ops->start(fx.rt, life->id, &call));
        for (int k = 0; k < 5; k++) {
            r = sh(life->id, "echo %s; exit %d", life->id, k);
            STEP("exec", r->status);
            STEP("exec's result", r->code == k && !strncmp(r->out, life->id, strlen(life->id)) ? RT_OK : RT_E_INTERNAL);
        }
        STEP("list", fx.ops->list(fx.rt, &call, &list));
        fx.ops->sandbox_list_free(list);
        STEP("stop", fx.ops->stop(fx.rt, life->id, &call));
        STEP("start again", fx.ops->start(fx.rt, life->id, &call));
        STEP("destroy", fx.ops->destroy(fx.rt, life->id, &call));
    }
    return NULL;
}

CONFORMANCE_TEST(sharing, A7_eight_threads_lead_eight_lives)
{
    static struct life lives[8];

    for (int i = 0; i < 8; i++) {
        snprintf(lives[i].id, sizeof lives[i].id, "life-%d", i);
        HOST_MUST(pthread_create(&lives[i].thread, NULL, life_run, &lives[i]) == 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(lives[i].thread, NULL);
        cr_expect(!lives[i].failed, "thread %d failed at %s: %s", i, lives[i].failed, lives[i].message);
    }
}

struct waiter {
    pthread_t thread;
    const struct run *run;
    atomic_bool done;
};

static void *waiter_run(void *arg)
{
    struct waiter *me = arg;

    me->run = run_request("slow", REQUEST(.shell = "touch begun; until [ -e go ]; do sleep 1; done; echo went",
                                          .timeout_ms = RT_FOREVER));
    atomic_store(&me->done, true);
    return NULL;
}

/* While one sandbox's command runs, all of another's life can be led, and the first one can be looked at. */
CONFORMANCE_TEST(sharing, A7_a_slow_op_delays_nobody_else)
{
    struct waiter waiter = { .run = NULL };

    BOX_UP("slow", WRITE_ALL);
    HOST_MUST(pthread_create(&waiter.thread, NULL, waiter_run, &waiter) == 0);
    cr_assert(tree_await(fx.codebase, "begun"));
    BOX_UP("quick", WRITE_ALL);
    EXPECT_RUN(sh("quick", "echo quick"), 0, "quick\n");
    EXPECT_RUN(sh("slow", "echo beside"), 0, "beside\n");
    cr_expect(box_status("slow") == RT_SANDBOX_RUNNING);
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "quick", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "quick", CALL));
    cr_expect(!atomic_load(&waiter.done));
    HOST_MUST(tree_put(fx.codebase, "go", ""));
    pthread_join(waiter.thread, NULL);
    EXPECT_RUN(waiter.run, 0, "went\n");
}

CONFORMANCE_TEST(sharing, A7_close_cancels_calls_in_flight)
{
    struct waiter waiter = { .run = NULL };

    BOX_UP("slow", WRITE_ALL);
    HOST_MUST(pthread_create(&waiter.thread, NULL, waiter_run, &waiter) == 0);
    cr_assert(tree_await(fx.codebase, "begun"));
    fixture_close();
    cr_expect(atomic_load(&waiter.done) || waiter.run, "close() came back before the call did");
    pthread_join(waiter.thread, NULL);
    EXPECT_RUN_STATUS(RT_E_CANCELLED, waiter.run);
}
