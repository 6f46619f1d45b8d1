/* What a bridge's thread does: messages and streams between one connection of the host's and the bridge. */
#include "relay.h"

#include "agent_proto.h"
#include "error.h"
#include "relay_proto.h"
#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define RESET_NS    (5 * NS_PER_S)  /* for the bridge to be ready again */
#define IDLE_NS     (30 * NS_PER_S) /* for the next connection */
#define KILL_NS     (2 * NS_PER_S)  /* the agent takes milliseconds: after that it is not reached */
#define RECV_ROUNDS 16              /* then the others have their turn */

/* ---- from the host ---- */

/* The content of a file that the host passes, behind its kind. */
static bool file_put(struct wire_out *out, int fd, off_t size)
{
    cleanup_free char *data = size >= 0 && (uint64_t)size <= MSG_BODY_MAX ? malloc((size_t)size + 1) : NULL;

    if (!data || pread(fd, data, (size_t)size, 0) != size)
        return false;
    wire_put_u32(out, RELAY_FILE);
    wire_put_bytes(out, data, (size_t)size);
    return true;
}

/* What fd i of a message is; a stream becomes channel i. False if it is nothing that can be passed on. */
static bool fd_put(struct relay *relay, struct wire_out *out, struct msg *msg, size_t i)
{
    struct stat st;
    bool output;

    if (fstat(msg->fds[i], &st) < 0)
        return false;
    if (S_ISREG(st.st_mode))
        return file_put(out, msg->fds[i], st.st_size);
    if (S_ISCHR(st.st_mode)) {
        wire_put_u32(out, RELAY_NULL);
        return true;
    }
    if (msg->type == AGENT_SESSION_HAND_OVER) {
        wire_put_u32(out, RELAY_ANSWERS);
        fd_closep(&relay->answers);
        relay->answers = msg_take_fd(msg, i);
        (void)fcntl(relay->answers, F_SETFL, fcntl(relay->answers, F_GETFL) | O_NONBLOCK);
        return true;
    }
    output = (fcntl(msg->fds[i], F_GETFL) & O_ACCMODE) == O_WRONLY;
    wire_put_u32(out, output ? RELAY_OUTPUT : RELAY_INPUT);
    mux_open(&relay->mux, i, msg_take_fd(msg, i), !output, output);
    return true;
}

static void outputs_close(struct mux *mux)
{
    for (size_t i = 0; i < MUX_CHANNELS; i++)
        if (mux->channels[i].writes && !mux->channels[i].reads)
            close(mux_take_fd(mux, i));
}

/* What was typed on a session's terminal comes before this message, or not at all. */
static void terminal_yield(const struct relay *relay)
{
    const int fd = relay->mux.channels[RELAY_TTY_CHANNEL].fd;
    char dropped[4096];

    while (fd >= 0 && read(fd, dropped, sizeof dropped) > 0)
        ;
}

static void host_message(struct relay *relay, struct msg *msg)
{
    struct wire_out out = { 0 };
    bool sink = msg->type == AGENT_SINK; /* the pipes themselves are on this side */
    size_t n = sink ? 0 : msg->n_fds;

    if (sink)
        outputs_close(&relay->mux);
    if (n)
        mux_reset(&relay->mux);
    if (msg->type == AGENT_SESSION_YIELD)
        terminal_yield(relay);
    if (msg->type == AGENT_KILL)
        relay->kill_ns = now_ns() + KILL_NS;
    wire_put_u32(&out, msg->type);
    wire_put_bytes(&out, msg->body, msg->len);
    wire_put_u32(&out, (uint32_t)n);
    relay->over |= n > RELAY_FDS_MAX;
    for (size_t i = 0; !relay->over && i < n; i++)
        relay->over = !fd_put(relay, &out, msg, i);
    relay->over |= out.failed;
    if (!relay->over)
        mux_send(&relay->mux, out.data, out.len);
    wire_out_release(&out);
}

/* The bridge ends the connection too, which is the end of a command that has not ended; or it ends itself. */
static void host_gone(struct relay *relay)
{
    struct wire_out out = { 0 };

    relay_drop_conn(relay);
    fd_closep(&relay->answers);
    mux_reset_all(&relay->mux);
    relay->pid = 0;
    relay->kill_ns = 0;
    if (!relay_keep(relay)) {
        relay->until_ns = now_ns(); /* once all is sent */
        return;
    }
    relay->until_ns = now_ns() + RESET_NS;
    wire_put_u32(&out, RELAY_RESET);
    wire_put_bytes(&out, "", 0);
    wire_put_u32(&out, 0);
    mux_send(&relay->mux, out.data, out.len);
    relay->over |= out.failed;
    wire_out_release(&out);
}

