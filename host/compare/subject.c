#include "subject.h"

#include "bare.h"
#include "host/cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define JOB_TIMEOUT_MS 600000 /* a workload that takes longer is no use for comparing */

rt_call subject_call(const struct subject *subject)
{
    rt_call call = RT_CALL_INIT;

    call.cancel_fd = subject->cancel_fd;
    return call;
}

static void error_take(struct subject *subject, const rt_call *call)
{
    snprintf(subject->error, sizeof subject->error, "%s",
             *call->error.message ? call->error.message : stockade_status_name(call->error.status));
}

/* The first thing that the probe finds wrong is the reason. */
static void probe_judge(struct subject *subject)
{
    for (size_t i = 0; i < subject->probe->n_checks; i++) {
        const rt_check *check = subject->probe->checks[i];

        if (check->result != RT_CHECK_FAIL || *subject->error)
            continue;
        snprintf(subject->error, sizeof subject->error, "%s: %s", check->name, check->detail);
    }
    if (!*subject->error)
        snprintf(subject->error, sizeof subject->error, "does not work here");
}

void subject_open(struct subject *subject, const char *name, const struct subject_options *given)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    rt_call call = subject_call(subject);
    rt_probe *probe;

    snprintf(subject->name, sizeof subject->name, "%s", name);
    options.runtime = name;
    options.config = given->config;
    options.state_dir = given->state_dir;
    options.log = report_log;
    if (stockade_open(&options, &call, &subject->sb)) {
        error_take(subject, &call);
        return;
    }
    snprintf(subject->name, sizeof subject->name, "%s", subject->sb->plugin->name);
    if (subject->sb->plugin->capabilities & RT_CAP_IMAGE)
        subject->image = given->image;
    if (subject->sb->ops->probe(subject->sb->rt, &call, &probe)) {
        error_take(subject, &call);
        return;
    }
    subject->probe = probe;
    if (!probe->usable)
        probe_judge(subject);
}

void subject_close(struct subject *subject)
{
    if (subject->sb)
        subject->sb->ops->probe_free((rt_probe *)(uintptr_t)subject->probe);
    stockade_close(subject->sb); /* and with it its sandboxes, which are `host` ones */
    subject->probe = NULL;
    subject->sb = NULL;
}

int32_t subject_box_create(struct subject *subject, const char *id, rt_call *call)
{
    const rt_rule all = { .size = sizeof all, .pattern = "/**", .permission = RT_PERM_WRITE };
    const rt_sandbox_spec spec = {
        .size = sizeof spec, .id = id, .codebase = subject->dir, .image = subject->image, .rules = &all, .n_rules = 1
    };

    return subject->sb->ops->create(subject->sb->rt, &spec, call, NULL);
}

static bool session_up(struct subject *subject)
{
    const rt_session_spec spec = { .size = sizeof spec, .id = SUBJECT_BOX };
    rt_call call = subject_call(subject);
    rt_session_info *info = NULL;

    if (!(subject->sb->plugin->capabilities & RT_CAP_SESSION))
        return true;
    if (subject->sb->ops->session_create(subject->sb->rt, SUBJECT_BOX, &spec, &call, &info)) {
        error_take(subject, &call);
        return false;
    }
    subject->sb->ops->session_info_free(info);
    return true;
}

bool subject_box_up(struct subject *subject)
{
    rt_call call = subject_call(subject);

    if (subject->is_host || subject->is_up)
        return true;
    if (subject_box_create(subject, SUBJECT_BOX, &call) ||
        subject->sb->ops->start(subject->sb->rt, SUBJECT_BOX, &call)) {
        error_take(subject, &call);
        return false;
    }
    subject->is_up = session_up(subject);
    return subject->is_up;
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

static int32_t bytes_count(void *user, int32_t stream, const void *data, size_t len)
{
    (void)data;
    if (stream == RT_STDOUT)
        *(size_t *)user += len;
    return 1;
}

/* If a command ended badly: how, and the first line of what it said. */
static void failure_tell(char why[SUBJECT_TEXT], const rt_exit *end, const char *text)
{
    int len = text ? (int)strcspn(text, "\n") : 0;

    if (!end->exit_code)
        return;
    snprintf(why, SUBJECT_TEXT, "exit status %d%s%.*s", (int)end->exit_code, len ? ": " : "", len < 200 ? len : 200,
             text ? text : "");
}

static int32_t job_collect(const struct subject *subject, const char *id, const struct job *job,
                           const rt_exec_request *req, rt_call *call, char why[SUBJECT_TEXT], rt_exit *ret_end,
                           size_t *ret_bytes)
{
    const rt_ops *ops = subject->sb->ops;
    rt_exec_result *result = NULL;
    int32_t status = job->in_session ? ops->session_exec(subject->sb->rt, id, SUBJECT_BOX, req, call, &result)
                                     : ops->exec(subject->sb->rt, id, req, call, &result);

    if (!status) {
        *ret_end = result->exit;
        *ret_bytes = result->stdout_len;
        failure_tell(why, ret_end, result->stderr_data);
    }
    ops->exec_result_free(result);
    return status;
}

static int32_t job_stream(const struct subject *subject, const char *id, const rt_exec_request *req, rt_call *call,
                          char why[SUBJECT_TEXT], rt_exit *ret_end, size_t *ret_bytes)
{
    int32_t status = subject->sb->ops->exec_stream(subject->sb->rt, id, req, bytes_count, ret_bytes, call, ret_end);

    if (!status)
        failure_tell(why, ret_end, NULL);
    return status;
}

bool subject_run(const struct subject *subject, const char *id, const struct job *job, char why[SUBJECT_TEXT],
                 size_t *ret_bytes)
{
    rt_exec_request req = { .size = sizeof req,
                            .argv = job->argv,
                            .shell = job->shell,
                            .stdin_data = job->in,
                            .stdin_len = job->in_len,
                            .timeout_ms = JOB_TIMEOUT_MS };
    rt_call call = subject_call(subject);
    rt_exit end = RT_EXIT_INIT;
    size_t bytes = 0;
    int32_t status;

    if (subject->is_host)
        return bare_run(subject->dir, job, why, ret_bytes);
    if (job->is_streamed)
        status = job_stream(subject, id, &req, &call, why, &end, &bytes);
    else
        status = job_collect(subject, id, job, &req, &call, why, &end, &bytes);
    if (ret_bytes)
        *ret_bytes = bytes;
    if (status)
        snprintf(why, SUBJECT_TEXT, "%s", *call.error.message ? call.error.message : stockade_status_name(status));
    return !status && !end.exit_code;
}
