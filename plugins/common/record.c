/* The record as JSON, and what is true of it. */
#include "record.h"

#include "error.h"
#include "json.h"
#include "mounts.h"
#include "pause.h"
#include "permfs_proto.h"
#include "runtime.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define NEW_DIR_TRIES 20 /* each may be lost to a sweep */
#define RECORD_FILE   "box.json"
#define RECORD_MAX    ((size_t)64 << 20)
#define ENDED_FILE    "ended"

static bool proc_add(cJSON *json, const char *key, const struct proc_id *id)
{
    cJSON *object;

    if (!id->pid)
        return true;
    object = cJSON_AddObjectToObject(json, key);
    return object && json_add_int(object, "pid", id->pid) && json_add_int(object, "start", (int64_t)id->start);
}

static struct proc_id proc_get(const cJSON *json, const char *key, bool *ok)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(json, key);

    if (!object)
        return (struct proc_id){ 0 };
    return (struct proc_id){ .pid = (pid_t)json_int(object, "pid", 1, INT32_MAX, 0, ok),
                             .start = (uint64_t)json_int(object, "start", 0, JSON_INT_MAX, 0, ok) };
}

/* Numbers that are all alike: name, place. */
#define IDENTITY_FIELDS(X) X(uid) X(gid) X(host_uid) X(host_gid) X(owner_uid) X(owner_gid)
#define TIME_FIELDS(X)     X(created_us) X(started_us) X(stopped_us)

static bool record_add_plain(cJSON *json, const struct record *record, const char *boot_id)
{
    bool ok = true;

#define ADD(field) ok = ok && json_add_int(json, #field, record->identity.field);
    IDENTITY_FIELDS(ADD)
#undef ADD
#define ADD(field) ok = ok && json_add_int(json, #field, record->field);
    TIME_FIELDS(ADD)
#undef ADD
    return ok && json_add_int(json, "version", RECORD_VERSION) && json_add_str(json, "boot_id", boot_id) &&
           json_add_int(json, "status", record->status) && json_add_str(json, "last_error", record->last_error) &&
           json_add_int(json, "generation", (int64_t)record->generation) && proc_add(json, "init", &record->init) &&
           proc_add(json, "permfs", &record->permfs) && proc_add(json, "monitor", &record->monitor) &&
           proc_add(json, "owner", &record->owner) && json_add_str(json, "backend_id", record->backend_id) &&
           json_add_str(json, "cgroup", record->cgroup) && json_add_int(json, "controllers", record->controllers) &&
           json_add_int(json, "relayed", record->relayed);
}

/* Without it nobody could tell what runs: no record is written or believed then. */
static int32_t no_boot_id(struct op *op)
{
    return op_fail(op, error_status(errno), errno, "read the boot's id");
}

int32_t record_save(struct op *op, int box_fd, const struct record *record)
{
    char boot_id[40];
    cJSON *json = cJSON_CreateObject();
    cleanup_free char *text = NULL;
    bool ok;
    int err;

    if (!boot_id_read(boot_id)) {
        cJSON_Delete(json);
        return no_boot_id(op);
    }
    ok = json && record_add_plain(json, record, boot_id) && cJSON_AddItemReferenceToObject(json, "spec", record->json);
    text = ok ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    if (!text)
        return op_fail(op, RT_E_NOMEM, 0, "the sandbox's record");
    err = file_replace(box_fd, RECORD_FILE, text, strlen(text));
    return err ? op_fail(op, error_status(-err), -err, "write the sandbox's record") : RT_OK;
}

static bool copy_str(const cJSON *json, const char *key, char *ret, size_t size, bool *ok)
{
    const char *value = json_str(json, key, "", ok);

    if (strlen(value) >= size)
        return false;
    strcpy(ret, value);
    return true;
}

/* A container's id, a process's number: it becomes part of paths. */
static bool backend_id_valid(const char *id)
{
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(id);
}

