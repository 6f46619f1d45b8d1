/* prune: removes sandboxes that have ended. */
#include "box.h"
#include "json.h"
#include "parse.h"
#include "table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct prune_args {
    struct open_args open;
    struct json_args json;
    int64_t older_ms; /* 0 = however old */
    bool stopped_too, dry_run;
};

enum { KEY_OLDER = 0x200, KEY_ALL_STOPPED, KEY_DRY_RUN };

static const struct argp_option prune_options[] = {
    { "older-than", KEY_OLDER, "DURATION", 0, "Only those that ended longer ago than 10m, 24h", 60 },
    { "all-stopped", KEY_ALL_STOPPED, NULL, 0, "Also those that were stopped by hand", 0 },
    { "dry-run", KEY_DRY_RUN, NULL, 0, "Only print what would be removed", 0 },
    { 0 },
};

static error_t prune_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct prune_args *args = into;

    switch (key) {
    case KEY_OLDER:
        if (!parse_duration(arg, &args->older_ms) || args->older_ms == RT_FOREVER)
            argp_error(state, "--older-than '%s': expected a duration such as 10m or 24h", arg);
        return 0;
    case KEY_ALL_STOPPED:
        args->stopped_too = true;
        return 0;
    case KEY_DRY_RUN:
        args->dry_run = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* When its last known moment was: a failed start has no end of its own. */
static int64_t ended_ns(const rt_sandbox_info *info)
{
    int64_t at = info->created_ns;

    if (info->started_ns > at)
        at = info->started_ns;
    return info->stopped_ns > at ? info->stopped_ns : at;
}

static bool is_due(const struct prune_args *args, const rt_sandbox_info *info)
{
    struct timespec now;

    if (info->status != RT_SANDBOX_ERROR && info->status != RT_SANDBOX_STOPPED)
        return false;
    /* One that was stopped has an error only if its time was over. */
    if (info->status == RT_SANDBOX_STOPPED && !info->last_error[0] && !args->stopped_too)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - ended_ns(info) >= args->older_ms * 1000000;
}

/* It is looked at again just before: whoever has started it meanwhile keeps it. *ret_done: it was removed. */
static int32_t prune_one(struct host *host, const struct prune_args *args, const char *id, bool *ret_done)
{
    rt_sandbox_info *info = NULL;
    int32_t status = host->sb->ops->get(host->sb->rt, id, &host->call, &info);

    *ret_done = !status && is_due(args, info);
    host->sb->ops->sandbox_info_free(info);
    if (*ret_done && !args->dry_run)
        status = host->sb->ops->destroy(host->sb->rt, id, &host->call);
    if (status)
        *ret_done = false;
    return status == RT_E_SANDBOX_NOT_FOUND ? RT_OK : status;
}

/* Prints the ids that it removed; goes on after one that it could not. */
static int prune_list(struct host *host, const struct prune_args *args, const rt_sandbox_list *list, int signal_fd)
{
    cJSON *done = cJSON_CreateArray();
    int code = EXIT_OK, printed;

    for (size_t i = 0; done && i < list->n && code <= EXIT_OURS; i++) {
        const char *id = list->items[i]->id;
        bool is_done;
        int32_t status = prune_one(host, args, id, &is_done);

        if (status) {
            code = box_fail(host, status, signal_fd);
        } else if (is_done && args->json.json) {
            if (!json_append_text(done, id))
                code = report_error("out of memory");
        } else if (is_done) {
            text_print(id);
            putchar('\n');
        }
    }
    if (done && !args->json.json) {
        cJSON_Delete(done);
        return report_finish(code);
    }
    printed = json_print(done);
    return code ? code : printed;
}

static int prune(struct host *host, const void *args, int signal_fd)
{
    rt_sandbox_list *list = NULL;
    int32_t status;
    int code;

    status = host->sb->ops->list(host->sb->rt, &host->call, &list);
    if (status)
        return box_fail(host, status, signal_fd);
    code = prune_list(host, args, list, signal_fd);
    host->sb->ops->sandbox_list_free(list);
    return code;
}

int cmd_prune(int argc, char **argv)
{
    struct prune_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .options = prune_options,
        .own = prune_parse,
        .into = &args,
        .doc = "Removes sandboxes that failed or whose time is over, and prints their ids.",
    };

    args_parse(&frame, argc, argv);
    return host_do(&args.open, prune, &args);
}
