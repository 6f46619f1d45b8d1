/* A command in a sandbox, as run, exec and shell have it. */
#ifndef STOCKADE_CLI_COMMAND_H
#define STOCKADE_CLI_COMMAND_H

#include "args.h"

struct command {
    struct open_args open;
    struct env_args env;
    struct sandbox_args sandbox; /* what it runs in, if no id is given */
    struct exec_args exec;
    const char *id;    /* a sandbox that runs already; NULL = one of its own, which is gone afterwards */
    char *const *argv; /* ended by NULL; NULL = exec.shell */
};

/* Runs it, frees what parsing has filled, and returns the exit code. */
int command_do(struct command *command);

#endif
