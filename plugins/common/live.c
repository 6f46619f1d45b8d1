#include "agent_client.h"
#include "box_cgroup.h"
#include "cgroup.h"
#include "error.h"
#include "oom.h"
#include "pause.h"
#include "record.h"
#include "runtime.h"
#include "session_turn.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct live *live_ref(struct live *live)
{
    atomic_fetch_add(&live->refs, 1);
    return live;
}

void live_unref(struct live *live)
{
    if (!live || atomic_fetch_sub(&live->refs, 1) != 1)
        return;
    fd_closep(&live->dir_fd);
    fd_closep(&live->init_fd);
    fd_closep(&live->daemon_fd);
    fd_closep(&live->lease_fd);
    fd_closep(&live->permfs_fd);
    fd_closep(&live->oom_fd);
    cgroup_pool_free(live->cgroups);
    session_turns_free(live->turns);
    spec_release(&live->spec);
    cJSON_Delete(live->json);
    free(live);
}

void live_publish(struct runtime *rt, struct live *live)
{
    struct live *old;

    pthread_mutex_lock(&rt->lock);
    HASH_FIND_STR(rt->lives, live->id, old);
    if (old)
        HASH_DEL(rt->lives, old);
    HASH_ADD_STR(rt->lives, id, live);
    pthread_mutex_unlock(&rt->lock);
    live_unref(old);
}

/* Publishes unless there is one as new already: that one may hold the sandbox's lease. Returns what counts, referenced.
 */
static struct live *live_offer(struct runtime *rt, struct live *live)
{
    struct live *old, *drop = NULL;

    pthread_mutex_lock(&rt->lock);
    HASH_FIND_STR(rt->lives, live->id, old);
    if (old && old->generation >= live->generation) {
        drop = live;
        live = old;
    } else {
        if (old)
            HASH_DEL(rt->lives, old);
        HASH_ADD_STR(rt->lives, id, live);
        drop = old;
    }
    live_ref(live);
    pthread_mutex_unlock(&rt->lock);
    live_unref(drop);
    return live;
}

struct live *live_withdraw(struct runtime *rt, const char *id)
{
    struct live *live;

    pthread_mutex_lock(&rt->lock);
    HASH_FIND_STR(rt->lives, id, live);
    if (live)
        HASH_DEL(rt->lives, live);
    pthread_mutex_unlock(&rt->lock);
    return live;
}

static struct live *live_find(struct runtime *rt, const char *id)
{
    struct live *live;

    pthread_mutex_lock(&rt->lock);
    HASH_FIND_STR(rt->lives, id, live);
    if (live)
        live_ref(live);
    pthread_mutex_unlock(&rt->lock);
    return live;
}

void live_lose(struct runtime *rt, const struct record *record)
{
    struct live *live = live_find(rt, record->spec.id);

    if (live && live->generation == record->generation)
        atomic_store(&live->is_lost, true);
    live_unref(live);
}

/* The count of what the kernel killed for the sandbox's limit of memory, if a cgroup keeps that. */
static int oom_fd(struct op *op, const struct record *record)
{
    bool is_v1 = false;
    cleanup_fd int fd = box_cgroup_open(op, record, CGROUP_MEMORY, &is_v1);

    return oom_open(fd, is_v1);
}

