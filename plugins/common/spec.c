#include "spec.h"

#include "backend.h"
#include "error.h"
#include "json.h"
#include "permfs/rules.h"
#include "structs.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int32_t env_check(const char *const *env, const char *what, rt_error *err)
{
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');

        if (!equals || equals == *env)
            return error_set(err, RT_E_INVAL, 0, "%s: '%.100s' is not NAME=value", what, *env);
    }
    return RT_OK;
}

bool user_parse(const char *user, uint32_t *ret_uid, uint32_t *ret_gid)
{
    uint32_t values[2];
    const char *at = user;

    for (int i = 0; i < 2; i++) {
        char *end;
        unsigned long value;

        if (*at < '0' || *at > '9')
            return false;
        errno = 0;
        value = strtoul(at, &end, 10);
        if (errno || value >= UINT32_MAX)
            return false;
        values[i] = (uint32_t)value;
        if (i == 0 && *end == '\0') {
            values[1] = values[0];
            break;
        }
        if (*end != (i == 0 ? ':' : '\0'))
            return false;
        at = end + 1;
    }
    *ret_uid = values[0];
    *ret_gid = values[1];
    return true;
}

static int32_t rule_check(const rt_rule *rule, size_t i, rt_error *err)
{
    const char *why;

    if (!rule->pattern)
        return error_set(err, RT_E_PATTERN, 0, "rule %zu: no pattern", i);
    why = rules_check_pattern(rule->pattern);
    if (why)
        return error_set(err, RT_E_PATTERN, 0, "rule %zu: '%.200s': %s", i, rule->pattern, why);
    if (rule->type < RT_RULE_GLOB || rule->type > RT_RULE_FILE)
        return error_set(err, RT_E_INVAL, 0, "rule %zu: unknown type %d", i, rule->type);
    if (rule->permission < RT_PERM_NONE || rule->permission > RT_PERM_WRITE)
        return error_set(err, RT_E_INVAL, 0, "rule %zu: unknown permission %d", i, rule->permission);
    return RT_OK;
}

int32_t rules_to_json(const rt_rule *rules, size_t n, cJSON *json, rt_error *err)
{
    if (n > SPEC_RULES_MAX)
        return error_set(err, RT_E_INVAL, 0, "%zu rules; at most %d", n, SPEC_RULES_MAX);
    if (n && !rules)
        return error_set(err, RT_E_INVAL, 0, "rules: %zu, and none given", n);
    for (size_t i = 0; i < n; i++) {
        rt_rule rule;
        int32_t status;
        cJSON *item;

        if (!struct_read(&rule, sizeof rule, struct_at(rules, i)))
            return error_set(err, RT_E_INVAL, 0, "rule %zu: no size", i);
        status = rule_check(&rule, i, err);
        if (status)
            return status;
        if (!json)
            continue;
        item = cJSON_CreateObject();
        if (!item || !cJSON_AddItemToArray(json, item)) {
            cJSON_Delete(item);
            return error_set(err, RT_E_NOMEM, 0, "rules");
        }
        if (!json_add_str(item, "pattern", rule.pattern) || !json_add_int(item, "type", rule.type) ||
            !json_add_int(item, "permission", rule.permission) || !json_add_int(item, "priority", rule.priority))
            return error_set(err, RT_E_NOMEM, 0, "rules");
    }
    return RT_OK;
}

static int32_t labels_to_json(const rt_sandbox_spec *spec, cJSON *json, rt_error *err)
{
    cJSON *labels = cJSON_AddObjectToObject(json, "labels");

    if (spec->n_labels && !spec->labels)
        return error_set(err, RT_E_INVAL, 0, "labels: %zu, and none given", spec->n_labels);
    for (size_t i = 0; labels && i < spec->n_labels; i++) {
        rt_label label;

        if (!struct_read(&label, sizeof label, struct_at(spec->labels, i)) || !label.key || !*label.key)
            return error_set(err, RT_E_INVAL, 0, "label %zu: no key", i);
        if (cJSON_GetObjectItemCaseSensitive(labels, label.key))
            return error_set(err, RT_E_INVAL, 0, "label '%.100s' is given twice", label.key);
        if (!cJSON_AddStringToObject(labels, label.key, label.value ? label.value : ""))
            return error_set(err, RT_E_NOMEM, 0, "labels");
    }
    return labels ? RT_OK : error_set(err, RT_E_NOMEM, 0, "labels");
}

