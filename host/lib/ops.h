/* A plugin's table of operations, made safe to call. */
#ifndef STOCKADE_HOST_OPS_H
#define STOCKADE_HOST_OPS_H

#include "runtime_api.h"

/* Every op that is not required: answers RT_E_UNSUPPORTED, or does nothing where it frees. */
extern const rt_ops host_ops_stubs;

/*
 * Copies the part of a table that both sides know. What the plugin lacks is answered by the stubs, unless it is
 * required or promised by a capability: RT_E_ABI names it.
 */
int32_t host_ops_adopt(const rt_ops *theirs, uint64_t capabilities, rt_error *err, rt_ops *ret);

#endif
