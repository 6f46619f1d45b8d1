#include "relay.h"

#include "agent_proto.h"
#include "error.h"
#include "json.h"
#include "relay_proto.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define THREAD_STACK ((size_t)512 << 10)
#define HELLO_NS     (60 * NS_PER_S) /* for a bridge to be there; as long as an Engine may take for a call */
#define START_MAX    4               /* execs that the Engine is asked for at a time: more take longer altogether */
#define START_TICK   5               /* ms */
#define FDS_NEEDED   24 /* by a connection, a command's pipes, and the copies of these that its thread is given */
#define IDLE_MAX     4  /* bridges of one sandbox that wait for something to do: each is a process there */

struct relays {
    pthread_mutex_t lock; /* guards first and starting, and what struct relay says */
    struct relay *first;
    unsigned starting;
    int stop_fd; /* readable: all end */
};

/* ---- the list ---- */

int relays_stop_fd(const struct relays *relays)
{
    return relays->stop_fd;
}

void relay_set_state(struct relay *relay, enum relay_state state)
{
    pthread_mutex_lock(&relay->all->lock);
    relay->state = state;
    pthread_mutex_unlock(&relay->all->lock);
}

bool relay_take_given(struct relay *relay)
{
    bool given;

    pthread_mutex_lock(&relay->all->lock);
    given = relay->given >= 0;
    if (given) {
        relay->conn = take_fd(&relay->given);
        relay->state = RELAY_SERVING;
    }
    pthread_mutex_unlock(&relay->all->lock);
    return given;
}

void relay_end(struct relay *relay)
{
    pthread_mutex_lock(&relay->all->lock);
    relay->state = RELAY_ENDED;
    fd_closep(&relay->given);
    pthread_mutex_unlock(&relay->all->lock);
}

void relay_drop_conn(struct relay *relay)
{
    pthread_mutex_lock(&relay->all->lock);
    fd_closep(&relay->conn);
    pthread_mutex_unlock(&relay->all->lock);
}

bool relay_keep(struct relay *relay)
{
    unsigned waiting = 0;
    bool may;

    pthread_mutex_lock(&relay->all->lock);
    for (const struct relay *other = relay->all->first; other; other = other->next)
        waiting += (other->state == RELAY_IDLE || other->state == RELAY_RESETTING) &&
                   !strcmp(other->container, relay->container);
    may = waiting < IDLE_MAX && !relay->gone;
    if (may)
        relay->state = RELAY_RESETTING;
    pthread_mutex_unlock(&relay->all->lock);
    return may;
}

/* Its connection has ended, whether or not its thread has come to that. */
static bool is_done(const struct relay *relay)
{
    struct pollfd conn = { .fd = relay->conn };

    return relay->conn < 0 ? relay->given < 0 : poll(&conn, 1, 0) == 1 && (conn.revents & POLLHUP);
}

/* Whether one will wait for a connection in a moment: sooner than a new one could be there. */
static bool relay_is_coming(struct relays *relays, const char *container)
{
    const struct relay *relay;

    pthread_mutex_lock(&relays->lock);
    for (relay = relays->first; relay; relay = relay->next)
        if ((relay->state == RELAY_RESETTING || (relay->state == RELAY_SERVING && is_done(relay))) &&
            !strcmp(relay->container, container))
            break;
    pthread_mutex_unlock(&relays->lock);
    return relay != NULL;
}

