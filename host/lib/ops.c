#include "ops.h"

#include "error.h"

#include <stdbool.h>
#include <string.h>

#define OPS_SIZE_1_0 (offsetof(rt_ops, stats_free) + sizeof((rt_ops *)0)->stats_free)

/* Any member will do: all are function pointers, of one size. */
typedef void (*op_slot)(void);

struct op_row {
    const char *name;
    size_t at;
    uint64_t capability; /* that promises it; 0 with `required` = any plugin must have it */
    bool required;
};

#define REQUIRED(op)                                                                                                   \
    {                                                                                                                  \
#op, offsetof(rt_ops, op), 0, true                                                                             \
    }
#define PROMISED(op, cap)                                                                                              \
    {                                                                                                                  \
#op, offsetof(rt_ops, op), cap, false                                                                          \
    }

static const struct op_row rows[] = {
    REQUIRED(open),
    REQUIRED(close),
    REQUIRED(probe),
    REQUIRED(create),
    REQUIRED(start),
    REQUIRED(stop),
    REQUIRED(destroy),
    REQUIRED(get),
    REQUIRED(list),
    REQUIRED(exec),
    PROMISED(exec_stream, RT_CAP_STREAM),
    PROMISED(session_create, RT_CAP_SESSION),
    PROMISED(session_destroy, RT_CAP_SESSION),
    PROMISED(session_get, RT_CAP_SESSION),
    PROMISED(session_list, RT_CAP_SESSION),
    PROMISED(session_exec, RT_CAP_SESSION),
    PROMISED(session_exec_stream, RT_CAP_SESSION),
    PROMISED(process_spawn, RT_CAP_PROCESS),
    PROMISED(process_wait, RT_CAP_PROCESS),
    PROMISED(process_signal, RT_CAP_PROCESS),
    PROMISED(process_resize, RT_CAP_TTY),
    PROMISED(process_release, RT_CAP_PROCESS),
    PROMISED(rules_update, RT_CAP_RULES_UPDATE),
    PROMISED(changes_list, RT_CAP_DELTA),
    PROMISED(changes_commit, RT_CAP_DELTA),
    PROMISED(changes_discard, RT_CAP_DELTA),
    PROMISED(pause, RT_CAP_PAUSE),
    PROMISED(resume, RT_CAP_PAUSE),
    PROMISED(stats, RT_CAP_STATS),
    REQUIRED(probe_free),
    REQUIRED(sandbox_info_free),
    REQUIRED(sandbox_list_free),
    REQUIRED(exec_result_free),
    PROMISED(session_info_free, RT_CAP_SESSION),
    PROMISED(session_list_free, RT_CAP_SESSION),
    PROMISED(changes_free, RT_CAP_DELTA),
    PROMISED(stats_free, RT_CAP_STATS),
};

static bool is_set(const rt_ops *ops, size_t at)
{
    static const unsigned char unset[sizeof(op_slot)]; /* a null pointer has no bit set on any ABI that Linux has */

    return memcmp((const char *)ops + at, unset, sizeof unset) != 0;
}

int32_t host_ops_adopt(const rt_ops *theirs, uint64_t capabilities, rt_error *err, rt_ops *ret)
{
    rt_ops ops = host_ops_stubs;

    if (theirs->size < OPS_SIZE_1_0)
        return host_fail(err, RT_E_ABI, 0, "torn table: rt_ops has %zu bytes, version 1.0 has %zu", theirs->size,
                         OPS_SIZE_1_0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct op_row *row = &rows[i];

        if (row->at + sizeof(op_slot) <= theirs->size && is_set(theirs, row->at)) {
            memcpy((char *)&ops + row->at, (const char *)theirs + row->at, sizeof(op_slot));
            continue;
        }
        if (row->required)
            return host_fail(err, RT_E_ABI, 0, "torn table: the op '%s', which every plugin needs, is missing",
                             row->name);
        if (capabilities & row->capability)
            return host_fail(err, RT_E_ABI, 0, "torn table: the op '%s', which its capabilities promise, is missing",
                             row->name);
    }
    ops.size = sizeof ops;
    *ret = ops;
    return RT_OK;
}