static bool record_get_plain(const cJSON *json, const char *boot_id, struct record *ret)
{
    bool ok = true;

#define GET(field) ret->identity.field = (uint32_t)json_int(json, #field, 0, UINT32_MAX, 0, &ok);
    IDENTITY_FIELDS(GET)
#undef GET
#define GET(field) ret->field = json_int(json, #field, 0, JSON_INT_MAX, 0, &ok);
    TIME_FIELDS(GET)
#undef GET
    ret->status = (int32_t)json_int(json, "status", RT_SANDBOX_PENDING, RT_SANDBOX_ERROR, -1, &ok);
    ret->controllers = (uint32_t)json_int(json, "controllers", 0, UINT32_MAX, 0, &ok);
    ret->generation = (uint64_t)json_int(json, "generation", 0, JSON_INT_MAX, 0, &ok);
    ret->relayed = json_int(json, "relayed", 0, 1, 0, &ok) != 0;
    if (!strcmp(boot_id, json_str(json, "boot_id", "", &ok))) {
        ret->init = proc_get(json, "init", &ok);
        ret->permfs = proc_get(json, "permfs", &ok);
        ret->monitor = proc_get(json, "monitor", &ok);
        ret->owner = proc_get(json, "owner", &ok);
    }
    return ok && ret->status >= 0 && copy_str(json, "last_error", ret->last_error, sizeof ret->last_error, &ok) &&
           copy_str(json, "backend_id", ret->backend_id, sizeof ret->backend_id, &ok) &&
           backend_id_valid(ret->backend_id) && copy_str(json, "cgroup", ret->cgroup, sizeof ret->cgroup, &ok) && ok;
}

static int32_t not_a_record(struct op *op, const char *id)
{
    return op_fail(op, RT_E_PROTOCOL, 0, "%s/boxes/%s/" RECORD_FILE " is not a sandbox's record", op->rt->dir, id);
}

/* What a later version has written is for that to read: all that is known of it is where its number stands. */
static int32_t later_version(struct op *op, const char *id, int64_t version)
{
    return op_fail(op, RT_E_UNSUPPORTED, 0,
                   "%s/boxes/%s/" RECORD_FILE " is of format %lld, of a later version; this one knows %d", op->rt->dir,
                   id, (long long)version, RECORD_VERSION);
}

static int32_t record_parse(struct op *op, const char *text, size_t len, const char *id, struct record *ret)
{
    cJSON *json = json_parse_object(text, len);
    char boot_id[40];
    bool ok = json != NULL;
    int64_t version = json ? json_int(json, "version", 1, JSON_INT_MAX, 0, &ok) : 0;

    *ret = (struct record){ 0 };
    if (!boot_id_read(boot_id)) {
        cJSON_Delete(json);
        return no_boot_id(op);
    }
    if (ok && version == RECORD_VERSION && record_get_plain(json, boot_id, ret))
        ret->json = cJSON_DetachItemFromObjectCaseSensitive(json, "spec");
    cJSON_Delete(json);
    if (ok && version > RECORD_VERSION)
        return later_version(op, id, version);
    if (!ret->json || !spec_from_json(ret->json, &ret->spec)) {
        cJSON_Delete(ret->json);
        return not_a_record(op, id);
    }
    if (strcmp(ret->spec.id, id)) {
        record_release(ret);
        return not_a_record(op, id);
    }
    return RT_OK;
}

static int32_t record_load_from(struct op *op, int box_fd, const char *id, struct record *ret)
{
    cleanup_free char *text = NULL;
    size_t len;
    int err = file_read(box_fd, RECORD_FILE, RECORD_MAX, &text, &len);

    if (err == -ENOENT)
        return op_fail(op, RT_E_SANDBOX_NOT_FOUND, 0, "no sandbox '%s'", id);
    if (err == -EINVAL || err == -EFBIG || err == -ELOOP) /* no file, a huge one, a link */
        return not_a_record(op, id);
    if (err)
        return op_fail(op, error_status(-err), -err, "read the record of '%s'", id);
    return record_parse(op, text, len, id, ret);
}

static int32_t box_open(struct op *op, const char *id, int *ret_fd)
{
    char path[ID_MAX + 8];
    int fd;

    if (!id || !id_valid(id))
        return op_fail(op, RT_E_SANDBOX_NOT_FOUND, 0, "no sandbox '%.100s'", id ? id : "");
    snprintf(path, sizeof path, "boxes/%s", id);
    fd = openat(op->rt->dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return op_fail(op, RT_E_SANDBOX_NOT_FOUND, 0, "no sandbox '%s'", id);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return op_fail(op, RT_E_PROTOCOL, 0, "%s/%s is not a sandbox's directory", op->rt->dir, path);
    if (fd < 0)
        return op_fail(op, error_status(errno), errno, "open the directory of '%s'", id);
    *ret_fd = fd;
    return RT_OK;
}

/*
 * A daemon that was killed is not gone while a thread of it tells the kernel of an entry, and waits for the directory's
 * lock; whoever holds that waits for the daemon. Nothing else ends that.
 */
static void daemon_cut_off(struct op *op, const struct record *record)
{
    cleanup_free char *mnt = runtime_mount_point(op->rt, record->spec.id);

    live_lose(op->rt, record);
    if (mnt)
        (void)mount_abort(mnt);
}

/*
 * A sandbox has died under its host: the backend may know why. What it says is kept, for it may soon have forgotten, if
 * nobody else is at work on the sandbox.
 */
static void record_died(struct op *op, int box_fd, struct record *record)
{
    cleanup_fd int lock_fd = -1;
    struct record now;
    struct op aside;

    if (proc_id_is_alive(&record->init))
        daemon_cut_off(op, record);
    if (!op->rt->backend->died_why || !record->backend_id[0])
        return;
    op_init_aside(&aside, op);
    if (!op->rt->backend->died_why(&aside, record, record->last_error, sizeof record->last_error))
        return;
    lock_fd = file_make(box_fd, "lock", 0, 0600);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX | LOCK_NB) < 0 || record_load_from(&aside, box_fd, record->spec.id, &now))
        return;
    if (now.generation == record->generation && now.status == RT_SANDBOX_RUNNING) {
        now.status = record->status;
        strcpy(now.last_error, record->last_error);
        (void)record_save(&aside, box_fd, &now);
    }
    record_release(&now);
}

