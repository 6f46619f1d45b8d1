/*
 * The command line: groups of options that subcommands share, and the frame that each is parsed in. A subcommand names
 * the groups that it takes and gives each its struct.
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

/* env_argp: --env, --env-file; user_argp: --user */
struct env_args {
    struct strv env;
    const char *user;
};

/* What a sandbox is made from. */
struct sandbox_args {
    const char *id, *workspace, *image, *network, *preset, *audit_file;
    bool audits;
    struct strv labels, rules;
    int64_t max_lifetime_ms, idle_timeout_ms; /* 0 = not given */
    rt_limits limits;
    bool has_limits;
    bool has_mode;        /* given: otherwise it is the config's */
    int32_t mode, commit; /* enum rt_workspace_mode, enum rt_commit_policy */
};

/* How a command runs. workdir_argp: --workdir; input_argp: -i; timeout_argp: --timeout; exec_argp: -t, --shell. */
struct exec_args {
    const char *workdir, *shell;
    bool interactive, tty;
    int64_t timeout_ms; /* 0 = not given */
};

extern const struct argp open_argp, json_argp, env_argp, user_argp, sandbox_argp;
extern const struct argp workdir_argp, input_argp, timeout_argp, exec_argp;

void sandbox_args_release(struct sandbox_args *args);

/* Adds an option's argument to a list; out of memory ends the program. */
void args_list_add(struct argp_state *state, struct strv *list, const char *arg);

/* A group of options that a subcommand takes, and the struct that it fills. */
struct args_group {
    const struct argp *argp;
    void *into;
};

#define ARGS_GROUPS_MAX 8

/*
 * A subcommand's own options and arguments. Called with argp's keys: its options', ARGP_KEY_ARG, ARGP_KEY_NO_ARGS,
 * ARGP_KEY_END. What it does not know is ARGP_ERR_UNKNOWN.
 */
typedef error_t args_own_fn(int key, char *arg, struct argp_state *state, void *into);

/* How a subcommand is called. Members that are not set: it has no such thing. */
struct args_frame {
    const struct args_group *groups;   /* ended by {0} */
    const struct argp_option *options; /* its own */
    args_own_fn *own;                  /* NULL = options of groups only */
    void *into;                        /* for own */
    struct strv *ids;                  /* takes sandboxes' ids as arguments, one at least */
    const char *args_doc, *doc;        /* for --help, as argp has them */
};

/* Parses; --help, -h and what is wrong end the program, the latter with EXIT_OURS. */
void args_parse(const struct args_frame *frame, int argc, char **argv);

#endif
