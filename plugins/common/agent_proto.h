/*
 * What plugin and agent say to each other, in messages (msg.h) of the wire format (wire.h).
 *
 * Boot: the agent is started as `agent SOCKET`, connects to that SEQPACKET socket, receives AGENT_BOOT and answers
 * AGENT_READY. From then on it serves connections to the listening socket that came with AGENT_BOOT. The boot
 * connection is the host's lease: its end, and the host's, end the agent and the whole sandbox with it, unless
 * AGENT_RELEASE has come: what nobody has on record yet is not to outlive the only one who knows of it.
 *
 * A connection is one command. Its first message is AGENT_SPAWN (or AGENT_PING, answered by AGENT_PONG); the answers
 * are AGENT_STARTED or AGENT_REFUSED, then AGENT_EXITED. End of file before AGENT_EXITED kills the command and every
 * descendant of it; after it, background children live on.
 *
 * A session is a shell and its keeper, a process of the agent's program beside it that hands it one command after the
 * other. Its connections begin with AGENT_SESSION_ATTACH, answered by AGENT_ATTACHED, and are the keeper's from
 * AGENT_SESSION_HAND_OVER on, which brings a pipe for the answers: any number of AGENT_SESSION_EXEC, one after the
 * other, each answered by AGENT_REFUSED or AGENT_SESSION_CLOSED, or by AGENT_STARTED once it is its turn and then
 * AGENT_EXITED. End of file before that cancels the command.
 *
 * On a session's terminal, what one command is typed must not be read by another, nor what one shows be taken for
 * another's, of whatever host. So before AGENT_EXITED comes AGENT_SESSION_OVER, unless the shell has ended: the host
 * takes what the terminal shows, types no more, and gives it back by AGENT_SESSION_YIELD. Input that was not read is
 * dropped then.
 *
 * Code inside can take a keeper over, and a socket carries fds, each of which the host would have to close: one that
 * lingers (socket(7), SO_LINGER) holds up whoever does. So the host shuts its end of the connection for reading before
 * it is handed over, and the answers come through a pipe in packet mode (msg.h, msg_read()).
 */
#ifndef STOCKADE_AGENT_PROTO_H
#define STOCKADE_AGENT_PROTO_H

#define AGENT_VERSION 6u

enum agent_msg {
    AGENT_BOOT = 1,    /* see below */
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
    AGENT_SESSION_CREATE = 13,  /* see below. Answered by AGENT_SESSIONS with that one, or AGENT_REFUSED */
    AGENT_SESSION_DESTROY = 14, /* str id: ends its whole tree, then AGENT_GONE; or AGENT_REFUSED */
    AGENT_SESSION_LIST = 15,    /* str id, "" = all. Answered by AGENT_SESSIONS */
    AGENT_SESSIONS = 16, /* u32 count, then of each: str id, str shell, u32 pid, u32 state, u64 commands, u64 created */
    AGENT_SESSION_ATTACH = 17, /* str id. Answered by AGENT_ATTACHED, AGENT_SESSION_CLOSED or AGENT_REFUSED */
    AGENT_SESSION_EXEC = 18,   /* see below */
    AGENT_SESSION_CANCEL = 19, /* empty: ends the command by SIGINT, SIGTERM and SIGKILL; AGENT_EXITED follows, or
                                  AGENT_GONE if it had not begun */
    AGENT_SESSION_CLOSED = 20, /* empty: the shell has ended, and the command did not run */
    AGENT_ATTACHED = 21,       /* u64 the session's number in this sandbox; fds: its terminal's master, if it has one */
    AGENT_SESSION_HAND_OVER = 22, /* u64 number; fds: write end of a packet pipe, where all answers come from now on */
    AGENT_QUIT = 23,              /* empty: as SIGTERM from outside: ends the sandbox. No answer but the end */
    AGENT_RESIZE = 24,        /* u32 rows, u32 columns of its terminal; for bridges alone (relay_proto.h). No answer */
    AGENT_RELEASE = 25,       /* empty: on the boot connection: the sandbox outlives its host from now on. No answer */
    AGENT_SESSION_OVER = 26,  /* empty: the command is; answered by AGENT_SESSION_YIELD */
    AGENT_SESSION_YIELD = 27, /* u32 whether anything was typed: the host has done with the terminal */
};

/*
 * AGENT_BOOT: fds: the listening socket, a pipe to permfs (PERMFS_ENDED_*), a pidfd of the host. Body: u32 version, u32
 * grace of a stop in ms, u64 max_lifetime and u64 idle_timeout in ms (0 = none).
 */
/*
 * AGENT_SPAWN: fds: stdin, stdout, stderr, and with AGENT_CGROUP a cgroup's cgroup.procs and cgroup.kill, open for
 * writing. Body: u32 flags, str cwd (absolute), strv argv, strv env, u32 uid and u32 gid (AGENT_SAME_ID = the
 * agent's), u32 limit of processes (RLIMIT_NPROC, 0 = as it is), u32 rows and u32 columns of the terminal.
 * With AGENT_TTY the agent makes a terminal inside, which takes the place of the three streams.
 */
/*
 * AGENT_SESSION_CREATE: body: u32 flags (AGENT_TTY), str id, str shell ("" = bash if there is one, else sh), str cwd,
 * strv env, u32 uid and gid, u32 limit of processes, u32 rows and columns, u64 time in ns that list shows as created.
 *
 * AGENT_SESSION_EXEC: fds: the command's text (a file), stdout, stderr, and with AGENT_STDIN stdin; where the session
 * has a terminal, that is used instead. They must be open to others by their mode: the shell opens them through /proc.
 * Body: u32 flags, str cwd that must be a directory ("" = none), u32 rows and columns (0 = as they are), u32 grace in
 * ms between SIGINT, SIGTERM and SIGKILL of a cancelled command.
 */
#define AGENT_CGROUP      1u /* trees end by cgroup.kill; without it the command is a subreaper and its tree is walked */
#define AGENT_TTY         2u
#define AGENT_STDIN       4u
#define AGENT_UNCOUNTED   8u /* not among the session's commands */
#define AGENT_SAME_ID     UINT32_MAX
#define AGENT_STRINGS_MAX 65536 /* of argv and of env; the kernel's own limits come first */

enum agent_stage {
    AGENT_STAGE_REQUEST = 1, /* malformed */
    AGENT_STAGE_FORK = 2,
    AGENT_STAGE_SETUP = 3, /* fds, limits, cgroup */
    AGENT_STAGE_USER = 4,
    AGENT_STAGE_CWD = 5,
    AGENT_STAGE_EXEC = 6,
    AGENT_STAGE_SESSION = 7, /* ENOENT: there is none of this id. EEXIST: there is one. EMFILE: too many */
};

enum agent_scope {
    AGENT_SCOPE_GROUP = 0, /* the command's process group */
    AGENT_SCOPE_TREE = 1,  /* the command and every descendant that a walk finds */
};

/* As enum rt_session_status counts. */
enum agent_session_state { AGENT_SESSION_IS_IDLE = 0, AGENT_SESSION_IS_BUSY = 1, AGENT_SESSION_IS_CLOSED = 2 };
#define AGENT_SESSIONS_MAX 1024u /* in one sandbox */

#endif
