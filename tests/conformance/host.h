/* A plugin as a stranger's host loads it: dlopen, the entry symbol, the table. Nothing of libstockade. */
#ifndef STOCKADE_CONFORMANCE_HOST_H
#define STOCKADE_CONFORMANCE_HOST_H

#include "runtime_api.h"

#include <stdbool.h>

struct plugin {
    void *handle;
    const rt_plugin *info;
    const rt_ops *ops;
};

/* Loads the plugin under test; false with a message on stderr if it cannot be loaded at all. */
bool plugin_load(struct plugin *plugin);
void plugin_unload(struct plugin *plugin); /* dlclose; nothing if it is not loaded */

/* Opens it on state_dir with a config (NULL = the run's). An rt_status; ret as in rt_ops.open. */
int32_t plugin_open(const struct plugin *plugin, const char *state_dir, const char *config, rt_call *call,
                    rt_runtime **ret);

const char *status_name(int32_t status); /* "RT_E_TIMEOUT" */

#endif
