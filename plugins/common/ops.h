/* The ops that are the same for every backend, as the table that a plugin exports. */
#ifndef STOCKADE_OPS_H
#define STOCKADE_OPS_H

#include "runtime_api.h"

/* lifecycle.c */
int32_t op_probe(rt_runtime *rt, rt_call *call, rt_probe **ret);
int32_t op_create(rt_runtime *rt, const rt_sandbox_spec *spec, rt_call *call, rt_sandbox_info **ret);
int32_t op_start(rt_runtime *rt, const char *id, rt_call *call);
int32_t op_stop(rt_runtime *rt, const char *id, rt_call *call);
int32_t op_destroy(rt_runtime *rt, const char *id, rt_call *call);
int32_t op_get(rt_runtime *rt, const char *id, rt_call *call, rt_sandbox_info **ret);
int32_t op_list(rt_runtime *rt, rt_call *call, rt_sandbox_list **ret);

/* exec.c */
int32_t op_exec(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call, rt_exec_result **ret);
int32_t op_exec_stream(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_output_fn *output, void *user,
                       rt_call *call, rt_exit *ret);
int32_t op_process_spawn(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call, rt_process **ret);
int32_t op_process_wait(rt_runtime *rt, rt_process *process, rt_call *call, rt_exit *ret);
int32_t op_process_signal(rt_runtime *rt, rt_process *process, int32_t signal_number, rt_call *call);
int32_t op_process_resize(rt_runtime *rt, rt_process *process, uint16_t rows, uint16_t cols, rt_call *call);
void op_process_release(rt_runtime *rt, rt_process *process);
int32_t op_session_exec(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req, rt_call *call,
                        rt_exec_result **ret);
int32_t op_session_exec_stream(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req,
                               rt_output_fn *output, void *user, rt_call *call, rt_exit *ret);
void exec_result_free(rt_exec_result *result);

/* session.c */
int32_t op_session_create(rt_runtime *rt, const char *id, const rt_session_spec *spec, rt_call *call,
                          rt_session_info **ret);
int32_t op_session_destroy(rt_runtime *rt, const char *id, const char *session, rt_call *call);
int32_t op_session_get(rt_runtime *rt, const char *id, const char *session, rt_call *call, rt_session_info **ret);
int32_t op_session_list(rt_runtime *rt, const char *id, rt_call *call, rt_session_list **ret);
void session_info_free(rt_session_info *info);
void session_list_free(rt_session_list *list);

/* rules_update.c */
int32_t op_rules_update(rt_runtime *rt, const char *id, const rt_rule *rules, size_t n_rules, rt_call *call);

/* pause.c */
int32_t op_pause(rt_runtime *rt, const char *id, rt_call *call);
int32_t op_resume(rt_runtime *rt, const char *id, rt_call *call);

/* usage.c */
int32_t op_stats(rt_runtime *rt, const char *id, rt_call *call, rt_stats **ret);
void stats_free(rt_stats *stats);

/* changes.c */
int32_t op_changes_list(rt_runtime *rt, const char *id, rt_call *call, rt_changes **ret);
int32_t op_changes_commit(rt_runtime *rt, const char *id, const rt_commit_spec *spec, rt_call *call, rt_changes **ret);
int32_t op_changes_discard(rt_runtime *rt, const char *id, const char *const *paths, rt_call *call);
void changes_free(rt_changes *changes);

/* What common can do, whatever the backend. */
#define COMMON_CAPS                                                                                                    \
    (RT_CAP_STREAM | RT_CAP_SESSION | RT_CAP_PROCESS | RT_CAP_TTY | RT_CAP_TTL | RT_CAP_RULES_UPDATE | RT_CAP_DELTA |  \
     RT_CAP_PAUSE | RT_CAP_STATS | RT_CAP_AUDIT)

#define COMMON_OPS(open_fn)                                                                                            \
    {                                                                                                                  \
        .size = sizeof(rt_ops), .open = (open_fn), .close = runtime_close, .probe = op_probe, .create = op_create,     \
        .start = op_start, .stop = op_stop, .destroy = op_destroy, .get = op_get, .list = op_list, .exec = op_exec,    \
        .exec_stream = op_exec_stream, .session_create = op_session_create, .session_destroy = op_session_destroy,     \
        .session_get = op_session_get, .session_list = op_session_list, .session_exec = op_session_exec,               \
        .session_exec_stream = op_session_exec_stream, .process_spawn = op_process_spawn,                              \
        .process_wait = op_process_wait, .process_signal = op_process_signal, .process_resize = op_process_resize,     \
        .process_release = op_process_release, .rules_update = op_rules_update, .changes_list = op_changes_list,       \
        .changes_commit = op_changes_commit, .changes_discard = op_changes_discard, .pause = op_pause,                 \
        .resume = op_resume, .stats = op_stats, .probe_free = probe_free, .sandbox_info_free = info_free,              \
        .sandbox_list_free = list_free, .exec_result_free = exec_result_free, .session_info_free = session_info_free,  \
        .session_list_free = session_list_free, .changes_free = changes_free, .stats_free = stats_free                 \
    }

#endif
