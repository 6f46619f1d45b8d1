/* Ops that no backend has yet: present, and saying so. */
#include "op.h"
#include "ops.h"

#include <stdlib.h>

static int32_t unsupported(rt_runtime *rt, rt_call *call, const char *name)
{
    struct op op;

    (void)op_begin(&op, rt, call, name);
    return op_end(&op, op_fail(&op, RT_E_UNSUPPORTED, 0, "%s is not supported by this runtime", name));
}

int32_t op_changes_list(rt_runtime *rt, const char *id, rt_call *call, rt_changes **ret)
{
    (void)id, (void)ret;
    return unsupported(rt, call, "changes_list");
}

int32_t op_changes_commit(rt_runtime *rt, const char *id, const rt_commit_spec *spec, rt_call *call, rt_changes **ret)
{
    (void)id, (void)spec, (void)ret;
    return unsupported(rt, call, "changes_commit");
}

int32_t op_changes_discard(rt_runtime *rt, const char *id, const char *const *paths, rt_call *call)
{
    (void)id, (void)paths;
    return unsupported(rt, call, "changes_discard");
}

void changes_free(rt_changes *changes)
{
    free(changes);
}
