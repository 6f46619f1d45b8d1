/*
 * runtime_api.h - the Stockade runtime ABI.
 *
 * A runtime plugin is a shared object that exports one symbol, rt_plugin_entry(), and through it a table of
 * operations, rt_ops. A host loads it with dlopen(RTLD_NOW | RTLD_LOCAL), opens it, and runs commands in sandboxes.
 * This header is all that host and plugin share; it needs nothing but the C standard library and compiles as
 * C11 and as C++11 or later.
 *
 * Conventions, true of every declaration below unless it says otherwise:
 *
 * Strings    are NUL-terminated bytes, not necessarily UTF-8. A NULL string means "not given".
 * Sizes      are bytes; times are int64_t milliseconds (..._ms) or nanoseconds (..._ns). Points in time are
 *            CLOCK_MONOTONIC for deadlines and CLOCK_REALTIME (since the epoch) for what is shown to people.
 * Structs    that cross the boundary start with `size`, set by whoever fills them (the RT_*_INIT macros do). A reader
 *            takes members beyond `size` as zero. New members and ops are only ever appended and raise the minor
 *            version; any other change raises the major version.
 * Arrays     given to a plugin have a common stride: element i lies at (const char *)first + i * first->size.
 *            Arrays returned by a plugin are arrays of pointers.
 * Ownership  arguments are borrowed for the call and copied if kept. What an op returns through ret is one allocation
 *            with everything in it, owned by the caller and freed by the matching ..._free op (NULL is a no-op).
 * Errors     every op that can fail returns an rt_status as int32_t: RT_OK or one of RT_E_*; ret is written only on
 *            RT_OK, but for the cases that say otherwise. Details go to call->error when a call is given.
 * Threads    every op may be called from any thread at any time, also two on the same sandbox. A slow op on one
 *            sandbox never delays an op on another. Exceptions are close() and rt_process, see there.
 * Process    a plugin never prints, exits, installs signal handlers, or changes the host's cwd, umask, locale,
 *            environment or signal mask. Every fd that it makes is close-on-exec. It may fork; it reaps its own.
 */
#ifndef STOCKADE_RUNTIME_API_H
#define STOCKADE_RUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RT_ABI_MAJOR 1u
#define RT_ABI_MINOR 1u

/* Name of the one symbol that a plugin exports: `const rt_plugin *rt_plugin_entry(void)`. */
#define RT_PLUGIN_ENTRY "rt_plugin_entry"

/* ---- status ---------------------------------------------------------------------------------------------------- */

/* What callers branch on. Values are frozen; 0 is success. Carried as int32_t in structs and signatures. */
enum rt_status {
    RT_OK = 0,
    RT_E_INVAL = 1,             /* an argument is malformed; the message names it */
    RT_E_CONFIG = 2,            /* the runtime's config: unknown key, wrong type, out of range; names the key's path */
    RT_E_SANDBOX_NOT_FOUND = 3, /* no sandbox of that id in this state directory */
    RT_E_SESSION_NOT_FOUND = 4, /* no session of that id in the sandbox */
    RT_E_SESSION_CLOSED = 5,    /* the session's shell has ended */
    RT_E_EXISTS = 6,            /* create: the id is taken */
    RT_E_ALREADY_RUNNING = 7,   /* start: the sandbox runs */
    RT_E_NOT_RUNNING = 8,       /* the sandbox is not running, or was stopped during the call */
    RT_E_PATTERN = 9,           /* a rule's pattern is malformed; the message gives its index */
    RT_E_PERMISSION = 10,       /* the operating system refused it to this user */
    RT_E_TIMEOUT = 11,          /* the exec's timeout or the call's deadline passed */
    RT_E_CANCELLED = 12,        /* the cancel fd became readable, or a callback asked to stop */
    RT_E_UNSUPPORTED = 13,      /* this backend, or this version of it, cannot do that */
    RT_E_UNAVAILABLE = 14,      /* the backend is missing, does not answer in full, or died under the sandbox */
    RT_E_RESOURCE = 15,         /* a limit was hit: memory (OOM), pids, fds, disk */
    RT_E_CONFLICT = 16,         /* both sides changed; neither was lost */
    RT_E_PROTOCOL = 17,         /* a malformed answer from the Engine, the agent, or a file on disk */
    RT_E_IO = 18,               /* an operating-system call failed; sys_errno says how */
    RT_E_NOMEM = 19,            /* the host process is out of memory */
    RT_E_ABI = 20,              /* host and plugin do not fit; the message names both versions */
    RT_E_INTERNAL = 21          /* a bug; please report it */
};

