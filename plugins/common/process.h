/*
 * A running command, from the request to its end. process_spawn() hands it to the host; exec and exec_stream keep it
 * to themselves. All of them drive it by process_run().
 */
#ifndef STOCKADE_PROCESS_H
#define STOCKADE_PROCESS_H

#include "runtime.h"

struct exec_cgroup;
struct session_turn;
struct process;

/* How a command is ended, and what the end of its connection means. */
struct process_kind {
    void (*terminate)(struct process *process); /* the friendly way */
    void (*kill)(struct process *process);
    bool (*is_gone)(const struct process *process);          /* after these: nothing of it is alive */
    int32_t (*lost)(struct op *op, struct process *process); /* why the connection ended before the command did */
    bool ends_without_us; /* the other end goes on ending it when the connection is closed */
};

struct process {
    rt_process pub; /* first: what the host sees */
    struct live *live;
    const struct process_kind *kind;
    char *session;             /* whose shell runs it; NULL = it has a process of its own */
    struct session_turn *turn; /* in that session, held until the end */
    uint32_t session_flags;    /* AGENT_UNCOUNTED */
    struct runtime *rt;
    struct exec_cgroup *cgroup; /* NULL = the agent walks the tree */
    int conn;                   /* to the agent; pub.exit_fd while the host has it */
    int answers;                /* pipe that a session's answers come by; -1 = they come by conn */
    char *cwd;                  /* for the message if it does not exist */
    const char *program;        /* borrowed during spawn, for messages */
    bool tty;
    int master;                 /* of its terminal, kept for resizing; -1 = none */
    bool started, exited, gone; /* what the agent has said */
    bool is_wanted_back;        /* a session's terminal is: AGENT_SESSION_OVER */
    bool left;                  /* the sandbox is paused: it ends when that goes on, for the connection is closed */
    bool is_committed;          /* its delta was, if the sandbox's policy says so */
    rt_exit exit;
    uint64_t oom_before; /* the sandbox's OOM kills when it began */
    int64_t timeout_ns;  /* length of its timeout, 0 = none */
    int64_t timeout_at;  /* when it is over, 0 = never */
    int64_t grace_ns;
    int64_t end_wait_ns; /* between terminate() and kill() */
};

enum process_stdin { PROCESS_STDIN_NULL, PROCESS_STDIN_PIPE };

/* Checks the request, connects, sends it off. Does not wait for the agent's answer: process_run() does. */
int32_t process_new(struct op *op, const char *id, const rt_exec_request *req, enum process_stdin in,
                    struct process **ret);
/* The same in a session's shell. flags: 0 or AGENT_UNCOUNTED. */
int32_t process_new_in_session(struct op *op, const char *id, const char *session, const rt_exec_request *req,
                               uint32_t flags, struct process **ret);
/* Closes what is left, which kills what still runs, and frees. NULL is a no-op. */
void process_free(struct process *process);

/*
 * What process_run() does with the streams. Members may be NULL. take() gets each chunk of output, err tells which
 * one; it returns false to end the command.
 */
struct process_io {
    bool (*take)(void *user, int32_t stream, const void *data, size_t len);
    void *user;
    const char *stdin_data;
    size_t stdin_len;
};

/*
 * Drives a command until it has ended by itself, or by its timeout, a cancel or take() (X7, X8, X11), and then until
 * nothing of its tree is alive. io may be NULL: then only the command's end is waited for, a cancel or the deadline
 * ends only the waiting, and nothing is read or written.
 * Returns RT_OK if it ended by itself: process->exit is filled. RT_E_TIMEOUT, RT_E_CANCELLED: exit is filled if
 * process->exited or process->left. RT_E_NOT_RUNNING, RT_E_UNAVAILABLE: the sandbox ended. RT_E_INVAL: the cwd does not
 * exist.
 */
int32_t process_run(struct op *op, struct process *process, const struct process_io *io);

/* Takes what the agent has said meanwhile, without waiting; exited tells whether that was the end. */
int32_t process_poll(struct op *op, struct process *process);

/* Waits until the agent has started or refused it. */
int32_t process_wait_started(struct op *op, struct process *process);

/* What process_new() and process_new_in_session() share. */
int32_t process_alloc(struct op *op, const char *id, const rt_exec_request *req, struct process **ret);
char *process_cwd(const struct live *live, const char *cwd); /* absolute; the caller frees; NULL: no memory */

/* The command's ends of its streams and ours: [0] is stdin's. */
struct pipes {
    int theirs[3], ours[3];
};

#define PIPES_NONE                                                                                                     \
    {                                                                                                                  \
        { -1, -1, -1 },                                                                                                \
        {                                                                                                              \
            -1, -1, -1                                                                                                 \
        }                                                                                                              \
    }

int pipes_make(enum process_stdin in, struct pipes *ret); /* 0 or -errno; what was made is to be closed either way */
int tty_streams(struct pipes *ret); /* the same for a command on a terminal: they only fill the places */
void pipes_close(int fds[3]);
/* The command's ends are closed, ours are the process's. */
void pipes_give(struct process *process, struct pipes *pipes);

/* The size of a terminal that the other end of the connection holds, where a relayed sandbox's is. */
int32_t process_resize(struct op *op, const struct process *process, uint16_t rows, uint16_t cols);

/* A signal to its process group, SIGKILL to its whole tree. RT_E_NOT_RUNNING if it has ended. */
int32_t process_signal(struct op *op, struct process *process, int sig);

#endif
