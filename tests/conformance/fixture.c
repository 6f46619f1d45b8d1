#include "fixture.h"

#include "options.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct fixture fx;

static struct run *runs; /* of this test, under runs_lock */
static pthread_mutex_t runs_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((format(printf, 1, 2))) static char *text_format(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    return text;
}

rt_call *fixture_call(void)
{
    fx.call = (rt_call)RT_CALL_INIT;
    return &fx.call;
}

void fixture_begin(void)
{
    const char *base = getenv(OPTION_DIR), *owner = getenv(OPTION_OWNER);

    HOST_MUST(base != NULL);
    fx.dir = text_format("%s/%d", base, (int)getpid());
    fx.state = text_format("%s/state", fx.dir);
    fx.codebase = text_format("%s/code", fx.dir);
    fx.owner = owner ? (uid_t)atoi(owner) : getuid();
    HOST_MUST(tree_mkdir(fx.codebase, "."));
    snprintf(fx.secret, sizeof fx.secret, "host-secret-%d", (int)getpid());
    setenv("STOCKADE_TEST_SECRET", fx.secret, 1);
    /* What a plugin daemonises becomes a child of this process, so that the guard finds it. */
    HOST_MUST(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    fx.fds = proc_fds();
    fx.threads = proc_threads();
    cr_assert(plugin_load(&fx.plugin), "the plugin cannot be loaded");
    fx.ops = fx.plugin.ops;
    fixture_reopen();
    fx.state_files = tree_list(fx.state, false);
}

void fixture_close(void)
{
    if (fx.rt)
        fx.ops->close(fx.rt);
    fx.rt = NULL;
}

void fixture_reopen(void)
{
    fixture_close();
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, fx.state, NULL, CALL, &fx.rt));
}

void fixture_reopen_merged(const char *keys)
{
    const char *given = getenv(OPTION_CONFIG);
    cJSON *config = cJSON_Parse(given ? given : "{}"), *more = cJSON_Parse(keys), *item;
    char *text;

    HOST_MUST(cJSON_IsObject(config) && cJSON_IsObject(more));
    while ((item = cJSON_DetachItemFromArray(more, 0))) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, item->string);
        cJSON_AddItemToObject(config, item->string, item);
    }
    text = cJSON_PrintUnformatted(config);
    fixture_close();
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, fx.state, text, CALL, &fx.rt));
    cJSON_free(text);
    cJSON_Delete(config);
    cJSON_Delete(more);
}

void fixture_reopen_with(const char *key, const char *value)
{
    char *keys = text_format("{\"%s\":%s}", key, value);

    fixture_reopen_merged(keys);
    free(keys);
}

bool fixture_has_key(const char *key)
{
    cJSON *config = cJSON_Parse(fx.plugin.info->default_config);
    bool has = cJSON_GetObjectItemCaseSensitive(config, key) != NULL;

    cJSON_Delete(config);
    return has;
}

/* Frees what run_request() handed out; results may be freed after close(). */
static void runs_free(void)
{
    while (runs) {
        struct run *next = runs->next;

        if (fx.ops && runs->result)
            fx.ops->exec_result_free(runs->result);
        free(runs);
        runs = next;
    }
}

/* Destroys what the runtime lists; with `expect`, each must succeed. */
static void boxes_destroy(bool expect)
{
    rt_sandbox_list *list = NULL;
    int32_t status = fx.ops->list(fx.rt, CALL, &list);

    if (expect)
        cr_expect(status == RT_OK, "list: %s", fx.call.error.message);
    for (size_t i = 0; status == RT_OK && i < list->n; i++)
        if (fx.ops->destroy(fx.rt, list->items[i]->id, CALL) != RT_OK && expect)
            cr_expect(false, "destroy %s: %s", list->items[i]->id, fx.call.error.message);
    if (status == RT_OK)
        fx.ops->sandbox_list_free(list);
    if (!expect)
        return;
    list = NULL;
    status = fx.ops->list(fx.rt, CALL, &list);
    cr_expect(status == RT_OK && list->n == 0, "sandboxes are listed after all were destroyed");
    if (status == RT_OK)
        fx.ops->sandbox_list_free(list);
}