/*
 * An error in full. Fixed size, so that reporting an error neither allocates nor fails; long messages are cut at a
 * character boundary. For people: only status is meant for programs.
 */
typedef struct rt_error {
    size_t size;
    int32_t status;    /* enum rt_status */
    int32_t sys_errno; /* errno of the failing system call, 0 if none */
    char op[24];       /* the op that failed: "start" */
    char message[488]; /* one line, no newline at its end; "" if status is RT_OK */
} rt_error;

/*
 * How long an op may take, and where it reports. Every op takes one, and NULL means: no deadline, no cancelling, no
 * details. One rt_call serves one op at a time. An op that is cancelled or past its deadline undoes what it began,
 * or leaves a sandbox that stop() and destroy() can handle.
 */
typedef struct rt_call {
    size_t size;
    int64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; 0 = none. Passed: RT_E_TIMEOUT */
    int32_t cancel_fd;   /* readable = cancel: RT_E_CANCELLED; never read from; -1 = none */
    uint32_t reserved;   /* 0 */
    rt_error error;      /* out: written by every op, RT_OK included */
} rt_call;

#define RT_ERROR_INIT                                                                                                  \
    {                                                                                                                  \
        sizeof(rt_error), 0, 0, "", ""                                                                                 \
    }
#define RT_CALL_INIT                                                                                                   \
    {                                                                                                                  \
        sizeof(rt_call), 0, -1, 0, RT_ERROR_INIT                                                                       \
    }

/* ---- opening a runtime ----------------------------------------------------------------------------------------- */

typedef struct rt_runtime rt_runtime; /* one opened plugin; opaque */

enum rt_log_level { RT_LOG_DEBUG = 0, RT_LOG_INFO = 1, RT_LOG_WARN = 2, RT_LOG_ERROR = 3 };

/*
 * The host's log sink. message is one line without a newline, borrowed for the call. May be called from any thread,
 * also from threads of the plugin, but never after close() has returned. Must not call back into the runtime.
 */
typedef void rt_log_fn(void *user, int32_t level, const char *message);

typedef struct rt_open_params {
    size_t size;
    const char *config;      /* JSON object checked against rt_plugin.config_schema; NULL = {} */
    const char *state_dir;   /* private directory of this host's sandboxes, made (0700) if missing; required. The
                                plugin keeps to a subdirectory named after itself */
    const char *libexec_dir; /* where the helpers `permfs` and `agent` lie; NULL = found relative to the plugin */
    rt_log_fn *log;          /* NULL = nothing is logged */
    void *log_user;
} rt_open_params;

/* ---- probe ----------------------------------------------------------------------------------------------------- */

enum rt_check_result { RT_CHECK_OK = 0, RT_CHECK_WARN = 1, RT_CHECK_FAIL = 2 };

typedef struct rt_check {
    size_t size;
    int32_t result; /* enum rt_check_result; WARN = works with less */
    uint32_t reserved;
    const char *name;   /* "fuse" */
    const char *detail; /* what was found */
    const char *remedy; /* exactly what to do about it; "" if nothing */
} rt_check;

typedef struct rt_probe {
    size_t size;
    int32_t usable; /* 1 = start() can work here, 0 = a check failed */
    uint32_t reserved;
    const char *backend_version; /* "bubblewrap 0.8.0"; "" if not found */
    size_t n_checks;
    const rt_check *const *checks;
} rt_probe;

/* ---- sandboxes ------------------------------------------------------------------------------------------------- */

typedef struct rt_label {
    size_t size;
    const char *key;
    const char *value;
} rt_label;

/* A rule's reach. Order is meaning: of two equally high rules the larger type wins (contract W3). */
enum rt_rule_type {
    RT_RULE_GLOB = 0,      /* covers the paths that the pattern matches */
    RT_RULE_DIRECTORY = 1, /* covers the directories that the pattern matches and all below them */
    RT_RULE_FILE = 2       /* covers what the pattern matches and is no directory */
};

/* What the sandbox may do with a path; each includes the ones before it (contract W1). */
enum rt_permission {
    RT_PERM_NONE = 0, /* the path does not exist */
    RT_PERM_VIEW = 1, /* listed and stat-able; opening it is EACCES */
    RT_PERM_READ = 2, /* content, extended attributes and link targets can be read */
    RT_PERM_WRITE = 3 /* everything */
};

/*
 * One workspace rule. Patterns are anchored at the workspace root, with or without a leading slash. `*`, `?` and
 * `[...]` (with ranges, and `!` or `^` to negate) stay within a path component; a component `**` spans any number of
 * components, none included; `\` takes the next character literally. `/x/` + `**` covers /x itself.
 */
