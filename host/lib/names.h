/* The words that config files and command lines use for the ABI's numbers. */
#ifndef STOCKADE_HOST_NAMES_H
#define STOCKADE_HOST_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* Each returns -1 for a word that it does not know. */
int32_t host_log_level_parse(const char *name);
int32_t host_workspace_mode_parse(const char *name);
int32_t host_permission_parse(const char *name);
int32_t host_rule_type_parse(const char *name);

/* Whether it has the form of a plugin's name: [a-z][a-z0-9_-]{0,31}. */
bool host_is_plugin_name(const char *name);

#endif
