/*
 * Groups of options, as argp children: a subcommand names the groups that it takes and gives each its struct. Bad
 * values end the program with EXIT_OURS, as argp does for options that it does not know.
 */
#ifndef STOCKADE_CLI_ARGS_H
#define STOCKADE_CLI_ARGS_H

#include "cli.h"
#include "strv.h"

#include <argp.h>

/* --json */
struct json_args {
    bool json;
};

/* --env, --env-file, --user */
struct env_args {
    struct strv env;
    const char *user;
};

/* What a sandbox is made from. */
struct sandbox_args {
    const char *id, *workspace, *image, *network, *preset;
    struct strv labels, rules;
    rt_limits limits;
    bool has_limits;
};

/* How a command runs. */
struct exec_args {
    const char *workdir, *shell;
    bool interactive;
    int64_t timeout_ms; /* 0 = not given */
};

extern const struct argp open_argp, json_argp, env_argp, sandbox_argp, exec_argp;

void sandbox_args_release(struct sandbox_args *args);

/* Parses with --help, -h and the exit code right. parser is the subcommand's own. */
void args_parse(const struct argp *argp, int argc, char **argv, void *input);

#endif