typedef struct rt_rule {
    size_t size;
    const char *pattern;
    int32_t type;       /* enum rt_rule_type */
    int32_t permission; /* enum rt_permission */
    int32_t priority;   /* higher wins; any value */
    uint32_t reserved;
} rt_rule;

/* Limits of a sandbox as a whole. 0 = none, or the runtime's default. What a backend lacks: RT_E_UNSUPPORTED. */
typedef struct rt_limits {
    size_t size;
    uint64_t memory_bytes; /* memory with swap; exceeding it is RT_E_RESOURCE, see RT_RESULT_OOM */
    uint32_t cpu_millis;   /* CPU time per second of wall time, in 1/1000 of one CPU: 1500 = one and a half */
    uint32_t cpu_shares;   /* relative weight under contention; 1024 = one share, 2..262144 */
    uint32_t pids;         /* processes and threads */
    uint32_t reserved;
} rt_limits;

enum rt_lifetime {
    RT_LIFETIME_HOST = 0,      /* ends with the host process, however that ends */
    RT_LIFETIME_PERSISTENT = 1 /* outlives it; found again through the state directory */
};

enum rt_workspace_mode {
    RT_WORKSPACE_DIRECT = 0, /* writes reach the codebase, as the rules allow */
    RT_WORKSPACE_DELTA = 1   /* writes are kept apart until changes_commit */
};

enum rt_commit_policy { RT_COMMIT_MANUAL = 0, RT_COMMIT_ON_SUCCESS = 1, RT_COMMIT_ALWAYS = 2 };

/*
 * Denied operations and first writes are lines of JSON (contract W14), in a file and, from the process that started the
 * sandbox and as long as it has the runtime open, through its log callback: the line is the message, of RT_LOG_WARN, or
 * RT_LOG_INFO for what was allowed.
 */
#define RT_SANDBOX_AUDIT (UINT32_C(1) << 0)

typedef struct rt_sandbox_spec {
    size_t size;
    const char *id;          /* [A-Za-z0-9][A-Za-z0-9_.-]{0,62}; NULL = one is made up */
    const char *codebase;    /* host directory; required */
    const char *codebase_id; /* the host's own name for it, kept for get and list; NULL = "" */
    const char *workspace;   /* absolute path of the workspace inside; NULL = "/workspace" */
    const char *image;       /* docker: image reference; NULL = the runtime's default */
    const char *network;     /* "none" (default), "host", "bridge" or a network's name */
    const char *user;        /* "uid", "uid:gid" or a user name inside; NULL = the codebase owner's uid and gid */
    const char *oci_runtime; /* docker: "runsc", say; NULL = the Engine's default */
    const char *const *env;  /* "NAME=value", ended by NULL; added to the default environment; NULL = none */
    const rt_label *labels;  /* kept for get and list */
    size_t n_labels;
    const rt_rule *rules; /* no rule matches: RT_PERM_NONE, so no rules at all is an empty workspace */
    size_t n_rules;
    const rt_limits *limits; /* NULL = the runtime's defaults */
    int32_t lifetime;        /* enum rt_lifetime */
    int32_t workspace_mode;  /* enum rt_workspace_mode */
    int32_t commit_policy;   /* enum rt_commit_policy, what happens to a delta after each exec */
    uint32_t flags;          /* RT_SANDBOX_* */
    int64_t timeout_ms;      /* default of this sandbox's execs; 0 = the runtime's (30 s), RT_FOREVER = none */
    int64_t max_lifetime_ms; /* stopped this long after its start; 0 = never. Needs no host, see rt_sandbox_info */
    int64_t idle_timeout_ms; /* stopped after this long in which no command of an exec or session ran; 0 = never */
    /* since 1.1 */
    const char *audit_file; /* with RT_SANDBOX_AUDIT, where its lines are appended: an absolute path outside of the
                               codebase; NULL = a file that goes with the sandbox (docs/audit.md) */
} rt_sandbox_spec;

enum rt_sandbox_status {
    RT_SANDBOX_PENDING = 0, /* created, never started */
    RT_SANDBOX_RUNNING = 1,
    RT_SANDBOX_PAUSED = 2,
    RT_SANDBOX_STOPPED = 3,
    RT_SANDBOX_ERROR = 4 /* its backend died, or a start failed; last_error says why */
};

