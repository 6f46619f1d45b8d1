/* The session_* ops but for the commands themselves: asking the sandbox's agent. */
#include "session.h"

#include "agent_proto.h"
#include "env.h"
#include "error.h"
#include "msg.h"
#include "ops.h"
#include "session_info.h"
#include "session_turn.h"
#include "structs.h"
#include "wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TRY_CODE      42
#define TRY_CODE_TEXT "42"

int32_t session_refused(struct op *op, const char *session, int err)
{
    switch (err) {
    case ENOENT:
        return op_fail(op, RT_E_SESSION_NOT_FOUND, 0, "there is no session '%s'", session);
    case EEXIST:
        return op_fail(op, RT_E_EXISTS, 0, "there is a session '%s' already", session);
    case EMFILE:
        return op_fail(op, RT_E_RESOURCE, 0, "a sandbox holds at most %u sessions", AGENT_SESSIONS_MAX);
    default:
        return op_fail(op, RT_E_RESOURCE, err, "session '%s'", session);
    }
}

int32_t session_name_check(struct op *op, const char *session)
{
    if (session && id_valid(session))
        return RT_OK;
    return op_fail(op, RT_E_SESSION_NOT_FOUND, 0, "there is no session '%.100s'", session ? session : "");
}

/* ---- asking ---- */

struct question {
    uint32_t type, answer;
    const char *session;
    const char *what; /* for the message if that is what was wrong */
    int32_t (*take)(struct op *op, struct msg *msg, void *into);
    void *into;
    bool patient; /* the answer must be heard: it makes something; an agent of ours answers at once */
};

static int32_t refused(struct op *op, const struct msg *msg, const struct question *question)
{
    struct wire_in in = wire_in_over(msg->body, msg->len);
    uint32_t stage = wire_get_u32(&in), err = wire_get_u32(&in);

    if (!wire_in_done(&in) || err >= 4096)
        return op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer is malformed");
    switch (stage) {
    case AGENT_STAGE_SESSION:
        return session_refused(op, question->session, (int)err);
    case AGENT_STAGE_CWD:
    case AGENT_STAGE_EXEC:
        return op_fail(op, RT_E_INVAL, (int)err, "%s", question->what);
    case AGENT_STAGE_REQUEST:
        return op_fail(op, RT_E_PROTOCOL, (int)err, "the agent refused the request");
    default:
        return op_fail(op, RT_E_RESOURCE, (int)err, "set the session up inside the sandbox");
    }
}

/* Waits for the one answer that is wanted, and gives it to take (which may be NULL). */
static int32_t answer_wait(struct op *op, struct live *live, int conn, const struct question *question)
{
    cleanup_free char *packet = malloc(MSG_PACKET_MAX);
    int32_t status = packet ? RT_OK : op_fail(op, RT_E_NOMEM, 0, "a message");
    int64_t until = now_ns() + HANG_NS;
    bool done = false;

    while (!status && !done) {
        struct msg msg;
        int err;

        status = now_ns() > until ? op_fail(op, RT_E_TIMEOUT, 0, "the agent did not answer in time")
                                  : op_wait_readable(op, conn, until, "the agent");
        if (status)
            break;
        err = msg_recv(conn, packet, MSG_PACKET_MAX, &msg);
        if (err == -EPIPE || err == -ECONNRESET)
            return live_end_status(op, live);
        if (err)
            return op_fail(op, RT_E_PROTOCOL, -err, "the agent's answer");
        done = msg.type == question->answer;
        if (msg.type == AGENT_REFUSED)
            status = refused(op, &msg, question);
        else if (msg.type == AGENT_SESSION_CLOSED)
            status = op_fail(op, RT_E_SESSION_CLOSED, 0, "session '%s' is closed", question->session);
        else if (done && question->take)
            status = question->take(op, &msg, question->into);
        msg_release(&msg);
    }
    return status;
}

static int32_t agent_ask_by(struct op *op, struct live *live, int conn, const struct question *question,
                            struct wire_out *body)
{
    struct op waiting = *op;
    int err = body->failed ? -ENOMEM : msg_send(conn, question->type, body->data, body->len, NULL, 0);

