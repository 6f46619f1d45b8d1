#include "box_cgroup.h"

#include "cgroup.h"
#include "cgroup_of.h"
#include "runtime.h"

#include <fcntl.h>
#include <stdio.h>

#define BUILT_IN (CGROUP_CPUACCT | CGROUP_FREEZER)

int box_cgroup_open(struct op *op, const struct record *record, uint32_t controller, bool *ret_is_v1)
{
    cleanup_free char *box = NULL;

    if (op->rt->backend->own_cgroup)
        return cgroup_of(record->init.pid, controller, ret_is_v1);
    if (record->cgroup[0] && (controller & BUILT_IN)) {
        *ret_is_v1 = false;
        return open(record->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (!(record->controllers & controller) || asprintf(&box, "%s/boxes/%s", op->rt->dir, record->spec.id) < 0) {
        box = NULL;
        return -1;
    }
    return cgroup_open(box, record->cgroup, controller, ret_is_v1);
}
