/*
 * A runtime that is all in memory, for tests of hosts: sandboxes with their states, and commands that are answered
 * without a process:
 *   echo WORD...   err WORD...   exit N   cat (stdin)   env   hang (until its timeout or a cancel)   spam (1 MiB)
 * A shell text is printed. The runtime's config is shown as each sandbox's image.
 *
 * Persistent sandboxes are kept in a file of the state directory, with their sessions, in which commands are answered
 * likewise; the text "exit N" closes one, "hang" and "fail" (RT_E_IO) are commands there, and "env" gives its own.
 */
#include "runtime_api.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BOXES_MAX    16
#define ENV_CAP      1024
#define SESSIONS_MAX 4

__attribute__((visibility("default"))) const rt_plugin *rt_plugin_entry(void);

struct session {
    char id[64];
    char shell[64];
    char cwd[64];
    char env[ENV_CAP / 4]; /* lines */
    int32_t status;
    int64_t created_ns;
    uint64_t commands;
};

struct box {
    char id[64];
    char codebase[4096];
    char env[ENV_CAP]; /* lines */
    int32_t status, lifetime;
    int64_t created_ns;
    int64_t timeout_ms;
    struct session sessions[SESSIONS_MAX]; /* in use if id is not "" */
};

struct rt_runtime {
    pthread_mutex_t lock; /* guards all that follows */
    char config[256];
    char state_dir[4000];
    char file[4096];             /* where the persistent ones are kept */
    struct box boxes[BOXES_MAX]; /* in use if id is not "" */
    unsigned made;
};

