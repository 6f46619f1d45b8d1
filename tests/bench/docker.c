/* The docker runtime: against bare processes, against the bwrap runtime, and against the Engine's own API on an Engine
 * that has tests/engine.sh's images. */
#include "bare_engine.h"
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IMAGE      "stockade-test:busybox"
#define STREAM_MIB 1024

/* What both sides have: the image is made of the machine's busybox. */
static const char *const shell_argv[] = { "/bin/busybox", "sh", "-c", "true", NULL };
static const char *const bare_true_argv[] = { "/bin/busybox", "true", NULL };
static const char *const stream_argv[] = { "/bin/busybox", "dd", "if=/dev/zero", "bs=1M", "count=1024",
                                           "status=none",  NULL };

/* The docker runtime with its sandbox "bench", bwrap with one of that name, and the Engine under the first. */
struct docker {
    struct host host; /* first: what benches of any runtime take */
    struct host bwrap;
    struct bare_engine *engine;
    char container[80]; /* of the sandbox */
};

/* ---- exec ---- */

static double bwrap_exec(void *arg)
{
    struct docker *docker = arg;

    return exec_ours(&docker->bwrap);
}

static double engine_exec(void *arg)
{
    struct docker *docker = arg;
    double start = bench_now_ms();

    bare_exec(docker->engine, docker->container, docker->host.argv);
    return bench_now_ms() - start;
}

/*
 * The Engine clears up behind an exec for longer than one of ours takes. So each side runs a row of them, as a shell
 * does that is given one command after the other, and little of ours falls into what the Engine's left.
 */
static double mean_of(double (*exec)(void *arg), void *arg, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += exec(arg);
    return sum / n;
}

static double row_ours(void *arg)
{
    return mean_of(exec_ours, arg, 200);
}

static double row_engine(void *arg)
{
    return mean_of(engine_exec, arg, 10);
}

static double threads_ours(void *arg)
{
    return threads_rate(exec_ours, arg, sizeof(struct docker), 200);
}

static double threads_engine(void *arg)
{
    return threads_rate(engine_exec, arg, sizeof(struct docker), 4);
}

static void bench_exec(struct docker *docker)
{
    bench_run(&(struct bench){ .name = "exec.docker",
                               .unit = "ms",
                               .ours = exec_ours,
                               .baseline = exec_baseline,
                               .arg = docker,
                               .warm_up = 50,
                               .rounds = 1000 });
    bench_run(&(struct bench){ .name = "exec.docker_vs_bwrap",
                               .unit = "ms",
                               .ours = exec_ours,
                               .baseline = bwrap_exec,
                               .arg = docker,
                               .warm_up = 50,
                               .rounds = 1000 });
    docker->host.argv = bare_true_argv;
    bench_run(&(struct bench){ .name = "exec.docker_vs_engine",
                               .unit = "ms",
                               .ours = row_ours,
                               .baseline = row_engine,
                               .arg = docker,
                               .warm_up = 1,
                               .rounds = 15 });
    bench_run(&(struct bench){ .name = "exec_8_threads.docker_vs_engine",
                               .unit = "1/s",
                               .ours = threads_ours,
                               .baseline = threads_engine,
                               .arg = docker,
                               .warm_up = 1,
                               .rounds = 5,
                               .more_is_better = 1 });
    docker->host.argv = shell_argv;
}

/* ---- stdout ---- */

static double stream_rate(size_t bytes, double start)
{
    if (bytes != (size_t)STREAM_MIB << 20) {
        fprintf(stderr, "bench: %zu bytes arrived\n", bytes);
        exit(1);
    }
    return STREAM_MIB / ((bench_now_ms() - start) / 1e3);
}

static double stdout_ours(void *arg)
{
    double start = bench_now_ms();

    return stream_rate(stdout_stream(arg, stream_argv), start);
}

static double stdout_engine(void *arg)
{
    struct docker *docker = arg;
    double start = bench_now_ms();

    return stream_rate(bare_exec_stream(docker->engine, docker->container, stream_argv), start);
}

