/* Loads, and cannot be opened. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static const rt_ops ops = { REFUSE_OPS };
    static const rt_plugin plugin = { REFUSE_PLUGIN("fails_in_open", &ops) };

    return &plugin;
}
