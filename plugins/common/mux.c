#include "mux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER       8
#define PENDING_MAX  (4 * MUX_WINDOW) /* mux_drain() sends more than the window */
#define FLUSH_PIPE   (1 << 19)        /* holds a full pipe, a window, and a full pipe at the other end */
#define FLUSH_SOCKET (1 << 24)        /* the same, in the pieces that a terminal gives */
#define DRAIN_ROUNDS 256              /* of a terminal, which holds 4 KiB: a background child may write for ever */

enum mux_kind {
    MUX_MESSAGE = 1, /* no channel */
    MUX_DATA = 2,
    MUX_END = 3,    /* the sender's fd gives no more */
    MUX_CREDIT = 4, /* u32: so many bytes were written */
    MUX_STOP = 5,   /* the sender's fd takes no more */
};

/* ---- bytes ---- */

static bool bytes_add(struct mux_bytes *bytes, const void *data, size_t len)
{
    if (bytes->at == bytes->len)
        bytes->at = bytes->len = 0;
    if (len > bytes->cap - bytes->len && bytes->at) {
        memmove(bytes->data, bytes->data + bytes->at, bytes->len - bytes->at);
        bytes->len -= bytes->at;
        bytes->at = 0;
    }
    if (len > bytes->cap - bytes->len) {
        size_t cap = bytes->cap ? bytes->cap : 4096;
        char *bigger;

        while (cap - bytes->len < len)
            cap *= 2;
        bigger = realloc(bytes->data, cap);
        if (!bigger)
            return false;
        bytes->data = bigger;
        bytes->cap = cap;
    }
    if (len)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    return true;
}

static size_t bytes_left(const struct mux_bytes *bytes)
{
    return bytes->len - bytes->at;
}

static void bytes_free(struct mux_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct mux_bytes){ 0 };
}

/* ---- frames ---- */

static void put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void frame_put(struct mux *mux, enum mux_kind kind, size_t channel, const void *data, size_t len)
{
    unsigned char head[HEADER] = { (unsigned char)kind, (unsigned char)channel, (unsigned char)mux->epoch,
                                   (unsigned char)(mux->epoch >> 8) };

    put_u32(head + 4, (uint32_t)len);
    if (!bytes_add(&mux->out, head, sizeof head) || !bytes_add(&mux->out, data, len))
        mux->failed = true;
}

void mux_send(struct mux *mux, const void *data, size_t len)
{
    frame_put(mux, MUX_MESSAGE, 0, data, len);
}

void mux_sent(struct mux *mux, size_t len)
{
    mux->out.at += len;
}

/* ---- channels ---- */

static void channel_close(struct mux_channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
    channel->reads = channel->writes = channel->ended = channel->held = false;
    bytes_free(&channel->pending);
}

void mux_init(struct mux *mux, void (*message)(void *arg, const void *data, size_t len), void *arg)
{
    *mux = (struct mux){ .message = message, .arg = arg };
    for (size_t i = 0; i < MUX_CHANNELS; i++)
        mux->channels[i].fd = -1;
}

void mux_reset(struct mux *mux)
{
    for (size_t i = 0; i < MUX_LASTING; i++)
        channel_close(&mux->channels[i]);
    mux->epoch++;
}

void mux_reset_all(struct mux *mux)
{
    mux_reset(mux);
    for (size_t i = MUX_LASTING; i < MUX_CHANNELS; i++)
        channel_close(&mux->channels[i]);
}

void mux_release(struct mux *mux)
{
    mux_reset_all(mux);
    bytes_free(&mux->out);
    bytes_free(&mux->in);
}

void mux_open(struct mux *mux, size_t i, int fd, bool reads, bool writes)
{
    struct mux_channel *channel = &mux->channels[i];

    channel_close(channel);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *channel = (struct mux_channel){ .fd = fd, .reads = reads, .writes = writes, .credit = MUX_WINDOW };
}

