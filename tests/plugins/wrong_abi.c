/* Made for an ABI that no host has; the members behind the version are not to be touched. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    static const rt_plugin plugin = {
        .abi_major = RT_ABI_MAJOR + 41,
        .abi_minor = 7,
        .size = sizeof plugin,
        .name = (const char *)8, /* would crash a host that reads on */
        .ops = (const rt_ops *)8,
    };

    return &plugin;
}
