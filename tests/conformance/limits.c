/* Contract N3: limits, which mean the same on every backend. The fork bomb is in exec_tree.c. */
#include "box_ops.h"
#include "cgroups.h"
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define MIB (UINT64_C(1) << 20)

/* Prints 99999999 where 200 MB can be had; tail(1) has to keep them. */
#define GREEDY "head -c 200000000 /dev/zero | tail -c 99999999 | wc -c"

/* Whether cgroups can limit here; the probe says so, and create then has to. */
static bool has_cgroups(void)
{
    rt_probe *probe = NULL;
    bool has = true;

    ASSERT_STATUS(RT_OK, fx.ops->probe(fx.rt, CALL, &probe));
    for (size_t i = 0; i < probe->n_checks; i++)
        if (!strcmp(probe->checks[i]->name, "limits"))
            has = probe->checks[i]->result == RT_CHECK_OK;
    fx.ops->probe_free(probe);
    return has;
}

static rt_sandbox_spec limited(const char *id, const rt_limits *limits)
{
    static const rt_rule rules[] = {
        { .size = sizeof(rt_rule), .pattern = "**", .permission = RT_PERM_WRITE },
        { .size = sizeof(rt_rule), .pattern = ".probe", .permission = RT_PERM_READ, .priority = 1000000 }
    };
    rt_sandbox_spec spec = box_spec(id);

    spec.rules = rules;
    spec.n_rules = 2;
    spec.limits = limits;
    return spec;
}

/* Up with its limits, or the test ends here: where no cgroup keeps them, they must be refused by name. */
static void limited_up(const char *id, const rt_limits *limits, const char *name)
{
    rt_sandbox_spec spec = limited(id, limits);

    if (!has_cgroups()) {
        EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES(name);
        cr_expect(box_status(id) == -1);
        fixture_check();
        cr_skip_test("no cgroup can limit here");
    }
    probe_install();
    box_up_spec(&spec);
}

static void greedy_dies(const struct run *r)
{
    cr_expect(r->status == RT_OK && strcmp(r->out, "99999999\n") != 0, "%s", run_describe(r));
    cr_expect(r->flags & RT_RESULT_OOM, "killed for memory, and nobody says so: %s", run_describe(r));
}

CONFORMANCE_TEST(limits, N3_too_much_memory_is_reported_as_such)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 * MIB };
    const struct run *r;

    NEED(RT_CAP_LIMIT_MEMORY);
    limited_up("box", &limits, "memory_bytes");
    greedy_dies(sh("box", GREEDY));
    r = run_argv("box", ARGV(PROBE, "memory", "100"));
    cr_expect(r->status == RT_OK && r->signal == SIGKILL && r->code == 137 && (r->flags & RT_RESULT_OOM), "%s",
              run_describe(r));
    r = sh("box", "kill -9 $$");
    cr_expect(r->code == 137 && !(r->flags & RT_RESULT_OOM), "a mere 137: %s", run_describe(r));
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "memory", "16")), 0, "1\n");
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
}

static void limited_died(const char *cause, bool for_memory)
{
    rt_sandbox_info *info = NULL;

    cr_expect(AWAIT(box_status("box") == RT_SANDBOX_ERROR));
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect(info->status == RT_SANDBOX_ERROR && strstr(info->last_error, cause) &&
                  (strstr(info->last_error, "memory") != NULL) == for_memory,
              "status %d: %s", (int)info->status, info->last_error);
    fx.ops->sandbox_info_free(info);
    EXPECT_STATUS(RT_OK, do_destroy(CALL));
}

static const rt_limits for_init = { .size = sizeof for_init, .memory_bytes = 32 * MIB };

/* A sandbox whose init is killed, but not by the kernel. */
static void killed_expect(bool after_oom, bool for_memory)
{
    limited_up("box", &for_init, "memory_bytes");
    HOST_MUST(kill(box_init_pid(), 0) == 0);
    if (after_oom)
        greedy_dies(sh("box", GREEDY));
    HOST_MUST(kill(box_init_pid(), SIGKILL) == 0);
    limited_died("init process has died", for_memory);
}

