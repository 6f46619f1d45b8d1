#include "box.h"

#include "signals.h"
#include "terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int box_fail(struct host *host, int32_t status, int signal_fd)
{
    const char *message = host->call.error.message;
    int sig = status == RT_E_CANCELLED && signal_fd >= 0 ? signals_take(signal_fd) : 0;

    if (sig)
        return 128 + sig;
    return report_error("%s", *message ? message : stockade_status_name(status));
}

/* ---- create ---------------------------------------------------------------------------------------------------- */

/* The preset's rules, under the config's, under the command line's. */
static bool rules_make(struct host *host, const struct sandbox_args *args, stockade_rules **ret)
{
    const char *preset = args->preset ? args->preset : stockade_config_preset(host->config);
    rt_error err = RT_ERROR_INIT;
    int32_t status = stockade_rules_new(&err, ret);

    if (!status)
        status = stockade_rules_add_preset(*ret, preset ? preset : "agent-safe", &err);
    if (!status)
        status = stockade_rules_add_config(*ret, host->config, &err);
    for (size_t i = 0; !status && i < args->rules.n; i++)
        status = stockade_rules_add_text(*ret, args->rules.items[i], &err);
    if (status)
        report_error("%s", err.message);
    return !status;
}

/* Splits "key=value" texts, which keep the strings; a label without '=' has an empty value. NULL if out of memory. */
static rt_label *labels_make(const struct strv *texts)
{
    rt_label *labels = calloc(texts->n ? texts->n : 1, sizeof *labels);

    for (size_t i = 0; labels && i < texts->n; i++) {
        char *equals = strchr(texts->items[i], '=');

        labels[i] = (rt_label){ sizeof *labels, texts->items[i], equals ? equals + 1 : "" };
        if (equals)
            *equals = '\0';
    }
    return labels;
}

static bool spec_create(struct host *host, rt_sandbox_spec *spec, const struct sandbox_args *args,
                        rt_sandbox_info **ret)
{
    stockade_rules *rules = NULL;
    rt_label *labels = labels_make(&args->labels);
    int32_t status = RT_E_INVAL;
    bool is_made;

    if (!labels)
        return report_error("out of memory"), false;
    is_made = rules_make(host, args, &rules);
    if (is_made) {
        spec->labels = labels;
        spec->n_labels = args->labels.n;
        spec->rules = stockade_rules_items(rules, &spec->n_rules);
        status = host->sb->ops->create(host->sb->rt, spec, &host->call, ret);
        if (status)
            box_fail(host, status, -1);
    }
    stockade_rules_free(rules);
    free(labels);
    return is_made && !status;
}

/* The path from the root on, for a runtime that does not know where we are; the last part need not exist. */
static char *path_absolute(const char *path)
{
    char *cwd = *path == '/' ? NULL : getcwd(NULL, 0), *absolute = NULL;

    if (*path == '/')
        return strdup(path);
    if (!cwd || asprintf(&absolute, "%s/%s", cwd, path) < 0)
        absolute = NULL;
    free(cwd);
    return absolute;
}

static int32_t mode_in_force(const struct host *host, const struct sandbox_args *args)
{
    int32_t mode = args->has_mode ? args->mode : stockade_config_workspace_mode(host->config);

    return mode < 0 ? RT_WORKSPACE_DIRECT : mode;
}

bool box_create(struct host *host, const struct sandbox_args *args, const struct env_args *env, int32_t lifetime,
                rt_sandbox_info **ret)
{
    rt_sandbox_spec spec = {
        .size = sizeof spec,
        .id = args->id,
        .codebase = args->workspace ? args->workspace : ".",
        .image = args->image,
        .network = args->network,
        .user = env->user,
        .env = (const char *const *)env->env.items,
        .limits = args->has_limits ? &args->limits : NULL,
        .lifetime = lifetime,
        .max_lifetime_ms = args->max_lifetime_ms,
        .idle_timeout_ms = args->idle_timeout_ms,
        .workspace_mode = mode_in_force(host, args),
        .commit_policy = args->commit,
        .flags = args->audits ? RT_SANDBOX_AUDIT : 0,
    };
    char *audit_file = NULL;
    bool is_made;

    if (args->audit_file && !(audit_file = path_absolute(args->audit_file)))
        return report_error("out of memory"), false;
    spec.audit_file = audit_file;
    is_made = spec_create(host, &spec, args, ret);
    free(audit_file);
    return is_made;
}

bool box_destroy(struct host *host, const char *id)
{
    int32_t status;

    host->call.cancel_fd = -1;
    status = host->sb->ops->destroy(host->sb->rt, id, &host->call);
    if (!status || status == RT_E_SANDBOX_NOT_FOUND)
        return true;
    box_fail(host, status, -1);
    return false;
}

/* ---- exec ------------------------------------------------------------------------------------------------------ */

static void note_timeout(int64_t ms)
{
    if (ms % 1000)
        report_note("timed out after %lldms", (long long)ms);
    else
        report_note("timed out after %llds", (long long)(ms / 1000));
}

int box_end(struct host *host, const struct pump_end *end, const struct exec_args *exec)
{
    if (end->write_err)
        return report_error("write the command's output: %s", strerror(end->write_err));
    if (end->signal)
        return 128 + end->signal;
    if (end->status == RT_E_TIMEOUT) {
        note_timeout(exec->timeout_ms);
        return EXIT_TIMEOUT;
    }
    if (end->status)
        return box_fail(host, end->status, -1);
    if (end->is_refused)
        report_error("%s", end->exit.exit_code == 127 ? "the command was not found" : "the command cannot be executed");
    if (end->exit.flags & RT_RESULT_OOM)
        report_note("the sandbox's memory limit was exceeded: the kernel killed a process in it");
    return end->exit.exit_code;
}

/* Reports what goes wrong; the caller terminal_close()s in any case. */
static bool terminal_begin(const struct host *host, const struct exec_args *exec, struct terminal *ret)
{
    const uint64_t needed = RT_CAP_PROCESS | RT_CAP_TTY;

    if (!terminal_open(ret, exec->interactive))
        return report_error("watch the terminal: %s", strerror(errno)), false;
    if ((host->sb->plugin->capabilities & needed) == needed)
        return true;
    report_error("-t: the runtime '%s' gives commands no terminal", host->sb->plugin->name);
    return false;
}

int box_exec(struct host *host, const char *id, const struct exec_args *exec, const struct env_args *env,
             char *const *argv, int signal_fd)
{
    rt_exec_request req = {
        .size = sizeof req,
        .shell = exec->shell,
        .argv = exec->shell ? NULL : (const char *const *)argv,
        .env = env ? (const char *const *)env->env.items : NULL,
        .cwd = exec->workdir,
        .user = env ? env->user : NULL,
        .timeout_ms = exec->timeout_ms ? exec->timeout_ms : RT_FOREVER,
    };
    struct terminal terminal;
    struct pump_end end;
    int code = EXIT_OURS;

    if (!exec->tty) {
        pump_run(host, id, &req, exec->interactive, NULL, signal_fd, &end);
        return box_end(host, &end, exec);
    }
    if (terminal_begin(host, exec, &terminal)) {
        pump_run(host, id, &req, exec->interactive, &terminal, signal_fd, &end);
        code = box_end(host, &end, exec);
    }
    terminal_close(&terminal);
    return code;
}
