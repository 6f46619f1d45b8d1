/* Making a command: from the request to a connection to the agent with the command's pipes behind it. */
#include "process.h"

#include "agent_client.h"
#include "cgroup.h"
#include "env.h"
#include "error.h"
#include "msg.h"
#include "oom.h"
#include "session.h"
#include "session_turn.h"
#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int32_t request_check(struct op *op, const rt_exec_request *req)
{
    if (!req->shell == !req->argv || (req->argv && !req->argv[0]))
        return op_fail(op, RT_E_INVAL, 0, "exactly one of shell and argv must be given, and argv not be empty");
    if (req->flags & ~(RT_EXEC_TTY | RT_EXEC_NULL_STDIN))
        return op_fail(op, RT_E_INVAL, 0, "unknown flags %#x", req->flags);
    if (req->timeout_ms < RT_FOREVER || req->timeout_ms > INT64_MAX / (2 * NS_PER_MS))
        return op_fail(op, RT_E_INVAL, 0, "timeout_ms: %lld is out of range", (long long)req->timeout_ms);
    if (req->grace_ms < 0 || req->grace_ms > INT64_MAX / (2 * NS_PER_MS))
        return op_fail(op, RT_E_INVAL, 0, "grace_ms: %lld is out of range", (long long)req->grace_ms);
    if (req->cwd && !*req->cwd)
        return op_fail(op, RT_E_INVAL, 0, "cwd is empty");
    return env_check(req->env, "env", op->err);
}

/* Only the sandbox's own user exists where a user namespace maps one id. */
static int32_t user_check(struct op *op, const struct live *live, const char *user)
{
    uint32_t uid, gid;

    if (!user)
        return RT_OK;
    if (!user_parse(user, &uid, &gid))
        return op_fail(op, RT_E_INVAL, 0, "user '%.100s' is not \"uid\" or \"uid:gid\"", user);
    if (uid != live->identity.uid || gid != live->identity.gid)
        return op_fail(op, RT_E_UNSUPPORTED, 0, "user %s: commands here run as %u:%u", user, live->identity.uid,
                       live->identity.gid);
    return RT_OK;
}

char *process_cwd(const struct live *live, const char *cwd)
{
    char *path;

    if (cwd && cwd[0] == '/')
        return strdup(cwd);
    return asprintf(&path, "%s%s%s", live->spec.workspace, cwd ? "/" : "", cwd ? cwd : "") < 0 ? NULL : path;
}

int pipes_make(enum process_stdin in, struct pipes *ret)
{
    for (int i = 0; i < 3; i++) {
        int pair[2];

        if (i == 0 && in == PROCESS_STDIN_NULL) {
            ret->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
            if (ret->theirs[0] < 0)
                return -errno;
            continue;
        }
        if (pipe2(pair, O_CLOEXEC) < 0)
            return -errno;
        ret->theirs[i] = pair[i != 0];
        ret->ours[i] = pair[i == 0];
    }
    return 0;
}

int tty_streams(struct pipes *ret)
{
    for (int i = 0; i < 3; i++) {
        ret->theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (ret->theirs[i] < 0)
            return -errno;
    }
    return 0;
}

void pipes_close(int fds[3])
{
    for (int i = 0; i < 3; i++)
        fd_closep(&fds[i]);
}

void pipes_give(struct process *process, struct pipes *pipes)
{
    pipes_close(pipes->theirs);
    process->pub.stdin_fd = pipes->ours[0];
    process->pub.stdout_fd = pipes->ours[1];
    process->pub.stderr_fd = pipes->ours[2];
}

static void times_set(struct process *process, const rt_exec_request *req, const struct settings *settings)
{
    int64_t ms = req->timeout_ms ? req->timeout_ms : process->live->spec.timeout_ms;

    if (!ms)
        ms = settings->default_timeout_ms;
    process->timeout_ns = ms == RT_FOREVER ? 0 : ms * NS_PER_MS;
    process->grace_ns = (req->grace_ms ? req->grace_ms : settings->kill_grace_ms) * NS_PER_MS;
}

static int request_send(struct process *process, const rt_exec_request *req, const struct pipes *pipes)
{
    const char *shell_argv[] = { "/bin/sh", "-c", req->shell, NULL };
    const char **env = env_merge(process->live->spec.env, req->env);
    struct wire_out body = { 0 };
    int fds[5] = { pipes->theirs[0], pipes->theirs[1], pipes->theirs[2], -1, -1 }, err;

    if (!env)
        return -ENOMEM;
    if (process->cgroup) {
        fds[3] = process->cgroup->procs_fd;
        fds[4] = process->cgroup->kill_fd;
    }
    wire_put_u32(&body, (process->cgroup ? AGENT_CGROUP : 0) | (process->tty ? AGENT_TTY : 0));
    wire_put_str(&body, process->cwd);
    wire_put_strv(&body, req->shell ? shell_argv : req->argv);
    wire_put_strv(&body, env);
    wire_put_u32(&body, AGENT_SAME_ID);
    wire_put_u32(&body, AGENT_SAME_ID);
    wire_put_u32(&body, process->live->spec.limits.pids);
    wire_put_u32(&body, req->rows ? req->rows : 24);
    wire_put_u32(&body, req->cols ? req->cols : 80);
    free(env);
    err =
        body.failed ? -ENOMEM : msg_send(process->conn, AGENT_SPAWN, body.data, body.len, fds, process->cgroup ? 5 : 3);
    wire_out_release(&body);
    return err;
}

