/* config show, check and schema. */
#include "args.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_args {
    struct open_args open;
    struct json_args json;
    const char *action;
    const char *operand;
};

static error_t config_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct config_args *args = into;

    switch (key) {
    case ARGP_KEY_ARG:
        if (!args->action)
            args->action = arg;
        else if (!args->operand && strcmp(args->action, "show"))
            args->operand = arg;
        else
            argp_error(state, "'%s' is too much", arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "show, check or schema?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- show ------------------------------------------------------------------------------------------------------ */

static const char *runtime_in_force(const struct host *host, const struct open_args *args)
{
    const char *name = args->runtime;

    if (!name)
        name = getenv("STOCKADE_RUNTIME");
    if (!name || !*name)
        name = stockade_config_runtime(host->config);
    return name ? name : "bwrap";
}

static int config_show(const struct host *host, const struct config_args *args)
{
    const char *preset = stockade_config_preset(host->config);
    char *text = stockade_config_json(host->config), *state_dir = NULL;
    cJSON *json = cJSON_CreateObject(), *file = text ? cJSON_Parse(text) : NULL;
    rt_error err = RT_ERROR_INIT;
    bool fits = json && file && json_add_text(json, "file", stockade_config_file(host->config)) &&
                cJSON_AddItemToObject(json, "config", file);

    free(text);
    if (!fits)
        cJSON_Delete(file);
    if (stockade_state_dir(args->open.state_dir, host->config, &err, &state_dir)) {
        cJSON_Delete(json);
        return report_error("%s", err.message);
    }
    fits = fits && json_add_text(json, "runtime", runtime_in_force(host, &args->open)) &&
           json_add_text(json, "state_dir", state_dir) && json_add_text(json, "preset", preset ? preset : "agent-safe");
    free(state_dir);
    if (fits)
        return json_print(json);
    cJSON_Delete(json);
    return json_print(NULL);
}

/* ---- check ----------------------------------------------------------------------------------------------------- */

/* Checks the section of one runtime. Returns false having reported what is wrong. */
static bool section_check(const struct host *host, const char *name)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin;
    int32_t status = stockade_plugin_load(name, host->config, &err, &plugin);

    if (status) {
        report_error("runtimes.%s: %s", name, err.message);
        return false;
    }
    status = stockade_config_check_runtime(host->config, plugin, &err);
    if (status)
        report_error("%s", err.message);
    stockade_plugin_unload(plugin);
    return !status;
}

static int check_print(const char *file, bool json)
{
    cJSON *object;

    if (!json) {
        printf("%s: ok\n", file ? file : "no config file");
        return report_finish(EXIT_OK);
    }
    object = cJSON_CreateObject();
    if (object && json_add_text(object, "file", file) && cJSON_AddBoolToObject(object, "ok", 1))
        return json_print(object);
    cJSON_Delete(object);
    return json_print(NULL);
}

static int config_check(struct host *host, const struct config_args *args)
{
    const char *name;
    bool is_good = true;

    for (size_t i = 0; (name = stockade_config_section(host->config, i)); i++)
        is_good = section_check(host, name) && is_good;
    return is_good ? check_print(stockade_config_file(host->config), args->json.json) : EXIT_OURS;
}

/* ---- schema ---------------------------------------------------------------------------------------------------- */

static int config_schema(const struct host *host, const char *runtime)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin;
    int code;

    if (!runtime) {
        fputs(stockade_config_schema(), stdout);
        return report_finish(EXIT_OK);
    }
    if (stockade_plugin_load(runtime, host->config, &err, &plugin))
        return report_error("%s", err.message);
    puts(plugin->info->config_schema);
    code = report_finish(EXIT_OK);
    stockade_plugin_unload(plugin);
    return code;
}

int cmd_config(int argc, char **argv)
{
    struct config_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .own = config_parse,
        .into = &args,
        .args_doc = "show\ncheck [FILE]\nschema [RUNTIME]",
        .doc = "Shows the config that is in force, checks a config file with its runtimes' sections, or prints the "
               "JSON Schema of the config file or of a runtime's section. show and schema print JSON.",
    };
    struct host host = HOST_INIT;
    int code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    if (!strcmp(args.action, "check") && args.operand)
        args.open.config_file = args.operand;
    if (!host_load_config(&host, &args.open))
        code = EXIT_OURS;
    else if (!strcmp(args.action, "show"))
        code = config_show(&host, &args);
    else if (!strcmp(args.action, "check"))
        code = config_check(&host, &args);
    else if (!strcmp(args.action, "schema"))
        code = config_schema(&host, args.operand);
    else
        code = report_error("'%s' is neither show, check nor schema", args.action);
    host_close(&host);
    return code;
}
