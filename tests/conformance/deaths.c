/* Contract L5 and L8: what a sandbox stands on dies or hangs under it, and what its host and its caller see. */
#include "box_ops.h"
#include "fixture.h"

#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* ---- callers in flight ------------------------------------------------------------------------------------------- */

/* One call of each kind that waits for a command, each in a thread of its own. */
struct caller {
    pthread_t thread;
    int32_t (*call)(rt_call *call);
    const char *name, *up; /* up: the file by which its command tells that it has begun */
    int32_t status;
    rt_call how;
};

static int32_t call_exec(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->exec(fx.rt, "box", REQUEST(.shell = "touch up-exec; sleep 1000", .timeout_ms = RT_FOREVER),
                                  call, &result);

    fx.ops->exec_result_free(result);
    return status;
}

static int32_t take_all(void *user, int32_t stream, const void *data, size_t len)
{
    (void)user;
    (void)stream;
    (void)data;
    (void)len;
    return 1;
}

static int32_t call_stream(rt_call *call)
{
    return fx.ops->exec_stream(
        fx.rt, "box",
        REQUEST(.shell = "touch up-stream; while :; do echo x; sleep 0.1; done", .timeout_ms = RT_FOREVER), take_all,
        NULL, call, NULL);
}

static int32_t call_session(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->session_create(fx.rt, "box", NULL, call, NULL);
    rt_session_list *list = NULL;

    if (status == RT_OK)
        status = fx.ops->session_list(fx.rt, "box", call, &list);
    if (status != RT_OK)
        return status;
    status =
        fx.ops->session_exec(fx.rt, "box", list->items[0]->id,
                             REQUEST(.shell = "touch up-session; sleep 1000", .timeout_ms = RT_FOREVER), call, &result);
    fx.ops->exec_result_free(result);
    fx.ops->session_list_free(list);
    return status;
}

static int32_t call_wait(rt_call *call)
{
    rt_process *process = NULL;
    rt_exit end = RT_EXIT_INIT;
    int32_t status = fx.ops->process_spawn(
        fx.rt, "box", REQUEST(.shell = "touch up-wait; sleep 1000", .timeout_ms = RT_FOREVER), call, &process);

    if (status == RT_OK)
        status = fx.ops->process_wait(fx.rt, process, call, &end);
    fx.ops->process_release(fx.rt, process);
    return status;
}

static void *caller_run(void *arg)
{
    struct caller *me = arg;

    me->how = (rt_call)RT_CALL_INIT;
    me->status = me->call(&me->how);
    return NULL;
}

#define CALLERS 4

static void callers_start(struct caller callers[CALLERS])
{
    static const struct caller kinds[CALLERS] = {
        { .call = call_exec, .name = "exec", .up = "up-exec" },
        { .call = call_stream, .name = "exec_stream", .up = "up-stream" },
        { .call = call_session, .name = "session_exec", .up = "up-session" },
        { .call = call_wait, .name = "process_wait", .up = "up-wait" },
    };

    for (int i = 0; i < CALLERS; i++) {
        callers[i] = kinds[i];
        HOST_MUST(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]) == 0);
    }
    for (int i = 0; i < CALLERS; i++)
        cr_assert(tree_await(fx.codebase, callers[i].up), "%s did not begin", callers[i].name);
}

static void callers_expect(struct caller callers[CALLERS], const char *cause)
{
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        cr_expect(callers[i].status == RT_E_UNAVAILABLE && strstr(callers[i].how.error.message, cause), "%s: %s: %s",
                  callers[i].name, status_name(callers[i].status), callers[i].how.error.message);
    }
}

/* It is an error with that cause, later commands are refused with it, and it can be started again. */
static void dead_expect(const char *cause)
{
    rt_sandbox_info *info = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect(info->status == RT_SANDBOX_ERROR && strstr(info->last_error, cause), "status %d: %s", (int)info->status,
              info->last_error);
    fx.ops->sandbox_info_free(info);
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, sh("box", "true"));
    EXPECT_STATUS(RT_E_UNAVAILABLE, fx.ops->session_create(fx.rt, "box", NULL, CALL, NULL));
    EXPECT_NAMES(cause);
}

/* ---- L8 ---------------------------------------------------------------------------------------------------------- */

CONFORMANCE_TEST(deaths, L8_the_filesystems_daemon_dies)
{
    struct caller callers[CALLERS];

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    callers_start(callers);
    HOST_MUST(kill(helper_pid("permfs"), SIGKILL) == 0);
    callers_expect(callers, "filesystem daemon");
    dead_expect("filesystem daemon");
    EXPECT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_STOPPED);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "ls up-exec"), 0, "up-exec\n");
}

CONFORMANCE_TEST(deaths, L8_started_again_after_the_daemons_death)
{
    BOX_UP("box", WRITE_ALL);
    HOST_MUST(kill(helper_pid("permfs"), SIGKILL) == 0);
    cr_expect(AWAIT(box_status("box") == RT_SANDBOX_ERROR));
    dead_expect("filesystem daemon");
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "echo x >new; cat new"), 0, "x\n");
}

static int32_t call_writers(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status =
        fx.ops->exec(fx.rt, "box",
                     REQUEST(.shell = "for i in 1 2 3 4 5 6 7 8; do (until ! echo x >f$i || ! echo y >>f$i; "
                                      "do :; done) & done; while [ ! -s f8 ]; do :; done; touch up-writers; wait; "
                                      "sleep 1000",
                             .timeout_ms = RT_FOREVER),
                     call, &result);

    fx.ops->exec_result_free(result);
    return status;
}

