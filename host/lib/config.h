/* The config as the other parts of the library see it. */
#ifndef STOCKADE_HOST_CONFIG_H
#define STOCKADE_HOST_CONFIG_H

#include "../stockade.h"

#include <cjson/cJSON.h>

/* The section of a runtime, NULL if there is none. */
const cJSON *host_config_section(const stockade_config *config, const char *runtime);
/* The `rules` array, NULL if there is none. */
const cJSON *host_config_rules(const stockade_config *config);

/*
 * Checks one runtime's config against its plugin's schema. path names it in messages; section may be NULL, which is an
 * empty object. RT_E_CONFIG for the config, RT_E_INTERNAL for a plugin whose schema is malformed.
 */
int32_t host_section_check(const cJSON *section, const char *path, const rt_plugin *plugin, rt_error *err);

#endif
