#include "json.h"

#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* Length of the valid UTF-8 sequence at text, 0 if there is none (RFC 3629: no surrogates, nothing overlong). */
static size_t utf8_len(const unsigned char *at)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t len;

    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    len = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    if (at[0] == 0xE0)
        low = 0xA0;
    else if (at[0] == 0xED)
        high = 0x9F;
    else if (at[0] == 0xF0)
        low = 0x90;
    else if (at[0] == 0xF4)
        high = 0x8F;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

static cJSON *text_json(const char *text)
{
    static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */
    const unsigned char *from = (const unsigned char *)text;
    char *valid, *at;
    cJSON *json;

    if (!text)
        return cJSON_CreateNull();
    valid = at = malloc(3 * strlen(text) + 1);
    if (!valid)
        return NULL;
    while (*from) {
        size_t len = utf8_len(from);

        if (len)
            at = mempcpy(at, from, len);
        else
            at = mempcpy(at, replacement, 3);
        from += len ? len : 1;
    }
    *at = '\0';
    json = cJSON_CreateString(valid);
    free(valid);
    return json;
}

bool json_add_text(cJSON *object, const char *key, const char *text)
{
    cJSON *json = text_json(text);

    if (json && cJSON_AddItemToObject(object, key, json))
        return true;
    cJSON_Delete(json);
    return false;
}

bool json_append_text(cJSON *array, const char *text)
{
    cJSON *json = text_json(text);

    if (json && cJSON_AddItemToArray(array, json))
        return true;
    cJSON_Delete(json);
    return false;
}

int json_print(cJSON *json)
{
    char *text = json ? cJSON_Print(json) : NULL;
    int code = EXIT_OK;

    if (text)
        puts(text);
    else
        code = report_error("out of memory");
    free(text);
    cJSON_Delete(json);
    return report_finish(code);
}

int id_print(const char *id, bool json)
{
    cJSON *object;

    if (!json) {
        text_print(id);
        putchar('\n');
        return report_finish(EXIT_OK);
    }
    object = cJSON_CreateObject();
    if (object && json_add_text(object, "id", id))
        return json_print(object);
    cJSON_Delete(object);
    return json_print(NULL);
}

/* ---- a sandbox ------------------------------------------------------------------------------------------------- */

static const char *name_of(const char *const *names, size_t n, int32_t value)
{
    return value >= 0 && (size_t)value < n ? names[value] : "unknown";
}

#define NAME_OF(names, value) name_of(names, sizeof(names) / sizeof *(names), value)

const char *sandbox_status_name(int32_t status)
{
    static const char *const names[] = { "pending", "running", "paused", "stopped", "error" };

    return NAME_OF(names, status);
}

/* RFC 3339 in UTC with milliseconds; null for a time that has not come. */
static bool time_add(cJSON *object, const char *key, int64_t ns)
{
    time_t seconds = ns / 1000000000;
    char text[40], whole[32];
    struct tm tm;

    if (ns == 0 || !gmtime_r(&seconds, &tm) || !strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &tm))
        return json_add_text(object, key, NULL);
    snprintf(text, sizeof text, "%s.%03dZ", whole, (int)(ns / 1000000 % 1000));
    return json_add_text(object, key, text);
}

static bool texts_add(cJSON *json, const rt_sandbox_info *info)
{
    static const char *const lifetimes[] = { "host", "persistent" };
    static const char *const modes[] = { "direct", "delta" };
    static const char *const policies[] = { "manual", "on_success", "always" };

    return json_add_text(json, "id", info->id) && json_add_text(json, "status", sandbox_status_name(info->status)) &&
           json_add_text(json, "runtime", info->runtime) && json_add_text(json, "codebase", info->codebase) &&
           json_add_text(json, "codebase_id", info->codebase_id) && json_add_text(json, "workspace", info->workspace) &&
           json_add_text(json, "workspace_mode", NAME_OF(modes, info->workspace_mode)) &&
           json_add_text(json, "commit_policy", NAME_OF(policies, info->commit_policy)) &&
           json_add_text(json, "lifetime", NAME_OF(lifetimes, info->lifetime)) &&
           json_add_text(json, "image", info->image) && json_add_text(json, "network", info->network) &&
           json_add_text(json, "user", info->user) && json_add_text(json, "backend_id", info->backend_id) &&
           json_add_text(json, "mount_point", info->mount_point) && json_add_text(json, "last_error", info->last_error);
}

