/* The kernel's freezer of a sandbox's cgroup: all that runs in it stands still, and notices nothing. */
#ifndef STOCKADE_FREEZER_H
#define STOCKADE_FREEZER_H

#include "record.h"

struct freezer {
    int dir_fd; /* the cgroup */
    bool is_v1; /* freezer.state, cgroup-v1/freezer-subsystem.rst; else cgroup.freeze, cgroup-v2.rst */
};

/* Of a sandbox that runs. False if no cgroup of its own has one; else the caller freezer_close()s. */
bool freezer_open(struct op *op, const struct record *record, struct freezer *ret);
void freezer_close(struct freezer *freezer);

/* Freezes, and waits until everything stands still: bounded; on failure it is thawed again. */
int32_t freezer_freeze(struct op *op, const struct freezer *freezer);
/* Lets it run. 0 or -errno; nothing happens to what is not frozen. */
int freezer_thaw(const struct freezer *freezer);
bool freezer_is_frozen(const struct freezer *freezer);

#endif