/* Who may not read the kernel's log cannot know whom the kernel chose, and is told that it did choose. */
static bool kernel_log_is_read(void)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

CONFORMANCE_TEST(limits, L8_memory_is_told_apart_from_a_kill)
{
    NEED(RT_CAP_LIMIT_MEMORY);
    killed_expect(false, false);
    killed_expect(true, !kernel_log_is_read());
}

/* What is written to a file in memory is no process's: the kernel chooses the init, which is told to look the largest.
 */
CONFORMANCE_TEST(limits, L8_an_init_that_the_kernel_chose)
{
    struct runner runner;
    char path[64];
    FILE *file;

    NEED(RT_CAP_LIMIT_MEMORY);
    limited_up("box", &for_init, "memory_bytes");
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)box_init_pid());
    file = fopen(path, "we");
    if (!file)
        cr_skip_test("only root may say which process the kernel is to choose");
    runner_start(&runner, "box",
                 "touch up; until [ -e go ]; do sleep 0.1; done; head -c 48000000 /dev/zero >/dev/shm/x");
    cr_assert(tree_await(fx.codebase, "up"));
    HOST_MUST(fputs("1000", file) >= 0 && fclose(file) == 0);
    HOST_MUST(tree_put(fx.codebase, "go", ""));
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, runner_join(&runner));
    limited_died(kernel_log_is_read() ? "was killed for want of memory" : "init process has died", true);
}

/* What is written to a file in memory is memory too. */
CONFORMANCE_TEST(limits, N3_shared_memory_counts)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 * MIB };
    const struct run *r;

    NEED(RT_CAP_LIMIT_MEMORY);
    limited_up("box", &limits, "memory_bytes");
    r = sh("box", "head -c 48000000 /dev/zero >/dev/shm/x && echo all of it");
    cr_expect(r->status == RT_OK && !strstr(r->out, "all of it"), "%s", run_describe(r));
    cr_expect(r->flags & RT_RESULT_OOM, "%s", run_describe(r));
}

CONFORMANCE_TEST(limits, N3_in_a_session)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 * MIB };
    const rt_session_spec session = { .size = sizeof session, .id = "s" };
    const struct run *r;

    NEED(RT_CAP_LIMIT_MEMORY | RT_CAP_SESSION);
    limited_up("box", &limits, "memory_bytes");
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &session, CALL, NULL));
    greedy_dies(in("s", GREEDY));
    /* Until what it killed has given its memory back, the kernel may find nothing left to kill but the shell. */
    r = in("s", "echo lives on");
    cr_expect(run_is(r, 0, "lives on\n") || r->status == RT_E_SESSION_CLOSED, "%s", run_describe(r));
    EXPECT_RUN(sh("box", "echo on"), 0, "on\n");
    EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", "s", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &session, CALL, NULL));
    EXPECT_RUN(in("s", "echo again"), 0, "again\n");
}

CONFORMANCE_TEST(limits, N3_each_sandbox_has_its_own)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 * MIB };
    const rt_limits more = { .size = sizeof more, .memory_bytes = 320 * MIB };
    const struct run *unharmed;
    struct runner bystander;

    NEED(RT_CAP_LIMIT_MEMORY);
    limited_up("box", &limits, "memory_bytes");
    limited_up("other", &more, "memory_bytes");
    runner_start(&bystander, "other", "touch begun; while ! [ -e over ]; do sleep 0.1; done; echo unharmed");
    cr_assert(tree_await(fx.codebase, "begun"));
    greedy_dies(sh("box", GREEDY));
    HOST_MUST(tree_put(fx.codebase, "over", ""));
    unharmed = runner_join(&bystander);
    cr_expect(run_is(unharmed, 0, "unharmed\n") && !(unharmed->flags & RT_RESULT_OOM), "%s", run_describe(unharmed));
    EXPECT_RUN(run_argv("other", ARGV(PROBE, "memory", "100")), 0, "1\n");
}