static int32_t answer(rt_call *call, int32_t status, const char *op, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int32_t answer(rt_call *call, int32_t status, const char *op, const char *format, ...)
{
    va_list args;

    if (!call)
        return status;
    call->error.status = status;
    call->error.sys_errno = 0;
    snprintf(call->error.op, sizeof call->error.op, "%s", op);
    va_start(args, format);
    vsnprintf(call->error.message, sizeof call->error.message, format, args);
    va_end(args);
    return status;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- the runtime ----------------------------------------------------------------------------------------------- */

/* Best effort, as is all of this: whoever tests with it has one process at a time. */
static void boxes_load(rt_runtime *rt)
{
    FILE *file = fopen(rt->file, "re");

    if (file && fread(rt->boxes, sizeof rt->boxes, 1, file) != 1)
        memset(rt->boxes, 0, sizeof rt->boxes);
    if (file)
        fclose(file);
}

static void boxes_save(rt_runtime *rt)
{
    bool is_any = false;
    FILE *file;

    for (size_t i = 0; i < BOXES_MAX; i++) {
        if (rt->boxes[i].lifetime != RT_LIFETIME_PERSISTENT)
            rt->boxes[i] = (struct box){ 0 };
        is_any = is_any || *rt->boxes[i].id;
    }
    if (!is_any) {
        unlink(rt->file);
        return;
    }
    mkdir(rt->state_dir, 0700);
    file = fopen(rt->file, "we");
    if (!file)
        return;
    fwrite(rt->boxes, sizeof rt->boxes, 1, file);
    fclose(file);
}

static int32_t mock_open(const rt_open_params *params, rt_call *call, rt_runtime **ret)
{
    rt_runtime *rt = calloc(1, sizeof *rt);

    if (!rt)
        return answer(call, RT_E_NOMEM, "open", "out of memory");
    if (!params->state_dir) {
        free(rt);
        return answer(call, RT_E_INVAL, "open", "no state directory");
    }
    pthread_mutex_init(&rt->lock, NULL);
    snprintf(rt->config, sizeof rt->config, "%s", params->config ? params->config : "{}");
    snprintf(rt->state_dir, sizeof rt->state_dir, "%s", params->state_dir);
    snprintf(rt->file, sizeof rt->file, "%s/mock.boxes", rt->state_dir);
    boxes_load(rt);
    if (params->log) {
        params->log(params->log_user, RT_LOG_DEBUG, "mock debug");
        params->log(params->log_user, RT_LOG_INFO, "mock info");
        params->log(params->log_user, RT_LOG_WARN, "mock warning");
    }
    *ret = rt;
    return answer(call, RT_OK, "open", "%s", "");
}

static void mock_close(rt_runtime *rt)
{
    if (!rt)
        return;
    boxes_save(rt);
    pthread_mutex_destroy(&rt->lock);
    free(rt);
}

static int32_t mock_probe(rt_runtime *rt, rt_call *call, rt_probe **ret)
{
    static const rt_check fine = { sizeof fine, RT_CHECK_OK, 0, "memory", "all is in memory", "" };
    static const rt_check less = { sizeof less, RT_CHECK_WARN, 0, "isolation", "there is none", "use bwrap" };
    static const rt_check *const checks[] = { &fine, &less };
    rt_probe *probe = malloc(sizeof *probe);

    (void)rt;
    if (!probe)
        return answer(call, RT_E_NOMEM, "probe", "out of memory");
    *probe = (rt_probe){ sizeof *probe, 1, 0, "mock 1.0", 2, checks };
    *ret = probe;
    return answer(call, RT_OK, "probe", "%s", "");
}

static void mock_probe_free(rt_probe *probe)
{
    free(probe);
}

/* ---- sandboxes ------------------------------------------------------------------------------------------------- */

/* "" finds a free place. NULL if there is none. */
static struct box *box_find(rt_runtime *rt, const char *id)
{
    for (size_t i = 0; i < BOXES_MAX; i++)
        if (!strcmp(rt->boxes[i].id, id))
            return &rt->boxes[i];
    return NULL;
}

/* A snapshot in one allocation. */
struct snapshot {
    rt_sandbox_info info; /* first: what the host sees */
    struct box box;
    char config[256];
};

static void snapshot_fill(struct snapshot *snapshot, const rt_runtime *rt, const struct box *box)
{
    snapshot->box = *box;
    memcpy(snapshot->config, rt->config, sizeof snapshot->config);
    snapshot->info = (rt_sandbox_info){
        .size = sizeof snapshot->info,
        .id = snapshot->box.id,
        .codebase = snapshot->box.codebase,
        .codebase_id = "",
        .workspace = "/workspace",
        .runtime = "mock",
        .image = snapshot->config,
        .network = "none",
        .user = "",
        .backend_id = "",
        .mount_point = "",
        .last_error = "",
        .status = box->status,
        .lifetime = box->lifetime,
        .created_ns = box->created_ns,
        .limits = { .size = sizeof(rt_limits) },
    };
}

static void mock_info_free(rt_sandbox_info *info)
{
    free(info);
}

static void id_make(rt_runtime *rt, char *id, size_t cap)
{
    char made[24];

    do
        snprintf(made, sizeof made, "mock-%u", ++rt->made);
    while (box_find(rt, made));
    snprintf(id, cap, "%s", made);
}

static int32_t box_fill(rt_runtime *rt, const rt_sandbox_spec *spec, rt_call *call, struct box **ret)
{
    struct box *box = box_find(rt, "");
    size_t at = 0;

    if (spec->id && *spec->id && box_find(rt, spec->id))
        return answer(call, RT_E_EXISTS, "create", "'%s' exists", spec->id);
    if (!box)
        return answer(call, RT_E_RESOURCE, "create", "the mock is full");
    for (size_t i = 0; i < spec->n_rules; i++)
        if (!strcmp(spec->rules[i].pattern, "["))
            return answer(call, RT_E_PATTERN, "create", "rule %zu: unclosed '['", i);
    *box = (struct box){ .lifetime = spec->lifetime, .created_ns = clock_ns(CLOCK_REALTIME) };
    box->timeout_ms = spec->timeout_ms;
    snprintf(box->codebase, sizeof box->codebase, "%s", spec->codebase);
    for (const char *const *env = spec->env; env && *env && at < ENV_CAP; env++)
        at += (size_t)snprintf(box->env + at, ENV_CAP - at, "%s\n", *env);
    if (spec->id)
        snprintf(box->id, sizeof box->id, "%s", spec->id);
    else
        id_make(rt, box->id, sizeof box->id);
    *ret = box;
    return answer(call, RT_OK, "create", "%s", "");
}

static int32_t mock_create(rt_runtime *rt, const rt_sandbox_spec *spec, rt_call *call, rt_sandbox_info **ret)
{
    struct snapshot *snapshot = malloc(sizeof *snapshot);
    struct box *box = NULL;
    int32_t status;

    if (!snapshot)
        return answer(call, RT_E_NOMEM, "create", "out of memory");
    pthread_mutex_lock(&rt->lock);
    status = box_fill(rt, spec, call, &box);
    if (!status)
        snapshot_fill(snapshot, rt, box);
    pthread_mutex_unlock(&rt->lock);
    if (!status && ret)
        *ret = &snapshot->info;
    else
        free(snapshot);
    return status;
}

/* Moves a sandbox to a state; `from` is one that it must not be in, with the status that this is. */
static int32_t box_move(rt_runtime *rt, const char *id, rt_call *call, const char *op, int32_t to, bool must_run)
{
    int32_t status = RT_OK;
    struct box *box;

    pthread_mutex_lock(&rt->lock);
    box = *id ? box_find(rt, id) : NULL;
    if (!box)
        status = answer(call, RT_E_SANDBOX_NOT_FOUND, op, "no sandbox '%s'", id);
    else if ((box->status == RT_SANDBOX_RUNNING) != must_run)
        status = answer(call, must_run ? RT_E_NOT_RUNNING : RT_E_ALREADY_RUNNING, op, "'%s' is %srunning", id,
                        must_run ? "not " : "");
    else
        box->status = to;
    pthread_mutex_unlock(&rt->lock);
    return status;
}

static int32_t mock_start(rt_runtime *rt, const char *id, rt_call *call)
{
    return box_move(rt, id, call, "start", RT_SANDBOX_RUNNING, false);
}

static int32_t mock_stop(rt_runtime *rt, const char *id, rt_call *call)
{
    return box_move(rt, id, call, "stop", RT_SANDBOX_STOPPED, true);
}

static int32_t mock_destroy(rt_runtime *rt, const char *id, rt_call *call)
{
    struct box *box;

    pthread_mutex_lock(&rt->lock);
    box = *id ? box_find(rt, id) : NULL;
    if (box)
        *box = (struct box){ 0 };
    pthread_mutex_unlock(&rt->lock);
    return box ? RT_OK : answer(call, RT_E_SANDBOX_NOT_FOUND, "destroy", "no sandbox '%s'", id);
}

static int32_t mock_get(rt_runtime *rt, const char *id, rt_call *call, rt_sandbox_info **ret)
{
    struct snapshot *snapshot = malloc(sizeof *snapshot);
    struct box *box;

    if (!snapshot)
        return answer(call, RT_E_NOMEM, "get", "out of memory");
    pthread_mutex_lock(&rt->lock);
    box = *id ? box_find(rt, id) : NULL;
    if (box)
        snapshot_fill(snapshot, rt, box);
    pthread_mutex_unlock(&rt->lock);
    if (!box) {
        free(snapshot);
        return answer(call, RT_E_SANDBOX_NOT_FOUND, "get", "no sandbox '%s'", id);
    }
    *ret = &snapshot->info;
    return RT_OK;
}

struct box_list {
    rt_sandbox_list list; /* first: what the host sees */
    const rt_sandbox_info *items[BOXES_MAX];
    struct snapshot snapshots[BOXES_MAX];
};

static int32_t mock_list(rt_runtime *rt, rt_call *call, rt_sandbox_list **ret)
{
    struct box_list *list = calloc(1, sizeof *list);

    if (!list)
        return answer(call, RT_E_NOMEM, "list", "out of memory");
    pthread_mutex_lock(&rt->lock);
    for (size_t i = 0; i < BOXES_MAX; i++) {
        if (!*rt->boxes[i].id)
            continue;
        snapshot_fill(&list->snapshots[i], rt, &rt->boxes[i]);
        list->items[list->list.n++] = &list->snapshots[i].info;
    }
    pthread_mutex_unlock(&rt->lock);
    list->list.size = sizeof list->list;
    list->list.items = list->items;
    *ret = &list->list;
    return RT_OK;
}

static void mock_list_free(rt_sandbox_list *list)
{
    free(list);
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

struct sink {
    rt_output_fn *output;
    void *user;
    bool is_stopped;
};

static void put(struct sink *sink, int32_t stream, const void *data, size_t len)
{
    if (!sink->is_stopped && len && !sink->output(sink->user, stream, data, len))
        sink->is_stopped = true;
}

static void put_words(struct sink *sink, int32_t stream, const char *const *words)
{
    for (size_t i = 0; words[i]; i++) {
        if (i)
            put(sink, stream, " ", 1);
        put(sink, stream, words[i], strlen(words[i]));
    }
    put(sink, stream, "\n", 1);
}

static int32_t hang(const rt_exec_request *req, rt_call *call, rt_exit *exit)
{
    struct pollfd fd = { .fd = call ? call->cancel_fd : -1, .events = POLLIN };
    int ms = req->timeout_ms == RT_FOREVER ? -1 : req->timeout_ms ? (int)req->timeout_ms : 30000;

    exit->flags |= RT_RESULT_TIMED_OUT;
    exit->exit_code = 143;
    if (poll(&fd, 1, ms) > 0)
        return answer(call, RT_E_CANCELLED, "exec", "cancelled");
    return answer(call, RT_E_TIMEOUT, "exec", "the command ran longer than %d ms", ms);
}

static void spam(struct sink *sink)
{
    static const char chunk[4096] = { 'x' };

    for (int i = 0; i < 256; i++)
        put(sink, RT_STDOUT, chunk, sizeof chunk);
}

static int32_t command_answer(const char *env, const rt_exec_request *req, struct sink *sink, rt_call *call,
                              rt_exit *exit)
{
    const char *name = req->argv ? req->argv[0] : "";

    if (req->shell) {
        put(sink, RT_STDOUT, req->shell, strlen(req->shell));
    } else if (!strcmp(name, "echo")) {
        put_words(sink, RT_STDOUT, req->argv + 1);
    } else if (!strcmp(name, "err")) {
        put_words(sink, RT_STDERR, req->argv + 1);
    } else if (!strcmp(name, "exit")) {
        exit->exit_code = req->argv[1] ? (int32_t)strtol(req->argv[1], NULL, 10) : 0;
    } else if (!strcmp(name, "cat")) {
        put(sink, RT_STDOUT, req->stdin_data, req->stdin_len);
    } else if (!strcmp(name, "env")) {
        put(sink, RT_STDOUT, env, strlen(env));
        for (const char *const *pair = req->env; pair && *pair; pair++)
            put_words(sink, RT_STDOUT, (const char *const[]){ *pair, NULL });
    } else if (!strcmp(name, "hang")) {
        return hang(req, call, exit);
    } else if (!strcmp(name, "spam")) {
        spam(sink);
    } else {
        exit->exit_code = 127;
    }
    return sink->is_stopped ? answer(call, RT_E_CANCELLED, "exec", "the callback asked to stop") : RT_OK;
}

static int32_t mock_exec_stream(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_output_fn *output,
                                void *user, rt_call *call, rt_exit *ret)
{
    struct sink sink = { output, user, false };
    rt_exit exit = RT_EXIT_INIT;
    int32_t status = RT_OK;
    char env[ENV_CAP];
    struct box *box;

    pthread_mutex_lock(&rt->lock);
    box = *id ? box_find(rt, id) : NULL;
    if (!box)
        status = answer(call, RT_E_SANDBOX_NOT_FOUND, "exec", "no sandbox '%s'", id);
    else if (box->status != RT_SANDBOX_RUNNING)
        status = answer(call, RT_E_NOT_RUNNING, "exec", "'%s' is not running", id);
    else
        memcpy(env, box->env, sizeof env);
    pthread_mutex_unlock(&rt->lock);
    if (status)
        return status;
    status = command_answer(env, req, &sink, call, &exit);
    if (ret)
        *ret = exit;
    return status;
}

/* exec collects into one allocation, which grows by moving. */
struct collected {
    rt_exec_result *result;
    size_t len[3];
    char *data[3];
};

static int32_t collect(void *user, int32_t stream, const void *data, size_t len)
{
    struct collected *all = user;
    char *grown = realloc(all->data[stream], all->len[stream] + len + 1);

    if (!grown)
        return 0;
    memcpy(grown + all->len[stream], data, len);
    all->data[stream] = grown;
    all->len[stream] += len;
    return 1;
}

/* What was collected becomes a result, if the command ran; frees it. */
static int32_t collected_finish(struct collected *all, int32_t status, rt_exit exit, rt_call *call,
                                rt_exec_result **ret)
{
    size_t out = all->len[RT_STDOUT], err = all->len[RT_STDERR];
    rt_exec_result *result = NULL;

    if (!status || exit.flags)
        result = calloc(1, sizeof *result + out + err + 2);
    if (result) {
        char *at = (char *)(result + 1);

        if (out)
            memcpy(at, all->data[RT_STDOUT], out);
        if (err)
            memcpy(at + out + 1, all->data[RT_STDERR], err);
        *result = (rt_exec_result){ sizeof *result, exit, at, out, at + out + 1, err };
        *ret = result;
    }
    free(all->data[RT_STDOUT]);
    free(all->data[RT_STDERR]);
    return status || result ? status : answer(call, RT_E_NOMEM, "exec", "out of memory");
}

static int32_t mock_exec(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call,
                         rt_exec_result **ret)
{
    struct collected all = { 0 };
    rt_exit exit = RT_EXIT_INIT;
    int32_t status = mock_exec_stream(rt, id, req, collect, &all, call, &exit);

    return collected_finish(&all, status, exit, call, ret);
}

static void mock_result_free(rt_exec_result *result)
{
    free(result);
}

/* ---- sessions -------------------------------------------------------------------------------------------------- */

struct session_snapshot {
    rt_session_info info; /* first: what the host sees */
    struct session session;
    char box[64];
};

static void session_fill(struct session_snapshot *snapshot, const struct box *box, const struct session *session)
{
    snapshot->session = *session;
    memcpy(snapshot->box, box->id, sizeof snapshot->box);
    snapshot->info = (rt_session_info){
        .size = sizeof snapshot->info,
        .id = snapshot->session.id,
        .sandbox = snapshot->box,
        .shell = snapshot->session.shell,
        .status = session->status,
        .pid = 1000 + (int32_t)(session - box->sessions),
        .created_ns = session->created_ns,
        .commands = session->commands,
    };
}

/* "" finds a free place. NULL if there is none. */
static struct session *session_find(struct box *box, const char *id)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (!strcmp(box->sessions[i].id, id))
            return &box->sessions[i];
    return NULL;
}

/* With rt->lock held: finds a session, or, where its id is NULL, just the sandbox, which must run. */
static int32_t session_get(rt_runtime *rt, const char *id, const char *session, rt_call *call, const char *op,
                           struct box **ret_box, struct session **ret)
{
    *ret_box = *id ? box_find(rt, id) : NULL;
    if (!*ret_box)
        return answer(call, RT_E_SANDBOX_NOT_FOUND, op, "no sandbox '%s'", id);
    if ((*ret_box)->status != RT_SANDBOX_RUNNING)
        return answer(call, RT_E_NOT_RUNNING, op, "'%s' is not running", id);
    if (!session)
        return answer(call, RT_OK, op, "%s", "");
    *ret = *session ? session_find(*ret_box, session) : NULL;
    if (!*ret)
        return answer(call, RT_E_SESSION_NOT_FOUND, op, "no session '%s' in '%s'", session, id);
    return answer(call, RT_OK, op, "%s", "");
}

static int32_t session_make(struct box *box, const rt_session_spec *spec, rt_call *call, struct session **ret)
{
    struct session *session = session_find(box, "");
    size_t at = 0, n = 0;

    if (spec->id && session_find(box, spec->id))
        return answer(call, RT_E_EXISTS, "session_create", "session '%s' exists", spec->id);
    if (!session)
        return answer(call, RT_E_RESOURCE, "session_create", "the mock is full");
    while (box->sessions[n].id[0])
        n++;
    *session = (struct session){ .created_ns = clock_ns(CLOCK_REALTIME) };
    if (spec->id)
        snprintf(session->id, sizeof session->id, "%s", spec->id);
    else
        snprintf(session->id, sizeof session->id, "session-%zu", n + 1);
    snprintf(session->shell, sizeof session->shell, "%s", spec->shell ? spec->shell : "/bin/bash");
    snprintf(session->cwd, sizeof session->cwd, "%s", spec->cwd ? spec->cwd : "/workspace");
    for (const char *const *env = spec->env; env && *env && at < sizeof session->env; env++)
        at += (size_t)snprintf(session->env + at, sizeof session->env - at, "%s\n", *env);
    *ret = session;
    return RT_OK;
}

static int32_t mock_session_create(rt_runtime *rt, const char *id, const rt_session_spec *spec, rt_call *call,
                                   rt_session_info **ret)
{
    struct session_snapshot *snapshot = malloc(sizeof *snapshot);
    struct session *session = NULL;
    struct box *box = NULL;
    int32_t status;

    if (!snapshot)
        return answer(call, RT_E_NOMEM, "session_create", "out of memory");
    pthread_mutex_lock(&rt->lock);
    status = session_get(rt, id, NULL, call, "session_create", &box, &session);
    if (!status)
        status = session_make(box, spec, call, &session);
    if (!status)
        session_fill(snapshot, box, session);
    pthread_mutex_unlock(&rt->lock);
    if (!status && ret)
        *ret = &snapshot->info;
    else
        free(snapshot);
    return status;
}

static int32_t mock_session_destroy(rt_runtime *rt, const char *id, const char *name, rt_call *call)
{
    struct session *session = NULL;
    struct box *box = NULL;
    int32_t status;

    pthread_mutex_lock(&rt->lock);
    status = session_get(rt, id, name, call, "session_destroy", &box, &session);
    if (!status)
        *session = (struct session){ 0 };
    pthread_mutex_unlock(&rt->lock);
    return status;
}

static int32_t mock_session_get(rt_runtime *rt, const char *id, const char *name, rt_call *call, rt_session_info **ret)
{
    struct session_snapshot *snapshot = malloc(sizeof *snapshot);
    struct session *session = NULL;
    struct box *box = NULL;
    int32_t status;

    if (!snapshot)
        return answer(call, RT_E_NOMEM, "session_get", "out of memory");
    pthread_mutex_lock(&rt->lock);
    status = session_get(rt, id, name, call, "session_get", &box, &session);
    if (!status)
        session_fill(snapshot, box, session);
    pthread_mutex_unlock(&rt->lock);
    if (status)
        free(snapshot);
    else
        *ret = &snapshot->info;
    return status;
}

struct session_list {
    rt_session_list list; /* first: what the host sees */
    const rt_session_info *items[SESSIONS_MAX];
    struct session_snapshot snapshots[SESSIONS_MAX];
};

static int32_t mock_session_list(rt_runtime *rt, const char *id, rt_call *call, rt_session_list **ret)
{
    struct session_list *list = calloc(1, sizeof *list);
    struct session *session = NULL;
    struct box *box = NULL;
    int32_t status;

    if (!list)
        return answer(call, RT_E_NOMEM, "session_list", "out of memory");
    list->list = (rt_session_list){ sizeof list->list, 0, list->items };
    pthread_mutex_lock(&rt->lock);
    status = session_get(rt, id, NULL, call, "session_list", &box, &session);
    for (size_t i = 0; !status && i < SESSIONS_MAX; i++) {
        if (!*box->sessions[i].id)
            continue;
        session_fill(&list->snapshots[i], box, &box->sessions[i]);
        list->items[list->list.n++] = &list->snapshots[i].info;
    }
    pthread_mutex_unlock(&rt->lock);
    if (status)
        free(list);
    else
        *ret = &list->list;
    return status;
}

/* What is a command of the shell's own; the others are as outside. RT_OK or what it ended with. */
static int32_t session_answer(struct session *session, const rt_exec_request *req, struct sink *sink, rt_call *call,
                              rt_exit *exit)
{
    const char *text = req->shell ? req->shell : "";

    if (!strncmp(text, "exit ", 5)) {
        exit->exit_code = (int32_t)strtol(text + 5, NULL, 10);
        session->status = RT_SESSION_CLOSED;
        return RT_OK;
    }
    if (!strcmp(text, "hang"))
        return put_words(sink, RT_STDOUT, (const char *const[]){ "hanging", NULL }), hang(req, call, exit);
    if (!strcmp(text, "fail"))
        return answer(call, RT_E_IO, "session_exec", "the mock was told to fail");
    if (!strcmp(text, "env"))
        return put_words(sink, RT_STDOUT, (const char *const[]){ session->cwd, NULL }),
               put(sink, RT_STDOUT, session->env, strlen(session->env)), RT_OK;
    return command_answer("", req, sink, call, exit);
}

static int32_t mock_session_exec_stream(rt_runtime *rt, const char *id, const char *name, const rt_exec_request *req,
                                        rt_output_fn *output, void *user, rt_call *call, rt_exit *ret)
{
    struct sink sink = { output, user, false };
    rt_exit exit = RT_EXIT_INIT;
    struct session *session = NULL, copy;
    struct box *box = NULL;
    int32_t status;

    pthread_mutex_lock(&rt->lock);
    status = session_get(rt, id, name, call, "session_exec", &box, &session);
    if (!status && session->status == RT_SESSION_CLOSED)
        status = answer(call, RT_E_SESSION_CLOSED, "session_exec", "session '%s' is closed", name);
    if (!status)
        copy = *session;
    pthread_mutex_unlock(&rt->lock);
    if (status)
        return status;
    copy.commands++;
    status = session_answer(&copy, req, &sink, call, &exit);
    pthread_mutex_lock(&rt->lock);
    *session = copy;
    pthread_mutex_unlock(&rt->lock);
    if (ret)
        *ret = exit;
    return status;
}

static int32_t mock_session_exec(rt_runtime *rt, const char *id, const char *name, const rt_exec_request *req,
                                 rt_call *call, rt_exec_result **ret)
{
    struct collected all = { 0 };
    rt_exit exit = RT_EXIT_INIT;
    int32_t status = mock_session_exec_stream(rt, id, name, req, collect, &all, call, &exit);

    return collected_finish(&all, status, exit, call, ret);
}

static void mock_session_info_free(rt_session_info *info)
{
    free(info);
}

static void mock_session_list_free(rt_session_list *list)
{
    free(list);
}

const rt_plugin *rt_plugin_entry(void)
{
    static const rt_ops ops = {
        .size = sizeof ops,
        .open = mock_open,
        .close = mock_close,
        .probe = mock_probe,
        .create = mock_create,
        .start = mock_start,
        .stop = mock_stop,
        .destroy = mock_destroy,
        .get = mock_get,
        .list = mock_list,
        .exec = mock_exec,
        .exec_stream = mock_exec_stream,
        .session_create = mock_session_create,
        .session_destroy = mock_session_destroy,
        .session_get = mock_session_get,
        .session_list = mock_session_list,
        .session_exec = mock_session_exec,
        .session_exec_stream = mock_session_exec_stream,
        .probe_free = mock_probe_free,
        .sandbox_info_free = mock_info_free,
        .sandbox_list_free = mock_list_free,
        .exec_result_free = mock_result_free,
        .session_info_free = mock_session_info_free,
        .session_list_free = mock_session_list_free,
    };
    static const rt_plugin plugin = {
        .abi_major = RT_ABI_MAJOR,
        .abi_minor = RT_ABI_MINOR,
        .size = sizeof plugin,
        .name = "mock",
        .version = "1.0.0",
        .summary = "answers without running anything",
        .capabilities = RT_CAP_STREAM | RT_CAP_SESSION,
        .config_schema = "{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
                         " \"tag\": { \"type\": \"string\", \"pattern\": \"^[a-z]+$\" },"
                         " \"level\": { \"type\": \"integer\", \"minimum\": 1, \"maximum\": 9 },"
                         " \"timeout\": { \"type\": [\"string\", \"integer\"] } } }",
        .default_config = "{ \"tag\": \"none\", \"level\": 1, \"timeout\": \"30s\" }",
        .ops = &ops,
    };

    return &plugin;
}
