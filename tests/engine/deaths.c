/* Containers that end, vanish or freeze behind their host's back (contract L8, R1, R3). */
#include "container.h"
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* `docker DEED CONTAINER`; NULL: its init is killed from outside, and the Engine not told why. */
static void end_init(const char *container, const char *const *deed)
{
    const char *argv[8] = { "docker" };
    size_t n = 1;

    if (!deed) {
        HOST_MUST(kill(init_of(container), SIGKILL) == 0);
        return;
    }
    while (*deed)
        argv[n++] = *deed++;
    argv[n] = container;
    free(docker_text(argv));
}

/* Does that to a running sandbox's container; then it must be an error with that cause, and start again. */
static void dies(const char *const *deed, int32_t lifetime, const char *cause)
{
    const rt_rule rule = WRITE_ALL;
    rt_sandbox_spec spec = box_spec("box");
    struct runner runner;
    char *container, *why;

    spec.lifetime = lifetime;
    spec.rules = &rule;
    spec.n_rules = 1;
    box_up_spec(&spec);
    runner_start(&runner, "box", "touch up; sleep 1000");
    cr_assert(tree_await(fx.codebase, "up"));
    container = container_of("box");
    end_init(container, deed);
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, runner_join(&runner));
    why = await_status("box", RT_SANDBOX_ERROR);
    cr_expect(strstr(why, cause), "%s", why);
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, sh("box", "true"));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "ls"), 0, "up\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_expect(containers_of("box") == 0);
    free(container);
    free(why);
}

CONFORMANCE_TEST(deaths, L8_killed)
{
    dies((const char *const[]){ "kill", NULL }, RT_LIFETIME_HOST, "killed by signal 9");
}

CONFORMANCE_TEST(deaths, L8_killed_while_persistent)
{
    dies((const char *const[]){ "kill", NULL }, RT_LIFETIME_PERSISTENT, "killed by signal 9");
}

CONFORMANCE_TEST(deaths, L8_stopped)
{
    dies((const char *const[]){ "stop", NULL }, RT_LIFETIME_PERSISTENT, "container");
}

CONFORMANCE_TEST(deaths, L8_removed)
{
    dies((const char *const[]){ "rm", "-f", NULL }, RT_LIFETIME_PERSISTENT, "killed by signal");
}

CONFORMANCE_TEST(deaths, L8_destroyed_after_its_container_is_gone)
{
    char *container;

    BOX_UP("box", WRITE_ALL);
    container = container_of("box");
    DOCKER("rm", "-f", container);
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    free(container);
}

static void lasting_up(const char *network)
{
    const rt_rule rule = WRITE_ALL;
    rt_sandbox_spec spec = box_spec("box");

    spec.lifetime = RT_LIFETIME_PERSISTENT;
    spec.rules = &rule;
    spec.n_rules = 1;
    spec.network = network;
    box_up_spec(&spec);
}

/* Its container is known by its id, also to the next host, and goes under whatever name. */
CONFORMANCE_TEST(deaths, L4_renamed)
{
    char *container, name[64];

    snprintf(name, sizeof name, "stockade-test-renamed-%d", (int)getpid());
    lasting_up(NULL);
    container = container_of("box");
    DOCKER("rename", container, name);
    fixture_reopen();
    EXPECT_RUN(run_argv("box", ARGV("echo", "here")), 0, "here\n");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(containers_of("box") == 0, "stopped, and a container is left");
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(run_argv("box", ARGV("echo", "again")), 0, "again\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_expect(containers_of("box") == 0, "destroyed, and a container is left");
    free(container);
}

/* A command that runs goes on without its network; the next start has it again. */
CONFORMANCE_TEST(deaths, N1_disconnected_in_an_exec)
{
    struct runner runner;
    char *container, network[64];

    snprintf(network, sizeof network, "stockade-test-%d", (int)getpid());
    DOCKER("network", "create", network);
    lasting_up(network);
    container = container_of("box");
    runner_start(&runner, "box", "ls /sys/class/net; touch up; until [ -e go ]; do sleep 0.1; done; ls /sys/class/net");
    cr_assert(tree_await(fx.codebase, "up"));
    DOCKER("network", "disconnect", network, container);
    HOST_MUST(tree_put(fx.codebase, "go", ""));
    EXPECT_RUN(runner_join(&runner), 0, "eth0\nlo\nlo\n");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "ls /sys/class/net"), 0, "eth0\nlo\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    DOCKER("network", "rm", network);
    free(container);
}