/*
 * A snapshot; it does not change after it was returned. Strings are never NULL. Times are 0 if not yet. A sandbox whose
 * time was over (max_lifetime_ms, idle_timeout_ms) is `stopped`, and last_error says "expired: ..."; start() gives it
 * its time anew. While it is paused its time goes on, and it ends when it is resumed.
 */
typedef struct rt_sandbox_info {
    size_t size;
    const char *id;
    const char *codebase;    /* absolute, symlinks resolved at create */
    const char *codebase_id; /* "" if none */
    const char *workspace;   /* path inside */
    const char *runtime;     /* the plugin's name */
    const char *image;       /* "" where there is none */
    const char *network;
    const char *user;
    const char *backend_id;  /* container id, or pid of the sandbox's init on the host; "" if not running */
    const char *mount_point; /* where permfs is mounted on the host; "" if not running */
    const char *last_error;  /* "" if none */
    int32_t status;          /* enum rt_sandbox_status */
    int32_t lifetime;        /* enum rt_lifetime */
    int32_t workspace_mode;  /* enum rt_workspace_mode */
    int32_t commit_policy;   /* enum rt_commit_policy */
    int64_t created_ns, started_ns, stopped_ns; /* CLOCK_REALTIME */
    rt_limits limits;                           /* as in force; frozen at its 1.0 layout */
    size_t n_labels;
    const rt_label *const *labels;
    /* since 1.1 */
    uint32_t flags; /* RT_SANDBOX_* as given at create */
    uint32_t reserved;
    size_t n_rules; /* as rules_update() or create() left them, in their order */
    const rt_rule *const *rules;
} rt_sandbox_info;

typedef struct rt_sandbox_list {
    size_t size;
    size_t n;
    const rt_sandbox_info *const *items; /* ordered by created_ns, then id */
} rt_sandbox_list;

/* ---- commands -------------------------------------------------------------------------------------------------- */

#define RT_FOREVER INT64_C(-1) /* as a timeout: none */

#define RT_EXEC_TTY        (UINT32_C(1) << 0) /* on a terminal made inside; stdout and stderr are one */
#define RT_EXEC_NULL_STDIN (UINT32_C(1) << 1) /* process_spawn: stdin is /dev/null and stdin_fd is -1 */

/*
 * A command. Exactly one of shell and argv is given. The environment is the runtime's documented default, then the
 * sandbox's, then env; later wins; nothing of the host's.
 *
 * In a session: user is ignored; argv is quoted for the shell; cwd is a `cd` and env an `export` before the command,
 * and both stay; the timeout counts from the command's turn among this process's callers (a wait for other processes
 * is part of it); rows and cols, if given, resize the session's terminal.
 */
typedef struct rt_exec_request {
    size_t size;
    const char *shell;       /* run as /bin/sh -c; in a session: any text, run by the session's shell */
    const char *const *argv; /* run as it is, argv[0] looked up in the command's PATH; ended by NULL */
    const char *const *env;  /* "NAME=value", ended by NULL; NULL = none */
    const char *cwd;         /* relative: under the workspace; NULL = the workspace, in a session: where it is */
    const char *user;        /* as in rt_sandbox_spec; NULL = the sandbox's */
    const void *stdin_data;  /* exec and exec_stream: fed to the command, then closed; NULL = /dev/null */
    size_t stdin_len;
    int64_t timeout_ms; /* 0 = the sandbox's default, RT_FOREVER = none. process_spawn: RT_FOREVER is the default */
    int64_t grace_ms;   /* between SIGTERM and SIGKILL at a timeout or cancel; 0 = the runtime's (2 s) */
    uint64_t max_output_bytes; /* exec: cap of each stream; 0 = the runtime's (16 MiB) */
    uint32_t flags;            /* RT_EXEC_* */
    uint16_t rows, cols;       /* of the terminal; 0 = 24 and 80 */
} rt_exec_request;

#define RT_RESULT_STDOUT_TRUNCATED (UINT32_C(1) << 0) /* output went on past the cap; the rest was dropped */
#define RT_RESULT_STDERR_TRUNCATED (UINT32_C(1) << 1)
#define RT_RESULT_TIMED_OUT        (UINT32_C(1) << 2) /* ended by its timeout, its deadline or a cancel */
#define RT_RESULT_OOM              (UINT32_C(1) << 3) /* the kernel killed for memory in this sandbox during the command */

/* How a command ended. */
typedef struct rt_exit {
    size_t size;
    int32_t exit_code;   /* 0..255; 128 + term_signal for a signal; 127 not found, 126 not executable */
    int32_t term_signal; /* signal that ended it, 0 if it exited */
    uint32_t flags;      /* RT_RESULT_* */
    uint32_t reserved;
    int64_t duration_ns;             /* from spawn to exit */
    int64_t user_cpu_ns, sys_cpu_ns; /* of the command and the children that it waited for */
    uint64_t max_rss_bytes;          /* of the largest of these */
} rt_exit;

