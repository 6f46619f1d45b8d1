#include "host.h"

#include "options.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool plugin_load(struct plugin *plugin)
{
    const char *path = getenv(OPTION_PLUGIN);
    rt_plugin_entry_fn *entry;

    plugin->handle = dlopen(path ? path : "", RTLD_NOW | RTLD_LOCAL);
    if (!plugin->handle) {
        fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    *(void **)(void *)&entry = dlsym(plugin->handle, RT_PLUGIN_ENTRY);
    plugin->info = entry ? entry() : NULL;
    if (!plugin->info || plugin->info->abi_major != RT_ABI_MAJOR) {
        fprintf(stderr, "%s: no " RT_PLUGIN_ENTRY ", or of another ABI\n", path);
        return false;
    }
    plugin->ops = plugin->info->ops;
    return true;
}

void plugin_unload(struct plugin *plugin)
{
    if (plugin->handle)
        dlclose(plugin->handle);
    memset(plugin, 0, sizeof *plugin);
}

static void log_print(void *user, int32_t level, const char *message)
{
    (void)user;
    fprintf(stderr, "log %d: %s\n", (int)level, message);
}

int32_t plugin_open(const struct plugin *plugin, const char *state_dir, const char *config, rt_call *call,
                    rt_runtime **ret)
{
    const rt_open_params params = {
        .size = sizeof params,
        .config = config ? config : getenv(OPTION_CONFIG),
        .state_dir = state_dir,
        .libexec_dir = getenv(OPTION_LIBEXEC),
        .log = getenv(OPTION_LOG) ? log_print : NULL,
    };

    return plugin->ops->open(&params, call, ret);
}

const char *status_name(int32_t status)
{
    static const char *const names[] = {
        "RT_OK",
        "RT_E_INVAL",
        "RT_E_CONFIG",
        "RT_E_SANDBOX_NOT_FOUND",
        "RT_E_SESSION_NOT_FOUND",
        "RT_E_SESSION_CLOSED",
        "RT_E_EXISTS",
        "RT_E_ALREADY_RUNNING",
        "RT_E_NOT_RUNNING",
        "RT_E_PATTERN",
        "RT_E_PERMISSION",
        "RT_E_TIMEOUT",
        "RT_E_CANCELLED",
        "RT_E_UNSUPPORTED",
        "RT_E_UNAVAILABLE",
        "RT_E_RESOURCE",
        "RT_E_CONFLICT",
        "RT_E_PROTOCOL",
        "RT_E_IO",
        "RT_E_NOMEM",
        "RT_E_ABI",
        "RT_E_INTERNAL",
    };

    if (status < 0 || (size_t)status >= sizeof names / sizeof *names)
        return "no rt_status";
    return names[status];
}
