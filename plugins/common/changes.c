/* changes_list, changes_commit and changes_discard. */
#include "changes.h"

#include "delta_commit.h"
#include "error.h"
#include "ops.h"
#include "permfs_client.h"
#include "runtime.h"
#include "structs.h"

#include <string.h>

/* All in one block: the list, its pointers, the changes, their paths. */
struct changes_block {
    rt_changes pub;
    rt_change *pointers[];
};

static bool is_listed(const struct delta_change *change)
{
    return change->kind >= 0;
}

static uint64_t bytes_of(const struct stat *st)
{
    return S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) ? (uint64_t)st->st_size : 0;
}

static void change_fill(rt_change *ret, const struct delta_change *change, char **at)
{
    *ret = (rt_change){ .size = sizeof *ret,
                        .path = *at,
                        .kind = change->kind,
                        .conflict = change->conflict,
                        .old_bytes = bytes_of(&change->lower),
                        .new_bytes = change->kind == RT_CHANGE_DELETED ? 0 : bytes_of(&change->upper) };
    *at = stpcpy(*at, change->path) + 1;
}

static int32_t changes_make(struct op *op, const struct delta_changes *changes, rt_changes **ret)
{
    struct changes_block *block;
    size_t n = 0, text = 0;
    rt_change *items;
    char *at;

    for (size_t i = 0; i < changes->n; i++)
        if (is_listed(&changes->v[i])) {
            n++;
            text += strlen(changes->v[i].path) + 1;
        }
    block = malloc(sizeof *block + n * (sizeof *block->pointers + sizeof *items) + text);
    if (!block)
        return op_fail(op, RT_E_NOMEM, 0, "the list of changes");
    items = (rt_change *)(void *)(block->pointers + n);
    at = (char *)(items + n);
    block->pub = (rt_changes){ .size = sizeof block->pub, .n = n, .items = (const rt_change *const *)block->pointers };
    for (size_t i = 0, k = 0; i < changes->n; i++)
        if (is_listed(&changes->v[i])) {
            change_fill(&items[k], &changes->v[i], &at);
            block->pointers[k] = &items[k];
            k++;
        }
    *ret = &block->pub;
    return RT_OK;
}

void changes_free(rt_changes *changes)
{
    free(changes);
}

/* An op on a delta, from its lock to its end. */
struct work {
    struct locked locked;
    struct delta delta;
};

static int32_t work_begin(struct op *op, const char *id, struct work *ret)
{
    int32_t status = record_lock(op, id, &ret->locked);

    if (status)
        return status;
    status = delta_open(op, &ret->locked.record, ret->locked.box_fd, &ret->delta);
    if (status) {
        delta_close(&ret->delta);
        record_unlock(&ret->locked);
    }
    return status;
}

static void work_end(struct work *work)
{
    delta_close(&work->delta);
    record_unlock(&work->locked);
}

int32_t op_changes_list(rt_runtime *rt, const char *id, rt_call *call, rt_changes **ret)
{
    struct delta_changes changes = { 0 };
    struct work work;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "changes_list");

    if (!status)
        status = work_begin(&op, id, &work);
    if (status)
        return op_end(&op, status);
    status = delta_walk(&work.delta, &changes);
    if (!status)
        status = changes_make(&op, &changes, ret);
    delta_changes_free(&changes);
    work_end(&work);
    return op_end(&op, status);
}

/* *ret, which may be NULL, is set on RT_OK and on RT_E_CONFLICT. */
static int32_t commit(struct op *op, const char *id, const rt_commit_spec *spec, rt_changes **ret)
{
    struct delta_changes changes = { 0 };
    struct work work;
    int32_t status = work_begin(op, id, &work), made;
    struct op quiet;

    if (status)
        return status;
    status = delta_commit(&work.delta, spec->paths, spec->conflicts, &changes);
    op_init_quiet(&quiet, op->rt);
    if (ret && (status == RT_OK || status == RT_E_CONFLICT)) {
        made = changes_make(&quiet, &changes, ret);
        if (made)
            status = op_fail(op, made, 0, "the list of changes");
    }
    if (!status && !work.delta.is_running && delta_prune(&work.delta))
        runtime_log(op->rt, RT_LOG_WARN, "the delta of '%s' could not be pruned, and is at its next start", id);
    delta_changes_free(&changes);
    work_end(&work);
    return status;
}

int32_t op_changes_commit(rt_runtime *rt, const char *id, const rt_commit_spec *spec, rt_call *call, rt_changes **ret)
{
    rt_commit_spec own = { .size = sizeof own };
    struct op op;
    int32_t status = op_begin(&op, rt, call, "changes_commit");

    if (!status && spec && !struct_read(&own, sizeof own, spec))
        status = op_fail(&op, RT_E_INVAL, 0, "a specification without a size");
    if (!status && (own.conflicts < RT_CONFLICT_FAIL || own.conflicts > RT_CONFLICT_THEIRS))
        status = op_fail(&op, RT_E_INVAL, 0, "conflicts %d does not exist", own.conflicts);
    if (!status && own.reserved)
        status = op_fail(&op, RT_E_INVAL, 0, "reserved is not 0");
    if (!status)
        status = commit(&op, id, &own, ret);
    return op_end(&op, status);
}

int32_t op_changes_discard(rt_runtime *rt, const char *id, const char *const *paths, rt_call *call)
{
    struct work work;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "changes_discard");

    if (!status)
        status = work_begin(&op, id, &work);
    if (status)
        return op_end(&op, status);
    status = delta_discard(&work.delta, paths);
    if (work.delta.is_running) { /* also after a failure: some of it may be gone */
        int32_t told = permfs_refresh(&op, work.locked.box_fd);

        status = status ? status : told;
    }
    work_end(&work);
    return op_end(&op, status);
}

void changes_after_exec(struct op *op, const struct live *live, const rt_exit *exit, int32_t status)
{
    const rt_commit_spec all = { .size = sizeof all };
    const struct spec *spec = &live->spec;
    int32_t policy = spec->workspace_mode == RT_WORKSPACE_DELTA ? spec->commit_policy : RT_COMMIT_MANUAL;
    struct op own;

    if (policy == RT_COMMIT_MANUAL || (policy == RT_COMMIT_ON_SUCCESS && (status != RT_OK || exit->exit_code)))
        return;
    op_init_quiet(&own, op->rt);
    if (commit(&own, live->id, &all, NULL))
        runtime_log(op->rt, RT_LOG_WARN, "commit after a command in '%s': %s", live->id, own.err->message);
}

int32_t changes_before_start(struct op *op, const struct record *record, int box_fd)
{
    struct delta delta;
    int32_t status;
    int r;

    if (record->spec.workspace_mode != RT_WORKSPACE_DELTA)
        return RT_OK;
    status = delta_open(op, record, box_fd, &delta);
    if (!status) {
        r = delta_prune(&delta);
        status = r ? op_fail(op, error_status(-r), -r, "prune the delta") : RT_OK;
    }
    delta_close(&delta);
    return status;
}

void changes_before_destroy(struct op *op, const struct record *record, int box_fd)
{
    struct delta delta;
    struct op quiet;

    if (record->spec.workspace_mode != RT_WORKSPACE_DELTA)
        return;
    op_init_quiet(&quiet, op->rt);
    (void)delta_open(&quiet, record, box_fd, &delta); /* undoes the journal */
    delta_close(&delta);
}