#define RT_EXIT_INIT                                                                                                   \
    {                                                                                                                  \
        sizeof(rt_exit), 0, 0, 0, 0, 0, 0, 0, 0                                                                        \
    }

typedef struct rt_exec_result {
    size_t size;
    rt_exit exit;            /* frozen at its 1.0 layout */
    const char *stdout_data; /* byte-exact; a NUL follows the last byte and is not counted */
    size_t stdout_len;
    const char *stderr_data;
    size_t stderr_len;
} rt_exec_result;

enum rt_stream { RT_STDOUT = 1, RT_STDERR = 2 };

/*
 * Takes a chunk of output as it appears; data is borrowed for the call. While it runs, the command is held back once
 * its pipe is full. Returns nonzero to go on, 0 to end the command (the op then returns RT_E_CANCELLED). Called on
 * the thread that called the op. May call any op of the runtime but close().
 */
typedef int32_t rt_output_fn(void *user, int32_t stream, const void *data, size_t len);

/*
 * A running command with plain fds, for the host's own event loop. Owned by the plugin until process_release(). One
 * thread at a time uses it. The fds are close-on-exec and blocking; to keep one, set its member to -1 and it is the
 * caller's. On a terminal (RT_EXEC_TTY) stdin_fd and stdout_fd are its master and stderr_fd is -1.
 */
typedef struct rt_process {
    size_t size;
    int32_t pid;       /* inside the sandbox; for people */
    int32_t stdin_fd;  /* written to by the host; close it (and set -1) to end the input */
    int32_t stdout_fd; /* read by the host */
    int32_t stderr_fd;
    int32_t exit_fd; /* readable once process_wait() would not block; only for polling */
    uint32_t reserved;
} rt_process;

/* ---- sessions -------------------------------------------------------------------------------------------------- */

/*
 * A session is an interactive shell that lasts: what a command sets is there for the next one, as at a terminal. It
 * belongs to the sandbox, ends with it, and is found by any process that opens the state directory. Every command has
 * streams of its own, opened for it alone: `exec >file` lasts no longer than the command that says so. Only an EXIT
 * trap is not part of any command, and some shells give its output to nobody.
 *
 * A command that is timed out or cancelled is ended with all that it started, and the session goes on: SIGINT to the
 * shell and to these, after the grace time SIGTERM, after another SIGKILL. A shell that ignores SIGINT in a loop of
 * its own is killed then, and the session is closed.
 */

typedef struct rt_session_spec {
    size_t size;
    const char *id;         /* form as a sandbox's; NULL = one is made up */
    const char *shell;      /* path inside, of a POSIX shell; NULL = /bin/bash if there is one, else /bin/sh */
    const char *cwd;        /* as in rt_exec_request */
    const char *const *env; /* as in rt_exec_request */
    uint32_t flags;         /* RT_EXEC_TTY */
    uint16_t rows, cols;
} rt_session_spec;

enum rt_session_status { RT_SESSION_IDLE = 0, RT_SESSION_BUSY = 1, RT_SESSION_CLOSED = 2 };

typedef struct rt_session_info {
    size_t size;
    const char *id;
    const char *sandbox;
    const char *shell;
    int32_t status; /* enum rt_session_status */
    int32_t pid;    /* of the shell, inside */
    int64_t created_ns;
    uint64_t commands; /* run so far */
} rt_session_info;

typedef struct rt_session_list {
    size_t size;
    size_t n;
    const rt_session_info *const *items;
} rt_session_list;

/* ---- changes --------------------------------------------------------------------------------------------------- */

enum rt_change_kind {
    RT_CHANGE_ADDED = 0,
    RT_CHANGE_MODIFIED = 1,
    RT_CHANGE_DELETED = 2,
    RT_CHANGE_TYPE = 3,    /* a file became a directory, a link, ... */
    RT_CHANGE_METADATA = 4 /* mode, times or extended attributes only */
};

typedef struct rt_change {
    size_t size;
    const char *path; /* relative to the workspace root */
    int32_t kind;     /* enum rt_change_kind */
    int32_t conflict; /* 1 = the codebase's file changed since the sandbox first touched it */
    uint64_t old_bytes, new_bytes;
} rt_change;

typedef struct rt_changes {
    size_t size;
    size_t n;
    const rt_change *const *items; /* ordered by path */
} rt_changes;