static void leftovers_expect_none(void)
{
    char *files = tree_list(fx.state, false), *mount = proc_mount_below(fx.dir);
    char *children;
    pid_t pid = 0;

    cr_expect(!strcmp(files, fx.state_files), "files left in the state directory:\n%s\nat open there were:\n%s", files,
              fx.state_files);
    cr_expect(!mount, "still mounted: %s", mount);
    if (proc_count(fx.dir, &pid)) {
        char *line = proc_read(pid, "cmdline"), *stat = proc_read(pid, "stat");

        cr_expect(false, "process %d is left: %s\n%s", (int)pid, line, stat);
        free(line);
        free(stat);
    }
    /* Orphans are this process's to reap, and one may be just exiting: what leaks, stays. */
    (void)AWAIT(waitpid(-1, NULL, WNOHANG) < 0);
    children = proc_children_text();
    cr_expect(!children[0], "children of the host process are left:\n%s", children);
    free(children);
    free(files);
    free(mount);
}

void fixture_check(void)
{
    size_t fds, threads;

    if (!fx.rt)
        fixture_reopen();
    boxes_destroy(true);
    fixture_close();
    leftovers_expect_none();
    fds = proc_fds();
    threads = proc_threads();
    cr_expect(fds == fx.fds, "%zu fds are open, %zu were before", fds, fx.fds);
    cr_expect(threads == fx.threads, "%zu threads run, %zu did before", threads, fx.threads);
    runs_free();
    plugin_unload(&fx.plugin);
    fx.ops = NULL;
}

void fixture_end(void)
{
    if (fx.ops && fx.rt) {
        boxes_destroy(false);
        fixture_close();
    }
    runs_free();
    plugin_unload(&fx.plugin);
    if (fx.dir)
        tree_remove(fx.dir);
    free(fx.dir);
    free(fx.state);
    free(fx.codebase);
    free(fx.state_files);
    memset(&fx, 0, sizeof fx);
}

/* ---- sandboxes ------------------------------------------------------------------------------------------------- */

rt_sandbox_spec box_spec(const char *id)
{
    return (rt_sandbox_spec){
        .size = sizeof(rt_sandbox_spec),
        .id = id,
        .codebase = fx.codebase,
        .image = getenv(OPTION_IMAGE),
    };
}

void box_up_spec(const rt_sandbox_spec *spec)
{
    if (fx.owner != getuid())
        HOST_MUST(tree_chown(fx.codebase, fx.owner, (gid_t)fx.owner));
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, spec, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, spec->id, CALL));
}

void box_up_rules(const char *id, const rt_rule *rules, size_t n)
{
    rt_sandbox_spec spec = box_spec(id);

    spec.rules = rules;
    spec.n_rules = n;
    box_up_spec(&spec);
}

int32_t box_status(const char *id)
{
    rt_sandbox_info *info = NULL;
    int32_t status;

    if (fx.ops->get(fx.rt, id, CALL, &info) != RT_OK)
        return -1;
    status = info->status;
    fx.ops->sandbox_info_free(info);
    return status;
}

