#include "config.h"

#include "error.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds, -1 if it is no duration. */
static int64_t duration_parse(const char *text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
    char *end;
    long value;

    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || value > 1000000000)
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].unit))
            return value * units[i].ms;
    return -1;
}

bool config_is_absolute(const char *value)
{
    return value[0] == '/';
}

static bool strings_accepted(const cJSON *array, bool (*accept)(const char *value))
{
    const cJSON *item;

    cJSON_ArrayForEach (item, array)
        if (!cJSON_IsString(item) || (accept && !accept(item->valuestring)))
            return false;
    return cJSON_IsArray(array);
}

static bool value_store(const cJSON *item, const struct config_key *key, void *into)
{
    char *member = (char *)into + key->offset;
    int64_t number = -1;

    if (key->type == CONFIG_STRING) {
        if (!cJSON_IsString(item) || (key->accept && !key->accept(item->valuestring)))
            return false;
        *(const char **)(void *)member = item->valuestring;
        return true;
    }
    if (key->type == CONFIG_BOOL) {
        *(bool *)(void *)member = cJSON_IsTrue(item);
        return cJSON_IsBool(item);
    }
    if (key->type == CONFIG_STRINGS) {
        *(const cJSON **)(void *)member = item;
        return strings_accepted(item, key->accept);
    }
    if (key->type == CONFIG_DURATION && cJSON_IsString(item))
        number = duration_parse(item->valuestring);
    else if (key->type == CONFIG_INT && cJSON_IsNumber(item) && item->valuedouble == floor(item->valuedouble) &&
             fabs(item->valuedouble) < 9e15)
        number = (int64_t)item->valuedouble;
    else
        return false;
    if (number < key->min || number > key->max)
        return false;
    *(int64_t *)(void *)member = number;
    return true;
}

int32_t config_fill(const cJSON *config, const struct config_key *keys, size_t n_keys, void *into, rt_error *err)
{
    const cJSON *item;

    cJSON_ArrayForEach (item, config) {
        const struct config_key *key = NULL;

        for (size_t i = 0; i < n_keys && !key; i++)
            if (!strcmp(keys[i].name, item->string))
                key = &keys[i];
        if (!key)
            return error_set(err, RT_E_CONFIG, 0, "%s: unknown key", item->string);
        if (cJSON_GetObjectItemCaseSensitive(config, key->name) != item)
            return error_set(err, RT_E_CONFIG, 0, "%s: given twice", key->name);
        if (!value_store(item, key, into))
            return error_set(err, RT_E_CONFIG, 0, "%s: expected %s", key->name, key->expect);
    }
    return RT_OK;
}
