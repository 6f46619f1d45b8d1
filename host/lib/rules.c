/* Lists of workspace rules: from presets, config files and command lines. */
#include "rules.h"

#include "config.h"
#include "error.h"
#include "names.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct stockade_rules {
    rt_rule *items;
    size_t n, cap;
};

int32_t stockade_rules_new(rt_error *err, stockade_rules **ret)
{
    stockade_rules *rules = calloc(1, sizeof *rules);

    host_error_clear(err);
    if (!rules)
        return host_fail_nomem(err);
    *ret = rules;
    return RT_OK;
}

void stockade_rules_free(stockade_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->n; i++)
        free((char *)(uintptr_t)rules->items[i].pattern);
    free(rules->items);
    free(rules);
}

static bool rules_grow(stockade_rules *rules)
{
    size_t cap = rules->cap ? rules->cap * 2 : 32;
    rt_rule *items;

    if (rules->n < rules->cap)
        return true;
    items = reallocarray(rules->items, cap, sizeof *items);
    if (!items)
        return false;
    rules->items = items;
    rules->cap = cap;
    return true;
}

int32_t host_rules_take(stockade_rules *rules, char *pattern, int32_t type, int32_t permission, int32_t priority,
                        rt_error *err)
{
    if (!pattern || !rules_grow(rules)) {
        free(pattern);
        return host_fail_nomem(err);
    }
    rules->items[rules->n++] = (rt_rule){
        .size = sizeof(rt_rule),
        .pattern = pattern,
        .type = type,
        .permission = permission,
        .priority = priority,
    };
    return RT_OK;
}

int32_t stockade_rules_add(stockade_rules *rules, const char *pattern, int32_t type, int32_t permission,
                           int32_t priority, rt_error *err)
{
    host_error_clear(err);
    if (!pattern || !*pattern)
        return host_fail(err, RT_E_INVAL, 0, "a rule needs a pattern");
    if (type < RT_RULE_GLOB || type > RT_RULE_FILE)
        return host_fail(err, RT_E_INVAL, 0, "%d is no rule type", type);
    if (permission < RT_PERM_NONE || permission > RT_PERM_WRITE)
        return host_fail(err, RT_E_INVAL, 0, "%d is no permission", permission);
    return host_rules_take(rules, strdup(pattern), type, permission, priority, err);
}

const rt_rule *stockade_rules_items(const stockade_rules *rules, size_t *ret_n)
{
    *ret_n = rules->n;
    return rules->items;
}

/* ---- PATTERN=PERMISSION[,priority=N][,type=TYPE] --------------------------------------------------------------- */

/* Reads all of text as a priority. */
static bool priority_parse(const char *text, int32_t *ret)
{
    char *end;
    long value;

    if (!strchr("-0123456789", *text))
        return false;
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < INT32_MIN || value > INT32_MAX)
        return false;
    *ret = (int32_t)value;
    return true;
}

/* The value of the last option in text if it has this name (",priority="), NULL if not. */
static char *option_last(char *text, const char *name)
{
    char *equals = strrchr(text, '=');
    size_t len = strlen(name);

    return equals && (size_t)(equals + 1 - text) >= len && !strncmp(equals + 1 - len, name, len) ? equals + 1 : NULL;
}

/*
 * Cuts the options off the end, in place. Returns false if a priority is malformed; what is no type is no option, but a
 * permission.
 */
static bool options_cut(char *text, int32_t *ret_priority, int32_t *ret_type)
{
    static const char priority[] = ",priority=", type[] = ",type=";
    char *value;

    for (;;) {
        if ((value = option_last(text, priority))) {
            value[1 - (ptrdiff_t)sizeof priority] = '\0';
            if (!priority_parse(value, ret_priority))
                return false;
        } else if ((value = option_last(text, type)) && host_rule_type_parse(value) >= 0) {
            value[1 - (ptrdiff_t)sizeof type] = '\0';
            *ret_type = host_rule_type_parse(value);
        } else {
            return true;
        }
    }
}

/* A trailing slash makes a directory rule; the root alone keeps it. */
static int32_t type_cut(char *pattern)
{
    size_t len = strlen(pattern);

    if (!len || pattern[len - 1] != '/')
        return RT_RULE_GLOB;
    if (len > 1)
        pattern[len - 1] = '\0';
    return RT_RULE_DIRECTORY;
}

int32_t stockade_rules_add_text(stockade_rules *rules, const char *text, rt_error *err)
{
    char *copy = strdup(text), *equals;
    int32_t priority = 0, type = -1, permission, status;

    host_error_clear(err);
    if (!copy)
        return host_fail_nomem(err);
    if (!options_cut(copy, &priority, &type)) {
        status = host_fail(err, RT_E_INVAL, 0, "rule '%s': the priority must be a 32-bit number", text);
    } else if (!(equals = strrchr(copy, '='))) {
        status = host_fail(err, RT_E_INVAL, 0, "rule '%s': expected PATTERN=PERMISSION", text);
    } else if ((permission = host_permission_parse(equals + 1)) < 0) {
        status = host_fail(err, RT_E_INVAL, 0, "rule '%s': the permission must be none, view, read or write", text);
    } else {
        *equals = '\0';
        if (type < 0)
            type = type_cut(copy);
        status = stockade_rules_add(rules, copy, type, permission, priority, err);
        if (status == RT_E_INVAL)
            host_fail(err, RT_E_INVAL, 0, "rule '%s': there is no pattern before the '='", text);
    }
    free(copy);
    return status;
}

/* ---- the config's ---------------------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *rule, const char *key, const char *otherwise)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(rule, key));

    return text ? text : otherwise;
}

/* All values were checked against the schema when the config was read. */
int32_t stockade_rules_add_config(stockade_rules *rules, const stockade_config *config, rt_error *err)
{
    const cJSON *rule;

    host_error_clear(err);
    cJSON_ArrayForEach (rule, host_config_rules(config)) {
        const cJSON *priority = cJSON_GetObjectItemCaseSensitive(rule, "priority");
        int32_t status;

        status =
            stockade_rules_add(rules, text_of(rule, "pattern", ""), host_rule_type_parse(text_of(rule, "type", "glob")),
                               host_permission_parse(text_of(rule, "permission", "none")),
                               priority ? (int32_t)priority->valuedouble : 0, err);
        if (status)
            return status;
    }
    return RT_OK;
}