/* Why the codebase cannot be opened: for what the caller has named, or for what this process is short of. */
static int32_t codebase_status(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return RT_E_INVAL;
    default:
        return error_status(sys_errno);
    }
}

static int32_t codebase_resolve(const char *codebase, rt_error *err, char **ret)
{
    cleanup_fd int fd = -1;

    if (!codebase || !*codebase)
        return error_set(err, RT_E_INVAL, 0, "no codebase given");
    fd = open(codebase, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, codebase_status(errno), errno, "codebase '%.300s'", codebase);
    *ret = realpath(codebase, NULL);
    return *ret ? RT_OK : error_set(err, error_status(errno), errno, "codebase '%.300s'", codebase);
}

static int32_t one_of(int32_t value, int32_t max, const char *what, rt_error *err)
{
    return value >= 0 && value <= max ? RT_OK : error_set(err, RT_E_INVAL, 0, "%s: unknown value %d", what, value);
}

static int32_t time_check(int64_t ms, bool forever, const char *what, rt_error *err)
{
    if ((ms >= 0 && ms < JSON_INT_MAX / 1000000) || (forever && ms == RT_FOREVER))
        return RT_OK;
    return error_set(err, RT_E_INVAL, 0, "%s: %lld is out of range", what, (long long)ms);
}

/* Absolute, and of names alone: no slash too many, no "." and no "..". */
static bool path_is_plain(const char *path)
{
    do {
        size_t len = strcspn(path + (*path == '/'), "/");

        if (*path++ != '/' || !len || (len <= 2 && strspn(path, ".") == len))
            return false;
        path += len;
    } while (*path);
    return true;
}

/* A workspace may go anywhere but over what a command needs to run. */
static int32_t workspace_check(const char *path, rt_error *err)
{
    static const char *const taken[] = { "/",     "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64",
                                         "/proc", "/run", "/sbin", "/sys", "/usr", "/tmp", INSIDE_DIR };
    bool hides = path_is_below(path, INSIDE_DIR);

    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        hides = hides || !strcmp(path, taken[i]);
    if (hides)
        return error_set(err, RT_E_INVAL, 0, "workspace '%s' would hide the system's own", path);
    return path_is_plain(path) && strlen(path) <= 1000
               ? RT_OK
               : error_set(err, RT_E_INVAL, 0, "workspace '%.200s' is not a plain absolute path", path);
}

static int32_t spec_check(const rt_sandbox_spec *spec, rt_error *err)
{
    int32_t status;

    if (spec->id && !id_valid(spec->id))
        return error_set(err, RT_E_INVAL, 0, "id '%.100s' does not match [A-Za-z0-9][A-Za-z0-9_.-]{0,62}", spec->id);
    if ((status = workspace_check(spec->workspace ? spec->workspace : "/workspace", err)) ||
        (status = env_check(spec->env, "env", err)) ||
        (status = one_of(spec->lifetime, RT_LIFETIME_PERSISTENT, "lifetime", err)) ||
        (status = one_of(spec->workspace_mode, RT_WORKSPACE_DELTA, "workspace_mode", err)) ||
        (status = one_of(spec->commit_policy, RT_COMMIT_ALWAYS, "commit_policy", err)) ||
        (status = time_check(spec->timeout_ms, true, "timeout_ms", err)) ||
        (status = time_check(spec->max_lifetime_ms, false, "max_lifetime_ms", err)) ||
        (status = time_check(spec->idle_timeout_ms, false, "idle_timeout_ms", err)))
        return status;
    if (spec->user && !*spec->user)
        return error_set(err, RT_E_INVAL, 0, "user is empty");
    if (spec->audit_file && spec->audit_file[0] != '/')
        return error_set(err, RT_E_INVAL, 0, "audit_file '%.200s' is not an absolute path", spec->audit_file);
    return RT_OK;
}

