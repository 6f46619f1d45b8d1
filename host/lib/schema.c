#include "schema.h"

#include "error.h"

#include <math.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_CAP 256
/* Beyond this a double no longer holds every integer. */
#define INTEGER_MAX 9007199254740992.0

/* A path that does not fit is cut: it is for people. */
static void path_make(char ret[PATH_CAP], const char *path, const char *key)
{
    size_t len = strnlen(path, PATH_CAP - 2);

    memcpy(ret, path, len);
    if (len)
        ret[len++] = '.';
    ret[len] = '\0';
    strncat(ret, key, PATH_CAP - 1 - len);
}

/* ---- types ----------------------------------------------------------------------------------------------------- */

static bool is_integer(const cJSON *value)
{
    double v = value->valuedouble;

    return cJSON_IsNumber(value) && isfinite(v) && floor(v) == v && fabs(v) <= INTEGER_MAX;
}

static bool is_finite_number(const cJSON *value)
{
    return cJSON_IsNumber(value) && isfinite(value->valuedouble);
}

static bool type_fits(const char *type, const cJSON *value)
{
    if (!strcmp(type, "integer"))
        return is_integer(value);
    if (!strcmp(type, "number"))
        return is_finite_number(value);
    return (!strcmp(type, "string") && cJSON_IsString(value)) || (!strcmp(type, "boolean") && cJSON_IsBool(value)) ||
           (!strcmp(type, "object") && cJSON_IsObject(value)) || (!strcmp(type, "array") && cJSON_IsArray(value)) ||
           (!strcmp(type, "null") && cJSON_IsNull(value));
}

static bool is_type_name(const cJSON *item)
{
    static const char *const names[] = { "integer", "number", "string", "boolean", "object", "array", "null" };

    for (size_t i = 0; cJSON_IsString(item) && i < sizeof names / sizeof *names; i++)
        if (!strcmp(item->valuestring, names[i]))
            return true;
    return false;
}

/* ---- the schema itself ----------------------------------------------------------------------------------------- */

enum form {
    FORM_ANY,
    FORM_TYPE,
    FORM_SCHEMA,
    FORM_SCHEMAS,
    FORM_EXTRA,
    FORM_NAMES,
    FORM_LIST,
    FORM_NUMBER,
    FORM_COUNT,
    FORM_REGEX
};

static const struct {
    const char *name;
    enum form form;
} keywords[] = {
    { "$schema", FORM_ANY },     { "title", FORM_ANY },      { "description", FORM_ANY },
    { "default", FORM_ANY },     { "type", FORM_TYPE },      { "properties", FORM_SCHEMAS },
    { "required", FORM_NAMES },  { "items", FORM_SCHEMA },   { "additionalProperties", FORM_EXTRA },
    { "enum", FORM_LIST },       { "minimum", FORM_NUMBER }, { "maximum", FORM_NUMBER },
    { "maxLength", FORM_COUNT }, { "minItems", FORM_COUNT }, { "pattern", FORM_REGEX },
};

static bool all_fit(const cJSON *list, bool (*fits)(const cJSON *))
{
    const cJSON *item;

    cJSON_ArrayForEach (item, list)
        if (!fits(item))
            return false;
    return cJSON_GetArraySize(list) > 0;
}

static bool is_string(const cJSON *item)
{
    return cJSON_IsString(item);
}

static bool is_scalar(const cJSON *item)
{
    return cJSON_IsString(item) || cJSON_IsNumber(item) || cJSON_IsBool(item);
}

static bool is_regex(const cJSON *item)
{
    regex_t regex;

    if (!cJSON_IsString(item) || regcomp(&regex, item->valuestring, REG_EXTENDED | REG_NOSUB))
        return false;
    regfree(&regex);
    return true;
}

static int32_t schema_verify(const cJSON *schema, const char *where, rt_error *err);

static int32_t schemas_verify(const cJSON *schemas, const char *where, rt_error *err)
{
    const cJSON *item;

    if (!cJSON_IsObject(schemas))
        return host_fail(err, RT_E_INTERNAL, 0, "%s: malformed", where);
    cJSON_ArrayForEach (item, schemas) {
        char inner[PATH_CAP];
        int32_t status;

        path_make(inner, where, item->string);
        status = schema_verify(item, inner, err);
        if (status)
            return status;
    }
    return RT_OK;
}