int mux_take_fd(struct mux *mux, size_t i)
{
    int fd = mux->channels[i].fd;

    mux->channels[i].fd = -1;
    channel_close(&mux->channels[i]);
    return fd;
}

/* Returns false if there is no more to be had now. */
static bool channel_read(struct mux *mux, size_t i, size_t most)
{
    struct mux_channel *channel = &mux->channels[i];
    char chunk[64 << 10];
    ssize_t n = read(channel->fd, chunk, most < sizeof chunk ? most : sizeof chunk);

    if (n > 0) {
        channel->credit -= n;
        frame_put(mux, MUX_DATA, i, chunk, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    frame_put(mux, MUX_END, i, NULL, 0); /* a terminal without users is EIO */
    channel_close(channel);
    return false;
}

/* The other end may send so much more. */
static void credit_give(struct mux *mux, size_t i, size_t n)
{
    unsigned char credit[4];

    put_u32(credit, (uint32_t)n);
    frame_put(mux, MUX_CREDIT, i, credit, sizeof credit);
}

static void channel_write(struct mux *mux, size_t i)
{
    struct mux_channel *channel = &mux->channels[i];
    struct mux_bytes *pending = &channel->pending;

    while (channel->fd >= 0 && bytes_left(pending)) {
        ssize_t n = write(channel->fd, pending->data + pending->at, bytes_left(pending));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            frame_put(mux, MUX_STOP, i, NULL, 0);
            channel_close(channel);
            return;
        }
        pending->at += (size_t)n;
        credit_give(mux, i, (size_t)n);
    }
    if (channel->ended && !bytes_left(pending))
        channel_close(channel);
}

void mux_drop(struct mux *mux, size_t i)
{
    struct mux_bytes *pending = &mux->channels[i].pending;

    if (!bytes_left(pending))
        return;
    credit_give(mux, i, bytes_left(pending));
    pending->at = pending->len;
    channel_write(mux, i); /* it may have waited for its end */
}

/* ---- what comes ---- */

static int data_take(struct mux *mux, size_t i, const void *data, size_t len)
{
    struct mux_channel *channel = &mux->channels[i];

    if (!channel->writes) /* closed here meanwhile: the other end will hear of that */
        return 0;
    if (channel->ended || len > PENDING_MAX - bytes_left(&channel->pending))
        return -EPROTO;
    if (!bytes_add(&channel->pending, data, len))
        return -ENOMEM;
    channel_write(mux, i);
    return 0;
}

static int credit_take(struct mux_channel *channel, const unsigned char *data, size_t len)
{
    int64_t credit;

    if (len != 4)
        return -EPROTO;
    credit = channel->credit + get_u32(data);
    if (channel->reads && credit > (int64_t)MUX_WINDOW)
        return -EPROTO;
    channel->credit = credit;
    return 0;
}

static int frame_take(struct mux *mux, const unsigned char *head, const void *data, size_t len)
{
    struct mux_channel *channel;

    if (head[0] == MUX_MESSAGE) {
        mux->message(mux->arg, data, len);
        return 0;
    }
    if (head[1] >= MUX_CHANNELS)
        return -EPROTO;
    if (head[1] < MUX_LASTING && (head[2] | head[3] << 8) != mux->epoch)
        return 0;
    channel = &mux->channels[head[1]];
    switch (head[0]) {
    case MUX_DATA:
        return data_take(mux, head[1], data, len);
    case MUX_END:
        channel->ended = true;
        channel_write(mux, head[1]);
        return 0;
    case MUX_CREDIT:
        return credit_take(channel, data, len);
    case MUX_STOP:
        channel_close(channel);
        return 0;
    default:
        return -EPROTO;
    }
}

int mux_feed(struct mux *mux, const void *data, size_t len)
{
    int err = bytes_add(&mux->in, data, len) ? 0 : -ENOMEM;

    while (!err && bytes_left(&mux->in) >= HEADER) {
        const unsigned char *head = (const unsigned char *)mux->in.data + mux->in.at;
        size_t length = get_u32(head + 4);

        if (length > MUX_MESSAGE_MAX)
            return -EPROTO;
        if (bytes_left(&mux->in) - HEADER < length)
            break;
        mux->in.at += HEADER + length;
        err = frame_take(mux, head, head + HEADER, length);
    }
    return !err && mux->failed ? -ENOMEM : err;
}

/* ---- the fds ---- */

void mux_poll(const struct mux *mux, struct pollfd *fds)
{
    for (size_t i = 0; i < MUX_CHANNELS; i++) {
        const struct mux_channel *channel = &mux->channels[i];
        short events = 0;

        if (channel->reads && !channel->held && channel->credit > 0)
            events |= POLLIN;
        if (channel->writes && bytes_left(&channel->pending))
            events |= POLLOUT;
        /* Without anything to do a hangup is no news yet, and would be told again and again. */
        fds[i] = (struct pollfd){ .fd = events ? channel->fd : -1, .events = events };
    }
}

void mux_serve(struct mux *mux, const struct pollfd *fds)
{
    for (size_t i = 0; i < MUX_CHANNELS; i++) {
        struct mux_channel *channel = &mux->channels[i];

        if (fds[i].fd < 0 || !fds[i].revents || fds[i].fd != channel->fd)
            continue;
        if (fds[i].events & POLLOUT)
            channel_write(mux, i);
        if (channel->fd >= 0 && channel->reads && channel->credit > 0)
            (void)channel_read(mux, i, (size_t)channel->credit);
    }
}

/* A pipe tells how much it holds; a terminal has to be read until it has nothing, which it has after its worker ran. */
static void channel_drain(struct mux *mux, size_t i)
{
    struct mux_channel *channel = &mux->channels[i];
    int left = 0;

    if (channel->writes) {
        struct pollfd pfd = { .fd = channel->fd, .events = POLLIN };

        for (int round = 0; round < DRAIN_ROUNDS && poll(&pfd, 1, 0) > 0 && channel_read(mux, i, SIZE_MAX); round++)
            ;
        return;
    }
    if (ioctl(channel->fd, FIONREAD, &left) < 0)
        return;
    while (left > 0) {
        int64_t before = channel->credit;

        if (!channel_read(mux, i, (size_t)left))
            return;
        left -= (int)(before - channel->credit);
    }
}

void mux_drain(struct mux *mux)
{
    for (size_t i = 0; i < MUX_CHANNELS; i++)
        if (mux->channels[i].fd >= 0 && mux->channels[i].reads && !mux->channels[i].held)
            channel_drain(mux, i);
}

/*
 * Of a socket, which stands for a terminal, the kernel counts what each of its pieces costs. Not for longer: who reads
 * nothing is to hold up the writer.
 */
static void socket_flush(struct mux *mux, size_t i, int was)
{
    const int fd = mux->channels[i].fd, now = was / 2; /* it tells twice what it was told: socket(7) */

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ FLUSH_SOCKET }, sizeof(int)) < 0) /* without CAP_NET_ADMIN */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ FLUSH_SOCKET }, sizeof(int));
    channel_write(mux, i);
    if (mux->channels[i].fd == fd)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, sizeof now);
}

void mux_flush(struct mux *mux)
{
    for (size_t i = 0; i < MUX_CHANNELS; i++) {
        socklen_t len = sizeof(int);
        int was;

        if (mux->channels[i].fd < 0 || !bytes_left(&mux->channels[i].pending))
            continue;
        if (getsockopt(mux->channels[i].fd, SOL_SOCKET, SO_SNDBUF, &was, &len) == 0) {
            socket_flush(mux, i, was);
        } else {
            (void)fcntl(mux->channels[i].fd, F_SETPIPE_SZ, FLUSH_PIPE);
            channel_write(mux, i);
        }
    }
}
