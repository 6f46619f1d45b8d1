#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cJSON *json_parse_object(const char *text, size_t len)
{
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(text, len, &end, false);

    while (json && end < text + len && *end && strchr(" \t\r\n", *end))
        end++;
    if (json && (!cJSON_IsObject(json) || end != text + len)) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

const char *json_str(const cJSON *object, const char *key, const char *missing, bool *ok)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (!item)
        return missing;
    if (!cJSON_IsString(item)) {
        *ok = false;
        return missing;
    }
    return item->valuestring;
}

int64_t json_int(const cJSON *object, const char *key, int64_t min, int64_t max, int64_t missing, bool *ok)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (!item)
        return missing;
    if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) || item->valuedouble < (double)min ||
        item->valuedouble > (double)max) {
        *ok = false;
        return missing;
    }
    return (int64_t)item->valuedouble;
}

const char **json_strv(const cJSON *object, const char *key, bool *ok)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, key), *item;
    int n = array ? cJSON_GetArraySize(array) : 0, i = 0;
    const char **values = calloc((size_t)n + 1, sizeof *values);

    if (!values || (array && !cJSON_IsArray(array)))
        *ok = false;
    if (!*ok) {
        free(values);
        return NULL;
    }
    cJSON_ArrayForEach (item, array) {
        if (!cJSON_IsString(item)) {
            *ok = false;
            free(values);
            return NULL;
        }
        values[i++] = item->valuestring;
    }
    return values;
}

bool json_add_str(cJSON *object, const char *key, const char *value)
{
    return !value || cJSON_AddStringToObject(object, key, value);
}

bool json_add_int(cJSON *object, const char *key, int64_t value)
{
    return cJSON_AddNumberToObject(object, key, (double)value) != NULL;
}

bool json_add_strv(cJSON *object, const char *key, const char *const *values)
{
    cJSON *array = cJSON_AddArrayToObject(object, key);

    for (; array && values && *values; values++) {
        cJSON *item = cJSON_CreateString(*values);

        if (!item || !cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            return false;
        }
    }
    return array != NULL;
}
