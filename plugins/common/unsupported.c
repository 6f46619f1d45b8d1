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

int32_t op_session_create(rt_runtime *rt, const char *id, const rt_session_spec *spec, rt_call *call,
                          rt_session_info **ret)
{
    (void)id, (void)spec, (void)ret;
    return unsupported(rt, call, "session_create");
}

int32_t op_session_destroy(rt_runtime *rt, const char *id, const char *session, rt_call *call)
{
    (void)id, (void)session;
    return unsupported(rt, call, "session_destroy");
}

int32_t op_session_get(rt_runtime *rt, const char *id, const char *session, rt_call *call, rt_session_info **ret)
{
    (void)id, (void)session, (void)ret;
    return unsupported(rt, call, "session_get");
}

int32_t op_session_list(rt_runtime *rt, const char *id, rt_call *call, rt_session_list **ret)
{
    (void)id, (void)ret;
    return unsupported(rt, call, "session_list");
}

int32_t op_session_exec(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req, rt_call *call,
                        rt_exec_result **ret)
{
    (void)id, (void)session, (void)req, (void)ret;
    return unsupported(rt, call, "session_exec");
}

int32_t op_session_exec_stream(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req,
                               rt_output_fn *output, void *user, rt_call *call, rt_exit *ret)
{
    (void)id, (void)session, (void)req, (void)output, (void)user, (void)ret;
    return unsupported(rt, call, "session_exec_stream");
}

int32_t op_rules_update(rt_runtime *rt, const char *id, const rt_rule *rules, size_t n_rules, rt_call *call)
{
    (void)id, (void)rules, (void)n_rules;
    return unsupported(rt, call, "rules_update");
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

int32_t op_pause(rt_runtime *rt, const char *id, rt_call *call)
{
    (void)id;
    return unsupported(rt, call, "pause");
}

int32_t op_resume(rt_runtime *rt, const char *id, rt_call *call)
{
    (void)id;
    return unsupported(rt, call, "resume");
}

int32_t op_stats(rt_runtime *rt, const char *id, rt_call *call, rt_stats **ret)
{
    (void)id, (void)ret;
    return unsupported(rt, call, "stats");
}

void session_info_free(rt_session_info *info)
{
    free(info);
}

void session_list_free(rt_session_list *list)
{
    free(list);
}

void changes_free(rt_changes *changes)
{
    free(changes);
}

void stats_free(rt_stats *stats)
{
    free(stats);
}
