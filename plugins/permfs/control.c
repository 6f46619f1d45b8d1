#include "control.h"

#include "permfs_proto.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum verdict { GO_ON, DROP, END };

int control_send_failed(int sock, int r, const char *why)
{
    struct wire_out w = { 0 };

    wire_put_u32(&w, (uint32_t)-r);
    wire_put_str(&w, why);
    r = w.failed ? -ENOMEM : msg_send(sock, PERMFS_FAILED, w.data, w.len, NULL, 0);
    wire_out_release(&w);
    return r;
}

static enum verdict answer(int sock, int r, const char *why)
{
    r = r ? control_send_failed(sock, r, why) : msg_send(sock, PERMFS_OK, NULL, 0, NULL, 0);
    return r ? DROP : GO_ON;
}

static enum verdict replace_rules(struct control *c, int sock, const struct msg *msg)
{
    struct wire_in w = wire_in_over(msg->body, msg->len);
    char why[WHY_MAX] = "";
    struct rules *rules = NULL;
    int r = settings_decode_rules(&w, &rules, why);

    if (!r && !wire_in_done(&w)) {
        r = -EPROTO;
        strcpy(why, "malformed rules: bytes behind their end");
    }
    if (!r)
        r = c->ops->set_rules(c->user, rules);
    rules_unref(rules);
    return answer(sock, r, why);
}

static enum verdict take_guard(struct control *c, int sock, struct msg *msg)
{
    int r = guard_take(&c->guard, msg);

    if (!r && *c->lock >= 0) {
        close(*c->lock);
        *c->lock = -1;
    }
    return answer(sock, r, "malformed request");
}

static enum verdict handle_msg(struct control *c, int sock, struct msg *msg)
{
    if (msg->type == PERMFS_GUARD && sock == c->owner)
        return take_guard(c, sock, msg);
    if (msg->type == PERMFS_RULES)
        return replace_rules(c, sock, msg);
    if ((msg->type != PERMFS_PING && msg->type != PERMFS_QUIT && msg->type != PERMFS_REFRESH) || msg->len)
        return answer(sock, -EPROTO, "malformed request");
    if (msg->type == PERMFS_REFRESH)
        return answer(sock, c->ops->refresh(c->user), "reading the delta's log");
    if (msg->type == PERMFS_QUIT)
        c->ops->unmount(c->user);
    return answer(sock, 0, NULL) == DROP && msg->type == PERMFS_PING ? DROP : msg->type == PERMFS_QUIT ? END : GO_ON;
}

static enum verdict serve(struct control *c, int sock)
{
    static _Alignas(8) char buf[MSG_PACKET_MAX];
    struct msg msg;
    enum verdict verdict;
    int r = msg_recv(sock, buf, sizeof buf, &msg);

    if (r == -EAGAIN)
        return GO_ON;
    if (r == -EPROTO)
        return answer(sock, r, "malformed request");
    if (r)
        return DROP;
    verdict = handle_msg(c, sock, &msg);
    msg_release(&msg);
    return verdict;
}

static bool is_allowed(const struct control *c, int sock)
{
    struct ucred cred;
    socklen_t len = sizeof cred;

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return false;
    return cred.uid == 0 || cred.uid == c->uid;
}

static int *free_conn(struct control *c)
{
    for (int i = 0; i < CONTROL_CONNS_MAX; i++)
        if (c->conns[i] < 0)
            return &c->conns[i];
    return NULL;
}

static void accept_conn(struct control *c)
{
    int sock = accept4(c->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), *slot = free_conn(c);

    if (sock < 0) {
        if (errno == EMFILE || errno == ENFILE) /* readable all the while: do not spin */
            usleep(10000);
        return;
    }
    if (slot && is_allowed(c, sock))
        *slot = sock;
    else
        close(sock);
}

static bool serve_conn(struct control *c, int *sock)
{
    enum verdict verdict = serve(c, *sock);

    if (verdict == DROP) {
        close(*sock);
        *sock = -1;
    }
    return verdict == END;
}

/* Returns true when there is reason to end. */
static bool serve_owner(struct control *c)
{
    return serve_conn(c, &c->owner) || (c->owner < 0 && (c->lease || c->guard.init < 0));
}

void control_init(struct control *c)
{
    for (int i = 0; i < CONTROL_CONNS_MAX; i++)
        c->conns[i] = -1;
    c->guard = (struct guard)GUARD_INIT;
}

enum {
    POLL_SIGNALS,
    POLL_ENDED,
    POLL_INIT,
    POLL_HOST,
    POLL_NOTES,
    POLL_OWNER,
    POLL_LISTEN,
    POLL_CONNS,
    POLL_ALL = POLL_CONNS + CONTROL_CONNS_MAX
};

static bool wait_and_serve(struct control *c)
{
    struct pollfd v[POLL_ALL] = {
        [POLL_SIGNALS] = { c->signals, POLLIN, 0 },
        [POLL_ENDED] = { c->ended, POLLIN, 0 },
        [POLL_INIT] = { c->guard.init, POLLIN, 0 },
        [POLL_HOST] = { c->guard.owner, POLLIN, 0 },
        [POLL_NOTES] = { c->guard.notes, POLLIN, 0 },
        [POLL_OWNER] = { c->owner, POLLIN, 0 },
        [POLL_LISTEN] = { free_conn(c) ? c->listen : -1, POLLIN, 0 },
    };

    for (int i = 0; i < CONTROL_CONNS_MAX; i++)
        v[POLL_CONNS + i] = (struct pollfd){ c->conns[i], POLLIN, 0 };
    if (poll(v, POLL_ALL, -1) < 0)
        return errno != EINTR;
    if (v[POLL_NOTES].revents)
        guard_note(&c->guard);
    if (v[POLL_SIGNALS].revents || v[POLL_ENDED].revents || v[POLL_INIT].revents || v[POLL_HOST].revents)
        return true;
    for (int i = 0; i < CONTROL_CONNS_MAX; i++)
        if (v[POLL_CONNS + i].revents && serve_conn(c, &c->conns[i]))
            return true;
    if (v[POLL_OWNER].revents && serve_owner(c))
        return true;
    if (v[POLL_LISTEN].revents)
        accept_conn(c);
    return false;
}

void control_run(struct control *c)
{
    while (!wait_and_serve(c))
        ;
    c->ops->unmount(c->user);
    for (int i = 0; i < CONTROL_CONNS_MAX; i++)
        if (c->conns[i] >= 0)
            close(c->conns[i]);
}