int32_t live_from_record(struct op *op, const struct record *record, struct live **ret)
{
    struct live *live = malloc(sizeof *live);
    char path[ID_MAX + 8];

    if (!live)
        return op_fail(op, RT_E_NOMEM, 0, "handles of '%s'", record->spec.id);
    *live = (struct live)LIVE_INIT;
    atomic_init(&live->refs, 1);
    atomic_init(&live->is_lost, false);
    strcpy(live->id, record->spec.id);
    live->generation = record->generation;
    live->identity = record->identity;
    live->relayed = record->relayed;
    live->init_pid = record->init.pid;
    strcpy(live->backend_id, record->backend_id);
    live->json = cJSON_Duplicate(record->json, true);
    snprintf(path, sizeof path, "boxes/%s", record->spec.id);
    live->dir_fd = openat(op->rt->dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    live->init_fd = proc_id_open(&record->init);
    live->daemon = record->permfs;
    live->daemon_fd = proc_id_open(&record->permfs);
    live->turns = session_turns_new();
    if (!live->json || !live->turns || !spec_from_json(live->json, &live->spec)) {
        live_unref(live);
        return op_fail(op, RT_E_NOMEM, 0, "handles of '%s'", record->spec.id);
    }
    if (op->rt->backend->own_cgroup || (record->controllers & CGROUP_PIDS))
        live->spec.limits.pids = 0; /* it is kept already: the agent has none to set */
    if (live->dir_fd < 0 || live->init_fd < 0 || live->daemon_fd < 0) {
        live_unref(live);
        return op_fail(op, RT_E_UNAVAILABLE, 0, "sandbox '%s' has just ended", record->spec.id);
    }
    if (live->spec.limits.memory_bytes)
        live->oom_fd = oom_fd(op, record);
    if (record->cgroup[0])
        live->cgroups = cgroup_pool_new(record->cgroup);
    *ret = live;
    return RT_OK;
}

/* A live that has died, or stands still, is of no use: whoever meets one looks at the record anew. */
static struct live *live_find_alive(struct runtime *rt, const char *id)
{
    struct live *live = live_find(rt, id);

    if (live && (pidfd_ended(live->init_fd) || pidfd_ended(live->daemon_fd) || atomic_load(&live->is_lost) ||
                 pause_is_marked(live->dir_fd))) {
        live_unref(live);
        return NULL;
    }
    return live;
}

int32_t live_status_error(struct op *op, const struct record *record)
{
    switch (record->status) {
    case RT_SANDBOX_PENDING:
        return op_fail(op, RT_E_NOT_RUNNING, 0, "sandbox '%s' was never started", record->spec.id);
    case RT_SANDBOX_PAUSED:
        return op_fail(op, RT_E_NOT_RUNNING, 0, "sandbox '%s' is paused", record->spec.id);
    case RT_SANDBOX_STOPPED:
        return op_fail(op, RT_E_NOT_RUNNING, 0, "sandbox '%s' is stopped%s%s", record->spec.id,
                       record->last_error[0] ? ": " : "", record->last_error);
    case RT_SANDBOX_ERROR:
        return op_fail(op, RT_E_UNAVAILABLE, 0, "sandbox '%s': %s", record->spec.id, record->last_error);
    default:
        return RT_OK;
    }
}

int32_t live_get(struct op *op, const char *id, struct live **ret)
{
    struct record record;
    struct live *live = id ? live_find_alive(op->rt, id) : NULL;
    int32_t status;

    if (live) {
        *ret = live;
        return RT_OK;
    }
    status = record_load(op, id, &record);
    if (status)
        return status;
    status = live_status_error(op, &record);
    if (!status)
        status = live_from_record(op, &record, &live);
    record_release(&record);
    if (status)
        return status;
    *ret = live_offer(op->rt, live);
    return RT_OK;
}

int32_t live_end_status(struct op *op, struct live *live)
{
    struct pollfd pfd = { .fd = live->init_fd, .events = POLLIN };

    /* The agent's connections end a moment before its process does. */
    if (poll(&pfd, 1, 2000) <= 0 && live->relayed)
        return op_fail(op, RT_E_UNAVAILABLE, 0, "the connection to the agent of '%s' was lost on its way", live->id);
    if (!pfd.revents)
        return op_fail(op, RT_E_PROTOCOL, 0, "the agent of '%s' closed the connection", live->id);
    return live_daemon_status(op, live);
}

int32_t live_send_status(struct op *op, struct live *live, int err, const char *what)
{
    if (err == -EPIPE || err == -ECONNRESET)
        return live_end_status(op, live);
    return op_fail(op, err == -EMSGSIZE ? RT_E_INVAL : error_status(-err), -err, "%s", what);
}

int32_t live_daemon_status(struct op *op, struct live *live)
{
    struct record record;
    int32_t status = record_load(op, live->id, &record);

    if (status == RT_E_SANDBOX_NOT_FOUND)
        return op_fail(op, RT_E_NOT_RUNNING, 0, "sandbox '%s' was destroyed", live->id);
    if (status)
        return status;
    if (record.generation != live->generation)
        status = op_fail(op, RT_E_NOT_RUNNING, 0, "sandbox '%s' was restarted", live->id);
    else
        status = live_status_error(op, &record);
    record_release(&record);
    return status ? status : op_fail(op, RT_E_UNAVAILABLE, 0, "sandbox '%s' has died", live->id);
}

static int32_t live_connect_relayed(struct op *op, struct live *live, int *ret)
{
    const struct whereabouts place = { live->id, live->backend_id, live->init_pid };
    int32_t status = op->rt->backend->connect(op, &place, ret);

    return status && pidfd_ended(live->init_fd) ? live_end_status(op, live) : status;
}

int32_t live_connect(struct op *op, struct live *live, int *ret)
{
    int fd;

    if (live->relayed)
        return live_connect_relayed(op, live, ret);
    fd = socket_connect(live->dir_fd, "agent.sock");
    if (fd >= 0) {
        *ret = fd;
        return RT_OK;
    }
    if (fd == -ECONNREFUSED || fd == -ENOENT)
        return live_end_status(op, live);
    return op_fail(op, error_status(-fd), -fd, "reach the agent of '%s'", live->id);
}