    if (question->patient) {
        waiting.deadline_ns = 0;
        waiting.cancel_fd = -1;
    }
    wire_out_release(body);
    if (err)
        return live_send_status(op, live, err, "talk to the agent");
    return answer_wait(&waiting, live, conn, question);
}

static int32_t agent_ask(struct op *op, struct live *live, const struct question *question, struct wire_out *body)
{
    cleanup_fd int conn = -1;
    int32_t status = live_connect(op, live, &conn);

    if (!status)
        return agent_ask_by(op, live, conn, question, body);
    wire_out_release(body);
    return status;
}

/* ---- attach ---- */

struct attachment {
    uint64_t number;
    int master;
};

static int32_t attachment_take(struct op *op, struct msg *msg, void *into)
{
    struct attachment *attachment = into;
    struct wire_in in = wire_in_over(msg->body, msg->len);

    attachment->number = wire_get_u64(&in);
    if (!wire_in_done(&in) || msg->n_fds > 1)
        return op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer is malformed");
    attachment->master = msg_take_fd(msg, 0);
    return RT_OK;
}

static int32_t hand_over(struct op *op, struct live *live, const char *session, uint64_t number,
                         struct session_link *link)
{
    cleanup_fd int theirs = -1;
    struct wire_out body = { 0 };
    int pair[2], err;

    /* From here on nothing can be sent to us by it, what lies in it already is the agent's. */
    if (shutdown(link->conn, SHUT_RD) < 0 || pipe2(pair, O_DIRECT | O_NONBLOCK | O_CLOEXEC) < 0)
        return op_fail(op, error_status(errno), errno, "reach session '%s'", session);
    link->answers = pair[0];
    theirs = pair[1];
    wire_put_u64(&body, number);
    err = body.failed ? -ENOMEM : msg_send(link->conn, AGENT_SESSION_HAND_OVER, body.data, body.len, &theirs, 1);
    wire_out_release(&body);
    return err ? live_send_status(op, live, err, "reach the session") : RT_OK;
}

int32_t session_attach(struct op *op, struct live *live, const char *session, struct session_link *ret)
{
    struct attachment attachment = { .master = -1 };
    const struct question question = { .type = AGENT_SESSION_ATTACH,
                                       .answer = AGENT_ATTACHED,
                                       .session = session,
                                       .take = attachment_take,
                                       .into = &attachment };
    struct session_link link = SESSION_LINK_NONE;
    struct wire_out body = { 0 };
    int32_t status = live_connect(op, live, &link.conn);

    if (status)
        return status;
    /* Who reads nothing must not hold us up in sending. */
    (void)fcntl(link.conn, F_SETFL, O_RDWR | O_NONBLOCK);
    wire_put_str(&body, session);
    status = agent_ask_by(op, live, link.conn, &question, &body);
    link.master = attachment.master;
    if (!status)
        status = hand_over(op, live, session, attachment.number, &link);
    if (status)
        session_link_close(&link);
    *ret = link;
    return status;
}

/* ---- list ---- */

struct listing {
    const char *sandbox;
    rt_session_list *list;
};

static int32_t listing_take(struct op *op, struct msg *msg, void *into)
{
    struct listing *listing = into;
    struct wire_in in = wire_in_over(msg->body, msg->len);
    int32_t status = session_list_read(&in, listing->sandbox, &listing->list);

    return status ? op_fail(op, status, 0, "the agent's list of sessions") : RT_OK;
}

/* All of a sandbox's sessions, or the one that is named. */
static int32_t sessions_list(struct op *op, struct live *live, const char *session, rt_session_list **ret)
{
    struct listing listing = { .sandbox = live->id };
    struct question question = {
        .type = AGENT_SESSION_LIST, .answer = AGENT_SESSIONS, .session = session, .take = listing_take, .into = &listing
    };
    struct wire_out body = { 0 };
    int32_t status;

    wire_put_str(&body, session);
    status = agent_ask(op, live, &question, &body);
    *ret = listing.list;
    return status;
}

