#include "command.h"

#include "box.h"
#include "signals.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool env_has(const struct strv *env, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < env->n; i++)
        if (!strncmp(env->items[i], name, len) && env->items[i][len] == '=')
            return true;
    return false;
}

/* What a terminal needs: keys from one, and the name of its type. */
static bool terminal_prepare(struct command *command)
{
    const char *why = NULL;

    if (command->exec.interactive && !isatty(STDIN_FILENO))
        why = "standard input is not a terminal";
    else if (!env_has(&command->env.env, "TERM"))
        why = env_add(&command->env.env, "TERM");
    if (why)
        report_error("%s", why);
    return !why;
}

static int box_started(struct host *host, const struct command *command, const char *id, int signal_fd)
{
    int32_t status;

    host->call.cancel_fd = signal_fd;
    status = host->sb->ops->start(host->sb->rt, id, &host->call);
    if (status)
        return box_fail(host, status, signal_fd);
    return box_exec(host, id, &command->exec, NULL, command->argv, signal_fd);
}

static int in_own(struct host *host, const struct command *command, int signal_fd)
{
    rt_sandbox_info *info;
    int code;

    if (!box_create(host, &command->sandbox, &command->env, RT_LIFETIME_HOST, &info))
        return EXIT_OURS;
    code = box_started(host, command, info->id, signal_fd);
    if (!box_destroy(host, info->id))
        code = EXIT_OURS;
    host->sb->ops->sandbox_info_free(info);
    return code;
}

static int command_open(const struct command *command, int signal_fd)
{
    struct host host = HOST_INIT;
    int code = EXIT_OURS;

    if (host_open(&host, &command->open))
        code = command->id ? box_exec(&host, command->id, &command->exec, &command->env, command->argv, signal_fd)
                           : in_own(&host, command, signal_fd);
    host_close(&host);
    return code;
}

int command_do(struct command *command)
{
    int code = EXIT_OURS, signal_fd = signals_open();

    if (signal_fd < 0)
        report_error("watch signals: %s", strerror(errno));
    else if (!command->exec.tty || terminal_prepare(command))
        code = command_open(command, signal_fd);
    strv_release(&command->env.env);
    sandbox_args_release(&command->sandbox);
    if (signal_fd >= 0)
        (void)close(signal_fd);
    return code;
}
