/* What the ops on a copy-on-write workspace share with the rest: committing after commands, cleaning at a start. */
#ifndef STOCKADE_CHANGES_H
#define STOCKADE_CHANGES_H

#include "record.h"
#include "runtime.h"

/* After a command of a sandbox ended: commits if its policy says so (contract D5). What goes wrong is logged. */
void changes_after_exec(struct op *op, const struct live *live, const rt_exit *exit, int32_t status);
/* Before a sandbox starts: takes out of its delta what is committed, and ends a commit that was cut short. */
int32_t changes_before_start(struct op *op, const struct record *record, int box_fd);
/* Before a sandbox is forgotten: removes what a commit that was cut short has left in the codebase. */
void changes_before_destroy(struct op *op, const struct record *record, int box_fd);

#endif