/* A tenth of one CPU: however busy the machine is, it cannot be more. */
CONFORMANCE_TEST(limits, N3_cpu_quota)
{
    const rt_limits limits = { .size = sizeof limits, .cpu_millis = 100 };
    const struct run *r;
    int64_t cpu_ns;

    NEED(RT_CAP_LIMIT_CPU);
    limited_up("box", &limits, "cpu_millis");
    r = run_argv("box", ARGV(PROBE, "spin", "1000"));
    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    cpu_ns = r->result->exit.user_cpu_ns + r->result->exit.sys_cpu_ns;
    cr_expect(cpu_ns < r->result->exit.duration_ns * 4 / 10, "%lld ns of CPU time in %lld", (long long)cpu_ns,
              (long long)r->result->exit.duration_ns);
}

static void value_is(pid_t pid, const char *controller, const char *v1_file, const char *v2_file, const char *v1,
                     const char *v2)
{
    char *value = cgroup_value(pid, controller, v1_file, v2_file);

    cr_expect(value && (!strcmp(value, v1) || !strcmp(value, v2)), "%s or %s is %s, wanted %s or %s", v1_file, v2_file,
              value ? value : "not there", v1, v2);
    free(value);
}

/* The kernel's own numbers: what one backend makes of a limit, the others make of it too. */
CONFORMANCE_TEST(limits, N3_the_same_numbers_everywhere)
{
    const rt_limits limits = {
        .size = sizeof limits, .memory_bytes = 48 * MIB, .cpu_millis = 1500, .cpu_shares = 512, .pids = 77
    };
    const char *marker = marker_new();
    pid_t pid = 0;
    char *pids;

    NEED(RT_CAP_LIMIT_MEMORY | RT_CAP_LIMIT_CPU | RT_CAP_LIMIT_PIDS);
    limited_up("box", &limits, "memory_bytes");
    EXPECT_RUN(sh("box", "sleep %s >/dev/null 2>&1 & echo up", marker), 0, "up\n");
    cr_assert(proc_await(marker, 1, &pid) == 1);
    value_is(pid, "memory", "memory.limit_in_bytes", "memory.max", "50331648", "50331648");
    value_is(pid, "cpu", "cpu.cfs_quota_us", "cpu.max", "150000", "150000 100000");
    value_is(pid, "cpu", "cpu.shares", "cpu.weight", "512", "20");
    pids = cgroup_value(pid, "pids", "pids.max", "pids.max");
    /* What a backend keeps in the cgroup and outside of the sandbox comes on top. */
    cr_expect(pids && (!strcmp(pids, "77") || !strcmp(pids, "78")), "%s", pids ? pids : "no limit");
    free(pids);
}

/* Exactly so many: PID 1, the command, and what that starts. */
CONFORMANCE_TEST(limits, N3_pids_are_counted_alike)
{
    const rt_limits limits = { .size = sizeof limits, .pids = 20 };
    rt_sandbox_spec spec = limited("box", &limits);

    NEED(RT_CAP_LIMIT_PIDS);
    probe_install();
    box_up_spec(&spec); /* without cgroups too: each backend has a way to count */
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "forks", "100")), 0, "18 EAGAIN\n");
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "forks", "18")), 0, "18 0\n");
}

/* No room but for PID 1: that is what is said, each time. */
CONFORMANCE_TEST(limits, N3_too_few_processes_for_a_command)
{
    const rt_limits limits = { .size = sizeof limits, .pids = 1 };
    rt_sandbox_spec spec = limited("box", &limits);

    NEED(RT_CAP_LIMIT_PIDS);
    box_up_spec(&spec);
    for (int i = 0; i < 3; i++)
        EXPECT_RUN_STATUS(RT_E_RESOURCE, run_argv("box", ARGV("true")));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
}