enum rt_conflict_policy {
    RT_CONFLICT_FAIL = 0,  /* nothing that conflicts is applied: RT_E_CONFLICT */
    RT_CONFLICT_OURS = 1,  /* the sandbox's version wins */
    RT_CONFLICT_THEIRS = 2 /* the codebase's version wins */
};

typedef struct rt_commit_spec {
    size_t size;
    const char *const *paths; /* relative to the workspace root, each with all below it; ended by NULL; NULL = all */
    int32_t conflicts;        /* enum rt_conflict_policy */
    uint32_t reserved;
} rt_commit_spec;

/* ---- stats ----------------------------------------------------------------------------------------------------- */

/*
 * Of a sandbox as a whole, its agent included, since its start; a figure that the backend cannot tell is UINT64_MAX.
 * What it reads and writes in the workspace is not its own I/O but the filesystem daemon's.
 */
typedef struct rt_stats {
    size_t size;
    uint64_t memory_bytes, memory_peak_bytes; /* with the page cache, where a cgroup counts it */
    uint64_t cpu_ns;                          /* user and system, also of what has ended */
    uint64_t pids;                            /* processes and threads */
    uint64_t io_read_bytes, io_write_bytes;   /* of block devices */
    uint64_t oom_kills;                       /* processes that the kernel killed for the limit of memory */
} rt_stats;

/* ---- the table ------------------------------------------------------------------------------------------------- */

/*
 * The operations. All members are set; what a backend cannot do answers RT_E_UNSUPPORTED and is announced by the
 * missing flag in rt_plugin.capabilities. `id` is a sandbox's id; one that does not exist is RT_E_SANDBOX_NOT_FOUND.
 * Any op may also return RT_E_INVAL, RT_E_NOMEM, RT_E_IO, RT_E_TIMEOUT and RT_E_CANCELLED.
 */
