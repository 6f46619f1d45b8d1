/* JSON text with comments, as config files have it, to cJSON. */
#ifndef STOCKADE_HOST_JSON_TEXT_H
#define STOCKADE_HOST_JSON_TEXT_H

#include "runtime_api.h"

#include <cjson/cJSON.h>

#define JSON_TEXT_MAX  ((size_t)1 << 20)
#define JSON_DEPTH_MAX 32u

/*
 * Parses len bytes of JSON with line and block comments. Objects may not have a key twice, and strings may hold no NUL.
 * name  of the file, for messages: "name:line:column: what"
 * RT_E_CONFIG for anything malformed, too large or too deep. The caller cJSON_Delete()s *ret.
 */
int32_t host_json_parse(const char *text, size_t len, const char *name, rt_error *err, cJSON **ret);

#endif
