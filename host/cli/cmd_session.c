/* session create, exec, ls and destroy: shells that stay in a sandbox, and commands in them. */
#include "args.h"
#include "box.h"
#include "json.h"
#include "stream.h"
#include "subcommand.h"
#include "table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct session_args {
    struct open_args open;
    struct json_args json;
    struct env_args env;
    struct exec_args exec;
    const char *box, *session;
    const char *shell;
    char *const *argv; /* the command, ended by NULL */
};

enum { KEY_NAME = 0x200, KEY_SHELL };

/* ---- arguments ------------------------------------------------------------------------------------------------- */

enum words { BOX, BOX_SESSION, BOX_SESSION_COMMAND };

static void word_take(char *word, struct argp_state *state, struct session_args *args, enum words wanted)
{
    if (!args->box) {
        args->box = word;
    } else if (!args->session && wanted >= BOX_SESSION) {
        args->session = word;
    } else if (wanted == BOX_SESSION_COMMAND) {
        args->argv = state->argv + state->next - 1;
        state->next = state->argc;
    } else {
        argp_error(state, "'%s' is too much", word);
    }
}

static error_t words_parse(int key, char *arg, struct argp_state *state, struct session_args *args, enum words wanted)
{
    switch (key) {
    case ARGP_KEY_ARG:
        word_take(arg, state, args, wanted);
        return 0;
    case ARGP_KEY_END:
        if (!args->box)
            argp_error(state, "no sandbox is given");
        if (wanted >= BOX_SESSION && !args->session)
            argp_error(state, "no session is given");
        if (wanted == BOX_SESSION_COMMAND && !args->argv)
            argp_error(state, "no command is given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t box_parse(int key, char *arg, struct argp_state *state, void *into)
{
    return words_parse(key, arg, state, into, BOX);
}

static error_t session_parse(int key, char *arg, struct argp_state *state, void *into)
{
    return words_parse(key, arg, state, into, BOX_SESSION);
}

static error_t exec_parse(int key, char *arg, struct argp_state *state, void *into)
{
    return words_parse(key, arg, state, into, BOX_SESSION_COMMAND);
}

/* ---- the frame of all four ------------------------------------------------------------------------------------- */

/* Frees what parsing has filled. */
static int session_do(struct session_args *args, host_work *work)
{
    int code = host_do(&args->open, work, args);

    strv_release(&args->env.env);
    return code;
}

/* ---- create ---------------------------------------------------------------------------------------------------- */

static const struct argp_option create_options[] = {
    { "name", KEY_NAME, "ID", 0, "The session's id (default: one is made up)", 5 },
    { "shell", KEY_SHELL, "PATH", 0, "The shell (default: /bin/bash if there is one, else /bin/sh)", 0 },
    { 0 },
};

static error_t create_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct session_args *args = into;

    switch (key) {
    case KEY_NAME:
        args->session = arg;
        return 0;
    case KEY_SHELL:
        args->shell = arg;
        return 0;
    default:
        return box_parse(key, arg, state, into);
    }
}

static int session_make(struct host *host, const void *options, int signal_fd)
{
    const struct session_args *args = options;
    const rt_session_spec spec = {
        .size = sizeof spec,
        .id = args->session,
        .shell = args->shell,
        .cwd = args->exec.workdir,
        .env = (const char *const *)args->env.env.items,
    };
    rt_session_info *info;
    int32_t status = host->sb->ops->session_create(host->sb->rt, args->box, &spec, &host->call, &info);
    int code;

    if (status)
        return box_fail(host, status, signal_fd);
    code = id_print(info->id, args->json.json);
    host->sb->ops->session_info_free(info);
    return code;
}

static int session_create(int argc, char **argv)
{
    struct session_args args = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &args.open },
        { &json_argp, &args.json },
        { &env_argp, &args.env },
        { &workdir_argp, &args.exec },
        { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .options = create_options,
        .own = create_parse,
        .into = &args,
        .args_doc = "SANDBOX",
        .doc = "Starts a shell that stays in a running sandbox, and prints the session's id.",
    };

    args_parse(&frame, argc, argv);
    return session_do(&args, session_make);
}

/* ---- exec ------------------------------------------------------------------------------------------------------ */

static bool session_is_closed(struct host *host, const struct session_args *args)
{
    rt_session_info *info;
    int32_t status = host->sb->ops->session_get(host->sb->rt, args->box, args->session, &host->call, &info);
    bool is_closed = status == RT_E_SESSION_CLOSED || (!status && info->status == RT_SESSION_CLOSED);

    if (!status)
        host->sb->ops->session_info_free(info);
    return is_closed;
}

/* One word is a text for the shell; several are a command and its arguments, whatever they hold. */
static int session_run(struct host *host, const void *options, int signal_fd)
{
    const struct session_args *args = options;
    bool is_text = !args->argv[1];
    const rt_exec_request req = {
        .size = sizeof req,
        .shell = is_text ? args->argv[0] : NULL,
        .argv = is_text ? NULL : (const char *const *)args->argv,
        .timeout_ms = args->exec.timeout_ms ? args->exec.timeout_ms : RT_FOREVER,
    };
    struct pump_end end;
    int code;

    stream_run(host, args->box, args->session, &req, args->exec.interactive, signal_fd, &end);
    code = box_end(host, &end, &args->exec);
    if (!end.status && isatty(STDERR_FILENO) && session_is_closed(host, args))
        report_note("session '%s' is closed", args->session);
    return code;
}

static int session_exec(int argc, char **argv)
{
    struct session_args args = { 0 };
    const struct args_group groups[] = {
        { &open_argp, &args.open },
        { &input_argp, &args.exec },
        { &timeout_argp, &args.exec },
        { 0 },
    };
    const struct args_frame frame = {
        .groups = groups,
        .own = exec_parse,
        .into = &args,
        .args_doc = "SANDBOX SESSION [--] TEXT\nSANDBOX SESSION [--] COMMAND ARG...",
        .doc = "Runs a command in a session's shell: a single word is a text for the shell ('cd /tmp; x=1'), several "
               "are a command and its arguments as they are. A signal to stockade interrupts the command; the session "
               "goes on.\vExit status: as that of stockade run. 'exit N' ends the session too.",
    };

    args_parse(&frame, argc, argv);
    return session_do(&args, session_run);
}

/* ---- ls -------------------------------------------------------------------------------------------------------- */

static int list_print_json(const rt_session_list *list)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; array && i < list->n; i++) {
        cJSON *item = json_session(list->items[i]);

        if (!item || !cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return json_print(array);
}

static int list_print(const rt_session_list *list)
{
    static const char *const head[] = { "ID", "STATUS", "CREATED", "COMMANDS", "SHELL" };
    struct table table = { .columns = sizeof head / sizeof *head };
    bool fits = table_add(&table, head);

    for (size_t i = 0; fits && i < list->n; i++) {
        const rt_session_info *info = list->items[i];
        char created[32], commands[24];
        const char *row[] = { info->id, session_status_name(info->status),
                              time_text(info->created_ns, created, sizeof created), commands, info->shell };

        snprintf(commands, sizeof commands, "%llu", (unsigned long long)info->commands);
        fits = table_add(&table, row);
    }
    if (fits)
        table_print(&table);
    table_release(&table);
    return fits ? report_finish(EXIT_OK) : report_error("out of memory");
}

static int sessions_show(struct host *host, const void *options, int signal_fd)
{
    const struct session_args *args = options;
    rt_session_list *list;
    int32_t status = host->sb->ops->session_list(host->sb->rt, args->box, &host->call, &list);
    int code;

    if (status)
        return box_fail(host, status, signal_fd);
    code = args->json.json ? list_print_json(list) : list_print(list);
    host->sb->ops->session_list_free(list);
    return code;
}

static int session_ls(int argc, char **argv)
{
    struct session_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .own = box_parse,
        .into = &args,
        .args_doc = "SANDBOX",
        .doc = "Lists the sessions of a sandbox.",
    };

    args_parse(&frame, argc, argv);
    return session_do(&args, sessions_show);
}