#define MEMORY_MIN (6 << 20) /* Docker's: less than a runtime itself needs */

static int32_t limits_read(const rt_sandbox_spec *spec, rt_error *err, rt_limits *ret)
{
    *ret = (rt_limits){ .size = sizeof *ret };
    if (!spec->limits)
        return RT_OK;
    if (!struct_read(ret, sizeof *ret, spec->limits))
        return error_set(err, RT_E_INVAL, 0, "limits: no size");
    if (ret->memory_bytes >= (uint64_t)JSON_INT_MAX)
        return error_set(err, RT_E_INVAL, 0, "limits.memory_bytes is out of range");
    if (ret->memory_bytes && ret->memory_bytes < MEMORY_MIN)
        return error_set(err, RT_E_INVAL, 0, "limits.memory_bytes: expected at least %d, got %llu", MEMORY_MIN,
                         (unsigned long long)ret->memory_bytes);
    if (ret->cpu_millis && (ret->cpu_millis < 10 || ret->cpu_millis > 10000000))
        return error_set(err, RT_E_INVAL, 0, "limits.cpu_millis: expected 10 to 10000000, got %u", ret->cpu_millis);
    if (ret->cpu_shares && (ret->cpu_shares < 2 || ret->cpu_shares > 262144))
        return error_set(err, RT_E_INVAL, 0, "limits.cpu_shares: expected 2 to 262144, got %u", ret->cpu_shares);
    return RT_OK;
}

static bool spec_add_plain(cJSON *json, const rt_sandbox_spec *spec, const rt_limits *limits, const char *codebase)
{
    char id[17];

    random_name(id, sizeof id - 1);
    return json_add_str(json, "id", spec->id ? spec->id : id) && json_add_str(json, "codebase", codebase) &&
           json_add_str(json, "codebase_id", spec->codebase_id) && json_add_str(json, "workspace", spec->workspace) &&
           json_add_str(json, "image", spec->image) && json_add_str(json, "network", spec->network) &&
           json_add_str(json, "user", spec->user) && json_add_str(json, "oci_runtime", spec->oci_runtime) &&
           json_add_str(json, "audit_file", spec->audit_file) && json_add_strv(json, "env", spec->env) &&
           json_add_int(json, "lifetime", spec->lifetime) &&
           json_add_int(json, "workspace_mode", spec->workspace_mode) &&
           json_add_int(json, "commit_policy", spec->commit_policy) && json_add_int(json, "flags", spec->flags) &&
           json_add_int(json, "timeout_ms", spec->timeout_ms) &&
           json_add_int(json, "max_lifetime_ms", spec->max_lifetime_ms) &&
           json_add_int(json, "idle_timeout_ms", spec->idle_timeout_ms) &&
           json_add_int(json, "memory_bytes", (int64_t)limits->memory_bytes) &&
           json_add_int(json, "cpu_millis", limits->cpu_millis) &&
           json_add_int(json, "cpu_shares", limits->cpu_shares) && json_add_int(json, "pids", limits->pids);
}

int32_t spec_to_json(const rt_sandbox_spec *spec, rt_error *err, cJSON **ret)
{
    cleanup_free char *codebase = NULL;
    cJSON *json, *rules;
    rt_limits limits;
    int32_t status = spec_check(spec, err);

    if (!status)
        status = limits_read(spec, err, &limits);
    if (!status)
        status = codebase_resolve(spec->codebase, err, &codebase);
    if (status)
        return status;
    json = cJSON_CreateObject();
    rules = json ? cJSON_AddArrayToObject(json, "rules") : NULL;
    if (!rules || !spec_add_plain(json, spec, &limits, codebase))
        status = error_set(err, RT_E_NOMEM, 0, "the specification");
    if (!status)
        status = rules_to_json(spec->rules, spec->n_rules, rules, err);
    if (!status)
        status = labels_to_json(spec, json, err);
    if (status)
        cJSON_Delete(json);
    else
        *ret = json;
    return status;
}

