/* Its table ends before what version 1.0 has. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static rt_ops ops = { REFUSE_OPS };
    static const rt_plugin plugin = { REFUSE_PLUGIN("torn_table", &ops) };

    ops.size = offsetof(rt_ops, pause);
    return &plugin;
}
