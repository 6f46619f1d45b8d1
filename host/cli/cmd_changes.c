/* changes, commit, discard: what a copy-on-write sandbox has written, and what becomes of it. */
#include "box.h"
#include "diff.h"
#include "json.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

struct delta_args {
    struct open_args open;
    struct json_args json;
    const char *id;
    struct strv paths; /* empty = all */
    bool has_diff;
    int32_t conflicts; /* enum rt_conflict_policy */
};

enum { KEY_DIFF = 0x200, KEY_OURS, KEY_THEIRS };

static const struct argp_option changes_options[] = {
    { "diff", KEY_DIFF, NULL, 0,
      "Show how the content of files differs, and list what is no file; the sandbox must run", 60 },
    { 0 },
};

static const struct argp_option commit_options[] = {
    { "ours", KEY_OURS, NULL, 0, "Overwrite files that changed in the directory since the sandbox first touched them",
      60 },
    { "theirs", KEY_THEIRS, NULL, 0, "Leave such files as they are, and commit the others", 0 },
    { 0 },
};

static error_t delta_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct delta_args *args = into;

    switch (key) {
    case KEY_DIFF:
        args->has_diff = true;
        return 0;
    case KEY_OURS:
    case KEY_THEIRS:
        if (args->conflicts)
            argp_error(state, "--ours and --theirs exclude each other");
        args->conflicts = key == KEY_OURS ? RT_CONFLICT_OURS : RT_CONFLICT_THEIRS;
        return 0;
    case ARGP_KEY_ARG:
        if (args->id)
            args_list_add(state, &args->paths, arg);
        else
            args->id = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        return argp_error(state, "no sandbox is given"), 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- printing -------------------------------------------------------------------------------------------------- */

static const char *const kind_names[] = { "added", "modified", "deleted", "type", "metadata" };

static const char *kind_name(const rt_change *change)
{
    const size_t n = sizeof kind_names / sizeof *kind_names;

    return change->kind >= 0 && (size_t)change->kind < n ? kind_names[change->kind] : "?";
}

static bool change_add(cJSON *array, const rt_change *change)
{
    cJSON *object = cJSON_CreateObject();

    if (!object || !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        return false;
    }
    return json_add_text(object, "path", change->path) && json_add_text(object, "kind", kind_name(change)) &&
           cJSON_AddBoolToObject(object, "conflict", change->conflict) &&
           cJSON_AddNumberToObject(object, "old_bytes", (double)change->old_bytes) &&
           cJSON_AddNumberToObject(object, "new_bytes", (double)change->new_bytes);
}

static void change_print(const rt_change *change)
{
    printf("%-8s  ", kind_name(change));
    text_print(change->path);
    printf("%s\n", change->conflict ? "  (conflict)" : "");
}

static int changes_print(const rt_changes *changes, bool json)
{
    cJSON *array = json ? cJSON_CreateArray() : NULL;
    bool ok = !json || array;

    for (size_t i = 0; ok && i < changes->n; i++) {
        if (json)
            ok = change_add(array, changes->items[i]);
        else
            change_print(changes->items[i]);
    }
    if (!json)
        return report_finish(EXIT_OK);
    if (ok)
        return json_print(array);
    cJSON_Delete(array);
    return report_error("out of memory");
}

/* ---- the three ------------------------------------------------------------------------------------------------- */

static int changes_diff(struct host *host, const struct delta_args *args, const rt_changes *changes)
{
    rt_sandbox_info *info;
    int32_t status = host->sb->ops->get(host->sb->rt, args->id, &host->call, &info);
    int code;

    if (status)
        return box_fail(host, status, -1);
    if (*info->mount_point)
        code = report_finish(diff_print(info->codebase, info->mount_point, changes, change_print));
    else
        code = report_error("sandbox '%s' does not run, so that there is nothing to compare with", args->id);
    host->sb->ops->sandbox_info_free(info);
    return code;
}

static int changes_do(struct host *host, const void *options, int signal_fd)
{
    const struct delta_args *args = options;
    rt_changes *changes;
    int32_t status = host->sb->ops->changes_list(host->sb->rt, args->id, &host->call, &changes);
    int code;

    if (status)
        return box_fail(host, status, signal_fd);
    code = args->has_diff ? changes_diff(host, args, changes) : changes_print(changes, args->json.json);
    host->sb->ops->changes_free(changes);
    return code;
}

static int commit_do(struct host *host, const void *options, int signal_fd)
{
    const struct delta_args *args = options;
    const rt_commit_spec spec = { .size = sizeof spec,
                                  .paths = args->paths.n ? (const char *const *)args->paths.items : NULL,
                                  .conflicts = args->conflicts };
    rt_changes *changes = NULL;
    int32_t status = host->sb->ops->changes_commit(host->sb->rt, args->id, &spec, &host->call, &changes);
    int code = changes ? changes_print(changes, args->json.json) : EXIT_OK;

    host->sb->ops->changes_free(changes);
    return status ? box_fail(host, status, signal_fd) : code;
}

static int discard_do(struct host *host, const void *options, int signal_fd)
{
    const struct delta_args *args = options;
    const char *const *paths = args->paths.n ? (const char *const *)args->paths.items : NULL;
    int32_t status = host->sb->ops->changes_discard(host->sb->rt, args->id, paths, &host->call);

    return status ? box_fail(host, status, signal_fd) : EXIT_OK;
}

static int delta_command(struct args_frame *frame, struct delta_args *args, host_work *work, int argc, char **argv)
{
    int code;

    frame->own = delta_parse;
    frame->into = args;
    args_parse(frame, argc, argv);
    code = host_do(&args->open, work, args);
    strv_release(&args->paths);
    return code;
}

int cmd_changes(int argc, char **argv)
{
    struct delta_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    struct args_frame frame = {
        .groups = groups,
        .options = changes_options,
        .args_doc = "ID",
        .doc = "Lists what a sandbox made with --delta has changed and not committed, by path.",
    };

    return delta_command(&frame, &args, changes_do, argc, argv);
}

int cmd_commit(int argc, char **argv)
{
    struct delta_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    struct args_frame frame = {
        .groups = groups,
        .options = commit_options,
        .args_doc = "ID [PATH...]",
        .doc =
            "Applies a sandbox's changes, or those at and below the paths, to its directory, and prints them. If one "
            "of the files changed there meanwhile, nothing is applied, and what conflicts is printed.",
    };

    return delta_command(&frame, &args, commit_do, argc, argv);
}

int cmd_discard(int argc, char **argv)
{
    struct delta_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { 0 } };
    struct args_frame frame = {
        .groups = groups,
        .args_doc = "ID [PATH...]",
        .doc = "Forgets a sandbox's changes, or those at and below the paths.",
    };

    return delta_command(&frame, &args, discard_do, argc, argv);
}
