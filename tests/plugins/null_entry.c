/* Declines this host. */
#include "refuse.h"

const rt_plugin *rt_plugin_entry(void)
{
    return NULL;
}