static void limited_up(void)
{
    static const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 << 20 };
    const rt_rule rule = WRITE_ALL;
    rt_sandbox_spec spec = box_spec("box");

    spec.limits = &limits;
    spec.rules = &rule;
    spec.n_rules = 1;
    box_up_spec(&spec);
}

static void limited_died(const char *cause, const char *not_the_cause)
{
    char *why = await_status("box", RT_SANDBOX_ERROR);

    cr_expect(strstr(why, cause) && !strstr(why, not_the_cause), "%s", why);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(run_argv("box", ARGV("echo", "again")), 0, "again\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    free(why);
}

/* What is written to a file in memory is no process's: the kernel chooses the init, which is told to look the largest.
 */
CONFORMANCE_TEST(deaths, L8_for_want_of_memory)
{
    struct runner runner;
    char path[64], *container;
    FILE *file;

    limited_up();
    runner_start(&runner, "box",
                 "touch up; until [ -e go ]; do sleep 0.1; done; head -c 48000000 /dev/zero >/dev/shm/x");
    cr_assert(tree_await(fx.codebase, "up"));
    container = container_of("box");
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)init_of(container));
    file = fopen(path, "we");
    HOST_MUST(file && fputs("1000", file) >= 0 && fclose(file) == 0);
    HOST_MUST(tree_put(fx.codebase, "go", ""));
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, runner_join(&runner));
    limited_died("want of memory", "signal");
    free(container);
}

/*
 * The kernel kills a command of the sandbox's for its limit of memory, of which the Engine may hear later than of what
 * befalls the container next, by whomever: that is another cause.
 */
static void killed_after_oom(const char *const *deed)
{
    const struct run *run;
    char *container;

    limited_up();
    run = sh("box", "head -c 200000000 /dev/zero | tail -c 99999999 | wc -c");
    cr_expect(run->status == RT_OK && (run->flags & RT_RESULT_OOM), "%s", run_describe(run));
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
    container = container_of("box");
    end_init(container, deed);
    limited_died("killed by signal 9", "memory");
    free(container);
}

CONFORMANCE_TEST(deaths, L8_killed_long_after_it_wanted_memory)
{
    killed_after_oom(ARGV("kill"));
}

CONFORMANCE_TEST(deaths, L8_killed_from_outside_after_it_wanted_memory)
{
    killed_after_oom(NULL);
}

/* What the agent does not heed has not ended it. */
CONFORMANCE_TEST(deaths, L8_killed_after_a_signal_that_does_nothing)
{
    char *container;

    limited_up();
    container = container_of("box");
    DOCKER("kill", "--signal", "USR1", container);
    EXPECT_RUN(run_argv("box", ARGV("echo", "lives")), 0, "lives\n");
    end_init(container, NULL);
    limited_died("killed by signal 9", "10");
    free(container);
}

/* Frozen, nothing inside answers: commands keep their time-outs, and stop and destroy do their work. */
CONFORMANCE_TEST(deaths, L8_paused)
{
    const struct run *frozen;
    char *container;

    BOX_UP("box", WRITE_ALL);
    container = container_of("box");
    DOCKER("pause", container);
    frozen = run_request("box", REQUEST(.shell = "true", .timeout_ms = 500, .grace_ms = 100));
    cr_expect(frozen->status != RT_OK, "%s", run_describe(frozen));
    EXPECT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(containers_of("box") == 0);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "echo again"), 0, "again\n");
    free(container);
    container = container_of("box");
    DOCKER("pause", container);
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_expect(containers_of("box") == 0);
    free(container);
}

/* R1: however the host ends. */
CONFORMANCE_TEST(deaths, R1_a_host_that_is_killed)
{
    pid_t pid = fork();

    if (pid == 0) {
        fixture_reopen();
        BOX_UP("mine", WRITE_ALL);
        kill(getpid(), SIGKILL);
    }
    HOST_MUST(pid > 0 && waitpid(pid, NULL, 0) == pid);
    cr_expect(AWAIT(containers_of("mine") == 0));
    fixture_reopen();
    cr_expect(box_status("mine") == -1, "the next open has not cleaned");
}

