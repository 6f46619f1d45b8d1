/*
 * Where a sandbox can be reached by no socket, its agent listens inside, to processes that were not started inside:
 * `agent inside NAME GRACE_MS MAX_LIFETIME_MS IDLE_TIMEOUT_MS NOTES` as PID 1 (the limits are 0 for none; NOTES is
 * opened where there is one: a fifo that permfs reads, PERMFS_ENDED_*), and beside it, by whatever can start a process
 * there, one `agent bridge NAME` for each connection. The bridge passes messages of agent_proto.h on between its own
 * stdin and stdout and the agent. On its stdin and stdout they are messages of a mux (mux.h): u32 type, bytes body, u32
 * number of fds and of each a u32 (enum relay_fd); a file's bytes follow. The others are the mux's channels, numbered
 * as the fds are.
 *
 * The first that a bridge says is RELAY_HELLO with its pid, as u32: as which the sandbox knows it.
 *
 * A bridge serves one connection after the other: RELAY_RESET ends the one and makes the next, and is answered by
 * itself; what the bridge says before that is of the old one.
 */
#ifndef STOCKADE_RELAY_PROTO_H
#define STOCKADE_RELAY_PROTO_H

enum relay_fd {
    RELAY_NULL = 0,    /* /dev/null */
    RELAY_INPUT = 1,   /* the command reads it */
    RELAY_OUTPUT = 2,  /* the command writes it */
    RELAY_FILE = 3,    /* as it is now */
    RELAY_TTY = 4,     /* of an answer: the master of a terminal, always channel RELAY_TTY_CHANNEL */
    RELAY_ANSWERS = 5, /* AGENT_SESSION_HAND_OVER's pipe: what it brings are messages like others */
};

#define RELAY_FDS_MAX     4
#define RELAY_TTY_CHANNEL 4 /* MUX_LASTING: a session's is of all its commands */
/* Messages' types: none of agent_proto.h's. */
#define RELAY_RESET 0u
#define RELAY_HELLO UINT32_MAX

#define RELAY_INSIDE_ARG "inside"
#define RELAY_BRIDGE_ARG "bridge"
/*
 * `agent lease` on the host. fd 0: closed by the host's end; fd 1: the init's pidfd; fd 2: the host's, for a child of
 * the host's may have a copy of the other end of fd 0.
 */
#define RELAY_LEASE_ARG "lease"

#endif