static int32_t keyword_verify(enum form form, const cJSON *item, const char *where, rt_error *err)
{
    bool fits = true;

    switch (form) {
    case FORM_ANY:
        break;
    case FORM_TYPE:
        fits = is_type_name(item) || (cJSON_IsArray(item) && all_fit(item, is_type_name));
        break;
    case FORM_SCHEMA:
        return schema_verify(item, where, err);
    case FORM_SCHEMAS:
        return schemas_verify(item, where, err);
    case FORM_EXTRA:
        return cJSON_IsFalse(item) ? RT_OK : schema_verify(item, where, err);
    case FORM_NAMES:
        fits = cJSON_IsArray(item) && all_fit(item, is_string);
        break;
    case FORM_LIST:
        fits = cJSON_IsArray(item) && all_fit(item, is_scalar);
        break;
    case FORM_NUMBER:
        fits = is_finite_number(item);
        break;
    case FORM_COUNT:
        fits = is_integer(item) && item->valuedouble >= 0;
        break;
    case FORM_REGEX:
        fits = is_regex(item);
        break;
    }
    return fits ? RT_OK : host_fail(err, RT_E_INTERNAL, 0, "%s: malformed", where);
}

static int32_t schema_verify(const cJSON *schema, const char *where, rt_error *err)
{
    const cJSON *item;

    if (!cJSON_IsObject(schema))
        return host_fail(err, RT_E_INTERNAL, 0, "%s: expected a schema, an object", where);
    cJSON_ArrayForEach (item, schema) {
        char inner[PATH_CAP];
        int32_t status;
        size_t i = 0;

        path_make(inner, where, item->string);
        while (i < sizeof keywords / sizeof *keywords && strcmp(keywords[i].name, item->string))
            i++;
        if (i == sizeof keywords / sizeof *keywords)
            return host_fail(err, RT_E_INTERNAL, 0, "%s: unknown keyword", inner);
        status = keyword_verify(keywords[i].form, item, inner, err);
        if (status)
            return status;
    }
    return RT_OK;
}

int32_t host_schema_verify(const cJSON *schema, rt_error *err)
{
    return schema_verify(schema, "schema", err);
}

/* ---- a value ---------------------------------------------------------------------------------------------------- */

static const cJSON *keyword(const cJSON *schema, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(schema, name);
}

static const char *value_text(const cJSON *value, char *text, size_t cap)
{
    if (cJSON_IsString(value))
        snprintf(text, cap, "\"%.60s%s\"", value->valuestring, strlen(value->valuestring) > 60 ? "..." : "");
    else if (cJSON_IsNumber(value))
        snprintf(text, cap, "%.17g", value->valuedouble);
    else if (cJSON_IsBool(value))
        snprintf(text, cap, "%s", cJSON_IsTrue(value) ? "true" : "false");
    else
        snprintf(text, cap, "%s", cJSON_IsNull(value) ? "null" : cJSON_IsArray(value) ? "an array" : "an object");
    return text;
}

static int32_t fail_expected(const cJSON *value, const char *path, rt_error *err, const char *expected)
{
    char got[80];

    return host_fail(err, RT_E_CONFIG, 0, "%s%sexpected %s, got %s", path, *path ? ": " : "", expected,
                     value_text(value, got, sizeof got));
}

/* Appends to a list of alternatives: "a, b or c". */
static void alternative_add(char *text, size_t cap, const char *item, bool is_first, bool is_last)
{
    size_t at = strlen(text);

    snprintf(text + at, cap - at, "%s%s", is_first ? "" : is_last ? " or " : ", ", item);
}

static int32_t type_check(const cJSON *type, const cJSON *value, const char *path, rt_error *err)
{
    static const char *const articles[] = { "a ", "an " };
    char expected[120] = "";
    const cJSON *item;

    if (cJSON_IsString(type)) {
        if (type_fits(type->valuestring, value))
            return RT_OK;
        snprintf(expected, sizeof expected, "%s%s", articles[strchr("aio", *type->valuestring) != NULL],
                 type->valuestring);
        return fail_expected(value, path, err, expected);
    }
    cJSON_ArrayForEach (item, type) {
        if (type_fits(item->valuestring, value))
            return RT_OK;
        alternative_add(expected, sizeof expected, item->valuestring, item == type->child, !item->next);
    }
    return fail_expected(value, path, err, expected);
}

static int32_t enum_check(const cJSON *list, const cJSON *value, const char *path, rt_error *err)
{
    char expected[320] = "";
    const cJSON *item;

    cJSON_ArrayForEach (item, list) {
        char text[80];

        if (cJSON_Compare(item, value, 1))
            return RT_OK;
        alternative_add(expected, sizeof expected, value_text(item, text, sizeof text), item == list->child,
                        !item->next);
    }
    return fail_expected(value, path, err, expected);
}

