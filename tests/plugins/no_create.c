/* Lacks an op that every plugin must have. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static rt_ops ops = { REFUSE_OPS };
    static const rt_plugin plugin = { REFUSE_PLUGIN("no_create", &ops) };

    ops.create = NULL;
    return &plugin;
}
