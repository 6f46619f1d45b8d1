/* Made for a later minor version: longer structs, whose ends this host must not look at. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static struct {
        rt_ops ops;
        void (*later)(void);
    } longer_ops = { .ops = { REFUSE_OPS }, .later = (void (*)(void))8 };
    static struct {
        rt_plugin plugin;
        const char *later;
    } longer = { .plugin = { REFUSE_PLUGIN("later_minor", &longer_ops.ops) }, .later = (const char *)8 };

    longer_ops.ops.size = sizeof longer_ops;
    longer.plugin.abi_minor = RT_ABI_MINOR + 1;
    longer.plugin.size = sizeof longer;
    return &longer.plugin;
}
