/* Bringing a sandbox up and down: all steps between a record and what runs. The caller holds the sandbox's lock. */
#ifndef STOCKADE_BOX_H
#define STOCKADE_BOX_H

#include "record.h"
#include "runtime.h"

/*
 * Boots a sandbox that has nothing running, records and publishes it. On failure all is undone, the record says
 * `error` and why, and the message begins with the step (L7).
 */
int32_t box_up(struct op *op, struct locked *locked);

/*
 * Ends all that may run or be mounted of a sandbox, in whatever state it is; not cut short by the call's deadline.
 * grace: SIGTERM first. The record in memory then knows of no process any more, or after a failure of
 * those that may be left; its status is left alone.
 */
int32_t box_down(struct op *op, struct locked *locked, bool grace);

/* box_down() and forgetting it: the whole of destroy. */
int32_t box_destroy(struct op *op, const char *id);

#endif
