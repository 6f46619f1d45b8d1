#include "workload.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static char **member_of(struct workload *workload, const char *key)
{
    if (!strcmp(key, "name"))
        return &workload->name;
    if (!strcmp(key, "setup"))
        return &workload->setup;
    if (!strcmp(key, "command"))
        return &workload->command;
    return strcmp(key, "cleanup") ? NULL : &workload->cleanup;
}

/* Returns NULL, or what is wrong with this member; key is the caller's to name. */
static const char *member_take(struct workload *workload, const cJSON *item)
{
    char **member = member_of(workload, item->string);

    if (!member)
        return "is not known; known are name, setup, command, cleanup";
    if (*member)
        return "is there twice";
    if (!cJSON_IsString(item) || !*item->valuestring)
        return "must be a text that is not empty";
    if (member == &workload->name && strlen(item->valuestring) > WORKLOAD_NAME_MAX)
        return "is too long, at most 64 bytes are allowed";
    *member = strdup(item->valuestring);
    return *member ? NULL : "does not fit into memory";
}

static bool json_take(const char *file, const cJSON *json, struct workload *ret, char *message, size_t cap)
{
    const cJSON *item;

    if (!cJSON_IsObject(json)) {
        snprintf(message, cap, "%s: expected a JSON object", file);
        return false;
    }
    cJSON_ArrayForEach (item, json) {
        const char *why = member_take(ret, item);

        if (why) {
            snprintf(message, cap, "%s: '%s' %s", file, item->string, why);
            return false;
        }
    }
    if (ret->name && ret->command)
        return true;
    snprintf(message, cap, "%s: '%s' is missing", file, ret->name ? "command" : "name");
    return false;
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static const char *base_of(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? slash + 1 : file;
}

static bool script_take(const char *file, const char *text, struct workload *ret, char *message, size_t cap)
{
    ret->name = strndup(base_of(file), WORKLOAD_NAME_MAX);
    ret->command = strdup(text);
    if (ret->name && ret->command)
        return true;
    snprintf(message, cap, "out of memory");
    return false;
}

bool workload_parse(const char *file, const char *text, size_t len, struct workload *ret, char *message, size_t cap)
{
    const char *dot = strrchr(base_of(file), '.');
    bool is_good;
    cJSON *json;

    *ret = (struct workload){ 0 };
    if (!len || strlen(text) != len) {
        snprintf(message, cap, "%s: %s", file, len ? "a NUL byte" : "is empty");
        return false;
    }
    if (!dot || strcmp(dot, ".json")) {
        is_good = script_take(file, text, ret, message, cap);
    } else {
        json = cJSON_ParseWithOpts(text, NULL, 1);
        is_good = json_take(file, json, ret, message, cap);
        cJSON_Delete(json);
    }
    if (!is_good)
        workload_release(ret);
    return is_good;
}

bool workload_load(const char *file, struct workload *ret, char *message, size_t cap)
{
    char *text = malloc(WORKLOAD_BYTES_MAX + 2);
    FILE *stream = fopen(file, "re");
    bool is_good = false;
    size_t len = 0;

    errno = text ? errno : ENOMEM;
    if (stream && text)
        len = fread(text, 1, WORKLOAD_BYTES_MAX + 1, stream);
    if (!stream || !text || ferror(stream))
        snprintf(message, cap, "%s: %s", file, strerror(errno));
    else if (len > WORKLOAD_BYTES_MAX)
        snprintf(message, cap, "%s: is larger than 1 MiB", file);
    else
        is_good = (text[len] = '\0', workload_parse(file, text, len, ret, message, cap));
    if (stream)
        (void)fclose(stream);
    free(text);
    return is_good;
}

void workload_release(struct workload *workload)
{
    free(workload->name);
    free(workload->setup);
    free(workload->command);
    free(workload->cleanup);
    *workload = (struct workload){ 0 };
}
