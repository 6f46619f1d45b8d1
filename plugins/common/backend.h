/*
 * What a backend provides; all else of a plugin is in plugins/common. A backend boots an isolated root that holds the
 * workspace, the agent as PID 1 and the directory of the boot socket, and ends it.
 */
#ifndef STOCKADE_BACKEND_H
#define STOCKADE_BACKEND_H

#include "config.h"
#include "op.h"
#include "proc_id.h"
#include "spec.h"

#include <sys/stat.h>

/* Where the agent and its boot socket's directory are to be seen inside, both read-only. */
#define INSIDE_DIR      "/run/stockade" /* of Stockade, whatever the image has there */
#define INSIDE_AGENT    INSIDE_DIR "/agent"
#define INSIDE_BOOT_DIR INSIDE_DIR "/boot"
#define BOOT_SOCKET     "socket"
#define BOOT_NOTES      "notes" /* of a relayed sandbox: a fifo beside it, see relay_proto.h */

/* The settings that every backend has; the first member of a backend's own. Defaults: runtime_settings_default(). */
struct settings {
    int64_t default_timeout_ms;
    int64_t kill_grace_ms;
    int64_t stop_grace_ms;
    int64_t cache_time_ms;
    int64_t max_output_bytes;
    bool passthrough, watch, epochs; /* the filesystem daemon's fast paths, see PERMFS_NO_* */
    const char *fuse_mount_base;     /* directory of the workspaces' mounts; "" = each in its sandbox's own directory */
};

/* Who commands run as. */
struct identity {
    uint32_t uid, gid;             /* as the sandbox sees it */
    uint32_t host_uid, host_gid;   /* as the host's user namespace counts it: what permfs shows files as */
    uint32_t owner_uid, owner_gid; /* the codebase owner's */
};

struct boot {
    const struct spec *spec;
    const struct identity *identity;
    const char *workspace_source; /* permfs's mount on the host */
    const char *agent;            /* the agent's file on the host */
    const char *boot_dir;         /* the boot socket's directory on the host */
    int cgroup_init_fd;           /* the cgroup that what is started begins in, see cgroup_made; -1 = none */
    const int *cgroup_tasks_fds;  /* and those that it must enter first */
    size_t n_cgroup_tasks;
    uint32_t controllers; /* that these have, as cgroup_tree.h counts: the limits that they keep */

    pid_t init_pid;    /* out: the agent, as the host counts it */
    pid_t monitor_pid; /* out: a child of ours that lives as long as the sandbox and is to be reaped; 0 = none */
    int lease_fd;      /* out, of a relayed sandbox: when it is closed the sandbox ends; -1 = none */
    int output_fd;     /* out: what the backend said on its stderr, for the message of a failed boot; -1 = none */
    char backend_id[80];
};

/* Of a sandbox that runs: what leads to it. */
struct whereabouts {
    const char *id, *backend_id;
    pid_t init_pid;
};

struct probe_list;
struct record;

/* Hooks that may be NULL say so: then there is nothing to do. */
struct backend {
    const char *name;
    uint64_t capabilities;
    size_t settings_size;
    const struct config_key *keys; /* all keys, the common ones included (BACKEND_COMMON_KEYS) */
    size_t n_keys;
    void (*settings_default)(void *settings); /* the backend's own part */
    void (*probe)(struct op *op, struct probe_list *list);
    /* At create: refuses what this backend cannot do. */
    int32_t (*check)(const struct settings *settings, const struct spec *spec, rt_error *err);
    /* Who commands run as; st is the codebase's. */
    int32_t (*identify)(const struct settings *settings, const struct spec *spec, const struct stat *st,
                        struct identity *ret, rt_error *err);
    /* Starts it; returns once init_pid is known. On failure nothing is left of it. */
    int32_t (*boot)(struct op *op, struct boot *boot);
    /*
     * Removes what outlives the init of a sandbox that has booted, or that boot() may have left: its container. The
     * init has ended, or is not ours to end: then this does. The call's deadline and cancel leave it seconds more.
     * RT_OK if nothing is left, or if sweep() will find it. May be NULL, as all below.
     */
    int32_t (*end)(struct op *op, const struct record *record);
    /*
     * The cause of an init's death, as "its container ...", for get(); left alone where it is not known. False if it
     * may be known another time.
     */
    bool (*died_why)(struct op *op, const struct record *record, char *why, size_t size);
    /*
     * Holds all that runs in a sandbox still, and lets it go on; where NULL, the sandbox's cgroup or SIGSTOP does. The
     * deadline is the call's.
     */
    int32_t (*pause)(struct op *op, const struct record *record);
    int32_t (*resume)(struct op *op, const struct record *record);
    /* At open, after the sandboxes' directories: removes what an earlier process left beside them (R3). */
    void (*sweep)(struct op *op);
    /* At create: adds what a specification leaves to this backend's settings. False if memory runs out. */
    bool (*complete)(const struct settings *settings, cJSON *spec);
    /* The backend's part of an opened runtime, rt->own; close() takes what open() made, also half of it. */
    int32_t (*open)(struct runtime *rt, rt_error *err);
    void (*close)(struct runtime *rt);
    /* Whether a sandbox that starts now is relayed: no socket leads to its agent, and connect() is used. NULL: never.
     */
    bool (*relays)(const struct settings *settings);
    /* A connection to the agent of a relayed sandbox, as its socket would give one: the caller's to close. */
    int32_t (*connect)(struct op *op, const struct whereabouts *place, int *ret);
    /* What it boots lives in a cgroup of its own, with its limits: commands get none of ours, and no limit from us. */
    bool own_cgroup;
};

