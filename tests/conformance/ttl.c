/* max_lifetime_ms and idle_timeout_ms: ended without any host, kept, and the cause told. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static void box_up_ttl(int32_t lifetime, int64_t max_lifetime_ms, int64_t idle_timeout_ms)
{
    rt_sandbox_spec spec = box_spec("box");

    spec.lifetime = lifetime;
    spec.max_lifetime_ms = max_lifetime_ms;
    spec.idle_timeout_ms = idle_timeout_ms;
    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    box_up_spec(&spec);
}

/* Stopped by itself for that reason; nothing of it is left, and it can be started again. */
static void expired_expect(const char *cause)
{
    rt_sandbox_info *info = NULL;

    cr_assert(AWAIT(box_status("box") == RT_SANDBOX_STOPPED), "status %d", (int)box_status("box"));
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect(!strncmp(info->last_error, "expired: ", 9) && strstr(info->last_error, cause), "%s", info->last_error);
    cr_expect(info->stopped_ns >= info->started_ns && !info->mount_point[0], "stopped at %lld, started at %lld",
              (long long)info->stopped_ns, (long long)info->started_ns);
    fx.ops->sandbox_info_free(info);
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("box", "true"));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(AWAIT(!proc_is_mounted_below(fx.dir)), "still mounted");
}

CONFORMANCE_TEST(ttl, L4_max_lifetime_ends_what_runs)
{
    const struct run *r;

    NEED(RT_CAP_TTL);
    box_up_ttl(RT_LIFETIME_HOST, ENOUGH_MS, 0);
    r = run_request("box", REQUEST(.shell = "sleep 1000", .timeout_ms = RT_FOREVER));
    cr_expect(r->status == RT_E_NOT_RUNNING && strstr(r->message, "expired"), "%s", run_describe(r));
    expired_expect("max_lifetime");
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL)); /* its time begins anew */
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
}

CONFORMANCE_TEST(ttl, L4_max_lifetime_without_a_host)
{
    pid_t pid;

    NEED(RT_CAP_TTL);
    pid = fork();
    HOST_MUST(pid >= 0);
    if (pid == 0) {
        fx.rt = NULL;
        fixture_reopen();
        box_up_ttl(RT_LIFETIME_PERSISTENT, ENOUGH_MS, 0);
        kill(getpid(), SIGKILL);
    }
    HOST_MUST(waitpid(pid, NULL, 0) == pid);
    expired_expect("max_lifetime");
    fixture_reopen(); /* what this finds to clean is no reason to forget the cause */
    expired_expect("max_lifetime");
}

CONFORMANCE_TEST(ttl, L4_idle_ends_it_and_use_does_not)
{
    NEED(RT_CAP_TTL);
    box_up_ttl(RT_LIFETIME_PERSISTENT, 0, 2 * ENOUGH_MS);
    EXPECT_RUN(sh("box", "sleep 7; echo used"), 0, "used\n"); /* longer than it may be idle */
    for (int i = 0; i < 3; i++) {
        sleep_ms(300);
        EXPECT_RUN(sh("box", "echo used"), 0, "used\n");
    }
    expired_expect("idle_timeout");
}

/* A session that only waits for a next command is no use; one with a command is. */
CONFORMANCE_TEST(ttl, L4_idle_counts_sessions_commands)
{
    const rt_session_spec spec = { .size = sizeof spec, .id = "s" };

    NEED(RT_CAP_TTL | RT_CAP_SESSION);
    box_up_ttl(RT_LIFETIME_HOST, 0, 2 * ENOUGH_MS);
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    EXPECT_RUN(in("s", "sleep 7; echo used"), 0, "used\n");
    sleep_ms(300);
    EXPECT_RUN(in("s", "echo used"), 0, "used\n");
    expired_expect("idle_timeout");
}

/* Background children do not keep it. */
CONFORMANCE_TEST(ttl, L4_idle_is_idle_whatever_was_left_in_the_background)
{
    const char *marker = marker_new();

    NEED(RT_CAP_TTL);
    box_up_ttl(RT_LIFETIME_HOST, 600000, 2000);
    EXPECT_RUN(sh("box", "sleep %s >/dev/null 2>&1 & echo up", marker), 0, "up\n");
    expired_expect("idle_timeout");
    cr_expect(proc_await(marker, 0, NULL) == 0);
}