static void relay_wake(const struct relay *relay)
{
    (void)!write(relay->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* Gives conn to one that waits. False if none does. */
static bool relay_give(struct relays *relays, const char *container, int conn)
{
    struct relay *relay;

    pthread_mutex_lock(&relays->lock);
    for (relay = relays->first; relay; relay = relay->next)
        if (relay->state == RELAY_IDLE && !strcmp(relay->container, container))
            break;
    if (relay) {
        relay->state = RELAY_SERVING;
        relay->given = conn;
        relay_wake(relay);
    }
    pthread_mutex_unlock(&relays->lock);
    return relay != NULL;
}

static void relay_free(struct relay *relay)
{
    fd_closep(&relay->wake_fd);
    free(relay);
}

/* What is_taken takes out of the list ends, is waited for, and freed. */
static void relays_join(struct relays *relays, bool (*is_taken)(struct relay *relay, const char *container),
                        const char *container)
{
    struct relay *taken = NULL;

    pthread_mutex_lock(&relays->lock);
    for (struct relay **at = &relays->first; *at;) {
        struct relay *relay = *at;

        if (!is_taken(relay, container)) {
            at = &relay->next;
            continue;
        }
        *at = relay->next;
        relay->next = taken;
        taken = relay;
    }
    pthread_mutex_unlock(&relays->lock);
    while (taken) {
        struct relay *relay = taken;

        taken = relay->next;
        pthread_join(relay->thread, NULL);
        relay_free(relay);
    }
}

static bool has_ended(struct relay *relay, const char *container)
{
    (void)container;
    return relay->state == RELAY_ENDED;
}

static bool is_any(struct relay *relay, const char *container)
{
    (void)relay, (void)container;
    return true;
}

static bool is_let_go(struct relay *relay, const char *container)
{
    if (strcmp(relay->container, container) != 0)
        return false;
    relay->gone = true;
    if (relay->state == RELAY_IDLE || relay->state == RELAY_RESETTING)
        relay_wake(relay);
    return relay->state != RELAY_SERVING;
}

void relays_end(struct relays *relays, const char *container)
{
    relays_join(relays, is_let_go, container);
}

int32_t relays_new(rt_error *err, struct relays **ret)
{
    cleanup_fd int stop_fd = eventfd(0, EFD_CLOEXEC);
    struct relays *relays;

    if (stop_fd < 0)
        return error_set(err, error_status(errno), errno, "connections by the Engine's exec");
    relays = calloc(1, sizeof *relays);
    if (!relays)
        return error_set(err, RT_E_NOMEM, 0, "connections by the Engine's exec");
    pthread_mutex_init(&relays->lock, NULL);
    relays->stop_fd = take_fd(&stop_fd);
    *ret = relays;
    return RT_OK;
}

void relays_free(struct relays *relays)
{
    if (!relays)
        return;
    (void)!write(relays->stop_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    relays_join(relays, is_any, NULL);
    close(relays->stop_fd);
    pthread_mutex_destroy(&relays->lock);
    free(relays);
}

/* ---- a new bridge ---- */

/* The bridge runs as root without a capability: the sandbox's user can neither signal nor trace it. */
static cJSON *exec_body(const char *name)
{
    const char *const argv[] = { INSIDE_AGENT, RELAY_BRIDGE_ARG, name, NULL };
    cJSON *body = cJSON_CreateObject();

    if (body && json_add_strv(body, "Cmd", argv) && json_add_str(body, "User", "0:0") &&
        cJSON_AddBoolToObject(body, "AttachStdin", true) && cJSON_AddBoolToObject(body, "AttachStdout", true) &&
        cJSON_AddBoolToObject(body, "AttachStderr", true) && cJSON_AddBoolToObject(body, "Tty", false))
        return body;
    cJSON_Delete(body);
    return NULL;
}

static int32_t exec_id_read(struct op *op, const struct whereabouts *place, int32_t status,
                            const struct engine_answer *answer, char ret_exec[80])
{
    bool ok = true;
    const char *exec = json_str(answer->json, "Id", "", &ok);

    if (answer->http == 404 || answer->http == 409) /* it is gone, or does not run */
        return op_wrap(op, RT_E_UNAVAILABLE, "the container of '%s' takes no command", place->id);
    if (status)
        return status;
    if (strlen(exec) < 12 || strlen(exec) > 64 || strspn(exec, "0123456789abcdef") != strlen(exec))
        return op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer names no exec");
    strcpy(ret_exec, exec);
    return RT_OK;
}

static int32_t exec_create(struct op *op, const struct whereabouts *place, char ret_exec[80])
{
    cleanup_free char *name = container_name(docker_of(op)->state_id, place->id), *path = NULL;
    cJSON *body = name ? exec_body(name) : NULL;
    struct engine_request request = { .method = "POST", .body = body };
    struct engine_answer answer = { 0 };
    int32_t status;

    if (!body || asprintf(&path, "/containers/%s/exec", place->backend_id) < 0) {
        path = NULL;
        cJSON_Delete(body);
        return op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
    }
    request.path = path;
    status = engine_call(op, docker_of(op)->engine, &request, &answer);
    status = exec_id_read(op, place, status, &answer, ret_exec);
    cJSON_Delete(body);
    engine_answer_release(&answer);
    return status;
}

static int32_t bridge_start(struct op *op, const struct whereabouts *place, struct hijack **ret)
{
    char exec[80], path[100];
    int32_t status = exec_create(op, place, exec);

    if (status)
        return status;
    snprintf(path, sizeof path, "/exec/%s/start", exec);
    return engine_hijack(op, docker_of(op)->engine, path, "{\"Detach\":false,\"Tty\":false}", ret);
}

static int thread_start(struct relay *relay)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int err;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    sigfillset(&all); /* the host's signals are the host's, and SIGPIPE is nobody's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&relay->thread, &attr, relay_serve, relay);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return err;
}

static struct relay *relay_new(struct op *op, const struct whereabouts *place, struct hijack *stream, int conn)
{
    struct relay *relay = calloc(1, sizeof *relay);

    if (!relay)
        return NULL;
    relay->state = RELAY_SERVING;
    relay->all = docker_of(op)->relays;
    relay->rt = op->rt;
    relay->init_pid = place->init_pid;
    relay->stream = stream;
    relay->conn = conn;
    relay->given = relay->answers = -1;
    relay->more = true; /* what came with the answer's head */
    relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(relay->id, sizeof relay->id, "%s", place->id);
    snprintf(relay->container, sizeof relay->container, "%s", place->backend_id);
    return relay;
}

/* Starts the thread; stream and conn are its own from here on, also on failure. */
static int32_t relay_start(struct op *op, const struct whereabouts *place, struct hijack *stream, int conn)
{
    struct relays *relays = docker_of(op)->relays;
    struct relay *relay = relay_new(op, place, stream, conn);
    int err = relay && relay->wake_fd >= 0 ? 0 : errno;

    if (!err) {
        mux_init(&relay->mux, relay_message, relay);
        pthread_mutex_lock(&relays->lock);
        err = thread_start(relay);
        if (!err) {
            relay->next = relays->first;
            relays->first = relay;
        }
        pthread_mutex_unlock(&relays->lock);
    }
    if (!err)
        return RT_OK;
    if (relay)
        relay_free(relay);
    hijack_free(stream);
    close(conn);
    return op_fail(op, error_status(err), err, "start a thread");
}

/* ---- connecting ---- */

/* A socket whose other end looks like the agent's. */
static int32_t connection_make(struct op *op, int *ret_ours, int *ret_theirs)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return op_fail(op, error_status(errno), errno, "a connection to the agent");
    (void)fcntl(pair[1], F_SETFL, O_RDWR | O_NONBLOCK);
    *ret_ours = pair[0];
    *ret_theirs = pair[1];
    return RT_OK;
}

/* RT_E_UNAVAILABLE if nobody is there. */
static int32_t agent_ping(struct op *op, int conn, int64_t until_ns)
{
    char packet[64];
    struct msg msg;
    int err = msg_send(conn, AGENT_PING, NULL, 0, NULL, 0);
    int32_t status = err ? RT_OK : op_wait_readable(op, conn, until_ns, "the agent");

    if (status)
        return status;
    err = err ? err : msg_recv(conn, packet, sizeof packet, &msg);
    if (err)
        return op_fail(op, RT_E_UNAVAILABLE, -err, "the agent cannot be reached by the Engine's exec");
    err = msg.type != AGENT_PONG;
    msg_release(&msg);
    return err ? op_fail(op, RT_E_PROTOCOL, 0, "the agent's answer is malformed") : RT_OK;
}

/*
 * A bridge that waits may be one whose Engine has been stopped or has gone: it shows now, when nothing has been asked
 * for that would come too late. *ret -1: there is none.
 */
static int32_t connect_by_old(struct op *op, const struct whereabouts *place, int *ret)
{
    int ours, theirs;

    for (;;) {
        int32_t status = op_need_fds(op, FDS_NEEDED, "a command by the Engine's exec");

        if (!status)
            status = connection_make(op, &ours, &theirs);
        if (status)
            return status;
        if (!relay_give(docker_of(op)->relays, place->backend_id, theirs)) {
            close(ours);
            close(theirs);
            return RT_OK;
        }
        status = agent_ping(op, ours, 0);
        if (!status) {
            *ret = ours;
            return RT_OK;
        }
        close(ours);
        if (status != RT_E_UNAVAILABLE)
            return status;
    }
}

static int32_t connect_by_new(struct op *op, const struct whereabouts *place, int *ret)
{
    cleanup_fd int ours = -1;
    struct hijack *stream;
    int theirs;
    int32_t status = bridge_start(op, place, &stream);

    if (status)
        return status;
    status = connection_make(op, &ours, &theirs);
    if (status) {
        hijack_free(stream);
        return status;
    }
    status = relay_start(op, place, stream, theirs);
    if (!status) /* until it says who it is, nothing reaches it, nor an end that is wanted */
        status = agent_ping(op, ours, now_ns() + HELLO_NS);
    if (!status)
        *ret = take_fd(&ours);
    return status;
}

static bool start_begin(struct relays *relays)
{
    bool may;

    pthread_mutex_lock(&relays->lock);
    may = relays->starting < START_MAX;
    relays->starting += may;
    pthread_mutex_unlock(&relays->lock);
    return may;
}

static void start_end(struct relays *relays)
{
    pthread_mutex_lock(&relays->lock);
    relays->starting--;
    pthread_mutex_unlock(&relays->lock);
}

int32_t relay_connect(struct op *op, const struct whereabouts *place, int *ret)
{
    struct relays *relays = docker_of(op)->relays;
    int conn = -1;
    bool waited = false; /* the one before may be coming to its end just now */
    int32_t status;

    relays_join(relays, has_ended, NULL);
    for (;;) {
        bool coming = relay_is_coming(relays, place->backend_id);

        status = connect_by_old(op, place, &conn);
        if (conn >= 0 || (status && !(status == RT_E_RESOURCE && coming))) /* what is coming has fds to give back */
            break;
        if (!status && waited && !coming && start_begin(relays)) {
            status = connect_by_new(op, place, &conn);
            start_end(relays);
            break;
        }
        status = op_sleep_ms(op, START_TICK);
        waited = true;
        if (status)
            break;
    }
    if (!status)
        *ret = conn;
    return status;
}

int32_t relay_await(struct op *op, const struct whereabouts *place)
{
    cleanup_fd int conn = -1;

    return relay_connect(op, place, &conn);
}