static int32_t number_check(const cJSON *schema, const cJSON *value, const char *path, rt_error *err)
{
    const cJSON *min = keyword(schema, "minimum"), *max = keyword(schema, "maximum");
    char expected[80];

    if ((!min || value->valuedouble >= min->valuedouble) && (!max || value->valuedouble <= max->valuedouble))
        return RT_OK;
    if (min && max)
        snprintf(expected, sizeof expected, "a number from %.15g to %.15g", min->valuedouble, max->valuedouble);
    else
        snprintf(expected, sizeof expected, "a number of at %s %.15g", min ? "least" : "most",
                 min ? min->valuedouble : max->valuedouble);
    return fail_expected(value, path, err, expected);
}

static int32_t string_check(const cJSON *schema, const cJSON *value, const char *path, rt_error *err)
{
    const cJSON *pattern = keyword(schema, "pattern"), *max = keyword(schema, "maxLength");
    char expected[200];
    regex_t regex;
    int r;

    if (max && (double)strlen(value->valuestring) > max->valuedouble) {
        snprintf(expected, sizeof expected, "at most %.0f bytes", max->valuedouble);
        return fail_expected(value, path, err, expected);
    }
    if (!pattern)
        return RT_OK;
    if (regcomp(&regex, pattern->valuestring, REG_EXTENDED | REG_NOSUB))
        return host_fail_nomem(err); /* the expression itself was tried by host_schema_verify() */
    r = regexec(&regex, value->valuestring, 0, NULL, 0);
    regfree(&regex);
    if (!r)
        return RT_OK;
    snprintf(expected, sizeof expected, "a string like /%.160s/", pattern->valuestring);
    return fail_expected(value, path, err, expected);
}

static int32_t array_check(const cJSON *schema, const cJSON *value, const char *path, rt_error *err)
{
    const cJSON *items = keyword(schema, "items"), *min = keyword(schema, "minItems"), *item;
    char text[PATH_CAP];
    int32_t status = RT_OK;
    int i = 0;

    if (min && cJSON_GetArraySize(value) < min->valuedouble) {
        snprintf(text, sizeof text, "at least %.0f items", min->valuedouble);
        return fail_expected(value, path, err, text);
    }
    cJSON_ArrayForEach (item, value) {
        snprintf(text, sizeof text, "%s[%d]", path, i++);
        if (items)
            status = host_schema_check(items, item, text, err);
        if (status)
            return status;
    }
    return RT_OK;
}

static int32_t member_check(const cJSON *schema, const cJSON *member, const char *path, rt_error *err)
{
    const cJSON *known = keyword(keyword(schema, "properties"), member->string);
    const cJSON *extra = keyword(schema, "additionalProperties");
    char inner[PATH_CAP];

    path_make(inner, path, member->string);
    if (known)
        return host_schema_check(known, member, inner, err);
    if (cJSON_IsFalse(extra))
        return host_fail(err, RT_E_CONFIG, 0, "%s: unknown key", inner);
    return extra ? host_schema_check(extra, member, inner, err) : RT_OK;
}

static int32_t object_check(const cJSON *schema, const cJSON *value, const char *path, rt_error *err)
{
    const cJSON *item;

    cJSON_ArrayForEach (item, value) {
        int32_t status = member_check(schema, item, path, err);

        if (status)
            return status;
    }
    cJSON_ArrayForEach (item, keyword(schema, "required")) {
        if (!cJSON_GetObjectItemCaseSensitive(value, item->valuestring))
            return host_fail(err, RT_E_CONFIG, 0, "%s%s%s: missing, it is required", path, *path ? "." : "",
                             item->valuestring);
    }
    return RT_OK;
}

int32_t host_schema_check(const cJSON *schema, const cJSON *value, const char *path, rt_error *err)
{
    const cJSON *type = keyword(schema, "type"), *list = keyword(schema, "enum");
    int32_t status = RT_OK;

    if (type)
        status = type_check(type, value, path, err);
    if (!status && list)
        status = enum_check(list, value, path, err);
    if (status)
        return status;
    if (cJSON_IsNumber(value))
        return number_check(schema, value, path, err);
    if (cJSON_IsString(value))
        return string_check(schema, value, path, err);
    if (cJSON_IsArray(value))
        return array_check(schema, value, path, err);
    return cJSON_IsObject(value) ? object_check(schema, value, path, err) : RT_OK;
}
