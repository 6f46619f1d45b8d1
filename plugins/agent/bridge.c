/*
 * The bridge: one connection to the agent for a host that no socket of the sandbox reaches; see relay_proto.h. Its
 * stdin and stdout lead to the host. When the host goes, the connection ends, and the agent ends the command.
 */
#include "agent.h"
#include "inside.h"
#include "mux.h"
#include "relay_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_ROUNDS 1000 /* of 10 ms: at its boot the agent is not listening yet */

struct bridge {
    struct mux mux;
    const char *name;
    int agent;
    int answers; /* of a session's keeper, where they come from instead; -1 = none */
    bool over;
};

static int agent_connect(const char *name)
{
    struct timespec tick = { .tv_nsec = 10000000 };
    struct sockaddr_un addr;
    socklen_t len = inside_address(name, &addr);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    for (int round = 0; fd >= 0 && len && round < CONNECT_ROUNDS; round++) {
        if (connect(fd, (struct sockaddr *)&addr, len) == 0)
            return fd;
        if (errno != ECONNREFUSED && errno != EAGAIN)
            break;
        nanosleep(&tick, NULL);
    }
    return -1;
}

/* ---- from the host ---- */

/* The command's end of a pipe; the other one becomes the channel. It must be open to whoever the command runs as. */
static int channel_pipe(struct bridge *bridge, size_t i, bool input)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    (void)fchmod(pair[0], input ? 0444 : 0222);
    mux_open(&bridge->mux, i, pair[input], !input, input);
    return pair[!input];
}

/* A session's terminal is read while a command of this connection runs, and left to others in between. */
static void terminal_hold(struct bridge *bridge, bool held)
{
    if (bridge->answers >= 0)
        bridge->mux.channels[RELAY_TTY_CHANNEL].held = held;
}

