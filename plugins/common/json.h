/* Reading and writing JSON objects by cJSON, with defaults for what is missing and exact integers. */
#ifndef STOCKADE_JSON_H
#define STOCKADE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_INT_MAX (INT64_C(1) << 53) /* the largest range in which a JSON number is exact in a double */

/* Parses text that must be one object and nothing after it; NULL if it is not. The caller cJSON_Delete()s it. */
cJSON *json_parse_object(const char *text, size_t len);

/* The member's value; the default if it is missing; ok becomes false, and stays so, if it has another type. */
const char *json_str(const cJSON *object, const char *key, const char *missing, bool *ok);
int64_t json_int(const cJSON *object, const char *key, int64_t min, int64_t max, int64_t missing, bool *ok);
/* The array's strings as a new NULL-terminated array that points into the JSON; NULL and ok = false if it is not. */
const char **json_strv(const cJSON *object, const char *key, bool *ok);

/* Adding members; false if memory runs out. NULL strings are left out. */
bool json_add_str(cJSON *object, const char *key, const char *value);
bool json_add_int(cJSON *object, const char *key, int64_t value);
bool json_add_strv(cJSON *object, const char *key, const char *const *values);

#endif
