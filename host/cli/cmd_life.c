/* create, start, pause, resume, stop, destroy: the life of sandboxes that stay. */
#include "box.h"
#include "json.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

/* ---- create ---------------------------------------------------------------------------------------------------- */

struct create_args {
    struct open_args open;
    struct json_args json;
    struct env_args env;
    struct sandbox_args sandbox;
    bool starts;
};

enum { KEY_START = 0x200 };

static const struct argp_option create_options[] = {
    { "start", KEY_START, NULL, 0, "Start it too", 60 },
    { 0 },
};

static error_t create_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct create_args *args = into;

    (void)arg;
    (void)state;
    if (key != KEY_START)
        return ARGP_ERR_UNKNOWN;
    args->starts = true;
    return 0;
}

/* A sandbox that was to be started and could not be is not left behind. Its start alone can be cancelled. */
static int sandbox_make(struct host *host, const void *options, int signal_fd)
{
    const struct create_args *args = options;
    rt_sandbox_info *info;
    int32_t status = RT_OK;
    int code;

    host->call.cancel_fd = -1;
    if (!box_create(host, &args->sandbox, &args->env, RT_LIFETIME_PERSISTENT, &info))
        return EXIT_OURS;
    host->call.cancel_fd = signal_fd;
    if (args->starts)
        status = host->sb->ops->start(host->sb->rt, info->id, &host->call);
    if (status) {
        code = box_fail(host, status, signal_fd);
        box_destroy(host, info->id);
    } else {
        code = id_print(info->id, args->json.json);
    }
    host->sb->ops->sandbox_info_free(info);
    return code;
}

int cmd_create(int argc, char **argv)
{
    struct create_args args = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &args.open }, { &json_argp, &args.json },       { &env_argp, &args.env },
        { &user_argp, &args.env },  { &sandbox_argp, &args.sandbox }, { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .options = create_options,
        .own = create_parse,
        .into = &args,
        .doc = "Makes a sandbox that stays until it is destroyed, and prints its id.",
    };
    int code;

    args_parse(&frame, argc, argv);
    code = host_do(&args.open, sandbox_make, &args);
    strv_release(&args.env.env);
    sandbox_args_release(&args.sandbox);
    return code;
}

/* ---- the others: one op on each id ------------------------------------------------------------------- */

typedef int32_t id_op(rt_runtime *rt, const char *id, rt_call *call);
typedef id_op *id_pick(const rt_ops *ops);

struct ids_args {
    struct open_args open;
    struct json_args json;
    struct strv ids;
    id_pick *pick;
};

/* Prints the ids that it worked for; goes on after one that it did not. */
static int ids_do(struct host *host, const void *options, int signal_fd)
{
    const struct ids_args *args = options;
    id_op *op = args->pick(host->sb->ops);
    cJSON *done = cJSON_CreateArray();
    int code = EXIT_OK, printed;

    for (size_t i = 0; done && i < args->ids.n && code <= EXIT_OURS; i++) {
        const char *id = args->ids.items[i];
        int32_t status = op(host->sb->rt, id, &host->call);

        if (status) {
            code = box_fail(host, status, signal_fd);
        } else if (!args->json.json) {
            text_print(id);
            putchar('\n');
        } else if (!json_append_text(done, id)) {
            code = report_error("out of memory");
        }
    }
    if (done && !args->json.json) {
        cJSON_Delete(done);
        return report_finish(code);
    }
    printed = json_print(done);
    return code ? code : printed;
}

static int ids_command(int argc, char **argv, const char *doc, id_pick *pick)
{
    struct ids_args args = { .pick = pick };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = { .groups = groups, .ids = &args.ids, .args_doc = "ID...", .doc = doc };
    int code;

    args_parse(&frame, argc, argv);
    code = host_do(&args.open, ids_do, &args);
    strv_release(&args.ids);
    return code;
}

static id_op *pick_start(const rt_ops *ops)
{
    return ops->start;
}

static id_op *pick_pause(const rt_ops *ops)
{
    return ops->pause;
}

static id_op *pick_resume(const rt_ops *ops)
{
    return ops->resume;
}

static id_op *pick_stop(const rt_ops *ops)
{
    return ops->stop;
}

static id_op *pick_destroy(const rt_ops *ops)
{
    return ops->destroy;
}

int cmd_start(int argc, char **argv)
{
    return ids_command(argc, argv, "Starts sandboxes that are pending, stopped or in error.", pick_start);
}

int cmd_pause(int argc, char **argv)
{
    return ids_command(argc, argv, "Holds everything in sandboxes still until they are resumed.", pick_pause);
}

int cmd_resume(int argc, char **argv)
{
    return ids_command(argc, argv, "Lets sandboxes that are paused go on where they were.", pick_resume);
}

int cmd_stop(int argc, char **argv)
{
    return ids_command(argc, argv, "Ends all that runs in sandboxes; the sandboxes stay and can be started again.",
                       pick_stop);
}

int cmd_destroy(int argc, char **argv)
{
    return ids_command(argc, argv,
                       "Ends sandboxes and removes all that is kept of them. The workspace's directory stays.",
                       pick_destroy);
}
