#include "args.h"

#include "parse.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEY_RUNTIME = 0x100,
    KEY_CONFIG,
    KEY_STATE_DIR,
    KEY_JSON,
    KEY_ENV_FILE,
    KEY_WORKSPACE,
    KEY_IMAGE,
    KEY_NETWORK,
    KEY_NAME,
    KEY_CPUS,
    KEY_CPU_SHARES,
    KEY_PIDS,
    KEY_RULE,
    KEY_PRESET,
    KEY_DELTA,
    KEY_DIRECT,
    KEY_COMMIT,
    KEY_MAX_LIFETIME,
    KEY_IDLE_TIMEOUT,
    KEY_AUDIT,
    KEY_AUDIT_FILE,
    KEY_TIMEOUT,
};

/* ---- which runtime --------------------------------------------------------------------------------------------- */

static const struct argp_option open_options[] = {
    { "runtime", KEY_RUNTIME, "NAME", 0, "Runtime plugin, by name or path", 80 },
    { "config", KEY_CONFIG, "FILE", 0, "Config file", 0 },
    { "state-dir", KEY_STATE_DIR, "DIR", 0, "Where sandboxes are kept", 0 },
    { NULL, 'h', NULL, 0, "Give this help list", -1 },
    { 0 },
};

static error_t open_parse(int key, char *arg, struct argp_state *state)
{
    struct open_args *args = state->input;

    switch (key) {
    case KEY_RUNTIME:
        args->runtime = arg;
        return 0;
    case KEY_CONFIG:
        args->config_file = arg;
        return 0;
    case KEY_STATE_DIR:
        args->state_dir = arg;
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp open_argp = { .options = open_options, .parser = open_parse };

/* ---- --json ---------------------------------------------------------------------------------------------------- */

static const struct argp_option json_options[] = {
    { "json", KEY_JSON, NULL, 0, "Print JSON", 70 },
    { 0 },
};

static error_t json_parse(int key, char *arg, struct argp_state *state)
{
    struct json_args *args = state->input;

    (void)arg;
    if (key != KEY_JSON)
        return ARGP_ERR_UNKNOWN;
    args->json = true;
    return 0;
}

const struct argp json_argp = { .options = json_options, .parser = json_parse };

/* ---- environment and user -------------------------------------------------------------------------------------- */

static const struct argp_option env_options[] = {
    { "env", 'e', "NAME[=VALUE]", 0, "Set a variable; without a value it is taken from the environment here", 20 },
    { "env-file", KEY_ENV_FILE, "FILE", 0, "Set the variables that a file lists, one a line", 0 },
    { 0 },
};

static const struct argp_option user_options[] = {
    { "user", 'u', "USER[:GROUP]", 0, "User to run as (default: the workspace's owner)", 20 },
    { 0 },
};

static error_t env_parse(int key, char *arg, struct argp_state *state)
{
    struct env_args *args = state->input;
    const char *why;

    switch (key) {
    case 'e':
        why = env_add(&args->env, arg);
        if (why)
            argp_error(state, "--env '%s': %s", arg, why);
        return 0;
    case KEY_ENV_FILE:
        why = env_file_add(&args->env, arg);
        if (why)
            argp_error(state, "--env-file '%s': %s", arg, why);
        return 0;
    case 'u':
        args->user = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp env_argp = { .options = env_options, .parser = env_parse };
const struct argp user_argp = { .options = user_options, .parser = env_parse };

/* ---- a sandbox ------------------------------------------------------------------------------------------------- */

static const struct argp_option sandbox_options[] = {
    { "workspace", KEY_WORKSPACE, "DIR", 0, "Directory to work on (default: the current one)", 10 },
    { "preset", KEY_PRESET, "NAME", 0,
      "Workspace rules to start from: agent-safe (default), read-only, full-access, development, view-only", 0 },
    { "rule", KEY_RULE, "PATTERN=PERMISSION", 0,
      "Workspace rule over the preset's: none, view, read or write; repeatable", 0 },
    { "delta", KEY_DELTA, NULL, 0, "Keep writes apart from the directory until they are committed (copy-on-write)", 0 },
    { "direct", KEY_DIRECT, NULL, 0, "Write to the directory itself (the default, unless the config says otherwise)",
      0 },
    { "commit", KEY_COMMIT, "POLICY", 0,
      "With --delta, what becomes of it after each command: manual (default), on_success or always", 0 },
    { "audit", KEY_AUDIT, NULL, 0, "Tell what the rules deny, and the first write to each file, as lines of JSON", 0 },
    { "audit-file", KEY_AUDIT_FILE, "FILE", 0, "The same, appended to a file", 0 },
    { "image", KEY_IMAGE, "IMAGE", 0, "Image to run in, where the runtime has images", 0 },
    { "network", KEY_NETWORK, "NAME", 0, "none (default), host, bridge or a network's name", 0 },
    { "max-lifetime", KEY_MAX_LIFETIME, "DURATION", 0, "Stop the sandbox this long after its start", 0 },
    { "idle-timeout", KEY_IDLE_TIMEOUT, "DURATION", 0, "Stop it once no command has run in it for this long", 0 },
    { "name", KEY_NAME, "ID", 0, "The sandbox's id (default: one is made up)", 0 },
    { "label", 'l', "KEY=VALUE", 0, "Label of the sandbox; repeatable", 0 },
    { "memory", 'm', "SIZE", 0, "Limit of memory: 512m, 2g", 30 },
    { "cpus", KEY_CPUS, "NUMBER", 0, "Limit of CPU time: 1.5", 0 },
    { "cpu-shares", KEY_CPU_SHARES, "NUMBER", 0, "Weight under contention, 2 to 262144 (one share: 1024)", 0 },
    { "pids-limit", KEY_PIDS, "NUMBER", 0, "Limit of processes and threads", 0 },
    { 0 },
};

void args_list_add(struct argp_state *state, struct strv *list, const char *arg)
{
    if (!strv_add(list, arg))
        argp_failure(state, EXIT_OURS, 0, "out of memory");
}

static int64_t time_parse(const char *name, const char *arg, struct argp_state *state)
{
    int64_t ms = 0;

    if (!parse_duration(arg, &ms))
        argp_error(state, "--%s '%s': expected a duration such as 10s, 5m, 1h, or none", name, arg);
    return ms == RT_FOREVER ? 0 : ms;
}

/* Returns false if key is no limit's. */
static bool limit_parse(int key, const char *arg, rt_limits *limits, struct argp_state *state)
{
    uint64_t number = 0;

    switch (key) {
    case 'm':
        if (!parse_bytes(arg, &limits->memory_bytes))
            argp_error(state, "--memory '%s': expected a size such as 512m or 2g", arg);
        return true;
    case KEY_CPUS:
        if (!parse_cpus(arg, &limits->cpu_millis))
            argp_error(state, "--cpus '%s': expected a number such as 1.5", arg);
        return true;
    case KEY_CPU_SHARES:
        if (!parse_count(arg, 2, 262144, &number))
            argp_error(state, "--cpu-shares '%s': expected a number from 2 to 262144", arg);
        limits->cpu_shares = (uint32_t)number;
        return true;
    case KEY_PIDS:
        if (!parse_count(arg, 1, UINT32_MAX, &number))
            argp_error(state, "--pids-limit '%s': expected a number of at least 1", arg);
        limits->pids = (uint32_t)number;
        return true;
    default:
        return false;
    }
}

static int32_t policy_parse(const char *arg, struct argp_state *state)
{
    static const char *const names[] = { "manual", "on_success", "always" }; /* by enum rt_commit_policy */

    for (int32_t i = RT_COMMIT_MANUAL; i <= RT_COMMIT_ALWAYS; i++)
        if (!strcmp(arg, names[i]))
            return i;
    argp_error(state, "--commit '%s': expected manual, on_success or always", arg);
    return RT_COMMIT_MANUAL;
}

static error_t sandbox_parse(int key, char *arg, struct argp_state *state)
{
    struct sandbox_args *args = state->input;

    switch (key) {
    case KEY_WORKSPACE:
        args->workspace = arg;
        return 0;
    case KEY_PRESET:
        args->preset = arg;
        return 0;
    case KEY_RULE:
        args_list_add(state, &args->rules, arg);
        return 0;
    case KEY_DELTA:
    case KEY_DIRECT:
        if (args->has_mode && (args->mode == RT_WORKSPACE_DELTA) != (key == KEY_DELTA))
            argp_error(state, "--delta and --direct exclude each other");
        args->has_mode = true;
        args->mode = key == KEY_DELTA ? RT_WORKSPACE_DELTA : RT_WORKSPACE_DIRECT;
        return 0;
    case KEY_COMMIT:
        args->commit = policy_parse(arg, state);
        return 0;
    case KEY_AUDIT_FILE:
        args->audit_file = arg;
        args->audits = true;
        return 0;
    case KEY_AUDIT:
        args->audits = true;
        return 0;
    case KEY_IMAGE:
        args->image = arg;
        return 0;
    case KEY_NETWORK:
        args->network = arg;
        return 0;
    case KEY_MAX_LIFETIME:
        args->max_lifetime_ms = time_parse("max-lifetime", arg, state);
        return 0;
    case KEY_IDLE_TIMEOUT:
        args->idle_timeout_ms = time_parse("idle-timeout", arg, state);
        return 0;
    case KEY_NAME:
        args->id = arg;
        return 0;
    case 'l':
        if (*arg == '=' || !*arg)
            argp_error(state, "--label '%s': expected KEY=VALUE", arg);
        args_list_add(state, &args->labels, arg);
        return 0;
    default:
        args->limits.size = sizeof args->limits;
        if (!limit_parse(key, arg, &args->limits, state))
            return ARGP_ERR_UNKNOWN;
        args->has_limits = true;
        return 0;
    }
}

const struct argp sandbox_argp = { .options = sandbox_options, .parser = sandbox_parse };

void sandbox_args_release(struct sandbox_args *args)
{
    strv_release(&args->labels);
    strv_release(&args->rules);
}

/* ---- a command ------------------------------------------------------------------------------------------------- */

static const struct argp_option workdir_options[] = {
    { "workdir", 'w', "DIR", 0, "Directory to run in; relative ones are under the workspace", 15 },
    { 0 },
};

static const struct argp_option input_options[] = {
    { "interactive", 'i', NULL, 0, "Feed standard input to the command", 15 },
    { 0 },
};

static const struct argp_option timeout_options[] = {
    { "timeout", KEY_TIMEOUT, "DURATION", 0, "End the command after 500ms, 10s, 5m, 1h (default: none)", 15 },
    { 0 },
};

static const struct argp_option exec_options[] = {
    { "tty", 't', NULL, 0, "Give the command a terminal", 15 },
    { "shell", 'c', "TEXT", 0, "Run a text by /bin/sh -c instead of COMMAND", 0 },
    { 0 },
};

static error_t exec_parse(int key, char *arg, struct argp_state *state)
{
    struct exec_args *args = state->input;

    switch (key) {
    case 'w':
        args->workdir = arg;
        return 0;
    case 'i':
        args->interactive = true;
        return 0;
    case 't':
        args->tty = true;
        return 0;
    case 'c':
        args->shell = arg;
        return 0;
    case KEY_TIMEOUT:
        if (!parse_duration(arg, &args->timeout_ms))
            argp_error(state, "--timeout '%s': expected a duration such as 500ms, 10s, 5m, 1h, or none", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp workdir_argp = { .options = workdir_options, .parser = exec_parse };
const struct argp input_argp = { .options = input_options, .parser = exec_parse };
const struct argp timeout_argp = { .options = timeout_options, .parser = exec_parse };
const struct argp exec_argp = { .options = exec_options, .parser = exec_parse };

/* ---- the frame ------------------------------------------------------------------------------------------------- */

static void groups_bind(const struct args_frame *frame, struct argp_state *state)
{
    for (size_t i = 0; frame->groups[i].argp; i++)
        state->child_inputs[i] = frame->groups[i].into;
}

/* state->name is "stockade SUBCOMMAND". */
static void args_refuse(const char *arg, struct argp_state *state)
{
    const char *space = strchr(state->name, ' ');

    argp_error(state, "'%s' is too much: %s takes options only", arg, space ? space + 1 : state->name);
}

static error_t frame_parse(int key, char *arg, struct argp_state *state)
{
    const struct args_frame *frame = state->input;
    error_t err = ARGP_ERR_UNKNOWN;

    if (key == ARGP_KEY_INIT)
        return groups_bind(frame, state), 0;
    if (frame->own)
        err = frame->own(key, arg, state, frame->into);
    if (err != ARGP_ERR_UNKNOWN)
        return err;
    if (key == ARGP_KEY_ARG && frame->ids)
        return args_list_add(state, frame->ids, arg), 0;
    if (key == ARGP_KEY_ARG)
        return args_refuse(arg, state), 0;
    if (key == ARGP_KEY_NO_ARGS && frame->ids)
        return argp_error(state, "no sandbox is given"), 0;
    return err;
}

void args_parse(const struct args_frame *frame, int argc, char **argv)
{
    struct argp_child children[ARGS_GROUPS_MAX + 1] = { 0 };
    const struct argp argp = {
        .options = frame->options,
        .parser = frame_parse,
        .args_doc = frame->args_doc,
        .doc = frame->doc,
        .children = children,
    };
    error_t err;

    for (size_t i = 0; i < ARGS_GROUPS_MAX && frame->groups[i].argp; i++)
        children[i].argp = frame->groups[i].argp;
    argp_err_exit_status = EXIT_OURS;
    err = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, (void *)(uintptr_t)frame);
    if (err)
        exit(report_error("%s", strerror(err)));
}
