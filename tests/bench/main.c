/* `make bench`: what a sandbox costs, against the same work without one. */
#include "bare_mount.h"
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define STREAM_MIB 4096

static const char *const true_argv[] = { "/bin/sh", "-c", "true", NULL };

double spawn_and_wait(const char *const *argv, const posix_spawn_file_actions_t *actions)
{
    double start = bench_now_ms();
    int status;
    pid_t pid;

    if (posix_spawn(&pid, argv[0], actions, NULL, (char *const *)(uintptr_t)argv, environ)) {
        perror(argv[0]);
        exit(1);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status) {
        fprintf(stderr, "bench: %s failed\n", argv[0]);
        exit(1);
    }
    return bench_now_ms() - start;
}

/* ---- exec ---- */

double exec_baseline(void *arg)
{
    const struct host *host = arg;

    return spawn_and_wait(host->argv, NULL);
}

double exec_in(struct host *host, const char *id)
{
    rt_exec_request req = { .size = sizeof req, .argv = host->argv };
    rt_exec_result *result;
    double start = bench_now_ms(), took;

    bench_check(host->sb->ops->exec(host->sb->rt, id, &req, &host->call, &result), &host->call);
    took = bench_now_ms() - start;
    host->sb->ops->exec_result_free(result);
    return took;
}

double exec_ours(void *arg)
{
    return exec_in(arg, "bench");
}

/* ---- stdout ---- */

static double rate(size_t bytes, double ms)
{
    return (double)bytes / (1 << 20) / (ms / 1e3);
}

static const char *const stream_argv[] = { "/usr/bin/head", "-c", "4096M", "/dev/zero", NULL };

size_t spawn_and_read(const char *const *argv)
{
    static char buffer[64 << 10];
    posix_spawn_file_actions_t actions;
    size_t total = 0;
    int fds[2];
    ssize_t n;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        exit(1);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    if (posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ))
        exit(1);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    while ((n = read(fds[0], buffer, sizeof buffer)) > 0)
        total += (size_t)n;
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return total;
}

static double stdout_baseline(void *arg)
{
    double start = bench_now_ms();
    size_t total = spawn_and_read(stream_argv);

    (void)arg;
    return rate(total, bench_now_ms() - start);
}

static int32_t count_bytes(void *user, int32_t stream, const void *data, size_t len)
{
    (void)stream;
    (void)data;
    *(size_t *)user += len;
    return 1;
}

size_t stdout_stream(struct host *host, const char *const *argv)
{
    rt_exec_request req = { .size = sizeof req, .argv = argv };
    size_t total = 0;

    bench_check(host->sb->ops->exec_stream(host->sb->rt, "bench", &req, count_bytes, &total, &host->call, NULL),
                &host->call);
    return total;
}

static double stdout_ours(void *arg)
{
    double start = bench_now_ms();
    size_t total = stdout_stream(arg, stream_argv);

    if (total != (size_t)STREAM_MIB << 20) {
        fprintf(stderr, "bench: %zu bytes arrived\n", total);
        exit(1);
    }
    return rate(total, bench_now_ms() - start);
}

/* ---- start ---- */

static const char *const bare_argv[] = {
    "/usr/bin/bwrap", "--unshare-all", "--ro-bind", "/usr",      "/usr",   "--symlink", "usr/bin", "/bin",  "--symlink",
    "usr/lib",        "/lib",          "--symlink", "usr/lib64", "/lib64", "--proc",    "/proc",   "--dev", "/dev",
    "--tmpfs",        "/tmp",          "--",        "/bin/sh",   "-c",     "true",      NULL
};

void bare_cycle(const char *dir)
{
    pid_t mount;

    if (mkdir(dir, 0755) < 0) {
        perror(dir);
        exit(1);
    }
    mount = bare_mount_start(dir);
    (void)spawn_and_wait(bare_argv, NULL);
    bare_mount_end(mount, dir);
    rmdir(dir);
}

static double start_baseline(void *arg)
{
    const struct host *host = arg;
    char dir[sizeof host->codebase + 8];
    double start = bench_now_ms();

    snprintf(dir, sizeof dir, "%s.bare", host->codebase);
    bare_cycle(dir);
    return bench_now_ms() - start;
}

void box_make(struct host *host, const char *id)
{
    const rt_rule all = { .size = sizeof all, .pattern = "/**", .permission = RT_PERM_WRITE };
    rt_sandbox_spec spec = { .size = sizeof spec, .id = id, .codebase = host->codebase, .rules = &all, .n_rules = 1 };

    bench_check(host->sb->ops->create(host->sb->rt, &spec, &host->call, NULL), &host->call);
    bench_check(host->sb->ops->start(host->sb->rt, id, &host->call), &host->call);
}

void box_cycle(struct host *host, const char *id)
{
    box_make(host, id);
    (void)exec_in(host, id);
    bench_check(host->sb->ops->destroy(host->sb->rt, id, &host->call), &host->call);
}

static double start_ours(void *arg)
{
    struct host *host = arg;
    double start = bench_now_ms();
    char id[32];

    snprintf(id, sizeof id, "start-%u", host->serial++);
    box_cycle(host, id);
    return bench_now_ms() - start;
}

void host_open(struct host *host, const char *runtime, const char *config)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    char state[80];

    snprintf(state, sizeof state, "%s.state", host->codebase);
    options.state_dir = state;
    options.runtime = runtime;
    options.runtime_config = config;
    bench_check(stockade_open(&options, &host->call, &host->sb), &host->call);
    box_make(host, "bench");
}

int main(int argc, char **argv)
{
    struct host host = { .call = RT_CALL_INIT, .argv = true_argv, .codebase = "" };
    const char *docker_host = getenv("BENCH_DOCKER_HOST"); /* of tests/bench.sh */

    if (argc == 3 && !strcmp(argv[1], BARE_MOUNT_OPTION))
        return bare_mount_main(argv[0], argv[2]);
    if (argc != 3 || snprintf(host.codebase, sizeof host.codebase, "%s/code", argv[2]) >= (int)sizeof host.codebase ||
        mkdir(host.codebase, 0700) < 0) {
        fprintf(stderr, "usage: bench OUTPUT.json DIR\nDIR is an empty directory to work in, of a short name\n");
        return 2;
    }
    host_open(&host, "bwrap", NULL);
    bench_run(&(struct bench){ .name = "exec.bwrap",
                               .unit = "ms",
                               .ours = exec_ours,
                               .baseline = exec_baseline,
                               .arg = &host,
                               .warm_up = 50,
                               .rounds = 1000 });
    bench_session(&host, "session.bwrap");
    bench_threads(&host);
    bench_run(&(struct bench){ .name = "stdout.bwrap",
                               .unit = "MiB/s",
                               .ours = stdout_ours,
                               .baseline = stdout_baseline,
                               .arg = &host,
                               .rounds = 3,
                               .more_is_better = 1 });
    bench_run(&(struct bench){ .name = "start.bwrap",
                               .unit = "ms",
                               .ours = start_ours,
                               .baseline = start_baseline,
                               .arg = &host,
                               .warm_up = 5,
                               .rounds = 50 });
    bench_scale(&host);
    if (docker_host)
        bench_docker(&host, docker_host);
    stockade_close(host.sb);
    bench_fs(argv[2]);
    return bench_write(argv[1]);
}
