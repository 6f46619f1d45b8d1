/* Its config schema uses a keyword that no host knows. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static const rt_ops ops = { REFUSE_OPS };
    static rt_plugin plugin = { REFUSE_PLUGIN("bad_schema", &ops) };

    plugin.config_schema = "{\"type\":\"object\",\"properties\":{\"x\":{\"oneOf\":[]}}}";
    return &plugin;
}
