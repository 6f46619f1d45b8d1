/* Announces pause and has none. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static const rt_ops ops = { REFUSE_OPS };
    static const rt_plugin plugin = { REFUSE_PLUGIN("broken_promise", &ops), .capabilities = RT_CAP_PAUSE };

    return &plugin;
}
