/*
 * As an older plugin looks to a newer host: it has the ops that every plugin must have and none of the others, which
 * the host has to answer for.
 */
#include "refuse.h"

struct rt_runtime {
    int unused;
};

static int32_t open_it(const rt_open_params *params, rt_call *call, rt_runtime **ret)
{
    static rt_runtime runtime;

    *ret = &runtime;
    return RT_OK;
}

const rt_plugin *rt_plugin_entry(void)
{
    static rt_ops ops = { REFUSE_OPS };
    static const rt_plugin plugin = { REFUSE_PLUGIN("older_minor", &ops) };

    ops.open = open_it;
    return &plugin;
}
