/* The ops on sandboxes as a whole. */
#include "box.h"
#include "changes.h"
#include "children.h"
#include "error.h"
#include "info.h"
#include "ops.h"
#include "structs.h"

#include <stdlib.h>
#include <string.h>

int32_t op_probe(rt_runtime *rt, rt_call *call, rt_probe **ret)
{
    struct probe_list *list;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "probe");

    if (status)
        return op_end(&op, status);
    list = probe_list_new();
    if (!list)
        return op_end(&op, op_fail(&op, RT_E_NOMEM, 0, "the probe's findings"));
    op.rt->backend->probe(&op, list);
    status = probe_list_finish(&op, list, ret);
    return op_end(&op, status);
}

/* What no backend can do yet; a backend's own limits are its check()'s. */
static int32_t check_common(struct op *op, const struct spec *spec)
{
    if (spec->workspace_mode != RT_WORKSPACE_DELTA && spec->commit_policy != RT_COMMIT_MANUAL)
        return op_fail(op, RT_E_INVAL, 0, "commit_policy: a workspace that is not copy-on-write has nothing to commit");
    if (spec->flags & ~RT_SANDBOX_AUDIT)
        return op_fail(op, RT_E_INVAL, 0, "unknown flags %#x", spec->flags);
    return op->rt->backend->check(op->rt->settings, spec, op->err);
}

static int32_t create(struct op *op, const rt_sandbox_spec *spec, rt_sandbox_info **ret)
{
    rt_sandbox_info *info = NULL;
    struct record record;
    struct spec parsed;
    cJSON *json;
    int32_t status = op_check(op);

    if (!status)
        status = spec_to_json(spec, op->err, &json);
    if (status)
        return status;
    if (op->rt->backend->complete && !op->rt->backend->complete(op->rt->settings, json)) {
        cJSON_Delete(json);
        return op_fail(op, RT_E_NOMEM, 0, "the specification");
    }
    status =
        spec_from_json(json, &parsed) ? check_common(op, &parsed) : op_fail(op, RT_E_NOMEM, 0, "the specification");
    spec_release(&parsed);
    if (status) {
        cJSON_Delete(json);
        return status;
    }
    status = record_create(op, json, &record);
    if (status)
        return status;
    if (record.spec.lifetime == RT_LIFETIME_HOST)
        runtime_own(op->rt, record.spec.id);
    if (ret)
        status = info_from_record(op, &record, &info);
    record_release(&record);
    if (!status && ret)
        *ret = info;
    return status;
}

int32_t op_create(rt_runtime *rt, const rt_sandbox_spec *spec, rt_call *call, rt_sandbox_info **ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "create");
    rt_sandbox_spec own;

    if (!status && (!spec || !struct_read(&own, sizeof own, spec)))
        status = op_fail(&op, RT_E_INVAL, 0, "no spec given, or one without a size");
    if (!status)
        status = create(&op, &own, ret);
    return op_end(&op, status);
}

static int32_t start(struct op *op, const char *id)
{
    struct locked locked;
    int32_t status = record_lock(op, id, &locked);

    if (status)
        return status;
    if (record_runs(&locked.record))
        status = op_fail(op, RT_E_ALREADY_RUNNING, 0, "sandbox '%s' is running", id);
    else
        status = box_down(op, &locked, false); /* what a crash or a death under it has left */
    if (!status)
        status = box_up(op, &locked);
    record_unlock(&locked);
    return status;
}

int32_t op_start(rt_runtime *rt, const char *id, rt_call *call)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "start");

    if (!status)
        status = start(&op, id);
    return op_end(&op, status);
}

static int32_t stop(struct op *op, const char *id)
{
    struct locked locked;
    int32_t status = record_lock(op, id, &locked);

    if (status)
        return status;
    if (locked.record.status == RT_SANDBOX_PENDING || locked.record.status == RT_SANDBOX_STOPPED) {
        status = op_fail(op, RT_E_NOT_RUNNING, 0, "sandbox '%s' is not running", id);
    } else {
        /* Written first: whoever loses a connection now finds out that it was stopped, not that it died. */
        locked.record.status = RT_SANDBOX_STOPPED;
        locked.record.stopped_us = now_real_us();
        locked.record.last_error[0] = '\0';
        status = record_save(op, locked.box_fd, &locked.record);
        if (!status)
            status = box_down(op, &locked, true);
        if (!status)
            status = record_save(op, locked.box_fd, &locked.record);
    }
    record_unlock(&locked);
    return status;
}

int32_t op_stop(rt_runtime *rt, const char *id, rt_call *call)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "stop");

    if (!status)
        status = stop(&op, id);
    return op_end(&op, status);
}

int32_t box_destroy(struct op *op, const char *id)
{
    struct locked locked;
    int32_t status = record_lock(op, id, &locked);

    if (status)
        return status;
    if (record_runs(&locked.record)) {
        locked.record.status = RT_SANDBOX_STOPPED;
        (void)record_save(op, locked.box_fd, &locked.record); /* as in stop(); a full disk must not keep it alive */
    }
    status = box_down(op, &locked, false);
    if (!status) {
        changes_before_destroy(op, &locked.record, locked.box_fd);
        status = record_remove(op, id, locked.box_fd);
    }
    if (!status)
        runtime_disown(op->rt, id);
    record_unlock(&locked);
    return status;
}

int32_t op_destroy(rt_runtime *rt, const char *id, rt_call *call)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "destroy");

    if (!status)
        status = box_destroy(&op, id);
    return op_end(&op, status);
}

int32_t op_get(rt_runtime *rt, const char *id, rt_call *call, rt_sandbox_info **ret)
{
    struct record record;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "get");

    if (!status)
        status = record_load(&op, id, &record);
    if (!status) {
        status = info_from_record(&op, &record, ret);
        record_release(&record);
    }
    return op_end(&op, status);
}

static int32_t list(struct op *op, rt_sandbox_list **ret)
{
    rt_sandbox_info **infos;
    char **ids;
    size_t n, n_infos = 0;
    int32_t status = record_ids(op, &ids, &n);

    children_reap(); /* a host that only looks on reaps, too */
    if (status)
        return status;
    infos = calloc(n + 1, sizeof *infos);
    if (!infos)
        status = op_fail(op, RT_E_NOMEM, 0, "the list of sandboxes");
    for (size_t i = 0; !status && i < n; i++) {
        struct record record;

        if (record_load(op, ids[i], &record)) {
            /* One that was destroyed meanwhile, or whose record is foreign, must not hide the others (R2). */
            if (op->err->status != RT_E_SANDBOX_NOT_FOUND)
                runtime_log(op->rt, RT_LOG_WARN, "%s", op->err->message);
            continue;
        }
        status = info_from_record(op, &record, &infos[n_infos]);
        n_infos += !status;
        record_release(&record);
    }
    record_ids_free(ids, n);
    if (!status) {
        status = list_from_infos(op, infos, n_infos, ret);
    } else {
        for (size_t i = 0; i < n_infos; i++)
            info_free(infos[i]);
    }
    free(infos);
    return status;
}

int32_t op_list(rt_runtime *rt, rt_call *call, rt_sandbox_list **ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "list");

    if (!status)
        status = list(&op, ret);
    return op_end(&op, status);
}
