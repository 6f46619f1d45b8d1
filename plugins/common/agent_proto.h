/*
 * What plugin and agent say to each other, in messages (msg.h) of the wire format (wire.h).
 *
 * Boot: the agent is started as `agent SOCKET`, connects to that SEQPACKET socket, receives AGENT_BOOT and answers
 * AGENT_READY. From then on it serves connections to the listening socket that came with AGENT_BOOT.
 *
 * A connection is one command. Its first message is AGENT_SPAWN (or AGENT_PING, answered by AGENT_PONG); the answers
 * are AGENT_STARTED or AGENT_REFUSED, then AGENT_EXITED. End of file before AGENT_EXITED kills the command and every
 * descendant of it; after it, background children live on.
 */
#ifndef STOCKADE_AGENT_PROTO_H
#define STOCKADE_AGENT_PROTO_H

#define AGENT_VERSION 1u

enum agent_msg {
    AGENT_BOOT = 1,    /* fds: listening socket. u32 version, u32 flags (AGENT_LEASE), u32 grace of a stop in ms */
    AGENT_READY = 2,   /* u32 version */
    AGENT_PING = 3,    /* empty */
    AGENT_PONG = 4,    /* empty */
    AGENT_SPAWN = 5,   /* see below */
    AGENT_STARTED = 6, /* u32 pid inside; fds: with AGENT_TTY the terminal's master */
    AGENT_REFUSED = 7, /* u32 stage (enum agent_stage), u32 errno. The command did not run; nothing follows */
    AGENT_EXITED = 8, /* u32 wait status, u64 duration in ns, u64 user and u64 system time in us, u64 peak RSS in KiB */
    AGENT_SIGNAL = 9, /* u32 signal, u32 scope (enum agent_scope). No answer */
    AGENT_KILL = 10,  /* empty: SIGKILL to the whole tree until nothing is left, then AGENT_GONE */
    AGENT_GONE = 11,  /* empty */
    AGENT_SINK = 12,  /* fds: read ends of pipes that background children still hold; read and dropped. No answer */
};

#define AGENT_LEASE 1u /* end of file on the boot connection means: exit, and with it the whole sandbox */

/*
 * AGENT_SPAWN: fds: stdin, stdout, stderr, and with AGENT_CGROUP a cgroup's cgroup.procs and cgroup.kill, open for
 * writing. Body: u32 flags, str cwd (absolute), strv argv, strv env, u32 uid and u32 gid (AGENT_SAME_ID = the
 * agent's), u32 limit of processes (RLIMIT_NPROC, 0 = as it is), u32 rows and u32 columns of the terminal.
 * With AGENT_TTY the agent makes a terminal inside, which takes the place of the three streams.
 */
#define AGENT_CGROUP      1u /* trees end by cgroup.kill; without it the command is a subreaper and its tree is walked */
#define AGENT_TTY         2u
#define AGENT_SAME_ID     UINT32_MAX
#define AGENT_STRINGS_MAX 65536 /* of argv and of env; the kernel's own limits come first */

enum agent_stage {
    AGENT_STAGE_REQUEST = 1, /* malformed */
    AGENT_STAGE_FORK = 2,
    AGENT_STAGE_SETUP = 3, /* fds, limits, cgroup */
    AGENT_STAGE_USER = 4,
    AGENT_STAGE_CWD = 5,
    AGENT_STAGE_EXEC = 6,
};

enum agent_scope {
    AGENT_SCOPE_GROUP = 0, /* the command's process group */
    AGENT_SCOPE_TREE = 1,  /* the command and every descendant that a walk finds */
};

#endif
