#include "sweep.h"

#include "box.h"
#include "changes.h"
#include "mounts.h"
#include "torn.h"

#include <string.h>

/* Who holds a sandbox's lock for longer is at work on it. */
#define LOCK_WAIT_MS 100
/* Where the owner is dead, another host is cleaning, or a filesystem daemon on its way up is about to find that out. */
#define OWNERLESS_WAIT_MS 10000

static bool is_mounted(struct runtime *rt, const struct mount_table *mounts, const char *id)
{
    cleanup_free char *mnt = runtime_mount_point(rt, id);

    return mnt && mount_table_has(mounts, mnt);
}

/* A `host` sandbox goes with its owner; of any other only what should not be there (any more) does. */
static bool needs_sweep(struct runtime *rt, const struct mount_table *mounts, const struct record *record)
{
    if (record->spec.lifetime == RT_LIFETIME_HOST)
        return !proc_id_is_alive(&record->owner);
    return !record_runs(record) &&
           (proc_id_is_alive(&record->init) || proc_id_is_alive(&record->permfs) || record->cgroup[0] ||
            record->controllers || is_mounted(rt, mounts, record->spec.id));
}

static int32_t locked_clean(struct op *op, struct locked *locked)
{
    const char *id = locked->record.spec.id;
    bool is_hosts = locked->record.spec.lifetime == RT_LIFETIME_HOST;
    int32_t status;

    if (!is_hosts && record_runs(&locked->record))
        return RT_OK; /* started meanwhile */
    status = box_down(op, locked, false);
    if (!status && is_hosts)
        changes_before_destroy(op, &locked->record, locked->box_fd);
    if (!status)
        status = is_hosts ? record_remove(op, id, locked->box_fd) : record_save(op, locked->box_fd, &locked->record);
    if (status)
        runtime_log(op->rt, RT_LOG_WARN, "cleaning '%s': %s", id, op->err->message);
    else
        runtime_log(op->rt, RT_LOG_INFO, "cleaned what an earlier process left of '%s'", id);
    return status;
}

static int64_t lock_deadline(const struct op *op, const struct record *record)
{
    const int64_t ms = record->spec.lifetime == RT_LIFETIME_HOST ? OWNERLESS_WAIT_MS : LOCK_WAIT_MS;

    return sooner_ns(now_ns() + ms * NS_PER_MS, op->deadline_ns);
}

static void sweep_box(struct op *op, const struct mount_table *mounts, const char *id)
{
    struct op quick = *op;
    struct record record;
    struct locked locked;
    int32_t status = record_load(op, id, &record);
    bool needs;

    if (status == RT_E_PROTOCOL || status == RT_E_SANDBOX_NOT_FOUND) {
        torn_set_aside(op, id);
        return;
    }
    if (status) {
        runtime_log(op->rt, RT_LOG_WARN, "%s", op->err->message);
        return;
    }
    needs = needs_sweep(op->rt, mounts, &record);
    quick.deadline_ns = lock_deadline(op, &record);
    record_release(&record);
    if (!needs || record_lock(&quick, id, &locked))
        return;
    (void)locked_clean(op, &locked);
    record_unlock(&locked);
}

void sweep_all(struct op *op)
{
    struct mount_table mounts;
    char **ids;
    size_t n;

    record_sweep(op->rt);
    if (record_ids(op, &ids, &n)) {
        runtime_log(op->rt, RT_LOG_WARN, "%s", op->err->message);
        return;
    }
    if (!mount_table_read(&mounts))
        runtime_log(op->rt, RT_LOG_WARN, "looking for mounts that were left: the mount table cannot be read");
    for (size_t i = 0; i < n; i++)
        sweep_box(op, &mounts, ids[i]);
    mount_table_release(&mounts);
    record_ids_free(ids, n);
    if (op->rt->backend->sweep)
        op->rt->backend->sweep(op);
}
