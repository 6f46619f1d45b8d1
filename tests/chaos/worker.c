#include "chaos.h"

#include <fcntl.h>
#include <poll.h>
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
};

static rt_call *call_make(struct worker *w)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    w->call = (rt_call)RT_CALL_INIT;
    w->call.deadline_ns = (now.tv_sec + CALL_S) * INT64_C(1000000000) + now.tv_nsec;
    return &w->call;
}

static int32_t do_create(struct worker *w)
{
    const rt_rule all = { .size = sizeof all, .pattern = "/**", .permission = RT_PERM_WRITE };
    rt_sandbox_spec spec = { .size = sizeof spec, .id = w->id, .codebase = world.code, .image = world.image };

    spec.rules = &all;
    spec.n_rules = 1;
    spec.lifetime = dice_roll(&w->dice, 2) ? RT_LIFETIME_HOST : RT_LIFETIME_PERSISTENT;
    if (dice_roll(&w->dice, 4) == 0 && (w->plugin.info->capabilities & RT_CAP_TTL))
        spec.max_lifetime_ms = 100 + dice_roll(&w->dice, 1000);
    return w->plugin.ops->create(w->rt, &spec, call_make(w), NULL);
}

static int32_t do_start(struct worker *w)
{
    return w->plugin.ops->start(w->rt, w->id, call_make(w));
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

    return status ? status : w->plugin.ops->resume(w->rt, w->id, call_make(w));
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

static int32_t command(struct worker *w, const char *shell, int64_t timeout_ms, int32_t *ret_code)
{
    const rt_exec_request req = { .size = sizeof req, .shell = shell, .timeout_ms = timeout_ms, .grace_ms = 50 };
    rt_exec_result *result = NULL;
    int32_t status = w->plugin.ops->exec(w->rt, w->id, &req, call_make(w), &result);

    *ret_code = result ? result->exit.exit_code : -1;
    w->plugin.ops->exec_result_free(result);
    return status;
}

/* A file whose command has reported success is committed: it must be there, whatever comes. */
static int32_t do_write(struct worker *w)
{
    char name[64], shell[300];
    int32_t code, status;

    snprintf(name, sizeof name, "r%u-w%u-%u", w->round, w->number, w->serial++);
    snprintf(shell, sizeof shell, "echo %s > %s && test $(wc -c < %s) = %zu", name, name, name, strlen(name) + 1);
    status = command(w, shell, 5000, &code);
    if (!status && code == 0) {
        strcat(name, "\n");
        (void)!write(w->committed_fd, name, strlen(name));
    }
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

static int32_t do_reopen(struct worker *w)
{
    int32_t status;

    w->plugin.ops->close(w->rt);
    w->rt = NULL;
    for (int tries = 0; (status = world_open(&w->plugin, call_make(w), &w->rt)) && tries < 500; tries++)
        usleep(20000); /* while a disk or the fd table is full */
    return status;
}

static const struct {
    const char *name;
    int32_t (*run)(struct worker *w);
    unsigned weight;
} ops[] = {
    { "create", do_create, 6 },     { "start", do_start, 8 },     { "write", do_write, 12 },
    { "stop", do_stop, 2 },         { "get", do_get, 2 },         { "list", do_list, 1 },
    { "time_out", do_time_out, 2 }, { "session", do_session, 2 }, { "pause", do_pause, 1 },
    { "destroy", do_destroy, 3 },   { "reopen", do_reopen, 1 },
};

static bool ends(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

/* Any answer will do but the two that mean a fault of ours. */
static bool op_run(struct worker *w)
{
    unsigned total = 0, at;
    size_t i = 0;
    int32_t status;

    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
        total += ops[k].weight;
    for (at = dice_roll(&w->dice, total); at >= ops[i].weight; i++)
        at -= ops[i].weight;
    snprintf(w->id, sizeof w->id, "%s%u", world.prefix, dice_roll(&w->dice, BOXES));
    note("%s %s ...", ops[i].name, w->id);
    status = ops[i].run(w);
    note("%s %s: %s %s", ops[i].name, w->id, status_name(status), status ? w->call.error.message : "");
    if (!w->rt || status == RT_E_INTERNAL || (status && !w->call.error.message[0])) {
        fprintf(stderr, "chaos: %s %s: %s: %s\n", ops[i].name, w->id, status_name(status), w->call.error.message);
        return false;
    }
    return true;
}

int worker_run(unsigned round, unsigned number, int until_fd)
{
    struct worker w = { .dice = dice_make(round, 100 + number), .round = round, .number = number };
    char path[400];
    bool ok;

    snprintf(path, sizeof path, "%s/committed/%d", world.dir, (int)getpid());
    w.committed_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (w.committed_fd < 0 || !plugin_load(&w.plugin))
        return 1;
    ok = do_reopen(&w) == RT_OK;
    if (!ok)
        note("open: %s", w.call.error.message);
    while (ok && !ends(until_fd))
        ok = op_run(&w);
    if (w.rt)
        w.plugin.ops->close(w.rt);
    plugin_unload(&w.plugin);
    return ok ? 0 : 1;
}
