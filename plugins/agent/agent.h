/*
 * The agent: PID 1 of every sandbox. One thread, one epoll loop; nothing in it waits for code that runs inside.
 *
 * main.c    boot, the loop, orderly end       conn.c   the protocol of one connection
 * spawn.c   from request to exec(2)           tree.c   which process belongs to which command, and ending them
 * sink.c    output of background children that nobody reads any more
 * session.c the sessions there are         keeper.c  beside each session's shell, a process of its own (keeper.h)
 * ttl.c     the time that the sandbox has
 * loop.c    the epoll loop                 procs.c   what /proc shows
 * inside.c, bridge.c, lease.c   where no socket of the host's can be reached: inside.h
 */
#ifndef STOCKADE_AGENT_H
#define STOCKADE_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "agent_proto.h"
#include "loop.h"
#include "msg.h"
#include "wire.h"

enum cmd_phase {
    CMD_NEW,         /* connected, no request yet */
    CMD_RUNNING,     /* its process runs */
    CMD_TERMINATING, /* SIGTERM was sent to the tree: from here on, who is whose is kept track of */
    CMD_KILLING,     /* SIGKILL until nothing is left */
    CMD_ENDED,       /* reported */
};

/* A command and its connection. */
struct cmd {
    struct watch watch; /* the connection; fd is -1 once the host has gone */
    struct cmd *next;
    enum cmd_phase phase;
    pid_t pid;               /* 0 once it was reaped */
    int kill_fd;             /* cgroup.kill, or -1 */
    bool gone;               /* nothing of its tree is left, and its host was told */
    struct session *session; /* whose keeper it is; NULL = an ordinary command */
    struct timespec started;
};

extern struct cmd *cmds;

/* main.c */
_Noreturn void agent_stop(void); /* SIGTERM to everything, then a grace time; whatever is left ends with the agent */
void accept_resume(void);        /* an fd was freed: take connections again if that had stopped */
extern bool listens_inside;      /* no socket of the host's: the host's connections come by bridges (inside.h) */

/* conn.c */
void conn_accept(int fd);
struct cmd *cmd_new(int fd); /* fd -1: a command without a connection. NULL: no memory, fd is closed */
void cmd_take_connection(struct cmd *cmd, struct cmd *from); /* from ends; its host hears of cmd from now on */
void cmd_send(struct cmd *cmd, uint32_t type, const struct wire_out *body);
void cmd_send_fd(struct cmd *cmd, uint32_t type, const struct wire_out *body, int fd); /* borrowed; -1 = none */
void cmd_refuse(struct cmd *cmd, enum agent_stage stage, int err);                     /* and that is its end */
void cmd_reaped(struct cmd *cmd, int status, const struct rusage *usage);
void cmd_finish_kill(struct cmd *cmd); /* nothing of its tree is left */
void cmds_bury(void);                  /* frees the commands that have ended; between two rounds of events */

/* spawn.c */
struct spawn_request {
    uint32_t flags;
    const char *cwd;
    const char **argv, **env;
    uint32_t uid, gid, nproc, rows, cols;
    int fds[5]; /* stdin, stdout, stderr, cgroup.procs, cgroup.kill */
};

struct spawn_result {
    enum agent_stage stage; /* on failure */
    int err;
    pid_t pid;
    int master; /* of its terminal, the caller's to close; -1 = none */
};

void spawn_init(void);
int tty_open(uint32_t rows, uint32_t cols, int *ret_master, int *ret_slave); /* 0 or an errno */
bool spawn_command(const struct spawn_request *req, struct spawn_result *ret);

/* tree.c */
void tree_signal(struct cmd *cmd, int sig);
void tree_kill(struct cmd *cmd); /* enters CMD_KILLING */
void tree_reap(void);            /* after SIGCHLD */
int tree_tick(void);             /* goes on ending trees; ms until it wants to be called again, -1 = not needed */
struct cmd *cmd_by_pid(pid_t pid);

/* session.c: each takes a message of a new connection */
void session_create(struct cmd *cmd, const struct msg *msg);
void session_destroy(struct cmd *cmd, const struct msg *msg);
void session_list(struct cmd *cmd, const struct msg *msg);
void session_attach(struct cmd *cmd, const struct msg *msg);
void session_hand_over(struct cmd *cmd, struct msg *msg);
void session_keeper_ended(struct session *session); /* it stays in the list as closed */

/*
 * When one of their commands ended last, on CLOCK_BOOTTIME, `now` if one runs, 0 if there was none. They say so
 * themselves: code inside can keep its sandbox from being idle, as it could by a command that does nothing.
 */
uint64_t sessions_used(uint64_t now);

/* ttl.c */
/* 0 or -errno. The limits are in ms, 0 = none; notes_fd, a pipe, leads to permfs and is ttl.c's from now on. */
int ttl_init(uint64_t max_lifetime_ms, uint64_t idle_timeout_ms, int notes_fd);
void ttl_used(void); /* a command begins or has ended */

/* sink.c */
void sink_add(int fd); /* owns fd */

#endif
