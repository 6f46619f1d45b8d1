/* ls and inspect. */
#include "args.h"
#include "json.h"
#include "table.h"

#include <stdio.h>

struct show_args {
    struct open_args open;
    struct json_args json;
    struct strv ids; /* inspect */
    bool quiet;      /* ls */
};

/* ---- ls -------------------------------------------------------------------------------------------------------- */

static const struct argp_option ls_options[] = {
    { "quiet", 'q', NULL, 0, "Print the ids only", 60 },
    { 0 },
};

static error_t ls_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct show_args *args = into;

    (void)arg;
    (void)state;
    if (key != 'q')
        return ARGP_ERR_UNKNOWN;
    args->quiet = true;
    return 0;
}

static int list_print_json(const rt_sandbox_list *list)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; array && i < list->n; i++) {
        cJSON *item = json_sandbox(list->items[i]);

        if (!item || !cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return json_print(array);
}

static int list_print(const rt_sandbox_list *list)
{
    static const char *const head[] = { "ID", "STATUS", "CREATED", "CODEBASE" };
    struct table table = { .columns = sizeof head / sizeof *head };
    bool fits = table_add(&table, head);

    for (size_t i = 0; fits && i < list->n; i++) {
        const rt_sandbox_info *info = list->items[i];
        char created[32];
        const char *row[] = { info->id, sandbox_status_name(info->status),
                              time_text(info->created_ns, created, sizeof created), info->codebase };

        fits = table_add(&table, row);
    }
    if (fits)
        table_print(&table);
    table_release(&table);
    return fits ? report_finish(EXIT_OK) : report_error("out of memory");
}

static int list_print_quiet(const rt_sandbox_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        text_print(list->items[i]->id);
        putchar('\n');
    }
    return report_finish(EXIT_OK);
}

static int list_show(struct host *host, const struct show_args *args)
{
    rt_sandbox_list *list;
    int code;

    if (host->sb->ops->list(host->sb->rt, &host->call, &list))
        return report_error("%s", host->call.error.message);
    if (args->json.json)
        code = list_print_json(list);
    else
        code = args->quiet ? list_print_quiet(list) : list_print(list);
    host->sb->ops->sandbox_list_free(list);
    return code;
}

int cmd_ls(int argc, char **argv)
{
    struct show_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .options = ls_options,
        .own = ls_parse,
        .into = &args,
        .doc = "Lists the sandboxes of a runtime.",
    };
    struct host host = HOST_INIT;
    int code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    if (host_open(&host, &args.open))
        code = list_show(&host, &args);
    host_close(&host);
    return code;
}

/* ---- inspect --------------------------------------------------------------------------------------------------- */

/* Appends one sandbox; reports what goes wrong. */
static bool sandbox_append(struct host *host, const char *id, cJSON *array)
{
    rt_sandbox_info *info;
    cJSON *item;

    if (host->sb->ops->get(host->sb->rt, id, &host->call, &info))
        return report_error("%s", host->call.error.message), false;
    item = json_sandbox(info);
    host->sb->ops->sandbox_info_free(info);
    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return report_error("out of memory"), false;
}

int cmd_inspect(int argc, char **argv)
{
    struct show_args args = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &args.open },
        { &json_argp, &args.json }, /* it prints JSON anyway */
        { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .ids = &args.ids,
        .args_doc = "ID...",
        .doc = "Prints all about sandboxes, as a JSON array.",
    };
    struct host host = HOST_INIT;
    int code = EXIT_OURS, printed;

    args_parse(&frame, argc, argv);
    if (host_open(&host, &args.open)) {
        cJSON *array = cJSON_CreateArray();

        code = EXIT_OK;
        for (size_t i = 0; array && i < args.ids.n; i++)
            if (!sandbox_append(&host, args.ids.items[i], array))
                code = EXIT_OURS;
        printed = json_print(array);
        code = code ? code : printed;
    }
    host_close(&host);
    strv_release(&args.ids);
    return code;
}