static int32_t sessions_find(struct op *op, struct live *live, const char *session, rt_session_list **ret)
{
    int32_t status = session_name_check(op, session);

    if (!status)
        status = sessions_list(op, live, session, ret);
    if (status || (*ret)->n == 1)
        return status;
    session_list_free(*ret);
    *ret = NULL;
    return session_refused(op, session, ENOENT);
}

int32_t session_check(struct op *op, struct live *live, const char *session)
{
    rt_session_list *list;
    int32_t status = sessions_find(op, live, session, &list);

    if (status)
        return status;
    if (list->items[0]->status == RT_SESSION_CLOSED)
        status = op_fail(op, RT_E_SESSION_CLOSED, 0, "session '%s' is closed", session);
    session_list_free(list);
    return status;
}

static int32_t session_info(struct op *op, struct live *live, const char *session, rt_session_info **ret)
{
    rt_session_list *list;
    int32_t status = sessions_find(op, live, session, &list);

    if (status)
        return status;
    *ret = session_info_copy(list->items[0]);
    session_list_free(list);
    return *ret ? RT_OK : op_fail(op, RT_E_NOMEM, 0, "a snapshot");
}

int32_t op_session_get(rt_runtime *rt, const char *id, const char *session, rt_call *call, rt_session_info **ret)
{
    struct live *live = NULL;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "session_get");

    if (!status)
        status = live_get(&op, id, &live);
    if (!status)
        status = session_info(&op, live, session, ret);
    live_unref(live);
    return op_end(&op, status);
}

int32_t op_session_list(rt_runtime *rt, const char *id, rt_call *call, rt_session_list **ret)
{
    struct live *live = NULL;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "session_list");

    if (!status)
        status = live_get(&op, id, &live);
    if (!status)
        status = sessions_list(&op, live, "", ret);
    live_unref(live);
    return op_end(&op, status);
}

/* ---- destroy ---- */

int32_t session_end(struct op *op, struct live *live, const char *session)
{
    const struct question question = { .type = AGENT_SESSION_DESTROY, .answer = AGENT_GONE, .session = session };
    struct wire_out body = { 0 };
    int32_t status;

    wire_put_str(&body, session);
    status = agent_ask(op, live, &question, &body);
    session_turns_forget(live->turns, session);
    return status;
}

int32_t op_session_destroy(rt_runtime *rt, const char *id, const char *session, rt_call *call)
{
    struct live *live = NULL;
    struct op op;
    int32_t status = op_begin(&op, rt, call, "session_destroy");

    if (!status)
        status = live_get(&op, id, &live);
    if (!status)
        status = session_name_check(&op, session);
    if (!status)
        status = session_end(&op, live, session);
    live_unref(live);
    return op_end(&op, status);
}

/* ---- create ---- */

static int32_t spec_check(struct op *op, const rt_session_spec *spec)
{
    if (spec->id && !id_valid(spec->id))
        return op_fail(op, RT_E_INVAL, 0, "session id '%.100s' is not [A-Za-z0-9][A-Za-z0-9_.-]{0,62}", spec->id);
    if (spec->shell && spec->shell[0] != '/')
        return op_fail(op, RT_E_INVAL, 0, "shell '%.100s' is not an absolute path", spec->shell);
    if (spec->cwd && !*spec->cwd)
        return op_fail(op, RT_E_INVAL, 0, "cwd is empty");
    if (spec->flags & ~RT_EXEC_TTY)
        return op_fail(op, RT_E_INVAL, 0, "unknown flags %#x", spec->flags);
    return env_check(spec->env, "env", op->err);
}

static void spec_put(struct wire_out *body, const struct live *live, const rt_session_spec *spec, const char *id,
                     const char *cwd, const char *const *env)
{
    wire_put_u32(body, spec->flags & RT_EXEC_TTY ? AGENT_TTY : 0);
    wire_put_str(body, id);
    wire_put_str(body, spec->shell);
    wire_put_str(body, cwd);
    wire_put_strv(body, env);
    wire_put_u32(body, AGENT_SAME_ID);
    wire_put_u32(body, AGENT_SAME_ID);
    wire_put_u32(body, live->spec.limits.pids);
    wire_put_u32(body, spec->rows ? spec->rows : 24);
    wire_put_u32(body, spec->cols ? spec->cols : 80);
    wire_put_u64(body, (uint64_t)now_real_us() * 1000);
}

