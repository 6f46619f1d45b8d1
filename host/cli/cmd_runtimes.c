/* runtimes: what lies along the search path. */
#include "args.h"
#include "capabilities.h"
#include "json.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

struct runtimes_args {
    struct open_args open;
    struct json_args json;
};

static bool plugin_add_json(cJSON *item, const rt_plugin *info)
{
    char abi[24];
    size_t i = 0;
    cJSON *list;

    snprintf(abi, sizeof abi, "%u.%u", info->abi_major, info->abi_minor);
    list = cJSON_AddArrayToObject(item, "capabilities");
    for (const struct capability *can = capability_at(i); list && can; can = capability_at(++i))
        if ((info->capabilities & can->bit) && !json_append_text(list, can->name))
            list = NULL;
    return list && json_add_text(item, "version", info->version) && json_add_text(item, "abi", abi) &&
           json_add_text(item, "summary", info->summary);
}

/* NULL if memory runs out. */
static cJSON *found_json(const stockade_found *found)
{
    cJSON *item = cJSON_CreateObject();
    bool fits = item && json_add_text(item, "name", found->name) && json_add_text(item, "file", found->file) &&
                json_add_text(item, "error", found->plugin ? NULL : found->error.message);

    if (fits && (!found->plugin || plugin_add_json(item, found->plugin->info)))
        return item;
    cJSON_Delete(item);
    return NULL;
}

static int found_print_json(const stockade_found_list *list)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; array && i < list->n; i++) {
        cJSON *item = found_json(&list->items[i]);

        if (!item || !cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return json_print(array);
}

static void capabilities_print(uint64_t bits)
{
    const char *before = "    can: ";
    size_t i = 0;

    for (const struct capability *can = capability_at(i); can; can = capability_at(++i)) {
        if (!(bits & can->bit))
            continue;
        printf("%s%s", before, can->name);
        before = ", ";
    }
    if (bits)
        putchar('\n');
}

static void found_print(const stockade_found *found)
{
    const rt_plugin *info = found->plugin ? found->plugin->info : NULL;

    text_print(found->name);
    if (!info) {
        printf("  cannot be loaded\n    ");
        text_print(found->error.message);
        putchar('\n');
        return;
    }
    printf("  ");
    text_print(info->version);
    printf("  ABI %u.%u  ", info->abi_major, info->abi_minor);
    text_print(info->summary);
    printf("\n    file: ");
    text_print(found->file);
    putchar('\n');
    capabilities_print(info->capabilities);
}

static int found_show(const struct host *host, bool json)
{
    rt_error err = RT_ERROR_INIT;
    stockade_found_list *list;
    int code = EXIT_OK;

    if (stockade_plugin_find_all(host->config, &err, &list))
        return report_error("%s", err.message);
    if (json) {
        code = found_print_json(list);
    } else {
        for (size_t i = 0; i < list->n; i++)
            found_print(&list->items[i]);
        if (!list->n)
            report_note("no plugin was found; STOCKADE_PLUGIN_PATH or plugin_path in the config says where to look");
        code = report_finish(code);
    }
    stockade_found_list_free(list);
    return code;
}

int cmd_runtimes(int argc, char **argv)
{
    struct runtimes_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .doc = "Lists the runtime plugins along the search path, those that cannot be loaded with the reason.",
    };
    struct host host = HOST_INIT;
    int code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    if (host_load_config(&host, &args.open))
        code = found_show(&host, args.json.json);
    host_close(&host);
    return code;
}