void probe_install(void)
{
    HOST_MUST(tree_copy(getenv(OPTION_PROBE), fx.codebase, ".probe", 0755));
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

static const struct run *run_at(const char *id, const char *session, const rt_exec_request *req, const rt_call *call)
{
    struct run *r = calloc(1, sizeof *r);

    if (!r)
        abort();
    r->call = call ? *call : (rt_call)RT_CALL_INIT;
    r->status = session ? fx.ops->session_exec(fx.rt, id, session, req, &r->call, &r->result)
                        : fx.ops->exec(fx.rt, id, req, &r->call, &r->result);
    r->message = r->call.error.message;
    r->out = r->err = "";
    if (r->result) {
        r->code = r->result->exit.exit_code;
        r->signal = r->result->exit.term_signal;
        r->flags = r->result->exit.flags;
        r->out = r->result->stdout_data;
        r->out_len = r->result->stdout_len;
        r->err = r->result->stderr_data;
        r->err_len = r->result->stderr_len;
    }
    pthread_mutex_lock(&runs_lock);
    r->next = runs;
    runs = r;
    pthread_mutex_unlock(&runs_lock);
    return r;
}

const struct run *run_call(const char *id, const rt_exec_request *req, const rt_call *call)
{
    return run_at(id, NULL, req, call);
}

const struct run *session_call(const char *session, const rt_exec_request *req, const rt_call *call)
{
    return run_at("box", session, req, call);
}

const struct run *run_request(const char *id, const rt_exec_request *req)
{
    return run_call(id, req, NULL);
}

const struct run *run_argv(const char *id, const char *const *argv)
{
    return run_request(id, REQUEST(.argv = argv, .timeout_ms = HANG_MS));
}

static const struct run *run_text(const char *id, const char *session, const char *format, va_list args)
{
    const struct run *r;
    char *text;

    if (vasprintf(&text, format, args) < 0)
        abort();
    r = run_at(id, session, REQUEST(.shell = text, .timeout_ms = HANG_MS), NULL);
    free(text);
    return r;
}

const struct run *sh(const char *id, const char *format, ...)
{
    const struct run *r;
    va_list args;

    va_start(args, format);
    r = run_text(id, NULL, format, args);
    va_end(args);
    return r;
}

const struct run *in(const char *session, const char *format, ...)
{
    const struct run *r;
    va_list args;

    va_start(args, format);
    r = run_text("box", session, format, args);
    va_end(args);
    return r;
}

static void *runner_run(void *arg)
{
    struct runner *runner = arg;

    runner->run = run_request(runner->sandbox, REQUEST(.shell = runner->shell, .timeout_ms = RT_FOREVER));
    return NULL;
}

void runner_start(struct runner *runner, const char *sandbox, const char *shell)
{
    *runner = (struct runner){ .sandbox = sandbox, .shell = shell };
    HOST_MUST(pthread_create(&runner->thread, NULL, runner_run, runner) == 0);
}

const struct run *runner_join(struct runner *runner)
{
    pthread_join(runner->thread, NULL);
    return runner->run;
}

const char *run_describe(const struct run *r)
{
    static _Thread_local char text[4096];

    snprintf(text, sizeof text, "%s (%s), exit %d signal %d flags %#x\nstdout (%zu): %.1200s\nstderr (%zu): %.1200s",
             status_name(r->status), r->message, (int)r->code, (int)r->signal, (unsigned)r->flags, r->out_len, r->out,
             r->err_len, r->err);
    return text;
}

int run_is(const struct run *r, int32_t code, const char *out)
{
    return r->status == RT_OK && r->result && r->code == code && r->out_len == strlen(out) &&
           !memcmp(r->out, out, r->out_len);
}

const char *ops_result(const struct run *r, const char *op)
{
    static _Thread_local char text[4][32];
    static _Thread_local unsigned turn;
    char *into = text[turn++ % 4];
    size_t len = strlen(op);

    into[0] = '\0';
    for (const char *line = r->out; line && *line; line = strchr(line, '\n'), line += line != NULL)
        if (!strncmp(line, op, len) && line[len] == ' ') {
            snprintf(into, sizeof text[0], "%.*s", (int)strcspn(line + len + 1, "\n"), line + len + 1);
            break;
        }
    return into;
}

void ops_expect(const char *id, const struct op_case *cases, size_t n)
{
    const char *argv[256] = { PROBE, "ops" }, *line;
    const struct run *r;

    cr_assert(n < sizeof argv / sizeof *argv - 3);
    for (size_t i = 0; i < n; i++)
        argv[2 + i] = cases[i].op;
    r = run_argv(id, argv);
    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    line = r->out;
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(line, "\n"), op = strlen(cases[i].op);

        cr_assert(line[len] == '\n' && len > op && !strncmp(line, cases[i].op, op), "%s", run_describe(r));
        cr_expect(len == op + 1 + strlen(cases[i].want) && !strncmp(line + op + 1, cases[i].want, len - op - 1),
                  "%.*s, wanted %s", (int)len, line, cases[i].want);
        line += len + 1;
    }
}

pid_t helper_pid(const char *name)
{
    char *text = proc_children_text(), wanted[32], *at;
    pid_t pid = 0;

    snprintf(wanted, sizeof wanted, " (%s)", name);
    at = strstr(text, wanted);
    while (at && at > text && at[-1] != '\n')
        at--;
    if (at)
        pid = (pid_t)atoi(at);
    free(text);
    if (!pid) {
        fx.ops->destroy(fx.rt, "box", NULL); /* a skipped test is not cleaned up after */
        cr_skip_test("the plugin has no such helper below this process");
    }
    return pid;
}

const char *marker_new(void)
{
    static char text[16][16];
    static unsigned n;
    char *mine = text[n % 16];

    snprintf(mine, sizeof text[0], "1%07d%02u", (int)getpid() % 10000000, n++ % 100);
    return mine;
}

const char *box_processes(const char *id)
{
    const struct run *r = sh(id, "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null");

    cr_assert(r->status == RT_OK, "%s", run_describe(r));
    return r->out;
}

bool tree_await(const char *dir, const char *path)
{
    return AWAIT(tree_exists(dir, path));
}
