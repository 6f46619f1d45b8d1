#include "pause.h"

#include "error.h"
#include "freezer.h"
#include "halt.h"
#include "ops.h"
#include "runtime.h"

#include <fcntl.h>

#define LIST_MAX    ((size_t)16 << 20)
#define LIFT_WAIT_S 5 /* for the backend, before its part is done for it */

bool pause_is_marked(int box_fd)
{
    return faccessat(box_fd, PAUSE_MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool pause_is_paused(struct runtime *rt, const char *id)
{
    struct record record;
    struct op quiet;
    bool paused;

    op_init_quiet(&quiet, rt);
    if (record_load(&quiet, id, &record))
        return false;
    paused = record.status == RT_SANDBOX_PAUSED;
    record_release(&record);
    return paused;
}

void pause_refresh(struct op *op, struct record *record)
{
    struct freezer freezer;

    if (!op->rt->backend->own_cgroup || !record_runs(record) || !freezer_open(op, record, &freezer))
        return;
    record->status = freezer_is_frozen(&freezer) ? RT_SANDBOX_PAUSED : RT_SANDBOX_RUNNING;
    freezer_close(&freezer);
}

/* What hold() did, undone by what needs no backend. */
static void let_go(struct op *op, const struct record *record, int box_fd)
{
    cleanup_free char *list = NULL;
    struct freezer freezer;

    if (record->init.pid && freezer_open(op, record, &freezer)) {
        (void)freezer_thaw(&freezer);
        freezer_close(&freezer);
    }
    if (file_read(box_fd, PAUSE_MARK, LIST_MAX, &list, NULL) == 0)
        halt_end(list);
}

void pause_lift(struct op *op, const struct record *record, int box_fd)
{
    struct op quiet;

    op_init_quiet(&quiet, op->rt);
    quiet.deadline_ns = now_ns() + LIFT_WAIT_S * NS_PER_S;
    /* Podman removes nothing that it believes paused; a backend that is away has to be done without. */
    if (op->rt->backend->resume && record->backend_id[0] && pause_is_marked(box_fd))
        (void)op->rt->backend->resume(&quiet, record);
    let_go(op, record, box_fd);
    (void)unlinkat(box_fd, PAUSE_MARK, 0);
}

/* ---- pause ---- */

/* By the backend, else by the sandbox's cgroup, else by signals. */
static int32_t hold(struct op *op, const struct record *record, int list_fd)
{
    struct freezer freezer;
    int32_t status;

    if (op->rt->backend->pause)
        return op->rt->backend->pause(op, record);
    if (!freezer_open(op, record, &freezer))
        return halt_all(op, record, list_fd);
    status = freezer_freeze(op, &freezer);
    freezer_close(&freezer);
    return status;
}

static int32_t mark_and_hold(struct op *op, struct locked *locked)
{
    cleanup_fd int list_fd = file_make(locked->box_fd, PAUSE_MARK, O_TRUNC | O_APPEND, 0600);
    int32_t status;

    if (list_fd < 0)
        return op_fail(op, error_status(-list_fd), -list_fd, "mark the sandbox as paused");
    locked->record.status = RT_SANDBOX_PAUSED;
    status = record_save(op, locked->box_fd, &locked->record);
    return status ? status : hold(op, &locked->record, list_fd);
}

static int32_t pause_locked(struct op *op, struct locked *locked)
{
    int32_t status = live_status_error(op, &locked->record);
    struct op quiet;

    if (status)
        return status;
    status = mark_and_hold(op, locked);
    if (!status)
        return RT_OK;
    op_init_quiet(&quiet, op->rt);
    pause_lift(&quiet, &locked->record, locked->box_fd);
    locked->record.status = RT_SANDBOX_RUNNING;
    (void)record_save(&quiet, locked->box_fd, &locked->record);
    return status;
}

/* ---- resume ---- */

static int32_t release(struct op *op, struct locked *locked)
{
    int32_t status = RT_OK;

    if (op->rt->backend->resume)
        status = op->rt->backend->resume(op, &locked->record);
    else
        let_go(op, &locked->record, locked->box_fd);
    if (status)
        return status;
    locked->record.status = RT_SANDBOX_RUNNING;
    status = record_save(op, locked->box_fd, &locked->record);
    if (!status)
        (void)unlinkat(locked->box_fd, PAUSE_MARK, 0);
    return status;
}

static int32_t resume_locked(struct op *op, struct locked *locked)
{
    switch (locked->record.status) {
    case RT_SANDBOX_PAUSED:
        return release(op, locked);
    case RT_SANDBOX_RUNNING:
        (void)unlinkat(locked->box_fd, PAUSE_MARK, 0); /* if others have resumed it behind our back */
        return op_fail(op, RT_E_ALREADY_RUNNING, 0, "sandbox '%s' is running", locked->record.spec.id);
    default:
        return live_status_error(op, &locked->record);
    }
}

/* ---- the ops ---- */

static int32_t change(rt_runtime *rt, const char *id, rt_call *call, const char *name,
                      int32_t (*apply)(struct op *op, struct locked *locked))
{
    struct locked locked;
    struct op op;
    int32_t status = op_begin(&op, rt, call, name);

    if (!status)
        status = record_lock(&op, id, &locked);
    if (!status) {
        status = apply(&op, &locked);
        record_unlock(&locked);
    }
    return op_end(&op, status);
}

int32_t op_pause(rt_runtime *rt, const char *id, rt_call *call)
{
    return change(rt, id, call, "pause", pause_locked);
}

int32_t op_resume(rt_runtime *rt, const char *id, rt_call *call)
{
    return change(rt, id, call, "resume", resume_locked);
}
