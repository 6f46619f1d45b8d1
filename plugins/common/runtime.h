/*
 * One opened runtime and the sandboxes that this process has to do with. The truth about a sandbox is its record on
 * disk (record.h), shared with other processes; what is held here are only handles to what runs (struct live).
 */
#ifndef STOCKADE_RUNTIME_H
#define STOCKADE_RUNTIME_H

#include "backend.h"
#include "util.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

struct record;
struct cgroup_pool;
struct session_turns;

/* Handles to a running sandbox. Immutable once published, but for is_lost; shared by reference count. */
struct live {
    atomic_int refs;
    char id[ID_MAX + 1];
    uint64_t generation; /* of the record that it was made from */
    int dir_fd;          /* the sandbox's directory */
    int init_fd;         /* pidfd of the agent */
    int daemon_fd;       /* pidfd of permfs */
    struct proc_id daemon;
    atomic_bool is_lost; /* the daemon is dead, whatever daemon_fd says */
    int lease_fd;        /* boot connection, held by the process that started a `host` sandbox; -1 = none */
    int permfs_fd;       /* owner's connection to permfs; -1 = none: it is reached by its socket */
    int oom_fd;          /* see oom.h; -1 = no limit of memory */
    struct identity identity;
    bool relayed; /* see backend.h, as what follows */
    char backend_id[80];
    pid_t init_pid;
    struct cgroup_pool *cgroups; /* NULL = the agent walks trees */
    struct session_turns *turns; /* in its sessions */
    void *json;                  /* cJSON: what spec points into */
    struct spec spec;
    UT_hash_handle hh; /* in runtime.lives, under runtime.lock */
};

/* A `host` sandbox that this runtime made, and ends at close. */
struct owned {
    struct owned *next;
    char id[ID_MAX + 1];
};

struct runtime {
    const struct backend *backend;
    struct settings *settings; /* the backend's own struct begins with it */
    void *config;              /* cJSON: what settings point into */
    void *own;                 /* the backend's, see its open() */
    char *dir;                 /* state directory's part of this plugin: .../bwrap */
    char *libexec;
    char *mount_base; /* settings->fuse_mount_base, symlinks resolved; NULL = none */
    int dir_fd;       /* of dir */
    int closing_fd;   /* eventfd, readable once close() was called */
    rt_log_fn *log;
    void *log_user;

    pthread_mutex_t lock; /* guards what follows; never held across I/O */
    pthread_cond_t idle;
    unsigned in_flight;
    struct live *lives;
    struct owned *owned;
    struct audit_reader *audits; /* audit.h */
};

#define LIVE_INIT                                                                                                      \
    {                                                                                                                  \
        .dir_fd = -1, .init_fd = -1, .daemon_fd = -1, .lease_fd = -1, .permfs_fd = -1, .oom_fd = -1                    \
    }

int32_t runtime_open(const struct backend *backend, const rt_open_params *params, rt_call *call, rt_runtime **ret);
void runtime_close(rt_runtime *rt);
void runtime_enter(struct runtime *rt);
void runtime_leave(struct runtime *rt);
/* Where a sandbox's workspace is mounted on the host; to be freed, NULL if memory runs out. */
char *runtime_mount_point(struct runtime *rt, const char *id);
void runtime_own(struct runtime *rt, const char *id);
void runtime_disown(struct runtime *rt, const char *id);
void runtime_log(struct runtime *rt, int32_t level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* live.c */
struct live *live_ref(struct live *live);
void live_unref(struct live *live); /* closes the handles with the last reference; NULL is a no-op */
void live_publish(struct runtime *rt, struct live *live); /* takes over the caller's reference */
/* Takes it out of the table, if it is still there; the table's reference becomes the caller's. NULL if none. */
struct live *live_withdraw(struct runtime *rt, const char *id);
/* The handles to a running sandbox, from the table or made from its record. The caller live_unref()s. */
int32_t live_get(struct op *op, const char *id, struct live **ret);
int32_t live_from_record(struct op *op, const struct record *record, struct live **ret);
/* RT_OK if commands can be run by what the record says, else why not: RT_E_NOT_RUNNING, RT_E_UNAVAILABLE. */
int32_t live_status_error(struct op *op, const struct record *record);
/* Connects to the sandbox's agent: *ret is the caller's to close. RT_E_NOT_RUNNING, RT_E_UNAVAILABLE. */
int32_t live_connect(struct op *op, struct live *live, int *ret);
/* Its daemon was seen to be dead: whoever wants the sandbox looks at the record anew. */
void live_lose(struct runtime *rt, const struct record *record);
/* Why a connection to the sandbox ended: RT_E_NOT_RUNNING if it was stopped or destroyed, else what happened. */
int32_t live_end_status(struct op *op, struct live *live);
/* The same for err (-errno) of a message to the agent; what is wrong with the message itself is said with `what`. */
int32_t live_send_status(struct op *op, struct live *live, int err, const char *what);
/* The same once daemon_fd has become readable, or its first thread is seen to have ended. */
int32_t live_daemon_status(struct op *op, struct live *live);

#endif