static char *leave(const char *state, const char *sandbox)
{
    char a[128], b[128];

    snprintf(a, sizeof a, "stockade.state=%s", state);
    snprintf(b, sizeof b, "stockade.sandbox=%s", sandbox);
    return docker_text((const char *const[]){ "docker", "create", "--label", a, "--label", b, "--network", "none",
                                              "stockade-test:busybox", "true", NULL });
}

/* R3: what bears our state directory's name and belongs to no sandbox goes; another's stays. */
CONFORMANCE_TEST(deaths, R3_containers_that_an_earlier_process_left)
{
    char path[4096], id[32] = "", *other, *text;
    rt_sandbox_spec spec = box_spec("known");
    FILE *file;

    snprintf(path, sizeof path, "%s/docker/state-id", fx.state);
    file = fopen(path, "re");
    HOST_MUST(file && fgets(id, sizeof id, file));
    fclose(file);
    spec.lifetime = RT_LIFETIME_PERSISTENT;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "known", CALL));
    free(leave(id, "unknown"));
    free(leave(id, "known"));
    free(leave(id, "../../etc"));
    other = leave("another-state", "unknown");
    fixture_reopen();
    cr_expect(containers_of("unknown") == 0);
    cr_expect(containers_of("known") == 1);
    EXPECT_RUN(run_argv("known", ARGV("echo", "up")), 0, "up\n");
    text = docker_text((const char *const[]){ "docker", "ps", "-aq", "--no-trunc", "--filter",
                                              "label=stockade.state=another-state", NULL });
    cr_expect(strstr(text, other), "%s", text);
    DOCKER("rm", other);
    free(other);
    free(text);
    text = docker_text(
        (const char *const[]){ "docker", "ps", "-aq", "--filter", "label=stockade.sandbox=../../etc", NULL });
    DOCKER("rm", text);
    free(text);
}

/* ---- many ---- */

#define MANY 50

static void *many_run(void *arg)
{
    rt_sandbox_spec spec = box_spec(arg);
    rt_exec_result *result = NULL;
    const rt_exec_request req = { .size = sizeof req, .argv = (const char *const[]){ "echo", arg, NULL } };
    rt_call call = RT_CALL_INIT;
    bool ok = fx.ops->create(fx.rt, &spec, &call, NULL) == RT_OK && fx.ops->start(fx.rt, arg, &call) == RT_OK &&
              fx.ops->exec(fx.rt, arg, &req, &call, &result) == RT_OK &&
              !strncmp(result->stdout_data, arg, strlen(arg));

    if (result)
        fx.ops->exec_result_free(result);
    if (!ok)
        fprintf(stderr, "%s: %s\n", (char *)arg, call.error.message);
    return ok ? arg : NULL;
}

static void *many_destroy(void *arg)
{
    rt_call call = RT_CALL_INIT;
    bool ok = fx.ops->destroy(fx.rt, arg, &call) == RT_OK;

    if (!ok)
        fprintf(stderr, "%s: %s\n", (char *)arg, call.error.message);
    return ok ? arg : NULL;
}

/* Each by a thread of its own; how many succeed. */
static int many_do(void *(*what)(void *id), char ids[MANY][16])
{
    pthread_t threads[MANY];
    int ok = 0;

    for (int i = 0; i < MANY; i++)
        HOST_MUST(pthread_create(&threads[i], NULL, what, ids[i]) == 0);
    for (int i = 0; i < MANY; i++) {
        void *result;

        pthread_join(threads[i], &result);
        ok += result != NULL;
    }
    return ok;
}

CONFORMANCE_TEST(deaths, A7_fifty_sandboxes_by_fifty_threads)
{
    static char ids[MANY][16];
    int ok;

    for (int i = 0; i < MANY; i++)
        snprintf(ids[i], sizeof ids[i], "many-%d", i);
    ok = many_do(many_run, ids);
    cr_expect(ok == MANY, "%d of %d run", ok, MANY);
    cr_expect(containers_of(NULL) == MANY);
    ok = many_do(many_destroy, ids);
    cr_expect(ok == MANY, "%d of %d are destroyed", ok, MANY);
    cr_expect(containers_of(NULL) == 0);
}
