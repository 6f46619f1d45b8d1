/*
 * Many threads on one runtime, without a test framework: Criterion's workers do not live under ThreadSanitizer.
 * usage: stress PLUGIN [SECONDS [CONFIG]]
 */
#include "host/stockade.h"

#include <pthread.h>
#include <signal.h>
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
static atomic_uint execs, cycles, session_execs, failures;

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

static int32_t add_up(void *user, int32_t stream, const void *data, size_t len)
{
    (void)stream, (void)data;
    *(size_t *)user += len;
    return 1;
}

static void exec_streamed(const char *id, rt_call *call)
{
    const rt_exec_request req = { .size = sizeof req, .shell = "head -c 300000 /dev/zero" };
    size_t total = 0;

    if (sb->ops->exec_stream(sb->rt, id, &req, add_up, &total, call, NULL) || total != 300000)
        complain("exec_stream", call);
}

static void process_signalled(const char *id, rt_call *call)
{
    const rt_exec_request req = { .size = sizeof req, .shell = "sleep 60", .flags = RT_EXEC_TTY };
    rt_process *process = NULL;
    rt_exit how = RT_EXIT_INIT;

    if (sb->ops->process_spawn(sb->rt, id, &req, call, &process)) {
        complain("process_spawn", call);
        return;
    }
    if (sb->ops->process_resize(sb->rt, process, 30, 90, call) ||
        sb->ops->process_signal(sb->rt, process, SIGKILL, call) || sb->ops->process_wait(sb->rt, process, call, &how) ||
        how.term_signal != SIGKILL)
        complain("process", call);
    sb->ops->process_release(sb->rt, process);
}

static void session_says(const char *session, const char *text, int32_t wanted, const char *out, rt_call *call)
{
    const rt_exec_request req = { .size = sizeof req, .shell = text, .timeout_ms = wanted ? 50 : 0, .grace_ms = 50 };
    rt_exec_result *result = NULL;
    int32_t status = sb->ops->session_exec(sb->rt, "shared", session, &req, call, &result);

    if (status != wanted || (out && (!result || strcmp(result->stdout_data, out))))
        complain(text, call);
    sb->ops->exec_result_free(result);
    atomic_fetch_add(&session_execs, 1);
}

/* A session of one's own from its start to its end, and one that all share. */
static void session_cycle(unsigned thread, rt_call *call)
{
    char id[32];
    const rt_session_spec spec = { .size = sizeof spec, .id = id };
    rt_session_list *list = NULL;

    snprintf(id, sizeof id, "session-%u", thread);
    if (sb->ops->session_create(sb->rt, "shared", &spec, call, NULL)) {
        complain("session_create", call);
        return;
    }
    session_says(id, "x=kept", RT_OK, "", call);
    for (int i = 0; i < 10; i++)
        session_says("common", "y=$((y + 1)); z=$y; : ; [ $z = $y ] && echo same", RT_OK, "same\n", call);
    session_says(id, "sleep 60 & while :; do :; done", RT_E_TIMEOUT, NULL, call);
    session_says(id, "echo $x", RT_OK, "kept\n", call);
    if (sb->ops->session_list(sb->rt, "shared", call, &list))
        complain("session_list", call);
    sb->ops->session_list_free(list);
    if (sb->ops->session_destroy(sb->rt, "shared", id, call))
        complain("session_destroy", call);
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
        exec_streamed("shared", &call);
        process_signalled("shared", &call);
        session_cycle(thread, &call);
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
    const rt_session_spec common = { .size = sizeof common, .id = "common" };
    rt_call call = RT_CALL_INIT;
    pthread_t threads[THREADS];
    char state[300], clean[300];
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%.200s/stress.XXXXXX", tmp ? tmp : "/tmp");
    if (argc < 2 || !mkdtemp(dir))
        return 2;
    snprintf(state, sizeof state, "%s/state", dir);
    snprintf(codebase, sizeof codebase, "%s/codebase", dir);
    snprintf(clean, sizeof clean, "rm -rf %s", dir);
    options.runtime = argv[1];
    options.runtime_config = argc > 3 ? argv[3] : NULL;
    options.state_dir = state;
    if (mkdir(codebase, 0755) < 0 || stockade_open(&options, &call, &sb) || box_make("shared", &call) ||
        sb->ops->session_create(sb->rt, "shared", &common, &call, NULL)) {
        complain("open", &call);
        return 1;
    }
    end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 10);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, i % 2 ? share : cycle, (void *)(uintptr_t)i))
            return 1;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    stockade_close(sb);
    printf("%u execs, %u in sessions, %u sandboxes, %u failures\n", execs, session_execs, cycles, failures);
    if (!execs || !cycles || !session_execs || system(clean))
        return 1;
    return failures != 0;
}
