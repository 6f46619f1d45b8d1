/* Contract N3: what a sandbox uses is told, with the same meaning on every backend. UINT64_MAX is "cannot be told". */
#include "fixture.h"

#include <stdio.h>

#define MIB (UINT64_C(1) << 20)

static rt_stats stats_of(const char *id)
{
    rt_stats *stats = NULL, copy;

    ASSERT_STATUS(RT_OK, fx.ops->stats(fx.rt, id, CALL, &stats));
    cr_assert(stats->size == sizeof *stats);
    copy = *stats;
    fx.ops->stats_free(stats);
    return copy;
}

CONFORMANCE_TEST(stats, N3_cpu_time)
{
    const struct run *r;
    rt_stats before, after;

    NEED(RT_CAP_STATS);
    BOX_UP("box", WRITE_ALL);
    before = stats_of("box");
    r = sh("box", "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done");
    cr_assert(r->status == RT_OK && r->result, "%s", run_describe(r));
    after = stats_of("box");
    /* What has ended counts too. A clock tick is lost at either end where the kernel counts in these. */
    cr_expect(after.cpu_ns != UINT64_MAX &&
                  after.cpu_ns + 30000000 >=
                      before.cpu_ns + (uint64_t)(r->result->exit.user_cpu_ns + r->result->exit.sys_cpu_ns),
              "%llu, then %llu", (unsigned long long)before.cpu_ns, (unsigned long long)after.cpu_ns);
}

/* Starts a command and waits until it has made the file `up`. */
static rt_process *spawn_until_up(const rt_exec_request *req)
{
    rt_process *process = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->process_spawn(fx.rt, "box", req, CALL, &process));
    cr_assert(tree_await(fx.codebase, "up"));
    return process;
}

CONFORMANCE_TEST(stats, N3_memory_and_its_peak)
{
    rt_stats before, during, after;
    rt_process *process;

    NEED(RT_CAP_STATS | RT_CAP_PROCESS);
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    before = stats_of("box");
    process = spawn_until_up(REQUEST(.shell = "x=$(head -c 33554432 /dev/zero | tr '\\0' x); touch up; read y"));
    during = stats_of("box");
    cr_expect(during.memory_bytes != UINT64_MAX && during.memory_bytes >= before.memory_bytes + 24 * MIB,
              "%llu, then %llu", (unsigned long long)before.memory_bytes, (unsigned long long)during.memory_bytes);
    fx.ops->process_release(fx.rt, process);
    after = stats_of("box");
    cr_expect(after.memory_peak_bytes >= during.memory_bytes, "the peak is %llu, below %llu",
              (unsigned long long)after.memory_peak_bytes, (unsigned long long)during.memory_bytes);
}

CONFORMANCE_TEST(stats, N3_processes)
{
    rt_stats before, during;
    rt_process *process;

    NEED(RT_CAP_STATS | RT_CAP_PROCESS);
    BOX_UP("box", WRITE_ALL);
    before = stats_of("box");
    process = spawn_until_up(REQUEST(.shell = "for i in 1 2 3 4 5; do sleep 1000 & done; touch up; read y"));
    during = stats_of("box");
    cr_expect(before.pids >= 1 && during.pids >= before.pids + 6, "%llu, then %llu", (unsigned long long)before.pids,
              (unsigned long long)during.pids);
    fx.ops->process_release(fx.rt, process);
}

CONFORMANCE_TEST(stats, N3_kills_for_memory)
{
    static const rt_rule rules[] = { { .size = sizeof(rt_rule), .pattern = "**", .permission = RT_PERM_WRITE } };
    const rt_limits limits = { .size = sizeof limits, .memory_bytes = 32 * MIB };
    rt_sandbox_spec spec = box_spec("box");

    NEED(RT_CAP_STATS | RT_CAP_LIMIT_MEMORY);
    spec.rules = rules;
    spec.n_rules = 1;
    spec.limits = &limits;
    if (fx.ops->create(fx.rt, &spec, CALL, NULL) == RT_E_UNSUPPORTED)
        cr_skip_test("no cgroup can limit here");
    HOST_MUST(tree_chown(fx.codebase, fx.owner, fx.owner));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    cr_expect(stats_of("box").oom_kills == 0);
    (void)sh("box", "head -c 200000000 /dev/zero | tail -c 99999999 | wc -c");
    cr_expect(stats_of("box").oom_kills >= 1);
    cr_expect(stats_of("box").memory_bytes <= 32 * MIB);
}

CONFORMANCE_TEST(stats, N3_in_every_state)
{
    rt_sandbox_spec spec = box_spec("box");
    rt_stats *stats = NULL;

    NEED(RT_CAP_STATS);
    EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->stats(fx.rt, "box", CALL, &stats));
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->stats(fx.rt, "box", CALL, &stats));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    cr_expect(stats_of("box").pids >= 1);
    if (fx.plugin.info->capabilities & RT_CAP_PAUSE) {
        ASSERT_STATUS(RT_OK, fx.ops->pause(fx.rt, "box", CALL));
        cr_expect(stats_of("box").pids >= 1);
    }
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->stats(fx.rt, "box", CALL, &stats));
    cr_expect(stats == NULL);
}
