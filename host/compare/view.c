#include "view.h"

#include <string.h>

const char *view_text(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

double view_number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

bool view_flag(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

bool view_is_host(const cJSON *subject)
{
    return !strcmp(view_text(subject, "kind"), "host");
}

bool view_is_measured(const cJSON *result)
{
    return cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(result, "median"));
}

const cJSON *view_result(const cJSON *figure, const char *subject)
{
    const cJSON *result;

    cJSON_ArrayForEach (result, cJSON_GetObjectItemCaseSensitive(figure, "results")) {
        if (!strcmp(view_text(result, "subject"), subject))
            return result;
    }
    return NULL;
}

const char *view_capability(const cJSON *subject, const char *name)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(subject, "capabilities"), *item;

    cJSON_ArrayForEach (item, list) {
        if (!strcmp(item->valuestring, name))
            return "yes";
    }
    return list ? "no" : "?";
}