/* Eight processes write all the while: each gets an error, for destroying finds nothing that is left. */
CONFORMANCE_TEST(deaths, L8_the_daemon_dies_while_eight_write)
{
    struct caller caller = { .call = call_writers, .name = "writers", .up = "up-writers" };

    BOX_UP("box", WRITE_ALL);
    HOST_MUST(pthread_create(&caller.thread, NULL, caller_run, &caller) == 0);
    cr_assert(tree_await(fx.codebase, caller.up), "the writers did not begin");
    HOST_MUST(kill(helper_pid("permfs"), SIGKILL) == 0);
    pthread_join(caller.thread, NULL);
    cr_expect(caller.status == RT_E_UNAVAILABLE && strstr(caller.how.error.message, "filesystem daemon"), "%s: %s",
              status_name(caller.status), caller.how.error.message);
    dead_expect("filesystem daemon");
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_expect(box_status("box") == -1);
}

CONFORMANCE_TEST(deaths, L8_the_sandboxs_init_dies)
{
    struct caller callers[CALLERS];

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    callers_start(callers);
    HOST_MUST(kill(box_init_pid(), SIGKILL) == 0);
    callers_expect(callers, "init process");
    dead_expect("init process");
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "ls up-exec"), 0, "up-exec\n");
}

/* bubblewrap outside is only who waits: the sandbox goes on without it. */
CONFORMANCE_TEST(deaths, L8_the_monitor_outside_dies)
{
    BOX_UP("box", WRITE_ALL);
    (void)box_init_pid();
    HOST_MUST(kill(helper_pid("bwrap"), SIGKILL) == 0);
    EXPECT_RUN(sh("box", "echo lives"), 0, "lives\n");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "echo again"), 0, "again\n");
}

/* Of a persistent sandbox the daemon goes with the init: nobody else would end it while there is no host. */
CONFORMANCE_TEST(deaths, L8_the_daemon_goes_with_its_sandbox)
{
    rt_sandbox_spec spec = box_spec("box");

    spec.lifetime = RT_LIFETIME_PERSISTENT;
    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    box_up_spec(&spec);
    (void)helper_pid("permfs");
    HOST_MUST(kill(box_init_pid(), SIGKILL) == 0);
    cr_expect(AWAIT(!proc_is_mounted_below(fx.dir)), "still mounted");
    dead_expect("init process");
}

/* ---- a filesystem that hangs --------------------------------------------------------------------------------------
 */

/* A command waits for an answer that does not come. */
static pthread_t hang(struct caller *caller)
{
    *caller = (struct caller){ .call = call_stream, .name = "exec_stream", .up = "up-stream" };
    HOST_MUST(pthread_create(&caller->thread, NULL, caller_run, caller) == 0);
    cr_assert(tree_await(fx.codebase, "up-stream"));
    HOST_MUST(proc_stop(helper_pid("permfs")));
    return caller->thread;
}

CONFORMANCE_TEST(deaths, L5_destroy_while_the_filesystem_hangs)
{
    struct caller caller;
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    (void)hang(&caller);
    r = run_request(
        "box", REQUEST(.shell = "cd /tmp; ls /workspace/absent", .timeout_ms = 300, .grace_ms = 100, .cwd = "/tmp"));
    cr_expect(r->status != RT_OK, "%s", run_describe(r));
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    pthread_join(caller.thread, NULL);
    cr_expect(caller.status == RT_E_NOT_RUNNING, "%s: %s", status_name(caller.status), caller.how.error.message);
    cr_expect(box_status("box") == -1);
}

CONFORMANCE_TEST(deaths, L4_stop_while_the_filesystem_hangs)
{
    struct caller caller;

    BOX_UP("box", WRITE_ALL);
    (void)hang(&caller);
    EXPECT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    pthread_join(caller.thread, NULL);
    cr_expect(caller.status == RT_E_NOT_RUNNING, "%s: %s", status_name(caller.status), caller.how.error.message);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "ls up-stream"), 0, "up-stream\n");
}

/* ---- a host that forks --------------------------------------------------------------------------------------------
 */

/* Its child has a copy of every lease, and lives on: the sandbox ends with the host all the same. */
CONFORMANCE_TEST(deaths, R1_a_host_whose_forked_child_lives_on)
{
    const char *marker = marker_new();
    int life[2];
    pid_t pid;

    HOST_MUST(pipe(life) == 0);
    pid = fork();
    HOST_MUST(pid >= 0);
    if (pid == 0) {
        char byte;

        fx.rt = NULL;
        fixture_reopen();
        BOX_UP("box", WRITE_ALL);
        (void)sh("box", "sleep %s >/dev/null 2>&1 & true", marker);
        if (fork() == 0) {
            close(life[1]);
            (void)!read(life[0], &byte, 1); /* until the test is over */
            _exit(0);
        }
        kill(getpid(), SIGKILL);
    }
    close(life[0]);
    HOST_MUST(waitpid(pid, NULL, 0) == pid);
    cr_expect(proc_await(marker, 0, NULL) == 0, "it still runs");
    cr_expect(AWAIT(!proc_is_mounted_below(fx.dir)), "still mounted");
    close(life[1]);
    fixture_reopen();
    cr_expect(box_status("box") == -1);
}
