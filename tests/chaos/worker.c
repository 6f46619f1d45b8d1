#include "chaos.h"

#include "proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CALL_S 30 /* deadline of each op */

struct worker {
    struct plugin plugin;
    rt_runtime *rt;
    struct dice dice;
    unsigned round, number, serial;
    int committed_fd;
    rt_call call;
    char id[64];
    bool is_delta; /* whether the sandbox of that id is copy-on-write */
};

static rt_call *call_make(struct worker *w)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    w->call = (rt_call)RT_CALL_INIT;
    w->call.deadline_ns = (now.tv_sec + CALL_S) * INT64_C(1000000000) + now.tv_nsec;
    return &w->call;
}

/* From now on this file must be there, whatever comes. */
static void committed(struct worker *w, const char *name)
{
    char line[FILE_NAME_MAX + 2];

    snprintf(line, sizeof line, "%s\n", name);
    note("committed %s", name);
    (void)!write(w->committed_fd, line, strlen(line));
}

/* ---- ops on sandboxes as a whole ----------------------------------------------------------------------------------
 */

static int32_t do_start(struct worker *w)
{
    return w->plugin.ops->start(w->rt, w->id, call_make(w));
}

static int32_t do_create(struct worker *w)
{
    const rt_rule all = { .size = sizeof all, .pattern = "/**", .permission = RT_PERM_WRITE };
    const rt_limits limits = { .size = sizeof limits, .pids = 64, .memory_bytes = UINT64_C(64) << 20 };
    rt_sandbox_spec spec = { .size = sizeof spec, .id = w->id, .codebase = world.code, .image = world.image };
    int32_t status;

    spec.rules = &all;
    spec.n_rules = 1;
    spec.lifetime = dice_roll(&w->dice, 2) ? RT_LIFETIME_HOST : RT_LIFETIME_PERSISTENT;
    spec.workspace_mode = w->is_delta ? RT_WORKSPACE_DELTA : RT_WORKSPACE_DIRECT;
    if (dice_roll(&w->dice, 4) == 0 && geteuid() == 0)
        spec.limits = &limits;
    if (dice_roll(&w->dice, 6) == 0)
        spec.max_lifetime_ms = 100 + dice_roll(&w->dice, 1000);
    if (dice_roll(&w->dice, 6) == 0)
        spec.idle_timeout_ms = 200 + dice_roll(&w->dice, 1000);
    status = w->plugin.ops->create(w->rt, &spec, call_make(w), NULL);
    return status || dice_roll(&w->dice, 4) == 0 ? status : do_start(w);
}

static int32_t do_stop(struct worker *w)
{
    return w->plugin.ops->stop(w->rt, w->id, call_make(w));
}

static int32_t do_destroy(struct worker *w)
{
    return w->plugin.ops->destroy(w->rt, w->id, call_make(w));
}

static int32_t do_pause(struct worker *w)
{
    int32_t status = w->plugin.ops->pause(w->rt, w->id, call_make(w));

    return status || dice_roll(&w->dice, 3) == 0 ? status : w->plugin.ops->resume(w->rt, w->id, call_make(w));
}

static int32_t do_get(struct worker *w)
{
    rt_sandbox_info *info = NULL;
    int32_t status = w->plugin.ops->get(w->rt, w->id, call_make(w), &info);

    w->plugin.ops->sandbox_info_free(info);
    return status;
}

static int32_t do_list(struct worker *w)
{
    rt_sandbox_list *list = NULL;
    int32_t status = w->plugin.ops->list(w->rt, call_make(w), &list);

    w->plugin.ops->sandbox_list_free(list);
    return status;
}

static int32_t do_stats(struct worker *w)
{
    rt_stats *stats = NULL;
    int32_t status = w->plugin.ops->stats(w->rt, w->id, call_make(w), &stats);

    w->plugin.ops->stats_free(stats);
    return status;
}

static int32_t do_rules(struct worker *w)
{
    const rt_rule rules[] = {
        { .size = sizeof *rules, .pattern = "/**", .permission = RT_PERM_WRITE },
        { .size = sizeof *rules, .pattern = "/secret", .permission = RT_PERM_NONE, .priority = 1 },
    };

    return w->plugin.ops->rules_update(w->rt, w->id, rules, 1 + dice_roll(&w->dice, 2), call_make(w));
}

