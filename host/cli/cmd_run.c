/* run, exec and shell: commands, their streams and exit codes. */
#include "command.h"

#include <string.h>

enum { KEY_RM = 0x200, KEY_IN };

/* The first word that is no option begins the command: all that follows is the command's own. */
static void command_take(struct command *command, struct argp_state *state)
{
    command->argv = state->argv + state->next - 1;
    state->next = state->argc;
}

static void command_check(const struct command *command, struct argp_state *state)
{
    if (!command->argv && !command->exec.shell)
        argp_error(state, "no command is given");
    if (command->argv && command->exec.shell)
        argp_error(state, "a command and --shell exclude each other");
}

/* Of run and exec: what is left is the command, for exec behind the sandbox's id. */
static error_t command_parse(int key, char *arg, struct argp_state *state, struct command *command, bool wants_id)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (wants_id && !command->id)
            command->id = arg;
        else
            command_take(command, state);
        return 0;
    case ARGP_KEY_END:
        if (wants_id && !command->id)
            argp_error(state, "no sandbox is given");
        command_check(command, state);
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

int cmd_run(int argc, char **argv)
{
    struct command command = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &command.open },       { &env_argp, &command.env },      { &user_argp, &command.env },
        { &sandbox_argp, &command.sandbox }, { &workdir_argp, &command.exec }, { &input_argp, &command.exec },
        { &exec_argp, &command.exec },       { &timeout_argp, &command.exec }, { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .options = run_options,
        .own = run_parse,
        .into = &command,
        .args_doc = "[--] COMMAND [ARG...]",
        .doc = "Runs a command in a sandbox of its own, which is gone afterwards.\v"
               "Exit status: the command's own; 124 if it timed out, 125 if Stockade failed, 126 if the command cannot "
               "be executed, 127 if it was not found, 128+N if signal N ended it.",
    };

    args_parse(&frame, argc, argv);
    return command_do(&command);
}

/* ---- exec ------------------------------------------------------------------------------------------------------ */

static error_t exec_parse(int key, char *arg, struct argp_state *state, void *into)
{
    return command_parse(key, arg, state, into, true);
}

int cmd_exec(int argc, char **argv)
{
    struct command command = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &command.open },    { &env_argp, &command.env },
        { &user_argp, &command.env },     { &workdir_argp, &command.exec },
        { &input_argp, &command.exec },   { &exec_argp, &command.exec },
        { &timeout_argp, &command.exec }, { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .own = exec_parse,
        .into = &command,
        .args_doc = "ID [--] COMMAND [ARG...]",
        .doc = "Runs a command in a running sandbox.\vExit status: as that of stockade run.",
    };

    args_parse(&frame, argc, argv);
    return command_do(&command);
}

/* ---- shell ----------------------------------------------------------------------------------------------------- */

static const struct argp_option shell_options[] = {
    { "in", KEY_IN, "ID", 0, "In a sandbox that runs already", 5 },
    { 0 },
};

static bool sandbox_is_described(const struct sandbox_args *args)
{
    return args->id || args->workspace || args->image || args->network || args->preset || args->labels.n ||
           args->rules.n || args->has_limits;
}

static error_t shell_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct command *command = into;

    switch (key) {
    case KEY_IN:
        command->id = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (command->sandbox.workspace)
            argp_error(state, "'%s' is too much: the workspace is '%s'", arg, command->sandbox.workspace);
        command->sandbox.workspace = arg;
        return 0;
    case ARGP_KEY_END:
        if (command->id && sandbox_is_described(&command->sandbox))
            argp_error(state, "--in '%s': that sandbox is made already, a directory or an option cannot describe it",
                       command->id);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cmd_shell(int argc, char **argv)
{
    struct command command = {
        .exec = { .interactive = true, .tty = true, .shell = "[ -x /bin/bash ] && exec /bin/bash; exec /bin/sh" },
    };
    const struct args_group groups[] = {
        { &open_argp, &command.open },       { &env_argp, &command.env },      { &user_argp, &command.env },
        { &sandbox_argp, &command.sandbox }, { &workdir_argp, &command.exec }, { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .options = shell_options,
        .own = shell_parse,
        .into = &command,
        .args_doc = "[DIR]\n--in ID",
        .doc = "Gives a shell on a directory (default: the current one) in a sandbox of its own, which is gone "
               "afterwards, or in one that runs already: /bin/bash if it has one, else /bin/sh.\v"
               "Exit status: the shell's own; else as that of stockade run.",
    };

    args_parse(&frame, argc, argv);
    return command_do(&command);
}
