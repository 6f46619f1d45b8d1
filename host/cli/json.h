/* JSON to print. cJSON takes what strings it is given; these make them valid whatever bytes they hold. */
#ifndef STOCKADE_CLI_JSON_H
#define STOCKADE_CLI_JSON_H

#include "cli.h"

#include <cjson/cJSON.h>

/* Adds text, each byte that is no part of valid UTF-8 replaced by U+FFFD. NULL adds null. */
bool json_add_text(cJSON *object, const char *key, const char *text);
bool json_append_text(cJSON *array, const char *text);

/* Prints a value and a newline; takes it over. NULL, as from a cJSON function that failed, is out of memory. */
int json_print(cJSON *json);

/* Prints the id of what was made or ended: a line, or an object. */
int id_print(const char *id, bool json);

/* All about a sandbox or a session. NULL if memory runs out. */
cJSON *json_sandbox(const rt_sandbox_info *info);
cJSON *json_session(const rt_session_info *info);

/* Whether the plugin is new enough to tell a sandbox's flags and rules (ABI 1.1). */
bool info_has_rules(const rt_sandbox_info *info);
/* They as an array. NULL if memory runs out. */
cJSON *json_rules(const rt_sandbox_info *info);

const char *sandbox_status_name(int32_t status);
const char *session_status_name(int32_t status);

#endif
