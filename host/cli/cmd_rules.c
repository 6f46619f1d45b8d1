/* rules: what a sandbox may do with its workspace, shown and changed. */
#include "box.h"
#include "json.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

struct rules_args {
    struct open_args open;
    struct json_args json;
    const char *id, *preset;
    bool has_file;
    struct strv lines, sets; /* rules as texts: of --file, of --set */
};

enum { KEY_SET = 0x200, KEY_FILE, KEY_NEW_PRESET };

static const struct argp_option rules_options[] = {
    { "set", KEY_SET, "PATTERN=PERMISSION", 0,
      "Add a rule, or replace the one of the same pattern, type and priority; repeatable", 60 },
    { "preset", KEY_NEW_PRESET, "NAME", 0, "Replace all rules by those of a preset and of the config", 0 },
    { "file", KEY_FILE, "FILE", 0, "Replace all rules by a file's, one a line; with --preset, put them over its", 0 },
    { 0 },
};

static error_t rules_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct rules_args *args = into;
    const char *why;

    switch (key) {
    case KEY_SET:
        args_list_add(state, &args->sets, arg);
        return 0;
    case KEY_NEW_PRESET:
        args->preset = arg;
        return 0;
    case KEY_FILE:
        args->has_file = true;
        why = strv_file_add(&args->lines, arg);
        if (why)
            argp_error(state, "--file '%s': %s", arg, why);
        return 0;
    case ARGP_KEY_ARG:
        if (args->id)
            return ARGP_ERR_UNKNOWN;
        args->id = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        return argp_error(state, "no sandbox is given"), 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- showing --------------------------------------------------------------------------------------------------- */

/* As stockade_rules_add_text() takes it, so that what is shown can be given to --file. */
static void rule_print(const rt_rule *rule)
{
    size_t len = strlen(rule->pattern);
    bool has_slash = len && rule->pattern[len - 1] == '/', is_directory = rule->type == RT_RULE_DIRECTORY;

    if (*rule->pattern == '#')
        putchar('\\');
    text_print(rule->pattern);
    if (is_directory && !has_slash)
        putchar('/');
    printf("=%s", stockade_permission_name(rule->permission));
    if (rule->priority)
        printf(",priority=%d", rule->priority);
    if (rule->type == RT_RULE_FILE || (has_slash && len > 1) || (has_slash && !is_directory))
        printf(",type=%s", stockade_rule_type_name(rule->type));
    putchar('\n');
}

static int rules_print(const rt_sandbox_info *info, bool json)
{
    if (json)
        return json_print(json_rules(info));
    for (size_t i = 0; i < info->n_rules; i++)
        rule_print(info->rules[i]);
    return report_finish(EXIT_OK);
}

/* ---- changing -------------------------------------------------------------------------------------------------- */

static int32_t texts_add(stockade_rules *rules, const struct strv *texts, rt_error *err)
{
    int32_t status = RT_OK;

    for (size_t i = 0; !status && i < texts->n; i++)
        status = stockade_rules_add_text(rules, texts->items[i], err);
    return status;
}

static bool rule_is_in(const stockade_rules *rules, const rt_rule *rule)
{
    size_t n;
    const rt_rule *items = stockade_rules_items(rules, &n);

    for (size_t i = 0; i < n; i++)
        if (items[i].type == rule->type && items[i].priority == rule->priority &&
            !strcmp(items[i].pattern, rule->pattern))
            return true;
    return false;
}

/* Those of the sandbox that no --set replaces. */
static int32_t old_add(stockade_rules *rules, const rt_sandbox_info *info, const stockade_rules *sets, rt_error *err)
{
    int32_t status = RT_OK;

    for (size_t i = 0; !status && i < info->n_rules; i++) {
        const rt_rule *rule = info->rules[i];

        if (!rule_is_in(sets, rule))
            status = stockade_rules_add(rules, rule->pattern, rule->type, rule->permission, rule->priority, err);
    }
    return status;
}

/* sets is empty, and then holds the rules of --set. */
static int32_t rules_collect(const struct host *host, const struct rules_args *args, const rt_sandbox_info *info,
                             stockade_rules *rules, stockade_rules *sets, rt_error *err)
{
    int32_t status = texts_add(sets, &args->sets, err);

    if (!status && args->preset)
        status = stockade_rules_add_preset(rules, args->preset, err);
    if (!status && args->preset)
        status = stockade_rules_add_config(rules, host->config, err);
    if (!status)
        status = texts_add(rules, &args->lines, err);
    if (!status && !args->preset && !args->has_file)
        status = old_add(rules, info, sets, err);
    return status ? status : texts_add(rules, &args->sets, err);
}

static int rules_change(struct host *host, const struct rules_args *args, const rt_sandbox_info *info, int signal_fd)
{
    stockade_rules *rules = NULL, *sets = NULL;
    rt_error err = RT_ERROR_INIT;
    int32_t status = stockade_rules_new(&err, &rules);
    int code = EXIT_OK;
    const rt_rule *items;
    size_t n;

    if (!status)
        status = stockade_rules_new(&err, &sets);
    if (!status)
        status = rules_collect(host, args, info, rules, sets, &err);
    if (status) {
        code = report_error("%s", err.message);
    } else {
        items = stockade_rules_items(rules, &n);
        status = host->sb->ops->rules_update(host->sb->rt, args->id, items, n, &host->call);
        if (status)
            code = box_fail(host, status, signal_fd);
    }
    stockade_rules_free(sets);
    stockade_rules_free(rules);
    return code;
}

static int rules_do(struct host *host, const void *options, int signal_fd)
{
    const struct rules_args *args = options;
    rt_sandbox_info *info;
    int32_t status = host->sb->ops->get(host->sb->rt, args->id, &host->call, &info);
    int code;

    if (status)
        return box_fail(host, status, signal_fd);
    if (!info_has_rules(info))
        code = report_error("the runtime '%s' does not tell its sandboxes' rules", host->sb->plugin->name);
    else if (args->preset || args->has_file || args->sets.n)
        code = rules_change(host, args, info, signal_fd);
    else
        code = rules_print(info, args->json.json);
    host->sb->ops->sandbox_info_free(info);
    return code;
}

int cmd_rules(int argc, char **argv)
{
    struct rules_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .options = rules_options,
        .own = rules_parse,
        .into = &args,
        .args_doc = "ID",
        .doc =
            "Prints the workspace rules of a sandbox, one a line as --file takes them, or changes them: at once if it "
            "runs, else from its next start on. Files that are open keep the rights that they were opened with.",
    };
    int code;

    args_parse(&frame, argc, argv);
    code = host_do(&args.open, rules_do, &args);
    strv_release(&args.lines);
    strv_release(&args.sets);
    return code;
}