static int32_t process_send(struct op *op, struct process *process, const rt_exec_request *req, enum process_stdin in)
{
    struct pipes pipes = PIPES_NONE;
    int err;

    process->tty = req->flags & RT_EXEC_TTY;
    err = process->tty ? tty_streams(&pipes) : pipes_make(in, &pipes);

    if (!err) {
        if (process->live->cgroups)
            process->cgroup = cgroup_get(process->live->cgroups);
        err = request_send(process, req, &pipes);
    }
    if (err) {
        pipes_close(pipes.theirs);
        pipes_close(pipes.ours);
        return live_send_status(op, process->live, err, "send the command to the agent");
    }
    pipes_give(process, &pipes);
    return RT_OK;
}

/* ---- how it is ended ---- */

static void cgroup_terminate(struct process *process)
{
    cgroup_signal(process->cgroup, SIGTERM);
}

static void agent_kill(struct process *process)
{
    (void)msg_send(process->conn, AGENT_KILL, NULL, 0, NULL, 0);
}

/* One that is only being started enters its cgroup yet: the agent kills it once it has. */
static void cgroup_kill_all(struct process *process)
{
    cgroup_kill(process->cgroup);
    if (!process->started)
        agent_kill(process);
}

static bool cgroup_is_gone(const struct process *process)
{
    return process->exited && cgroup_is_empty(process->cgroup);
}

static void walk_terminate(struct process *process)
{
    (void)agent_send_signal(process->conn, SIGTERM, AGENT_SCOPE_TREE);
}

static bool walk_is_gone(const struct process *process)
{
    return process->gone;
}

static int32_t sandbox_lost(struct op *op, struct process *process)
{
    return live_end_status(op, process->live);
}

static const struct process_kind by_cgroup = {
    .terminate = cgroup_terminate, .kill = cgroup_kill_all, .is_gone = cgroup_is_gone, .lost = sandbox_lost
};
static const struct process_kind by_walk = {
    .terminate = walk_terminate, .kill = agent_kill, .is_gone = walk_is_gone, .lost = sandbox_lost
};

/* ---- making and freeing ---- */

int32_t process_alloc(struct op *op, const char *id, const rt_exec_request *req, struct process **ret)
{
    struct process *process;
    int32_t status = request_check(op, req);

    if (status)
        return status;
    process = malloc(sizeof *process);
    if (!process)
        return op_fail(op, RT_E_NOMEM, 0, "a process");
    *process = (struct process){
        .pub = { .size = sizeof process->pub, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .exit_fd = -1 },
        .kind = &by_walk,
        .rt = op->rt,
        .conn = -1,
        .answers = -1,
        .master = -1,
        .exit = RT_EXIT_INIT
    };
    status = live_get(op, id, &process->live);
    if (status) {
        process_free(process);
        return status;
    }
    times_set(process, req, op->rt->settings);
    process->oom_before = oom_kills(process->live->oom_fd);
    *ret = process;
    return RT_OK;
}

int32_t process_new(struct op *op, const char *id, const rt_exec_request *req, enum process_stdin in,
                    struct process **ret)
{
    struct process *process;
    int32_t status = process_alloc(op, id, req, &process);
    struct op connecting = *op;

    if (status)
        return status;
    if (process->timeout_ns) /* a relayed sandbox may be far away; the command's own time begins once it is reached */
        connecting.deadline_ns = sooner_ns(op->deadline_ns, now_ns() + process->timeout_ns);
    process->end_wait_ns = process->grace_ns;
    process->cwd = process_cwd(process->live, req->cwd);
    status = process->cwd ? user_check(op, process->live, req->user) : op_fail(op, RT_E_NOMEM, 0, "a process");
    if (!status)
        status = live_connect(&connecting, process->live, &process->conn);
    process->timeout_at = process->timeout_ns ? now_ns() + process->timeout_ns : 0;
    if (!status)
        status = process_send(op, process, req, in);
    if (status) {
        process_free(process);
        return status;
    }
    process->kind = process->cgroup ? &by_cgroup : &by_walk;
    process->pub.exit_fd = process->conn;
    *ret = process;
    return RT_OK;
}

void process_free(struct process *process)
{
    struct session_link link;

    if (!process)
        return;
    fd_closep(&process->pub.stdin_fd);
    fd_closep(&process->pub.stdout_fd);
    fd_closep(&process->pub.stderr_fd);
    if (!process->exited)
        fd_closep(&process->conn); /* kills it; once its end was heard of, a session's is as good as new */
    link = (struct session_link){ process->conn, process->answers, process->master };
    session_turn_give(process->turn, &link);
    if (process->cgroup)
        cgroup_put(process->live->cgroups, process->cgroup);
    live_unref(process->live);
    free(process->session);
    free(process->cwd);
    free(process);
}
