/*
 * The keeper: beside each session's shell, a process of the agent's program with the identity that commands have. It
 * hands the shell one command after the other, and every command has streams of its own.
 *
 * The shell runs interactively (so that it survives a syntax error, a failed expansion and SIGINT), reads its
 * commands from a pipe, and has /dev/null for its own output. A command is one line that sources the command's text
 * with its streams opened by way of /proc/KEEPER/fd, and then writes the exit code to a pipe of its own: nothing that
 * the command prints can be taken for its end, and nothing of ours is in its output. What the shell holds across
 * commands it holds by name, so a command may close every fd there is.
 *
 * The agent itself cannot do this: it is not dumpable, so nobody can open its fds.
 *
 * keeper.c         boot, connections, the queue      keeper_shell.c   the shell and the lines that it is sent
 * keeper_cancel.c  ending a command, not the shell
 */
#ifndef STOCKADE_AGENT_KEEPER_H
#define STOCKADE_AGENT_KEEPER_H

#include "agent_proto.h"
#include "keeper_proto.h"
#include "loop.h"
#include "msg.h"
#include "procs.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The keeper's fds that the shell opens by their numbers; /dev/null while they are not in use. */
enum {
    KEEPER_CONTROL = 3, /* read end of the pipe that the shell reads its lines from */
    KEEPER_STATUS,      /* write end of the pipe that exit codes come through */
    KEEPER_RETURN,      /* `return N`, sourced before the command to give it the last one's code */
    KEEPER_TEXT,
    KEEPER_IN,
    KEEPER_OUT,
    KEEPER_ERR,
    KEEPER_FD_END,
};

/* A command as it came from the host. */
struct command {
    uint32_t flags;
    char *cwd; /* "" = not to be checked */
    uint32_t rows, cols, grace_ms;
    int text, in, out, err; /* -1 = none */
};

/* A host's connection: at most one command at a time. */
struct conn {
    struct watch watch; /* fd is -1 once the host has gone */
    struct conn *next;
    int answers; /* pipe; -1 once the host has gone */
    bool queued, running;
    uint64_t order; /* in the queue */
    struct command command;
};

/* keeper_shell.c */
struct shell {
    pid_t pid; /* 0 once it has ended */
    int status;
    int interrupt; /* the signal that makes it drop what it does: SIGINT, or one whose trap has it raise that itself */
    int terminal;  /* -1 = none */
    const char *pts; /* its path inside; "" = none */
};

extern struct shell shell;

int shell_start(const char *path, int terminal, const char *pts); /* 0 or -errno */
int shell_send(uint64_t id, int last_code);                       /* sources what KEEPER_TEXT is; 0 or -errno */
/*
 * For a shell that was interrupted: asks for the code again if it has read all that it was sent and not reported, as
 * a signal that comes late may have it drop the question, too. An answer too many is none.
 */
void shell_ask_again(uint64_t id);
/* The command is over: what is typed is not echoed any more, is no signal and stops nothing. */
void shell_terminal_mute(void);
/* What was typed and not read is nobody's; after a cancelled command the settings are as at the start. */
void shell_terminal_reset(bool settings_too);
void shell_cpu(uint64_t *ret_user_us, uint64_t *ret_sys_us); /* of it and what it waited for */

/* keeper_cancel.c */
void cancel_mark(void); /* a command begins: what starts from here on is its own */
void cancel_begin(uint32_t grace_ms);
bool cancel_active(void);
/* Goes on ending the command. Returns false once nothing of it is alive; *ret_wait: ms until the next call. */
bool cancel_tick(bool shell_is_back, int *ret_wait);
void cancel_end(void);

#endif