static int32_t session_start(struct op *op, struct live *live, const rt_session_spec *spec, const char *id,
                             rt_session_list **ret)
{
    struct listing listing = { .sandbox = live->id };
    struct question question = {
        .type = AGENT_SESSION_CREATE, .answer = AGENT_SESSIONS, .session = id, .take = listing_take, .into = &listing
    };
    cleanup_free char *cwd = process_cwd(live, spec->cwd), *what = NULL;
    cleanup_free const char **env = env_merge(live->spec.env, spec->env);
    struct wire_out body = { 0 };
    int32_t status;

    if (!cwd || !env || asprintf(&what, "shell '%s', workdir '%s'", spec->shell ? spec->shell : "", cwd) < 0)
        return op_fail(op, RT_E_NOMEM, 0, "a session");
    question.what = what;
    spec_put(&body, live, spec, id, cwd, env);
    status = agent_ask(op, live, &question, &body);
    *ret = listing.list;
    if (status || listing.list->n == 1)
        return status;
    session_list_free(listing.list);
    return op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer does not fit the request");
}

static bool discard(void *user, int32_t stream, const void *data, size_t len)
{
    (void)user, (void)stream, (void)data, (void)len;
    return true;
}

/* Whether it is a shell shows when it runs a command, and what that returns is not what just any program ends with. */
static int32_t session_try(struct op *op, struct live *live, const char *session, const char *shell)
{
    const rt_exec_request req = {
        .size = sizeof req, .shell = "return " TRY_CODE_TEXT, .timeout_ms = HANG_S * 1000, .grace_ms = 100
    };
    struct process *process;
    const int64_t deadline = op->deadline_ns; /* which the end of a run clears */
    int32_t status = process_new_in_session(op, live->id, session, &req, AGENT_UNCOUNTED, &process);
    int exit_code;

    if (status)
        return status;
    status = process_run(op, process, &(struct process_io){ .take = discard });
    exit_code = process->exit.exit_code;
    process_free(process);
    if (status == RT_E_SESSION_CLOSED)
        return op_fail(op, RT_E_INVAL, 0, "'%s' does not work as a shell: it ended", shell);
    if (status == RT_E_TIMEOUT && !(deadline && now_ns() >= deadline))
        return op_fail(op, RT_E_INVAL, 0, "'%s' does not work as a shell: no answer in %d s", shell, HANG_S);
    if (!status && exit_code != TRY_CODE)
        return op_fail(op, RT_E_INVAL, 0, "'%s' does not work as a shell: it answered %d, not " TRY_CODE_TEXT, shell,
                       exit_code);
    return status;
}

static int32_t session_create(struct op *op, struct live *live, const rt_session_spec *spec, rt_session_info **ret)
{
    char made_up[17] = "";
    const char *id = spec->id ? spec->id : made_up;
    rt_session_list *list = NULL;
    int32_t status = spec_check(op, spec);

    random_name(made_up, sizeof made_up - 1);
    if (!status)
        status = session_start(op, live, spec, id, &list);
    if (status)
        return status;
    status = session_try(op, live, id, list->items[0]->shell);
    session_list_free(list);
    if (!status && ret)
        status = session_info(op, live, id, ret);
    if (status) {
        struct op quiet;

        op_init_quiet(&quiet, op->rt);
        (void)session_end(&quiet, live, id);
    }
    return status;
}

int32_t op_session_create(rt_runtime *rt, const char *id, const rt_session_spec *spec, rt_call *call,
                          rt_session_info **ret)
{
    struct live *live = NULL;
    rt_session_spec own = { .size = sizeof own };
    struct op op;
    int32_t status = op_begin(&op, rt, call, "session_create");

    if (!status && spec && !struct_read(&own, sizeof own, spec))
        status = op_fail(&op, RT_E_INVAL, 0, "a specification without a size");
    if (!status)
        status = live_get(&op, id, &live);
    if (!status)
        status = session_create(&op, live, &own, ret);
    live_unref(live);
    return op_end(&op, status);
}