/* ---- destroy --------------------------------------------------------------------------------------------------- */

static int session_end(struct host *host, const void *options, int signal_fd)
{
    const struct session_args *args = options;
    int32_t status = host->sb->ops->session_destroy(host->sb->rt, args->box, args->session, &host->call);

    return status ? box_fail(host, status, signal_fd) : id_print(args->session, args->json.json);
}

static int session_destroy(int argc, char **argv)
{
    struct session_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .own = session_parse,
        .into = &args,
        .args_doc = "SANDBOX SESSION",
        .doc = "Ends a session with all that runs in it.",
    };

    args_parse(&frame, argc, argv);
    return session_do(&args, session_end);
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

static const struct subcommand subcommands[] = {
    { "create", "Start a shell that stays", session_create },
    { "exec", "Run a command in it", session_exec },
    { "ls", "List the sessions of a sandbox", session_ls },
    { "destroy", "End a session", session_destroy },
    { 0 },
};

int cmd_session(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (!*name)
        return report_error("create, exec, ls or destroy?");
    if (strcmp(name, "-h") && strcmp(name, "--help"))
        return subcommand_run("stockade session", subcommands, argc - 1, argv + 1);
    printf("Usage: stockade session SUBCOMMAND [OPTION...]\n"
           "A shell that stays in a sandbox: its directory, variables and jobs last from one command to the next.\n\n");
    subcommands_print(stdout, subcommands);
    printf("\nstockade session SUBCOMMAND --help tells more.\n");
    return report_finish(EXIT_OK);
}