typedef struct rt_ops {
    size_t size;

    /*
     * Opens a runtime: checks the config, makes the state directory, finds what an earlier process left half made
     * and cleans it. Needs no working backend: that is probe()'s to say, and start()'s to need.
     * RT_E_CONFIG names the key's path and what was expected; RT_E_ABI where params are from another major.
     */
    int32_t (*open)(const rt_open_params *params, rt_call *call, rt_runtime **ret);
    /*
     * Closes a runtime: cancels the calls in flight and waits for them, ends its `host` sandboxes, leaves its
     * `persistent` ones running. rt is gone afterwards; no other call may begin once close() has. NULL is a no-op.
     */
    void (*close)(rt_runtime *rt);
    /* Says whether sandboxes can be started here, and if not, what to do. Starts nothing that outlives the call. */
    int32_t (*probe)(rt_runtime *rt, rt_call *call, rt_probe **ret);

    /*
     * Makes a sandbox in state `pending`: validates everything, starts nothing (L1).
     * RT_E_EXISTS; RT_E_INVAL for an id, codebase or environment that will not do; RT_E_PATTERN with the rule's
     * index; RT_E_UNSUPPORTED for what this backend lacks. ret may be NULL.
     */
    int32_t (*create)(rt_runtime *rt, const rt_sandbox_spec *spec, rt_call *call, rt_sandbox_info **ret);
    /*
     * Boots a sandbox that is pending, stopped or in error (L3). Undoes everything if it fails, and the message says
     * which step failed (L7). RT_E_ALREADY_RUNNING; RT_E_UNAVAILABLE if the backend cannot be used here.
     */
    int32_t (*start)(rt_runtime *rt, const char *id, rt_call *call);
    /* Ends all processes of a sandbox, SIGTERM first; keeps it and its delta (L4). RT_E_NOT_RUNNING. */
    int32_t (*stop)(rt_runtime *rt, const char *id, rt_call *call);
    /* Ends and forgets a sandbox, in any state (L5). Uncommitted changes are lost. */
    int32_t (*destroy)(rt_runtime *rt, const char *id, rt_call *call);
    int32_t (*get)(rt_runtime *rt, const char *id, rt_call *call, rt_sandbox_info **ret);
    int32_t (*list)(rt_runtime *rt, rt_call *call, rt_sandbox_list **ret);

    /*
     * Runs a command to its end and collects its output. On RT_E_TIMEOUT and RT_E_CANCELLED *ret is set too, with
     * the output so far, and must be freed; nothing of the command is alive then (X7, X8). A command that cannot be
     * executed is RT_OK with exit code 127 or 126. RT_E_INVAL names a cwd that does not exist. RT_E_NOT_RUNNING.
     * The call's deadline acts as the timeout if it is earlier.
     */
    int32_t (*exec)(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call, rt_exec_result **ret);
    /* The same, giving the output to a callback as it appears. ret (may be NULL) is filled whenever the command ran. */
    int32_t (*exec_stream)(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_output_fn *output, void *user,
                           rt_call *call, rt_exit *ret);

    /*
     * Starts a persistent shell. spec may be NULL: all defaults; so may ret. RT_E_EXISTS; RT_E_NOT_RUNNING; RT_E_INVAL
     * for a shell or cwd that is not there and for a program that does not work as a shell; RT_E_RESOURCE beyond 1024.
     */
    int32_t (*session_create)(rt_runtime *rt, const char *id, const rt_session_spec *spec, rt_call *call,
                              rt_session_info **ret);
    /* Kills a session's whole tree and forgets it. RT_E_SESSION_NOT_FOUND. */
    int32_t (*session_destroy)(rt_runtime *rt, const char *id, const char *session, rt_call *call);
    int32_t (*session_get)(rt_runtime *rt, const char *id, const char *session, rt_call *call, rt_session_info **ret);
    int32_t (*session_list)(rt_runtime *rt, const char *id, rt_call *call, rt_session_list **ret);
    /*
     * As exec and exec_stream, in the session's shell; of several callers one after the other. A command that ends
     * the shell (`exit N`) is RT_OK with its code; what comes after it is RT_E_SESSION_CLOSED. While a call waits for
     * its turn RT_E_TIMEOUT and RT_E_CANCELLED set no result. CPU times are exact to a clock tick, max_rss_bytes is
     * 0. What a command does not read of its stdin_data is nobody's, also on a session's terminal, where it is typed
     * and echoed, and ends with a ^D. RT_E_SESSION_NOT_FOUND; RT_E_INVAL for a name in env that is no shell variable's.
     */
    int32_t (*session_exec)(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req,
                            rt_call *call, rt_exec_result **ret);
    int32_t (*session_exec_stream)(rt_runtime *rt, const char *id, const char *session, const rt_exec_request *req,
                                   rt_output_fn *output, void *user, rt_call *call, rt_exit *ret);

    /*
     * Starts a command and returns at once. stdin_data must be NULL: the caller writes to stdin_fd. The timeout, if
     * one is given, is kept while a thread is in process_wait().
     */
    int32_t (*process_spawn)(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call,
                             rt_process **ret);
    /*
     * Waits for the command's own process (not for background children) and fills ret, again and again if asked.
     * RT_E_TIMEOUT, RT_E_CANCELLED: only the waiting ended when it was the call's deadline or cancel fd; the
     * command's own timeout ends the command, and then ret is filled too. RT_E_NOT_RUNNING: the sandbox ended.
     */
    int32_t (*process_wait)(rt_runtime *rt, rt_process *process, rt_call *call, rt_exit *ret);
    /* Sends a signal to the command's process group, SIGKILL to its whole tree. RT_E_NOT_RUNNING if it has ended. */
    int32_t (*process_signal)(rt_runtime *rt, rt_process *process, int32_t signal_number, rt_call *call);
    int32_t (*process_resize)(rt_runtime *rt, rt_process *process, uint16_t rows, uint16_t cols, rt_call *call);
    /* Closes the fds left and frees; a command that still runs is killed with its whole tree. NULL is a no-op. */
    void (*process_release)(rt_runtime *rt, rt_process *process);

    /*
     * Replaces a sandbox's rules (W11). On a running one every operation that begins after the call goes by the new
     * ones, and files that are open keep the rights that they were opened with; otherwise they hold from the next
     * start on. On an error nothing changes, unless the message says so. RT_E_PATTERN with the rule's index.
     */
    int32_t (*rules_update)(rt_runtime *rt, const char *id, const rt_rule *rules, size_t n_rules, rt_call *call);

    /* The delta against the codebase. RT_E_UNSUPPORTED in `direct` mode, for these three. */
    int32_t (*changes_list)(rt_runtime *rt, const char *id, rt_call *call, rt_changes **ret);
    /*
     * Applies changes to the codebase, each file old or new, never torn (D3). On RT_E_CONFLICT *ret is set too and
     * lists what conflicts, or what was left out: it changed all through the commit, or a directory was to go and has
     * something hidden in it. Otherwise it lists what was applied. spec may be NULL: all, RT_CONFLICT_FAIL.
     */
    int32_t (*changes_commit)(rt_runtime *rt, const char *id, const rt_commit_spec *spec, rt_call *call,
                              rt_changes **ret);
    int32_t (*changes_discard)(rt_runtime *rt, const char *id, const char *const *paths, rt_call *call);

    /*
     * Holds everything in a running sandbox still until resume(), stop() or destroy(); what it holds stays as it is,
     * and nothing inside notices but by the clock. Meanwhile exec, sessions and process_spawn are RT_E_NOT_RUNNING. The
     * timeout or cancel of a command that is in flight ends the call; the command ends as soon as the sandbox goes on.
     * A `host` sandbox whose host dies meanwhile ends at the next open(). RT_E_NOT_RUNNING, also if it is paused.
     */
    int32_t (*pause)(rt_runtime *rt, const char *id, rt_call *call);
    /* RT_E_ALREADY_RUNNING; RT_E_NOT_RUNNING if it is not paused but stopped or was never started. */
    int32_t (*resume)(rt_runtime *rt, const char *id, rt_call *call);
    /* What a sandbox that is running or paused uses now, and has used since its start. RT_E_NOT_RUNNING. */
    int32_t (*stats)(rt_runtime *rt, const char *id, rt_call *call, rt_stats **ret);

    /* Each frees what the ops above return, also after close(). NULL is a no-op. */
    void (*probe_free)(rt_probe *probe);
    void (*sandbox_info_free)(rt_sandbox_info *info);
    void (*sandbox_list_free)(rt_sandbox_list *list);
    void (*exec_result_free)(rt_exec_result *result);
    void (*session_info_free)(rt_session_info *info);
    void (*session_list_free)(rt_session_list *list);
    void (*changes_free)(rt_changes *changes);
    void (*stats_free)(rt_stats *stats);
} rt_ops;