#define BACKEND_COMMON_KEYS                                                                                            \
    { "default_timeout",                                                                                               \
      CONFIG_DURATION,                                                                                                 \
      offsetof(struct settings, default_timeout_ms),                                                                   \
      1,                                                                                                               \
      1000000000,                                                                                                      \
      "a duration such as \"30s\"",                                                                                    \
      NULL },                                                                                                          \
        { "kill_grace",                                                                                                \
          CONFIG_DURATION,                                                                                             \
          offsetof(struct settings, kill_grace_ms),                                                                    \
          0,                                                                                                           \
          3600000,                                                                                                     \
          "a duration such as \"2s\", at most 1h",                                                                     \
          NULL },                                                                                                      \
        { "stop_grace",                                                                                                \
          CONFIG_DURATION,                                                                                             \
          offsetof(struct settings, stop_grace_ms),                                                                    \
          0,                                                                                                           \
          3600000,                                                                                                     \
          "a duration such as \"500ms\", at most 1h",                                                                  \
          NULL },                                                                                                      \
        { "cache_time",                                                                                                \
          CONFIG_DURATION,                                                                                             \
          offsetof(struct settings, cache_time_ms),                                                                    \
          0,                                                                                                           \
          3600000,                                                                                                     \
          "a duration such as \"1s\", at most 1h",                                                                     \
          NULL },                                                                                                      \
        { "passthrough", CONFIG_BOOL, offsetof(struct settings, passthrough), 0, 0, "true or false", NULL },           \
        { "watch", CONFIG_BOOL, offsetof(struct settings, watch), 0, 0, "true or false", NULL },                       \
        { "epochs", CONFIG_BOOL, offsetof(struct settings, epochs), 0, 0, "true or false", NULL },                     \
    {                                                                                                                  \
        "max_output_bytes", CONFIG_INT, offsetof(struct settings, max_output_bytes), 1, INT64_C(1) << 40,              \
            "a number of bytes from 1 to 1099511627776", NULL                                                          \
    }

/* Their schema and defaults: the first properties of a plugin's own. */
#define BACKEND_COMMON_SCHEMA                                                                                          \
    "\"default_timeout\":{\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h)$\","                                     \
    "\"description\":\"of execs that name none\"},"                                                                    \
    "\"kill_grace\":{\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h)$\","                                          \
    "\"description\":\"between SIGTERM and SIGKILL at a timeout or cancel\"},"                                         \
    "\"stop_grace\":{\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h)$\","                                          \
    "\"description\":\"between SIGTERM and SIGKILL at a stop\"},"                                                      \
    "\"cache_time\":{\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h)$\","                                          \
    "\"description\":\"within which changes of the codebase on the host are seen inside\"},"                           \
    "\"passthrough\":{\"type\":\"boolean\",\"description\":\"data of files past the filesystem daemon, where it can "  \
    "be\"},"                                                                                                           \
    "\"watch\":{\"type\":\"boolean\",\"description\":\"names cached until the codebase changes, where inotify can "    \
    "tell\"},"                                                                                                         \
    "\"epochs\":{\"type\":\"boolean\",\"description\":\"new rules told to the kernel at once, where it can be\"},"     \
    "\"max_output_bytes\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1099511627776,"                              \
    "\"description\":\"cap of each collected stream\"},"

#define BACKEND_COMMON_DEFAULTS                                                                                        \
    "\"default_timeout\":\"30s\",\"kill_grace\":\"2s\",\"stop_grace\":\"500ms\",\"cache_time\":\"1s\","                \
    "\"passthrough\":true,\"watch\":true,\"epochs\":true,\"max_output_bytes\":16777216,"

#endif
