/*
 * Many threads on one runtime, without a test framework: Criterion's workers do not live under ThreadSanitizer.
 * usage: stress PLUGIN [SECONDS]
 */
#include "host/stockade.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8

static stockade_runtime *sb;
static char dir[256], codebase[300];
static time_t end;
static atomic_uint execs, cycles, failures;

static void complain(const char *what, const rt_call *call)
{
    fprintf(stderr, "stress: %s: %s: %s\n", what, call->error.op, call->error.message);
    atomic_fetch_add(&failures, 1);
}

static int32_t box_make(const char *id, rt_call *call)
{
    const rt_rule all = { .size = sizeof all, .pattern = "/**", .permission = RT_PERM_WRITE };
    rt_sandbox_spec spec = { .size = sizeof spec, .id = id, .codebase = codebase, .rules = &all, .n_rules = 1 };
    int32_t status = sb->ops->create(sb->rt, &spec, call, NULL);

    return status ? status : sb->ops->start(sb->rt, id, call);
}

/* An exec whose output tells whether it was its own. */
static void exec_own(const char *id, unsigned thread, rt_call *call)
{
    unsigned serial = atomic_fetch_add(&execs, 1);
    char text[32];
    const char *const argv[] = { "/bin/echo", text, NULL };
    rt_exec_request req = { .size = sizeof req, .argv = argv };
    rt_exec_result *result = NULL;

    snprintf(text, sizeof text, "%u.%u", thread, serial);
    if (sb->ops->exec(sb->rt, id, &req, call, &result)) {
        complain("exec", call);
        return;
    }
    if (strncmp(result->stdout_data, text, strlen(text))) {
        fprintf(stderr, "stress: wanted '%s', got '%s'\n", text, result->stdout_data);
        atomic_fetch_add(&failures, 1);
    }
    sb->ops->exec_result_free(result);
}

/* Timed out with a tree: the other path through an exec. */
static void exec_timed_out(const char *id, rt_call *call)
{
    rt_exec_request req = { .size = sizeof req, .shell = "sleep 60 & sleep 60", .timeout_ms = 50, .grace_ms = 50 };
    rt_exec_result *result = NULL;

    if (sb->ops->exec(sb->rt, id, &req, call, &result) != RT_E_TIMEOUT)
        complain("timeout", call);
    sb->ops->exec_result_free(result);
}

/* Everybody on one sandbox. */
static void *share(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    rt_call call = RT_CALL_INIT;

    while (time(NULL) < end) {
        rt_sandbox_list *list = NULL;

        for (int i = 0; i < 20; i++)
            exec_own("shared", thread, &call);
        exec_timed_out("shared", &call);
        if (sb->ops->list(sb->rt, &call, &list))
            complain("list", &call);
        sb->ops->sandbox_list_free(list);
    }
    return NULL;
}

/* Everybody with their own, from create to destroy. */
static void *cycle(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    rt_call call = RT_CALL_INIT;
    char id[32];

    snprintf(id, sizeof id, "own-%u", thread);
    while (time(NULL) < end) {
        if (box_make(id, &call)) {
            complain("start", &call);
            return NULL;
        }
        exec_own(id, thread, &call);
        if (sb->ops->stop(sb->rt, id, &call) || sb->ops->start(sb->rt, id, &call))
            complain("restart", &call);
        exec_own(id, thread, &call);
        if (sb->ops->destroy(sb->rt, id, &call))
            complain("destroy", &call);
        atomic_fetch_add(&cycles, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    rt_call call = RT_CALL_INIT;
    pthread_t threads[THREADS];
    char state[300], clean[300];
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%.200s/stress.XXXXXX", tmp ? tmp : "/tmp");
    if (argc < 2 || !mkdtemp(dir))
        return 2;
    end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 10);
    snprintf(state, sizeof state, "%s/state", dir);
    snprintf(codebase, sizeof codebase, "%s/codebase", dir);
    snprintf(clean, sizeof clean, "rm -rf %s", dir);
    options.runtime = argv[1];
    options.state_dir = state;
    if (mkdir(codebase, 0755) < 0 || stockade_open(&options, &call, &sb) || box_make("shared", &call)) {
        complain("open", &call);
        return 1;
    }
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, i % 2 ? share : cycle, (void *)(uintptr_t)i))
            return 1;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    stockade_close(sb);
    printf("%u execs, %u sandboxes, %u failures\n", execs, cycles, failures);
    if (!execs || !cycles || system(clean))
        return 1;
    return failures != 0;
}