static double stdout_pipe(void *arg)
{
    double start = bench_now_ms();

    (void)arg;
    return stream_rate(spawn_and_read(stream_argv), start);
}

static void bench_stdout(struct docker *docker)
{
    bench_run(&(struct bench){ .name = "stdout.docker",
                               .unit = "MiB/s",
                               .ours = stdout_ours,
                               .baseline = stdout_pipe,
                               .arg = docker,
                               .rounds = 5,
                               .more_is_better = 1 });
    bench_run(&(struct bench){ .name = "stdout.docker_vs_engine",
                               .unit = "MiB/s",
                               .ours = stdout_ours,
                               .baseline = stdout_engine,
                               .arg = docker,
                               .rounds = 5,
                               .more_is_better = 1 });
}

/* ---- start and stop ---- */

static const char *name_next(struct docker *docker)
{
    static char name[64];

    snprintf(name, sizeof name, "stockade-bench-%d-%u", (int)getpid(), docker->host.serial++);
    return name;
}

/* One from nothing to nothing; ms of its beginning and of its end. */
struct life {
    double start, end;
};

static struct life life_ours(struct docker *docker)
{
    const rt_ops *ops = docker->host.sb->ops;
    const char *name = name_next(docker);
    double start = bench_now_ms(), up, begun;

    box_make(&docker->host, name);
    up = bench_now_ms() - start;
    begun = bench_now_ms();
    bench_check(ops->stop(docker->host.sb->rt, name, &docker->host.call), &docker->host.call);
    bench_check(ops->destroy(docker->host.sb->rt, name, &docker->host.call), &docker->host.call);
    return (struct life){ up, bench_now_ms() - begun };
}

static struct life life_engine(struct docker *docker)
{
    const char *name = name_next(docker);
    double start = bench_now_ms(), up, begun;

    bare_run(docker->engine, name, IMAGE, docker->host.codebase);
    up = bench_now_ms() - start;
    begun = bench_now_ms();
    bare_end(docker->engine, name);
    return (struct life){ up, bench_now_ms() - begun };
}

static double start_ours(void *arg)
{
    return life_ours(arg).start;
}

static double start_engine(void *arg)
{
    return life_engine(arg).start;
}

static double end_ours(void *arg)
{
    return life_ours(arg).end;
}

static double end_engine(void *arg)
{
    return life_engine(arg).end;
}

static void bench_life(struct docker *docker)
{
    bench_run(&(struct bench){ .name = "create_start.docker_vs_engine",
                               .unit = "ms",
                               .ours = start_ours,
                               .baseline = start_engine,
                               .arg = docker,
                               .warm_up = 2,
                               .rounds = 20 });
    bench_run(&(struct bench){ .name = "stop_destroy.docker_vs_engine",
                               .unit = "ms",
                               .ours = end_ours,
                               .baseline = end_engine,
                               .arg = docker,
                               .warm_up = 2,
                               .rounds = 20 });
}

static void container_find(struct docker *docker)
{
    rt_sandbox_info *info;

    bench_check(docker->host.sb->ops->get(docker->host.sb->rt, "bench", &docker->host.call, &info), &docker->host.call);
    snprintf(docker->container, sizeof docker->container, "%s", info->backend_id);
    docker->host.sb->ops->sandbox_info_free(info);
}

void bench_docker(const struct host *bwrap, const char *docker_host)
{
    struct docker docker = { .host = *bwrap, .bwrap = *bwrap };
    char config[300];

    snprintf(config, sizeof config, "{\"docker_host\": \"%s\", \"default_image\": \"" IMAGE "\", \"pull\": \"never\"}",
             docker_host);
    host_open(&docker.host, "docker", config);
    docker.host.argv = docker.bwrap.argv = shell_argv;
    docker.engine = bare_engine_open(docker_host);
    container_find(&docker);
    bench_exec(&docker);
    bench_session(&docker.host, "session.docker");
    bench_stdout(&docker);
    bench_life(&docker);
    bare_engine_close(docker.engine);
    stockade_close(docker.host.sb);
}
