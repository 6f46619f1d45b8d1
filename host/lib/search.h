/* Where plugins are looked for. */
#ifndef STOCKADE_HOST_SEARCH_H
#define STOCKADE_HOST_SEARCH_H

#include "../stockade.h"

/*
 * The directories of the search path, in order, ended by NULL; see stockade_plugin_load(). config may be NULL.
 * The caller host_strv_free()s *ret.
 */
int32_t host_search_dirs(const stockade_config *config, rt_error *err, char ***ret);

/* The directories as one text, for messages: "a, b and c". The caller frees it; NULL if memory runs out. */
char *host_search_text(char *const *dirs);

void host_strv_free(char **strv); /* NULL is a no-op */

#endif
