#include "names.h"

#include "../stockade.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const log_levels[] = { "debug", "info", "warn", "error" };
static const char *const workspace_modes[] = { "direct", "delta" }; /* by enum rt_workspace_mode */
static const char *const permissions[] = { "none", "view", "read", "write" };
static const char *const rule_types[] = { "glob", "directory", "file" };
static const char *const statuses[] = {
    "ok",
    "invalid argument",
    "config",
    "sandbox not found",
    "session not found",
    "session closed",
    "already exists",
    "already running",
    "not running",
    "invalid pattern",
    "permission",
    "timeout",
    "cancelled",
    "unsupported",
    "unavailable",
    "resource",
    "conflict",
    "protocol",
    "i/o",
    "out of memory",
    "abi",
    "internal",
};

static int32_t word_find(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(words[i], word))
            return (int32_t)i;
    return -1;
}

int32_t host_log_level_parse(const char *name)
{
    return word_find(log_levels, COUNT(log_levels), name);
}

int32_t host_workspace_mode_parse(const char *name)
{
    return word_find(workspace_modes, COUNT(workspace_modes), name);
}

int32_t host_permission_parse(const char *name)
{
    return word_find(permissions, COUNT(permissions), name);
}

int32_t host_rule_type_parse(const char *name)
{
    return word_find(rule_types, COUNT(rule_types), name);
}

bool host_is_plugin_name(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= 32 && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

const char *stockade_status_name(int32_t status)
{
    return status >= 0 && (size_t)status < COUNT(statuses) ? statuses[status] : "unknown";
}

const char *stockade_permission_name(int32_t permission)
{
    return permission >= 0 && (size_t)permission < COUNT(permissions) ? permissions[permission] : "unknown";
}

const char *stockade_rule_type_name(int32_t type)
{
    return type >= 0 && (size_t)type < COUNT(rule_types) ? rule_types[type] : "unknown";
}

const char *stockade_version(void)
{
    return STOCKADE_VERSION;
}