int32_t record_load(struct op *op, const char *id, struct record *ret)
{
    cleanup_fd int box_fd = -1;
    int32_t status = box_open(op, id, &box_fd), was;

    if (!status)
        status = record_load_from(op, box_fd, id, ret);
    if (status)
        return status;
    was = ret->status;
    record_refresh(ret, box_fd);
    if (ret->status != was && ret->status == RT_SANDBOX_ERROR)
        record_died(op, box_fd, ret);
    pause_refresh(op, ret);
    return RT_OK;
}

/* Backs off to 16 ms: flock(2) has no deadline, and a lock is held as long as a start or a stop takes. */
int32_t record_flock(struct op *op, int fd)
{
    for (int ms = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; ms = ms < 16 ? ms * 2 : ms) {
        int32_t status;

        if (errno != EWOULDBLOCK && errno != EINTR)
            return op_fail(op, RT_E_IO, errno, "lock the sandbox's files");
        status = op_sleep_ms(op, ms);
        if (status)
            return status;
    }
    return RT_OK;
}

/* The lock is the directory's only if that is still where the id leads to: it may have been destroyed meanwhile. */
static bool lock_is_current(struct op *op, const char *id, int lock_fd)
{
    char path[ID_MAX + 16];
    struct stat here, there;

    snprintf(path, sizeof path, "boxes/%s/lock", id);
    return fstat(lock_fd, &here) == 0 && fstatat(op->rt->dir_fd, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

int32_t record_lock(struct op *op, const char *id, struct locked *ret)
{
    struct locked locked = LOCKED_INIT;
    int32_t status;

    for (;;) {
        status = box_open(op, id, &locked.box_fd);
        if (status)
            return status;
        locked.lock_fd = file_make(locked.box_fd, "lock", 0, 0600);
        if (locked.lock_fd == -ENOENT)
            status = RT_OK; /* it has just been removed: look again */
        else if (locked.lock_fd < 0)
            status = op_fail(op, error_status(-locked.lock_fd), -locked.lock_fd, "lock '%s'", id);
        else
            status = record_flock(op, locked.lock_fd);
        if (status || (locked.lock_fd >= 0 && lock_is_current(op, id, locked.lock_fd)))
            break;
        record_unlock(&locked);
    }
    if (!status)
        status = record_load_from(op, locked.box_fd, id, &locked.record);
    if (status) {
        record_unlock(&locked);
        return status;
    }
    record_refresh(&locked.record, locked.box_fd);
    pause_refresh(op, &locked.record);
    *ret = locked;
    return RT_OK;
}

void record_unlock(struct locked *locked)
{
    record_release(&locked->record);
    fd_closep(&locked->box_fd);
    /* Closing alone does not: a daemon that did not come up, or a child that the host has forked, may have it, too. */
    if (locked->lock_fd >= 0)
        (void)flock(locked->lock_fd, LOCK_UN);
    fd_closep(&locked->lock_fd);
}

int record_ended_make(int box_fd)
{
    cleanup_fd int fd = -1;
    char nothing = 0;
    int err;

    /* Another file than the last start's, which a daemon of then may still have; a byte, so that no disk is full. */
    (void)unlinkat(box_fd, ENDED_FILE, 0);
    fd = file_make(box_fd, ENDED_FILE, O_EXCL, 0600);
    if (fd < 0)
        return fd;
    err = write_all(fd, &nothing, 1);
    return err ? err : take_fd(&fd);
}

/* Whether its time was over; then the record says so. */
static bool refresh_expired(struct record *record, int box_fd)
{
    cleanup_fd int fd = openat(box_fd, ENDED_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    char cause;

    if (fd < 0 || read(fd, &cause, 1) != 1 || fstat(fd, &st) < 0)
        return false;
    if (cause == PERMFS_ENDED_LIFETIME)
        snprintf(record->last_error, sizeof record->last_error, "expired: its max_lifetime of %lld ms was over",
                 (long long)record->spec.max_lifetime_ms);
    else if (cause == PERMFS_ENDED_IDLE)
        snprintf(record->last_error, sizeof record->last_error, "expired: idle for its idle_timeout of %lld ms",
                 (long long)record->spec.idle_timeout_ms);
    else
        return false;
    record->status = RT_SANDBOX_STOPPED;
    record->stopped_us = st.st_mtim.tv_sec * INT64_C(1000000) + st.st_mtim.tv_nsec / 1000;
    return true;
}

void record_refresh(struct record *record, int box_fd)
{
    if (!record_runs(record))
        return;
    if (proc_id_is_alive(&record->init)) {
        if (proc_id_first_is_alive(&record->permfs))
            return;
        strcpy(record->last_error, "its filesystem daemon has died");
    } else if (refresh_expired(record, box_fd)) {
        return;
    } else {
        strcpy(record->last_error, "its init process has died");
    }
    record->status = RT_SANDBOX_ERROR;
}

void record_release(struct record *record)
{
    spec_release(&record->spec);
    cJSON_Delete(record->json);
    *record = (struct record){ 0 };
}

/* A directory without a name of a sandbox yet, locked: -EAGAIN where a sweep came between and has taken it. */
static int new_dir_try(struct op *op, const char *temp, int *ret_box_fd, int *ret_lock_fd)
{
    cleanup_fd int box_fd = -1, lock_fd = -1;
    int r = dir_make(op->rt->dir_fd, temp, 0700);

    if (r)
        return r;
    box_fd = openat(op->rt->dir_fd, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (box_fd < 0)
        return -errno;
    lock_fd = file_make(box_fd, "lock", 0, 0600);
    if (lock_fd < 0)
        return lock_fd;
    if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    if (!lock_is_current(op, temp + strlen("boxes/"), lock_fd))
        return -EAGAIN;
    *ret_box_fd = take_fd(&box_fd);
    *ret_lock_fd = take_fd(&lock_fd);
    return 0;
}

static int new_dir(struct op *op, char temp[32], int *ret_box_fd, int *ret_lock_fd)
{
    int r = -EAGAIN;

    for (int tries = 0; r == -EAGAIN && tries < NEW_DIR_TRIES; tries++) {
        strcpy(temp, "boxes/.new-");
        random_name(temp + strlen(temp), 12);
        r = new_dir_try(op, temp, ret_box_fd, ret_lock_fd);
    }
    return r;
}

int32_t record_create(struct op *op, cJSON *spec, struct record *ret)
{
    struct record record = {
        .json = spec, .status = RT_SANDBOX_PENDING, .created_us = now_real_us(), .owner = proc_id_of(getpid())
    };
    cleanup_fd int box_fd = -1, lock_fd = -1;
    char temp[32], path[ID_MAX + 8];
    int32_t status;
    int err;

    if (!spec_from_json(spec, &record.spec)) {
        cJSON_Delete(spec);
        return op_fail(op, RT_E_NOMEM, 0, "the specification");
    }
    if (!record.owner.pid) {
        record_release(&record);
        return op_fail(op, RT_E_RESOURCE, 0, "this process cannot look itself up in /proc");
    }
    snprintf(path, sizeof path, "boxes/%s", record.spec.id);
    err = new_dir(op, temp, &box_fd, &lock_fd);
    status =
        err ? op_fail(op, error_status(-err), -err, "make the directory of '%s' in %s", record.spec.id, op->rt->dir)
            : record_save(op, box_fd, &record);
    if (!status && renameat2(op->rt->dir_fd, temp, op->rt->dir_fd, path, RENAME_NOREPLACE) < 0)
        status = errno == EEXIST
                     ? op_fail(op, RT_E_EXISTS, 0, "sandbox '%s' exists", record.spec.id)
                     : op_fail(op, error_status(errno), errno, "make the directory of '%s'", record.spec.id);
    if (status) {
        if (box_fd >= 0) {
            (void)unlinkat(box_fd, RECORD_FILE, 0);
            (void)unlinkat(box_fd, "lock", 0);
        }
        (void)unlinkat(op->rt->dir_fd, temp, AT_REMOVEDIR);
        record_release(&record);
        return status;
    }
    *ret = record;
    return RT_OK;
}