static int32_t do_reopen(struct worker *w)
{
    int32_t status;

    w->plugin.ops->close(w->rt);
    w->rt = NULL;
    for (int tries = 0; (status = world_open(&w->plugin, call_make(w), &w->rt)) && tries < 500; tries++)
        usleep(20000); /* while a disk or the fd table is full */
    return status;
}

/* ---- commands -----------------------------------------------------------------------------------------------------
 */

static int32_t command(struct worker *w, const char *shell, int64_t timeout_ms, int32_t *ret_code)
{
    const rt_exec_request req = { .size = sizeof req, .shell = shell, .timeout_ms = timeout_ms, .grace_ms = 50 };
    rt_exec_result *result = NULL;
    int32_t status = w->plugin.ops->exec(w->rt, w->id, &req, call_make(w), &result);

    *ret_code = result ? result->exit.exit_code : -1;
    w->plugin.ops->exec_result_free(result);
    return status;
}

static int32_t do_time_out(struct worker *w)
{
    int32_t code;

    return command(w, "sleep 60 & sleep 60", 30 + dice_roll(&w->dice, 100), &code);
}

static int32_t do_session(struct worker *w)
{
    const rt_session_spec spec = { .size = sizeof spec, .id = "s" };
    const rt_exec_request req = { .size = sizeof req, .shell = "x=$((x + 1)); echo $x", .timeout_ms = 2000 };
    rt_exec_result *result = NULL;
    int32_t status = w->plugin.ops->session_create(w->rt, w->id, &spec, call_make(w), NULL);

    if (status && status != RT_E_EXISTS)
        return status;
    status = w->plugin.ops->session_exec(w->rt, w->id, "s", &req, call_make(w), &result);
    w->plugin.ops->exec_result_free(result);
    return status;
}