static void host_tell(struct relay *relay, uint32_t type, const void *body, size_t len, int terminal)
{
    int err;

    if (relay->conn < 0)
        return;
    err = relay->answers >= 0 ? msg_write(relay->answers, type, body, len)
                              : msg_send(relay->conn, type, body, len, &terminal, terminal >= 0);
    if (err) /* it does not listen */
        host_gone(relay);
}

/* The fds of a request did not all find room in this process: it is answered in the agent's place. */
static void host_refuse(struct relay *relay)
{
    struct wire_out body = { 0 };

    wire_put_u32(&body, AGENT_STAGE_SETUP);
    wire_put_u32(&body, EMFILE);
    if (!body.failed)
        host_tell(relay, AGENT_REFUSED, body.data, body.len, -1);
    wire_out_release(&body);
}

static void host_ready(struct relay *relay)
{
    struct msg msg;
    int err = msg_recv(relay->conn, relay->packet, sizeof relay->packet, &msg);

    if (!err) {
        host_message(relay, &msg);
        msg_release(&msg);
    } else if (err == -EMFILE && !relay->pid) {
        host_refuse(relay);
    } else if (err != -EAGAIN) {
        host_gone(relay);
    }
}

/* ---- when the Engine does not answer ---- */

/* The Engine is stopped or broken, and the host waits for a command's end: what is here of it is ended from here. */
static void command_kill(struct relay *relay)
{
    struct wire_out body = { 0 };

    relay->over = true; /* what comes of the stream yet is past */
    if (!relay->pid || !host_process_kill(relay->init_pid, relay->pid))
        return;
    wire_put_u32(&body, SIGKILL); /* a wait status */
    for (int i = 0; i < 4; i++)
        wire_put_u64(&body, 0);
    if (!body.failed)
        host_tell(relay, AGENT_EXITED, body.data, body.len, -1);
    host_tell(relay, AGENT_GONE, NULL, 0, -1);
    wire_out_release(&body);
}

/* ---- from the agent ---- */

/* A terminal is far away: what the host gets is a socket that behaves like its master. */
static int terminal_make(struct relay *relay)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    mux_open(&relay->mux, RELAY_TTY_CHANNEL, pair[0], true, true);
    return pair[1];
}

static void command_follow(struct relay *relay, uint32_t type, const void *body, size_t len)
{
    struct wire_in in = wire_in_over(body, len);
    uint32_t pid = wire_get_u32(&in);

    if (type == AGENT_STARTED && pid <= INT32_MAX)
        relay->pid = (pid_t)pid;
    if (type == AGENT_GONE)
        relay->kill_ns = 0;
    if (type == AGENT_EXITED || type == AGENT_REFUSED || type == AGENT_SESSION_OVER)
        mux_flush(&relay->mux); /* what the command wrote comes before the news of its end */
    if (type == AGENT_EXITED)
        relay->pid = 0;
}

static void hello_take(struct relay *relay, const void *body, size_t len)
{
    struct wire_in in = wire_in_over(body, len);
    uint32_t pid = wire_get_u32(&in);

    relay->over |= relay->bridge || !wire_in_done(&in) || pid < 2 || pid > INT32_MAX;
    relay->bridge = relay->over ? 0 : (pid_t)pid;
}

void relay_message(void *arg, const void *data, size_t size)
{
    struct relay *relay = arg;
    struct wire_in in = wire_in_over(data, size);
    uint32_t type = wire_get_u32(&in), n;
    cleanup_fd int terminal = -1;
    const char *body;
    size_t len;

    body = wire_get_bytes(&in, &len);
    n = wire_get_u32(&in);
    if (n > 1 || (n && wire_get_u32(&in) != RELAY_TTY) || !wire_in_done(&in)) {
        relay->over = true;
    } else if (type == RELAY_HELLO) {
        hello_take(relay, body, len);
    } else if (type == RELAY_RESET && relay->conn < 0) {
        relay->until_ns = now_ns() + IDLE_NS;
        relay_set_state(relay, RELAY_IDLE);
    } else if (relay->conn >= 0) {
        command_follow(relay, type, body, len);
        if (n) {
            terminal = terminal_make(relay);
            relay->over |= terminal < 0;
        }
        host_tell(relay, type, body, len, terminal);
    }
}