/* ---- the plugin ------------------------------------------------------------------------------------------------ */

/* Capability bits: what this plugin can do on a machine where its probe is all green. */
#define RT_CAP_STREAM         (UINT64_C(1) << 0)  /* exec_stream */
#define RT_CAP_SESSION        (UINT64_C(1) << 1)  /* session_* */
#define RT_CAP_PROCESS        (UINT64_C(1) << 2)  /* process_* */
#define RT_CAP_TTY            (UINT64_C(1) << 3)  /* RT_EXEC_TTY, process_resize */
#define RT_CAP_RULES_UPDATE   (UINT64_C(1) << 4)  /* rules_update on a running sandbox */
#define RT_CAP_DELTA          (UINT64_C(1) << 5)  /* RT_WORKSPACE_DELTA, changes_* */
#define RT_CAP_PAUSE          (UINT64_C(1) << 6)  /* pause, resume */
#define RT_CAP_STATS          (UINT64_C(1) << 7)  /* stats */
#define RT_CAP_IMAGE          (UINT64_C(1) << 8)  /* rt_sandbox_spec.image */
#define RT_CAP_NETWORK_HOST   (UINT64_C(1) << 9)  /* network "host" */
#define RT_CAP_NETWORK_BRIDGE (UINT64_C(1) << 10) /* network "bridge" and named networks */
#define RT_CAP_LIMIT_MEMORY   (UINT64_C(1) << 11)
#define RT_CAP_LIMIT_CPU      (UINT64_C(1) << 12)
#define RT_CAP_LIMIT_PIDS     (UINT64_C(1) << 13)
#define RT_CAP_EXEC_USER      (UINT64_C(1) << 14) /* rt_exec_request.user may differ from the sandbox's */
#define RT_CAP_ROOTLESS       (UINT64_C(1) << 15) /* works for an ordinary user */
#define RT_CAP_AUDIT          (UINT64_C(1) << 16) /* RT_SANDBOX_AUDIT */
#define RT_CAP_TTL            (UINT64_C(1) << 17) /* max_lifetime_ms, idle_timeout_ms */

/* Static storage of the plugin; valid until dlclose(). abi_major, abi_minor and size keep their place for ever. */
typedef struct rt_plugin {
    uint32_t abi_major; /* RT_ABI_MAJOR the plugin was built with */
    uint32_t abi_minor;
    size_t size;
    const char *name;           /* [a-z][a-z0-9_-]{0,31}; also the file's name without ".so" */
    const char *version;        /* of the plugin: "0.1.0" */
    const char *summary;        /* one line for people */
    uint64_t capabilities;      /* RT_CAP_* */
    const char *config_schema;  /* JSON Schema (object) of rt_open_params.config */
    const char *default_config; /* JSON object with every key at its default */
    const rt_ops *ops;
} rt_plugin;

typedef const rt_plugin *rt_plugin_entry_fn(void);

#ifdef __cplusplus
}
#endif

#endif
