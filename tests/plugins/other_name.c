/* Calls itself something else than its file. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static const rt_ops ops = { REFUSE_OPS };
    static const rt_plugin plugin = { REFUSE_PLUGIN("bwrap", &ops) };

    return &plugin;
}