/* What is not of the bridge: the OCI runtime's reason for not having started it. */
static void stray_log(const struct relay *relay, const char *text, size_t len)
{
    char line[300];
    size_t n = len < sizeof line - 1 ? len : sizeof line - 1;

    for (size_t i = 0; i < n; i++)
        line[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    line[n] = '\0';
    runtime_log(relay->rt, RT_LOG_WARN, "a bridge into '%s': %s", relay->id, line);
}

static bool stream_take(struct relay *relay, const char *data, size_t len)
{
    const char *piece;
    size_t n;
    int stream;

    while ((stream = stream_next(&relay->frames, &data, &len, &piece, &n)) > 0) {
        if (stream == 1 && !mux_feed(&relay->mux, piece, n))
            continue;
        stray_log(relay, piece, n);
        if (stream == 1)
            return false;
    }
    return stream == 0;
}

static void stream_ready(struct relay *relay)
{
    char chunk[64 << 10];

    relay->more = true;
    for (int round = 0; round < RECV_ROUNDS && !relay->over; round++) {
        ssize_t n = hijack_recv(relay->stream, chunk, sizeof chunk);

        if (n == -EAGAIN) {
            relay->more = false;
            return;
        }
        relay->lost = n <= 0;
        if (relay->lost || !stream_take(relay, chunk, (size_t)n))
            relay->over = true;
    }
}

static void stream_send(struct relay *relay)
{
    const struct mux_bytes *out = &relay->mux.out;

    while (!relay->over && mux_unsent(&relay->mux)) {
        ssize_t n = hijack_send(relay->stream, out->data + out->at, out->len - out->at);

        if (n == -EAGAIN)
            return;
        if (n < 0)
            relay->over = true;
        else
            mux_sent(&relay->mux, (size_t)n);
    }
}

/* ---- the thread ---- */

enum { FD_HOST, FD_STREAM, FD_WAKE, FD_STOP, FD_CHANNELS, FD_COUNT = FD_CHANNELS + MUX_CHANNELS };

static int wait_ms(const struct relay *relay)
{
    int64_t next = sooner_ns(relay->until_ns, relay->kill_ns), left = next ? (next - now_ns()) / NS_PER_MS + 1 : -1;

    if (relay->more)
        return 0;
    return next && left < 0 ? 0 : (int)left;
}

static void given_take(struct relay *relay)
{
    uint64_t n;

    (void)!read(relay->wake_fd, &n, sizeof n);
    if (relay_take_given(relay))
        relay->until_ns = 0;
    else
        relay->over = true;
}

static void timers_serve(struct relay *relay)
{
    int64_t now = now_ns();

    if (relay->kill_ns && now >= relay->kill_ns)
        command_kill(relay);
    if (relay->until_ns && now >= relay->until_ns)
        relay->over = true;
}

static void relay_once(struct relay *relay)
{
    struct pollfd fds[FD_COUNT] = {
        [FD_HOST] = { .fd = relay->conn, .events = relay->bridge ? POLLIN : 0 },
        [FD_STREAM] = { .fd = hijack_fd(relay->stream), .events = POLLIN },
        [FD_WAKE] = { .fd = relay->wake_fd, .events = POLLIN },
        [FD_STOP] = { .fd = relays_stop_fd(relay->all), .events = POLLIN },
    };

    if (mux_unsent(&relay->mux))
        fds[FD_STREAM].events |= POLLOUT;
    mux_poll(&relay->mux, fds + FD_CHANNELS);
    if (poll(fds, FD_COUNT, wait_ms(relay)) < 0)
        return;
    relay->over = fds[FD_STOP].revents != 0;
    if (fds[FD_WAKE].revents)
        given_take(relay);
    mux_serve(&relay->mux, fds + FD_CHANNELS);
    if (relay->more || fds[FD_STREAM].revents)
        stream_ready(relay);
    if (relay->conn >= 0 && fds[FD_HOST].revents)
        host_ready(relay);
    stream_send(relay);
    timers_serve(relay);
    relay->over |= relay->mux.failed;
}

void *relay_serve(void *arg)
{
    struct relay *relay = arg;

    while (!relay->over)
        relay_once(relay);
    relay_end(relay);
    if (relay->lost && relay->bridge) /* it need not have heard: the Engine's shim keeps its stdin open */
        host_bridge_kill(relay->init_pid, relay->bridge);
    mux_flush(&relay->mux);
    mux_release(&relay->mux);
    relay_drop_conn(relay);
    fd_closep(&relay->answers);
    fd_closep(&relay->wake_fd); /* nobody wakes it any more */
    hijack_free(relay->stream);
    return NULL;
}
