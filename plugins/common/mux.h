/*
 * Several streams and messages over one byte stream: what passes between the host and a sandbox that no fd reaches.
 * Both ends use it alike. Frames are u8 kind, u8 channel, u16 epoch and u32 length, little-endian, then so many bytes.
 *
 * A channel is an fd at each end: what is read from the one is written to the other. No channel holds up another or
 * the messages: at most MUX_WINDOW bytes are on their way in each until the other end has written them.
 */
#ifndef STOCKADE_MUX_H
#define STOCKADE_MUX_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_CHANNELS    5
#define MUX_LASTING     4 /* the first channel that mux_reset() leaves alone */
#define MUX_WINDOW      ((size_t)256 << 10)
#define MUX_MESSAGE_MAX (((size_t)16 << 20) + (1 << 16)) /* MSG_BODY_MAX and what goes with it */

/* Bytes that wait; those before `at` are done with. */
struct mux_bytes {
    char *data;
    size_t at, len, cap;
};

struct mux_channel {
    int fd;         /* owned; -1 = closed */
    bool reads;     /* what fd gives is sent */
    bool writes;    /* what comes is written to fd */
    bool ended;     /* no more will come */
    bool held;      /* nothing is read for now */
    int64_t credit; /* what the other end takes yet; below zero after mux_drain() */
    struct mux_bytes pending;
};

struct mux {
    struct mux_channel channels[MUX_CHANNELS];
    uint16_t epoch;       /* frames of another one are of channels that are closed: but for the lasting ones */
    struct mux_bytes out; /* to be sent to the other end by whoever owns the stream */
    struct mux_bytes in;  /* a frame that has not come in full */
    bool failed;          /* out of memory */
    void (*message)(void *arg, const void *data, size_t len);
    void *arg;
};

void mux_init(struct mux *mux, void (*message)(void *arg, const void *data, size_t len), void *arg);
void mux_release(struct mux *mux); /* closes and frees all */

/* Closes the channels, without a word to the other end: it does the same. What is under way of them is dropped. */
void mux_reset(struct mux *mux);
/* Closes the lasting ones too, between two uses of the stream, when nothing is under way. */
void mux_reset_all(struct mux *mux);
/* Opens channel i on fd, taken over and made non-blocking. */
void mux_open(struct mux *mux, size_t i, int fd, bool reads, bool writes);
/* Takes the fd out of a channel, which is closed then: the caller's. */
int mux_take_fd(struct mux *mux, size_t i);
/* Forgets what came for a channel's fd and was not written yet. */
void mux_drop(struct mux *mux, size_t i);
void mux_send(struct mux *mux, const void *data, size_t len); /* a message */

/* What came from the other end, in pieces of any size. 0; -EPROTO for what our other end does not send; -ENOMEM. */
int mux_feed(struct mux *mux, const void *data, size_t len);
/* So much of out was sent. */
void mux_sent(struct mux *mux, size_t len);
static inline size_t mux_unsent(const struct mux *mux)
{
    return mux->out.len - mux->out.at;
}

/* What poll(2) is to wait for; fds has MUX_CHANNELS elements. */
void mux_poll(const struct mux *mux, struct pollfd *fds);
/* Reads and writes what the same elements say is possible; never blocks. */
void mux_serve(struct mux *mux, const struct pollfd *fds);

/* Reads what lies in the channels now, whatever the other end has taken: before a message that must come after it. */
void mux_drain(struct mux *mux);
/* Writes all that came, for which pipes and sockets are made larger: before a message of the other end is passed on. */
void mux_flush(struct mux *mux);

#endif
