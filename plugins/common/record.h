/*
 * A sandbox on disk: DIR/boxes/ID/ with
 *   box.json     the record, replaced by rename
 *   lock         flock()ed by whoever changes the sandbox's state; released by the kernel if that process dies, and
 *                during a start the filesystem daemon, too, see permfs_start()
 *   mnt/         permfs's mount          boot/         the boot socket, while it boots
 *   delta/       a copy-on-write workspace's writes, see delta_log.h
 *   agent.sock   where the agent listens  permfs.sock   where permfs listens
 *   paused       there while it is paused, see pause.h
 *   ended        one byte, which permfs replaces by the cause when the sandbox's time is over
 *   audit.jsonl  the audit, if its file was not to be elsewhere
 * A directory whose name begins with a dot is one that is being made or removed, or was set aside (torn.h).
 * docs/state.md describes all of it; a change of the record's meaning raises RECORD_VERSION.
 */
#ifndef STOCKADE_RECORD_H
#define STOCKADE_RECORD_H

#include "backend.h"

#define RECORD_VERSION 1
#define AUDIT_FILE     "audit.jsonl"

struct record {
    cJSON *json; /* owned: {"spec": ...}, what spec points into */
    struct spec spec;
    int32_t status; /* enum rt_sandbox_status, as last written */
    char last_error[sizeof((rt_error *)0)->message];
    int64_t created_us, started_us, stopped_us;
    uint64_t generation; /* of starts */
    struct proc_id init, permfs, monitor, owner;
    struct identity identity;
    char backend_id[80];
    bool relayed;         /* see backend.h, of the last start */
    char cgroup[512];     /* absolute path of its cgroup in v2; "" = none */
    uint32_t controllers; /* of its cgroups, see cgroup_tree.h */
};

/*
 * Reads a record. RT_E_SANDBOX_NOT_FOUND; RT_E_PROTOCOL if what is there is not one of ours; RT_E_UNSUPPORTED if it is
 * a later version's, which no op touches.
 */
int32_t record_load(struct op *op, const char *id, struct record *ret);
/* Writes it into the sandbox's directory. */
int32_t record_save(struct op *op, int box_fd, const struct record *record);
void record_release(struct record *record);

/* A new sandbox's directory with its record, made whole by one rename. RT_E_EXISTS. Takes spec over. */
int32_t record_create(struct op *op, cJSON *spec, struct record *ret);

/* A sandbox locked for a change of state. */
struct locked {
    int box_fd, lock_fd;
    struct record record;
};
#define LOCKED_INIT                                                                                                    \
    {                                                                                                                  \
        .box_fd = -1, .lock_fd = -1                                                                                    \
    }

/* Waits for the lock, then loads. The record's status is the true one: see record_refresh(). */
int32_t record_lock(struct op *op, const char *id, struct locked *ret);
void record_unlock(struct locked *locked);
/* Locks a file or directory against other processes, until fd is closed; gives up with the call. */
int32_t record_flock(struct op *op, int fd);

/* Whether it is up: running or paused. */
static inline bool record_runs(const struct record *record)
{
    return record->status == RT_SANDBOX_RUNNING || record->status == RT_SANDBOX_PAUSED;
}

/*
 * Compares what is written with what is there: a sandbox that says `running` and whose init is gone becomes `error`
 * with the cause (L8), or `stopped` if its time was over, in memory; and nothing of another boot is believed to run.
 */
void record_refresh(struct record *record, int box_fd);

/* The file `ended` for a new start, to be written to by permfs. Returns the fd or -errno. */
int record_ended_make(int box_fd);

/* Removes the directory of a sandbox that has ended. Never enters a mount. */
int32_t record_remove(struct op *op, const char *id, int box_fd);
/* The same for what record_create() or record_remove() left half done, if nobody holds its lock. */
void record_sweep(struct runtime *rt);

/* Ids of all sandboxes, in no order; each and the array to be freed. */
int32_t record_ids(struct op *op, char ***ret, size_t *ret_n);
void record_ids_free(char **ids, size_t n);

#endif
