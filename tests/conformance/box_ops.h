/* Ops on the sandbox "box" as functions of their call alone, for tables of them. */
#ifndef STOCKADE_CONFORMANCE_BOX_OPS_H
#define STOCKADE_CONFORMANCE_BOX_OPS_H

#include "runtime_api.h"

#include <sys/types.h>

int32_t do_start(rt_call *call);
int32_t do_stop(rt_call *call);
int32_t do_destroy(rt_call *call);
int32_t do_get(rt_call *call);

/* Its init, where its number is what the backend calls it by; else it is destroyed and the test skipped. */
pid_t box_init_pid(void);

#endif
