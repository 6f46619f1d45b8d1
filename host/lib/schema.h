/*
 * The part of JSON Schema that configs are described with: type (a name or several), properties, required,
 * additionalProperties (false or a schema), enum, minimum, maximum, pattern (a POSIX extended expression), maxLength
 * (bytes), items, minItems; and description, title, default and $schema, which check nothing.
 */
#ifndef STOCKADE_HOST_SCHEMA_H
#define STOCKADE_HOST_SCHEMA_H

#include "runtime_api.h"

#include <cjson/cJSON.h>

/*
 * Checks a schema itself, all of it: RT_E_INTERNAL names the place of a keyword that is unknown or malformed. Only a
 * schema that passed may be given to host_schema_check().
 */
int32_t host_schema_verify(const cJSON *schema, rt_error *err);

/*
 * Checks a value. path names it in messages, "" for the root: RT_E_CONFIG "path.to.key: expected ..., got ...".
 */
int32_t host_schema_check(const cJSON *schema, const cJSON *value, const char *path, rt_error *err);

#endif
