/* What the agent and a session's keeper (keeper.h) have in common. */
#ifndef STOCKADE_AGENT_KEEPER_PROTO_H
#define STOCKADE_AGENT_KEEPER_PROTO_H

#include <stdint.h>

/* `agent keeper SHELL TERMINAL`; fd 0: to the agent, 1: a keeper_state, 2: the terminal, unless TERMINAL is "". */
#define KEEPER_ARG "keeper"

enum keeper_msg {
    KEEPER_ATTACH = 1, /* fds: a host's connection, and the pipe for what is said to it */
};

/* Shared with the agent, which believes none of it. */
struct keeper_state {
    uint32_t pid;   /* of the shell */
    uint32_t state; /* enum agent_session_state */
    uint64_t commands;
    uint64_t ended_ns; /* when the last command ended, CLOCK_BOOTTIME; 0 = none has */
};

int keeper_main(int argc, char **argv);

#endif
