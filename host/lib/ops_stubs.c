/* What answers in place of an op that a plugin does not have. */
#include "ops.h"

#include "error.h"

#include <string.h>

/* A stub has its op's parameters and needs none but the call. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

static int32_t unsupported(rt_call *call, const char *op)
{
    rt_error *err = host_call_error(call);

    host_fail(err, RT_E_UNSUPPORTED, 0, "this plugin has no %s", op);
    if (err)
        strncpy(err->op, op, sizeof err->op - 1);
    return RT_E_UNSUPPORTED;
}

#define STUB(op, ...)                                                                                                  \
    static int32_t op##_stub(__VA_ARGS__)                                                                              \
    {                                                                                                                  \
        return unsupported(call, #op);                                                                                 \
    }
#define STUB_FREE(op, ...)                                                                                             \
    static void op##_stub(__VA_ARGS__)                                                                                 \
    {                                                                                                                  \
    }

STUB(exec_stream, rt_runtime *rt, const char *id, const rt_exec_request *req, rt_output_fn *output, void *user,
     rt_call *call, rt_exit *ret)
STUB(session_create, rt_runtime *rt, const char *id, const rt_session_spec *spec, rt_call *call, rt_session_info **ret)
STUB(session_destroy, rt_runtime *rt, const char *id, const char *session, rt_call *call)
STUB(session_get, rt_runtime *rt, const char *id, const char *session, rt_call *call, rt_session_info **ret)
STUB(session_list, rt_runtime *rt, const char *id, rt_call *call, rt_session_list **ret)
STUB(session_exec, rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req, rt_call *call,
     rt_exec_result **ret)
STUB(session_exec_stream, rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req,
     rt_output_fn *output, void *user, rt_call *call, rt_exit *ret)
STUB(process_spawn, rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call, rt_process **ret)
STUB(process_wait, rt_runtime *rt, rt_process *process, rt_call *call, rt_exit *ret)
STUB(process_signal, rt_runtime *rt, rt_process *process, int32_t signal_number, rt_call *call)
STUB(process_resize, rt_runtime *rt, rt_process *process, uint16_t rows, uint16_t cols, rt_call *call)
STUB_FREE(process_release, rt_runtime *rt, rt_process *process)
STUB(rules_update, rt_runtime *rt, const char *id, const rt_rule *rules, size_t n_rules, rt_call *call)
STUB(changes_list, rt_runtime *rt, const char *id, rt_call *call, rt_changes **ret)
STUB(changes_commit, rt_runtime *rt, const char *id, const rt_commit_spec *spec, rt_call *call, rt_changes **ret)
STUB(changes_discard, rt_runtime *rt, const char *id, const char *const *paths, rt_call *call)
STUB(pause, rt_runtime *rt, const char *id, rt_call *call)
STUB(resume, rt_runtime *rt, const char *id, rt_call *call)
STUB(stats, rt_runtime *rt, const char *id, rt_call *call, rt_stats **ret)
STUB_FREE(session_info_free, rt_session_info *info)
STUB_FREE(session_list_free, rt_session_list *list)
STUB_FREE(changes_free, rt_changes *changes)
STUB_FREE(stats_free, rt_stats *stats)

const rt_ops host_ops_stubs = {
    .size = sizeof host_ops_stubs,
    .exec_stream = exec_stream_stub,
    .session_create = session_create_stub,
    .session_destroy = session_destroy_stub,
    .session_get = session_get_stub,
    .session_list = session_list_stub,
    .session_exec = session_exec_stub,
    .session_exec_stream = session_exec_stream_stub,
    .process_spawn = process_spawn_stub,
    .process_wait = process_wait_stub,
    .process_signal = process_signal_stub,
    .process_resize = process_resize_stub,
    .process_release = process_release_stub,
    .rules_update = rules_update_stub,
    .changes_list = changes_list_stub,
    .changes_commit = changes_commit_stub,
    .changes_discard = changes_discard_stub,
    .pause = pause_stub,
    .resume = resume_stub,
    .stats = stats_stub,
    .session_info_free = session_info_free_stub,
    .session_list_free = session_list_free_stub,
    .changes_free = changes_free_stub,
    .stats_free = stats_free_stub,
};