/* One that still runs as it is released. */
static int32_t do_process(struct worker *w)
{
    const rt_exec_request req = { .size = sizeof req, .shell = "sleep 60 & sleep 60" };
    rt_process *process = NULL;
    int32_t status = w->plugin.ops->process_spawn(w->rt, w->id, &req, call_make(w), &process);

    if (status)
        return status;
    if (dice_roll(&w->dice, 2))
        status = w->plugin.ops->process_signal(w->rt, process, SIGTERM, call_make(w));
    w->plugin.ops->process_release(w->rt, process);
    return status;
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

/* A file whose command has reported success is committed where writes go to the codebase. */
static int32_t write_direct(struct worker *w)
{
    char name[FILE_NAME_MAX], shell[300];
    int32_t code, status;

    snprintf(name, sizeof name, "r%u-w%u-%u", w->round, w->number, w->serial++);
    snprintf(shell, sizeof shell, "echo %s > %s && test $(wc -c < %s) = %zu", name, name, name, strlen(name) + 1);
    status = command(w, shell, 5000, &code);
    if (!status && code == 0)
        committed(w, name);
    return status;
}

/* Commits a path, or all; what the answer lists is committed. */
static int32_t commit(struct worker *w, const char *path)
{
    const char *const paths[] = { path, NULL };
    const rt_commit_spec spec = { .size = sizeof spec,
                                  .paths = path ? paths : NULL,
                                  .conflicts = (int32_t)dice_roll(&w->dice, 3) };
    rt_changes *changes = NULL;
    int32_t status = w->plugin.ops->changes_commit(w->rt, w->id, &spec, call_make(w), &changes);

    for (size_t i = 0; !status && i < changes->n; i++)
        if (changes->items[i]->path[0] == 'd' && !changes->items[i]->conflict)
            committed(w, changes->items[i]->path);
    w->plugin.ops->changes_free(changes);
    return status;
}

/* In a delta a file has its name only once it is whole, so that nobody can commit a part of it. */
static int32_t write_delta(struct worker *w)
{
    char name[FILE_NAME_MAX], shell[400];
    int32_t code, status;

    snprintf(name, sizeof name, "d%u-w%u-%u", w->round, w->number, w->serial++);
    snprintf(shell, sizeof shell, "yes %s | head -n %d > t%s && test $(wc -c < t%s) = %zu && mv t%s %s", name,
             FILE_LINES, name, name, FILE_LINES * (strlen(name) + 1), name, name);
    status = command(w, shell, 5000, &code);
    return status || code != 0 || dice_roll(&w->dice, 2) ? status : commit(w, name);
}

static int32_t do_write(struct worker *w)
{
    return w->is_delta ? write_delta(w) : write_direct(w);
}

static int32_t do_commit(struct worker *w)
{
    return commit(w, NULL);
}

static int32_t do_changes(struct worker *w)
{
    rt_changes *changes = NULL;
    int32_t status = w->plugin.ops->changes_list(w->rt, w->id, call_make(w), &changes);

    w->plugin.ops->changes_free(changes);
    return status;
}

static int32_t do_discard(struct worker *w)
{
    return w->plugin.ops->changes_discard(w->rt, w->id, NULL, call_make(w));
}

/* ---- a host at work -----------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int32_t (*run)(struct worker *w);
    unsigned weight;
} ops[] = {
    { "create", do_create, 16 },  { "start", do_start, 8 },     { "write", do_write, 16 },
    { "commit", do_commit, 4 },   { "changes", do_changes, 1 }, { "discard", do_discard, 1 },
    { "stop", do_stop, 2 },       { "get", do_get, 2 },         { "list", do_list, 1 },
    { "stats", do_stats, 1 },     { "rules", do_rules, 1 },     { "time_out", do_time_out, 2 },
    { "session", do_session, 2 }, { "process", do_process, 2 }, { "pause", do_pause, 1 },
    { "destroy", do_destroy, 3 }, { "reopen", do_reopen, 1 },
};

static bool ends(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

/* Any answer will do but those that mean a fault of ours. */
static bool op_run(struct worker *w)
{
    unsigned total = 0, at, box = dice_roll(&w->dice, BOXES);
    size_t i = 0;
    int32_t status;

    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
        total += ops[k].weight;
    for (at = dice_roll(&w->dice, total); at >= ops[i].weight; i++)
        at -= ops[i].weight;
    snprintf(w->id, sizeof w->id, "%s%u", world.prefix, box);
    w->is_delta = box % 2;
    note("%s %s ...", ops[i].name, w->id);
    status = ops[i].run(w);
    note("%s %s: %s %s", ops[i].name, w->id, status_name(status), status ? w->call.error.message : "");
    if (!w->rt || status == RT_E_INTERNAL || (status && !w->call.error.message[0]))
        return complain("%s %s: %s: '%s'", ops[i].name, w->id, status_name(status), w->call.error.message);
    return true;
}

/* Others end sandboxes at this very moment; in the end all that ended must have been reaped. */
static bool no_zombies(struct worker *w)
{
    size_t zombies = 0;

    for (int tries = 0; tries < 200; tries++) {
        (void)do_list(w);
        proc_children(NULL, &zombies);
        if (!zombies)
            return true;
        sleep_ms(20);
    }
    return complain("%zu zombies", zombies);
}

int worker_run(unsigned round, unsigned number, int until_fd)
{
    struct worker w = { .dice = dice_make(round, 100 + number), .round = round, .number = number };
    size_t fds;
    char path[400];
    bool ok;

    snprintf(path, sizeof path, "%s/%d", world.committed, (int)getpid());
    w.committed_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (w.committed_fd < 0 || !plugin_load(&w.plugin))
        return 1;
    fds = proc_fds();
    ok = do_reopen(&w) == RT_OK;
    if (!ok)
        (void)complain("open: %s", w.call.error.message);
    while (ok && !ends(until_fd))
        ok = op_run(&w);
    ok = ok && no_zombies(&w);
    if (w.rt)
        w.plugin.ops->close(w.rt);
    if (proc_fds() != fds)
        ok = complain("%zu fds before open, %zu after close", fds, proc_fds());
    plugin_unload(&w.plugin);
    return ok ? 0 : 1;
}