static int file_fd(struct wire_in *in)
{
    size_t len;
    const char *data = wire_get_bytes(in, &len);
    int fd = memfd_create("stockade-command", MFD_CLOEXEC);

    while (fd >= 0 && len) {
        ssize_t n = write(fd, data, len);

        if (n <= 0) {
            close(fd);
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return fd;
}

/* The keeper is taken for code inside: from here on nothing is read from the socket (agent_proto.h). */
static int answers_pipe(struct bridge *bridge)
{
    int pair[2];

    if (bridge->answers >= 0 || pipe2(pair, O_CLOEXEC | O_NONBLOCK | O_DIRECT) < 0)
        return -1;
    (void)shutdown(bridge->agent, SHUT_RD);
    bridge->answers = pair[0];
    terminal_hold(bridge, true);
    return pair[1];
}

static int command_fd(struct bridge *bridge, size_t i, struct wire_in *in)
{
    switch (wire_get_u32(in)) {
    case RELAY_NULL:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case RELAY_INPUT:
        return channel_pipe(bridge, i, true);
    case RELAY_OUTPUT:
        return channel_pipe(bridge, i, false);
    case RELAY_FILE:
        return file_fd(in);
    case RELAY_ANSWERS:
        return answers_pipe(bridge);
    default:
        return -1;
    }
}

/* What background children still write to goes to the agent, which keeps it flowing. */
static void outputs_sink(struct bridge *bridge)
{
    int fds[MUX_CHANNELS];
    size_t n = 0;

    for (size_t i = 0; i < MUX_CHANNELS; i++)
        if (bridge->mux.channels[i].reads && !bridge->mux.channels[i].writes)
            fds[n++] = mux_take_fd(&bridge->mux, i);
    (void)msg_send(bridge->agent, AGENT_SINK, NULL, 0, fds, n);
    while (n)
        close(fds[--n]);
}

static void terminal_resize(struct bridge *bridge, const void *body, size_t len)
{
    struct wire_in in = wire_in_over(body, len);
    struct winsize size = { .ws_row = (unsigned short)wire_get_u32(&in), .ws_col = (unsigned short)wire_get_u32(&in) };

    if (wire_in_done(&in) && bridge->mux.channels[RELAY_TTY_CHANNEL].fd >= 0)
        (void)ioctl(bridge->mux.channels[RELAY_TTY_CHANNEL].fd, TIOCSWINSZ, &size);
}

static void command_pass(struct bridge *bridge, uint32_t type, const char *body, size_t len, struct wire_in *in)
{
    uint32_t n = wire_get_u32(in), made = 0;
    int fds[RELAY_FDS_MAX];
    bool ok = n <= RELAY_FDS_MAX;

    if (n) /* it begins a command */
        mux_reset(&bridge->mux);
    if (type == AGENT_SESSION_YIELD) /* what its command did not read is nobody's */
        mux_drop(&bridge->mux, RELAY_TTY_CHANNEL);
    while (ok && made < n) {
        fds[made] = command_fd(bridge, made, in);
        ok = fds[made] >= 0;
        made += ok;
    }
    if (!ok || !wire_in_done(in) || msg_send(bridge->agent, type, body, len, fds, n) < 0)
        bridge->over = true;
    while (made)
        close(fds[--made]);
}

/* Something of the bridge's own, without fds. */
static void host_tell(struct bridge *bridge, uint32_t type, const void *body, size_t len)
{
    struct wire_out out = { 0 };

    wire_put_u32(&out, type);
    wire_put_bytes(&out, body, len);
    wire_put_u32(&out, 0);
    mux_send(&bridge->mux, out.data, out.len);
    bridge->over |= out.failed;
    wire_out_release(&out);
}

static void hello_tell(struct bridge *bridge)
{
    struct wire_out pid = { 0 };

    wire_put_u32(&pid, (uint32_t)getpid());
    host_tell(bridge, RELAY_HELLO, pid.data, pid.len);
    wire_out_release(&pid);
}

/* The host has another use for this bridge: the connection that it had ends. */
static void connection_renew(struct bridge *bridge)
{
    close(bridge->agent);
    if (bridge->answers >= 0)
        close(bridge->answers);
    bridge->answers = -1;
    mux_reset_all(&bridge->mux);
    bridge->agent = agent_connect(bridge->name);
    host_tell(bridge, RELAY_RESET, "", 0);
}

static void host_message(void *arg, const void *data, size_t size)
{
    struct bridge *bridge = arg;
    struct wire_in in = wire_in_over(data, size);
    uint32_t type = wire_get_u32(&in);
    size_t len;
    const char *body = wire_get_bytes(&in, &len);

    if (in.failed)
        bridge->over = true;
    else if (type == RELAY_RESET)
        connection_renew(bridge);
    else if (type == AGENT_SINK)
        outputs_sink(bridge);
    else if (type == AGENT_RESIZE)
        terminal_resize(bridge, body, len);
    else
        command_pass(bridge, type, body, len, &in);
}

static void host_ready(struct bridge *bridge)
{
    static char chunk[64 << 10];
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || mux_feed(&bridge->mux, chunk, (size_t)n))
        bridge->over = true;
}

static void host_send(struct bridge *bridge)
{
    const struct mux_bytes *out = &bridge->mux.out;
    ssize_t n = write(STDOUT_FILENO, out->data + out->at, out->len - out->at);

    if (n > 0)
        mux_sent(&bridge->mux, (size_t)n);
    else if (errno != EAGAIN && errno != EINTR)
        bridge->over = true;
}

/* ---- from the agent ---- */

static void answer_pass(struct bridge *bridge, struct msg *msg)
{
    struct wire_out out = { 0 };
    int terminal = msg_take_fd(msg, 0);

    /* What the command wrote comes before the news of its end. */
    if (msg->type == AGENT_EXITED || msg->type == AGENT_REFUSED || msg->type == AGENT_SESSION_OVER)
        mux_drain(&bridge->mux);
    terminal_hold(bridge, msg->type != AGENT_STARTED);
    wire_put_u32(&out, msg->type);
    wire_put_bytes(&out, msg->body, msg->len);
    wire_put_u32(&out, terminal >= 0);
    if (terminal >= 0) {
        wire_put_u32(&out, RELAY_TTY);
        mux_open(&bridge->mux, RELAY_TTY_CHANNEL, terminal, true, true);
    }
    mux_send(&bridge->mux, out.data, out.len);
    bridge->over |= out.failed;
    wire_out_release(&out);
}

static void agent_ready(struct bridge *bridge)
{
    static char packet[MSG_PACKET_MAX];
    struct msg msg;
    int err = bridge->answers >= 0 ? msg_read(bridge->answers, packet, sizeof packet, &msg)
                                   : msg_recv(bridge->agent, packet, sizeof packet, &msg);

    if (!err) {
        answer_pass(bridge, &msg);
        msg_release(&msg);
    } else if (err != -EAGAIN && err != -EINTR) { /* what is left is sent, and that was it */
        close(bridge->agent);
        bridge->agent = -1;
    }
}

/* ---- the loop ---- */

enum { FD_IN, FD_OUT, FD_AGENT, FD_CHANNELS, FD_COUNT = FD_CHANNELS + MUX_CHANNELS };

static void bridge_once(struct bridge *bridge)
{
    struct pollfd fds[FD_COUNT] = {
        [FD_IN] = { .fd = STDIN_FILENO, .events = POLLIN },
        [FD_OUT] = { .fd = mux_unsent(&bridge->mux) ? STDOUT_FILENO : -1, .events = POLLOUT },
        [FD_AGENT] = { .fd = bridge->agent >= 0 && bridge->answers >= 0 ? bridge->answers : bridge->agent,
                       .events = POLLIN },
    };

    mux_poll(&bridge->mux, fds + FD_CHANNELS);
    if (poll(fds, FD_COUNT, -1) < 0)
        return;
    mux_serve(&bridge->mux, fds + FD_CHANNELS);
    if (fds[FD_IN].revents)
        host_ready(bridge);
    if (!bridge->over && fds[FD_AGENT].revents && bridge->agent >= 0)
        agent_ready(bridge);
    if (!bridge->over && mux_unsent(&bridge->mux))
        host_send(bridge);
}

int bridge_main(int argc, char **argv)
{
    struct bridge bridge = { .name = argc == 3 ? argv[2] : "", .agent = -1, .answers = -1 };
    sigset_t all;

    (void)prctl(PR_SET_DUMPABLE, 0);
    bridge.agent = agent_connect(bridge.name);
    if (bridge.agent < 0)
        return 125;
    (void)prctl(PR_SET_NAME, "stockade-bridge");
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    (void)fcntl(STDOUT_FILENO, F_SETFL, O_WRONLY | O_NONBLOCK);
    mux_init(&bridge.mux, host_message, &bridge);
    hello_tell(&bridge);
    while (!bridge.over && !bridge.mux.failed && (bridge.agent >= 0 || mux_unsent(&bridge.mux)))
        bridge_once(&bridge);
    return bridge.agent < 0 ? 0 : 1;
}
