/* run and exec: commands, their streams and exit codes. */
#include "box.h"
#include "signals.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct run_args {
    struct open_args open;
    struct env_args env;
    struct sandbox_args sandbox;
    struct exec_args exec;
    const char *id;    /* exec: the sandbox */
    char *const *argv; /* the command, ended by NULL; NULL = none was given */
};

enum { KEY_RM = 0x200 };

/* The first word that is no option begins the command: all that follows is the command's own. */
static void command_take(struct run_args *args, struct argp_state *state)
{
    args->argv = state->argv + state->next - 1;
    state->next = state->argc;
}

static void command_check(const struct run_args *args, struct argp_state *state)
{
    if (!args->argv && !args->exec.shell)
        argp_error(state, "no command is given");
    if (args->argv && args->exec.shell)
        argp_error(state, "a command and --shell exclude each other");
}

/* Of both: what is left is the command, behind the sandbox's id for exec. */
static error_t command_parse(int key, char *arg, struct argp_state *state, struct run_args *args, bool wants_id)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (wants_id && !args->id)
            args->id = arg;
        else
            command_take(args, state);
        return 0;
    case ARGP_KEY_END:
        if (wants_id && !args->id)
            argp_error(state, "no sandbox is given");
        command_check(args, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- run ------------------------------------------------------------------------------------------------------- */

static const struct argp_option run_options[] = {
    { "rm", KEY_RM, NULL, 0, "Remove the sandbox afterwards: always so, accepted for habit's sake", 60 },
    { 0 },
};

static error_t run_parse(int key, char *arg, struct argp_state *state, void *into)
{
    return key == KEY_RM ? 0 : command_parse(key, arg, state, into, false);
}

static int sandbox_run(struct host *host, const struct run_args *args, const char *id, int signal_fd)
{
    int32_t status;

    host->call.cancel_fd = signal_fd;
    status = host->sb->ops->start(host->sb->rt, id, &host->call);
    if (status)
        return box_fail(host, status, signal_fd);
    return box_exec(host, id, &args->exec, NULL, args->argv, signal_fd);
}

static int run_all(const struct run_args *args, int signal_fd)
{
    struct host host = HOST_INIT;
    rt_sandbox_info *info;
    int code = EXIT_OURS;

    if (host_open(&host, &args->open) && box_create(&host, &args->sandbox, &args->env, RT_LIFETIME_HOST, &info)) {
        code = sandbox_run(&host, args, info->id, signal_fd);
        if (!box_destroy(&host, info->id))
            code = EXIT_OURS;
        host.sb->ops->sandbox_info_free(info);
    }
    host_close(&host);
    return code;
}

static void run_args_release(struct run_args *args)
{
    strv_release(&args->env.env);
    sandbox_args_release(&args->sandbox);
}

int cmd_run(int argc, char **argv)
{
    struct run_args args = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &args.open },       { &env_argp, &args.env },   { &user_argp, &args.env },
        { &sandbox_argp, &args.sandbox }, { &exec_argp, &args.exec }, { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .options = run_options,
        .own = run_parse,
        .into = &args,
        .args_doc = "[--] COMMAND [ARG...]",
        .doc = "Runs a command in a sandbox of its own, which is gone afterwards.\v"
               "Exit status: the command's own; 124 if it timed out, 125 if Stockade failed, 126 if the command cannot "
               "be executed, 127 if it was not found, 128+N if signal N ended it.",
    };
    int signal_fd, code;

    args_parse(&frame, argc, argv);
    signal_fd = signals_open();
    if (signal_fd < 0)
        return report_error("watch signals: %s", strerror(errno));
    code = run_all(&args, signal_fd);
    run_args_release(&args);
    (void)close(signal_fd);
    return code;
}

/* ---- exec ------------------------------------------------------------------------------------------------------ */

static error_t exec_parse(int key, char *arg, struct argp_state *state, void *into)
{
    return command_parse(key, arg, state, into, true);
}

int cmd_exec(int argc, char **argv)
{
    struct run_args args = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &args.open },
        { &env_argp, &args.env },
        { &user_argp, &args.env },
        { &exec_argp, &args.exec },
        { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .own = exec_parse,
        .into = &args,
        .args_doc = "ID [--] COMMAND [ARG...]",
        .doc = "Runs a command in a running sandbox.\vExit status: as that of stockade run.",
    };
    struct host host = HOST_INIT;
    int signal_fd, code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    signal_fd = signals_open();
    if (signal_fd < 0)
        return report_error("watch signals: %s", strerror(errno));
    if (host_open(&host, &args.open))
        code = box_exec(&host, args.id, &args.exec, &args.env, args.argv, signal_fd);
    host_close(&host);
    run_args_release(&args);
    (void)close(signal_fd);
    return code;
}
