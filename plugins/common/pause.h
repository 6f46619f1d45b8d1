/*
 * pause and resume: the record says `paused` before anything stands still, and `running` once all runs again, so that
 * whoever finds a sandbox half way can go on from there. The file `paused` in the sandbox's directory tells every
 * process at the cost of one look that commands must not be sent; it also lists what was stopped by signals.
 */
#ifndef STOCKADE_PAUSE_H
#define STOCKADE_PAUSE_H

#include "record.h"

#define PAUSE_MARK "paused"

/* Whether the sandbox whose directory this is may be paused: look at its record. */
bool pause_is_marked(int box_fd);

/* Whether the sandbox is paused, by its record and by what is true. */
bool pause_is_paused(struct runtime *rt, const char *id);

/* For record_load() and record_lock(): where the backend keeps the freezer, others may have used it behind our back. */
void pause_refresh(struct op *op, struct record *record);

/* Before a sandbox is ended: whatever stands still can die again, whether or not the backend answers. */
void pause_lift(struct op *op, const struct record *record, int box_fd);

#endif
