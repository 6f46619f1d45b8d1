/* A command in a session, against starting a shell for it. */
#include "host.h"

static double session_ours(void *arg)
{
    struct host *host = arg;
    rt_exec_request req = { .size = sizeof req, .shell = ":" };
    rt_exec_result *result;
    double start = bench_now_ms(), took;

    bench_check(host->sb->ops->session_exec(host->sb->rt, "bench", "session", &req, &host->call, &result), &host->call);
    took = bench_now_ms() - start;
    host->sb->ops->exec_result_free(result);
    return took;
}

void bench_session(struct host *host, const char *name)
{
    const rt_session_spec spec = { .size = sizeof spec, .id = "session" };
    const rt_ops *ops = host->sb->ops;

    bench_check(ops->session_create(host->sb->rt, "bench", &spec, &host->call, NULL), &host->call);
    bench_run(&(struct bench){ .name = name,
                               .unit = "ms",
                               .ours = session_ours,
                               .baseline = exec_baseline,
                               .arg = host,
                               .warm_up = 50,
                               .rounds = 1000 });
    bench_check(ops->session_destroy(host->sb->rt, "bench", "session", &host->call), &host->call);
}
