/* The host's side of agent_proto.h. */
#ifndef STOCKADE_AGENT_CLIENT_H
#define STOCKADE_AGENT_CLIENT_H

#include "agent_proto.h"
#include "op.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * A SEQPACKET socket listening at dir_fd/name (an old one there is replaced), mode as given. Works however long the
 * directory's path is. Returns the fd or -errno.
 */
int socket_listen(int dir_fd, const char *name, mode_t mode);
/* Connects to one. Returns the fd, close-on-exec, or -errno. */
int socket_connect(int dir_fd, const char *name);

/* What the agent is told at boot. */
struct agent_terms {
    uint32_t stop_grace_ms;
    int64_t max_lifetime_ms, idle_timeout_ms; /* 0 = none */
    int listen_fd;
    int notes_fd; /* pipe to permfs */
    int host_fd;  /* pidfd of this process */
};

/*
 * Waits at boot_fd (listening, non-blocking) for the sandbox's init to connect, tells it the terms (their fds are
 * borrowed) and takes its AGENT_READY. init_fd is its pidfd. *ret_lease is the connection whose end ends the sandbox.
 */
int32_t agent_boot(struct op *op, int boot_fd, pid_t init_pid, int init_fd, const struct agent_terms *terms,
                   int64_t until_ns, int *ret_lease);
/* The sandbox no longer ends with the lease, which stays the caller's to close, nor with this process. */
int32_t agent_release(struct op *op, int lease_fd);

struct agent_answer {
    uint32_t type; /* AGENT_STARTED, _REFUSED, _EXITED, _GONE, _SESSION_CLOSED or _SESSION_OVER */
    uint32_t pid;
    uint32_t stage, err;
    uint32_t wait_status;
    uint64_t duration_ns, user_us, sys_us, rss_kib;
    int master; /* AGENT_STARTED: of the command's terminal, the caller's to close; -1 = none */
};

/*
 * Takes one answer, checked; never blocks if none is there. Returns 1, 0 if none is there, or -errno (-EPIPE at the
 * end, -EPROTO for what no agent of ours sends).
 */
int agent_answer(int conn, struct agent_answer *ret);
/* The same from the pipe of a session's keeper. */
int keeper_answer(int answers, struct agent_answer *ret);

int agent_send_signal(int conn, uint32_t sig, uint32_t scope); /* 0 or -errno */

#endif