static bool limits_add(cJSON *json, const rt_limits *limits)
{
    cJSON *object = cJSON_AddObjectToObject(json, "limits");

    return object && cJSON_AddNumberToObject(object, "memory_bytes", (double)limits->memory_bytes) &&
           cJSON_AddNumberToObject(object, "cpu_millis", limits->cpu_millis) &&
           cJSON_AddNumberToObject(object, "cpu_shares", limits->cpu_shares) &&
           cJSON_AddNumberToObject(object, "pids", limits->pids);
}

static bool labels_add(cJSON *json, const rt_sandbox_info *info)
{
    cJSON *object = cJSON_AddObjectToObject(json, "labels");

    for (size_t i = 0; object && i < info->n_labels; i++) {
        cJSON *key = text_json(info->labels[i]->key); /* keys are text too */

        if (!key || !json_add_text(object, key->valuestring, info->labels[i]->value))
            object = NULL;
        cJSON_Delete(key);
    }
    return object != NULL;
}

bool info_has_rules(const rt_sandbox_info *info)
{
    return info->size >= offsetof(rt_sandbox_info, rules) + sizeof info->rules;
}

static cJSON *rule_json(const rt_rule *rule)
{
    cJSON *json = cJSON_CreateObject();

    if (json && json_add_text(json, "pattern", rule->pattern) &&
        json_add_text(json, "type", stockade_rule_type_name(rule->type)) &&
        json_add_text(json, "permission", stockade_permission_name(rule->permission)) &&
        cJSON_AddNumberToObject(json, "priority", rule->priority))
        return json;
    cJSON_Delete(json);
    return NULL;
}

cJSON *json_rules(const rt_sandbox_info *info)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; array && i < info->n_rules; i++) {
        cJSON *rule = rule_json(info->rules[i]);

        if (!cJSON_AddItemToArray(array, rule)) {
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return array;
}

static bool rules_add(cJSON *json, const rt_sandbox_info *info)
{
    cJSON *rules;

    if (!info_has_rules(info))
        return true;
    rules = json_rules(info);
    return rules && cJSON_AddItemToObject(json, "rules", rules) &&
           cJSON_AddBoolToObject(json, "audit", (info->flags & RT_SANDBOX_AUDIT) != 0);
}

cJSON *json_sandbox(const rt_sandbox_info *info)
{
    cJSON *json = cJSON_CreateObject();

    if (json && texts_add(json, info) && time_add(json, "created", info->created_ns) &&
        time_add(json, "started", info->started_ns) && time_add(json, "stopped", info->stopped_ns) &&
        limits_add(json, &info->limits) && labels_add(json, info) && rules_add(json, info))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* ---- a session ------------------------------------------------------------------------------------------------- */

const char *session_status_name(int32_t status)
{
    static const char *const names[] = { "idle", "busy", "closed" };

    return NAME_OF(names, status);
}

cJSON *json_session(const rt_session_info *info)
{
    cJSON *json = cJSON_CreateObject();

    if (json && json_add_text(json, "id", info->id) && json_add_text(json, "sandbox", info->sandbox) &&
        json_add_text(json, "status", session_status_name(info->status)) && json_add_text(json, "shell", info->shell) &&
        cJSON_AddNumberToObject(json, "pid", info->pid) && time_add(json, "created", info->created_ns) &&
        cJSON_AddNumberToObject(json, "commands", (double)info->commands))
        return json;
    cJSON_Delete(json);
    return NULL;
}