static bool rules_from_json(const cJSON *json, struct spec *ret)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, "rules"), *item;
    int n = cJSON_GetArraySize(array);
    bool ok = cJSON_IsArray(array);

    ret->rules = calloc((size_t)n + 1, sizeof *ret->rules);
    if (!ret->rules)
        return false;
    cJSON_ArrayForEach (item, array) {
        rt_rule *rule = &ret->rules[ret->n_rules++];

        rule->size = sizeof *rule;
        rule->pattern = json_str(item, "pattern", NULL, &ok);
        rule->type = (int32_t)json_int(item, "type", RT_RULE_GLOB, RT_RULE_FILE, RT_RULE_GLOB, &ok);
        rule->permission = (int32_t)json_int(item, "permission", RT_PERM_NONE, RT_PERM_WRITE, RT_PERM_NONE, &ok);
        rule->priority = (int32_t)json_int(item, "priority", INT32_MIN, INT32_MAX, 0, &ok);
        if (!ok || !rule->pattern)
            return false;
    }
    return ok;
}

static bool labels_from_json(const cJSON *json, struct spec *ret)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(json, "labels"), *item;
    int n = cJSON_GetArraySize(object);

    ret->labels = calloc((size_t)n + 1, sizeof *ret->labels);
    if (!ret->labels || !cJSON_IsObject(object))
        return false;
    cJSON_ArrayForEach (item, object) {
        if (!cJSON_IsString(item))
            return false;
        ret->labels[ret->n_labels++] =
            (rt_label){ .size = sizeof(rt_label), .key = item->string, .value = item->valuestring };
    }
    return true;
}

bool spec_from_json(const cJSON *json, struct spec *ret)
{
    bool ok = true;

    *ret = (struct spec){
        .id = json_str(json, "id", NULL, &ok),
        .codebase = json_str(json, "codebase", NULL, &ok),
        .codebase_id = json_str(json, "codebase_id", "", &ok),
        .workspace = json_str(json, "workspace", "/workspace", &ok),
        .image = json_str(json, "image", "", &ok),
        .network = json_str(json, "network", "none", &ok),
        .user = json_str(json, "user", "", &ok),
        .oci_runtime = json_str(json, "oci_runtime", "", &ok),
        .audit_file = json_str(json, "audit_file", "", &ok),
        .lifetime = (int32_t)json_int(json, "lifetime", 0, RT_LIFETIME_PERSISTENT, 0, &ok),
        .workspace_mode = (int32_t)json_int(json, "workspace_mode", 0, RT_WORKSPACE_DELTA, 0, &ok),
        .commit_policy = (int32_t)json_int(json, "commit_policy", 0, RT_COMMIT_ALWAYS, 0, &ok),
        .flags = (uint32_t)json_int(json, "flags", 0, UINT32_MAX, 0, &ok),
        .timeout_ms = json_int(json, "timeout_ms", RT_FOREVER, JSON_INT_MAX, 0, &ok),
        .max_lifetime_ms = json_int(json, "max_lifetime_ms", 0, JSON_INT_MAX, 0, &ok),
        .idle_timeout_ms = json_int(json, "idle_timeout_ms", 0, JSON_INT_MAX, 0, &ok),
        .limits = { .size = sizeof(rt_limits),
                    .memory_bytes = (uint64_t)json_int(json, "memory_bytes", 0, JSON_INT_MAX, 0, &ok),
                    .cpu_millis = (uint32_t)json_int(json, "cpu_millis", 0, UINT32_MAX, 0, &ok),
                    .cpu_shares = (uint32_t)json_int(json, "cpu_shares", 0, UINT32_MAX, 0, &ok),
                    .pids = (uint32_t)json_int(json, "pids", 0, UINT32_MAX, 0, &ok) },
    };
    if (ok)
        ret->env = json_strv(json, "env", &ok);
    if (!ok || !ret->id || !id_valid(ret->id) || !ret->codebase || ret->codebase[0] != '/' ||
        !rules_from_json(json, ret) || !labels_from_json(json, ret)) {
        spec_release(ret);
        return false;
    }
    return true;
}

void spec_release(struct spec *spec)
{
    free(spec->env);
    free(spec->rules);
    free(spec->labels);
    *spec = (struct spec){ 0 };
}