CONFORMANCE_TEST(limits, N3_kept_over_a_stop)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 * MIB, .cpu_millis = 900, .pids = 50 };
    rt_sandbox_info *info = NULL;

    NEED(RT_CAP_LIMIT_MEMORY);
    limited_up("box", &limits, "memory_bytes");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    greedy_dies(sh("box", GREEDY));
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect(info->limits.memory_bytes == 32 * MIB && info->limits.cpu_millis == 900 && info->limits.pids == 50);
    fx.ops->sandbox_info_free(info);
}

/* A sandbox's cgroups end with it, also when its host had no time to say good-bye. */
CONFORMANCE_TEST(limits, R3_cgroups_of_a_killed_host)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 64 * MIB, .cpu_millis = 900, .pids = 50 };
    const char *marker = marker_new();
    char *cgroups, *save = NULL;
    pid_t host, pid = 0;

    NEED(RT_CAP_LIMIT_MEMORY);
    if (!has_cgroups())
        cr_skip_test("no cgroup can limit here");
    fixture_close();
    host = fork();
    if (host == 0) {
        rt_sandbox_spec spec = limited("mine", &limits);

        fixture_reopen();
        box_up_spec(&spec);
        sh("mine", "sleep %s >/dev/null 2>&1 & touch up", marker);
        pause();
    }
    cr_assert(host > 0 && tree_await(fx.codebase, "up") && proc_await(marker, 1, &pid) == 1);
    cgroups = cgroups_of(pid);
    kill(host, SIGKILL);
    HOST_MUST(waitpid(host, NULL, 0) == host);
    cr_expect(proc_await(marker, 0, NULL) == 0, "the sandbox lives on");
    fixture_reopen();
    cr_expect(box_status("mine") == -1, "the next open has not cleaned");
    cr_expect(strchr(cgroups, '/'), "it had no cgroup at all");
    for (char *path = strtok_r(cgroups, "\n", &save); path; path = strtok_r(NULL, "\n", &save))
        cr_expect(!cgroup_exists(path), "cgroup %s is left", path);
    free(cgroups);
}

/* ---- what is refused, and what stands in ---- */

CONFORMANCE_TEST(limits, B1_limits_out_of_range)
{
    static const struct {
        rt_limits limits;
        const char *name;
    } bad[] = { { { .size = sizeof(rt_limits), .memory_bytes = 4096 }, "memory_bytes" },
                { { .size = sizeof(rt_limits), .memory_bytes = UINT64_MAX }, "memory_bytes" },
                { { .size = sizeof(rt_limits), .cpu_millis = 9 }, "cpu_millis" },
                { { .size = sizeof(rt_limits), .cpu_millis = 10000001 }, "cpu_millis" },
                { { .size = sizeof(rt_limits), .cpu_shares = 1 }, "cpu_shares" },
                { { .size = sizeof(rt_limits), .cpu_shares = 262145 }, "cpu_shares" } };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_sandbox_spec spec = limited("bad", &bad[i].limits);

        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES(bad[i].name);
        cr_expect(box_status("bad") == -1);
    }
}

/* Where no cgroup limits memory, each process's address space may stand in, if the config says so. */
CONFORMANCE_TEST(limits, N3_address_space_stands_in)
{
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 64 * MIB };
    rt_sandbox_spec spec = limited("box", &limits);
    const struct run *r;

    if (!fixture_has_key("memory_rlimit"))
        cr_skip_test("the plugin has nothing to stand in");
    if (has_cgroups())
        cr_skip_test("cgroups limit here");
    fixture_reopen_with("memory_rlimit", "true");
    probe_install();
    box_up_spec(&spec);
    r = run_argv("box", ARGV(PROBE, "memory", "100"));
    cr_expect(r->status == RT_OK && r->code == 1 && !(r->flags & RT_RESULT_OOM), "%s", run_describe(r));
    EXPECT_RUN(run_argv("box", ARGV(PROBE, "memory", "16")), 0, "1\n");
    fixture_reopen();
}
