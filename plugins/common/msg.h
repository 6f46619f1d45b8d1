/*
 * Messages between host, permfs and agent: one SEQPACKET packet each, with fds by SCM_RIGHTS. A body too large for a
 * packet travels in a sealed memfd; the receiver does not see the difference.
 */
#ifndef STOCKADE_MSG_H
#define STOCKADE_MSG_H

#include <stddef.h>
#include <stdint.h>

#define MSG_FDS_MAX    8
#define MSG_BODY_MAX   ((size_t)16 << 20) /* a larger body is refused on both sides */
#define MSG_PACKET_MAX ((size_t)64 << 10) /* of a packet, header included; well below the default socket buffer */

struct msg {
    uint32_t type;
    const void *body; /* in the caller's buffer, or in heap */
    size_t len;
    int fds[MSG_FDS_MAX]; /* owned: close-on-exec; those that the caller takes are set to -1 */
    size_t n_fds;
    void *heap;
};

/* Sends one message; never raises SIGPIPE. Returns 0 or -errno (-EMSGSIZE beyond MSG_BODY_MAX). fds are borrowed. */
int msg_send(int sock, uint32_t type, const void *body, size_t len, const int *fds, size_t n_fds);

/*
 * Receives one message through buf (cap bytes, room for the packets that are expected; MSG_PACKET_MAX takes all).
 * Returns 0 with *ret to be released; -EPIPE at end of file; -EAGAIN on a non-blocking socket; -EPROTO for a
 * malformed or too large packet; another -errno from recvmsg(2).
 */
int msg_recv(int sock, void *buf, size_t cap, struct msg *ret);
int msg_take_fd(struct msg *msg, size_t i); /* moves fd i to the caller; -1 if there is none */
void msg_release(struct msg *msg);          /* closes what was not taken */

/*
 * The same over a pipe in packet mode (pipe(2), O_DIRECT), which can carry no fds, whoever holds its other end. A
 * message is one packet of at most PIPE_BUF bytes, its header of MSG_HEADER_SIZE bytes included. msg_write() returns 0
 * or -errno, -EMSGSIZE for a larger one; it raises SIGPIPE as write(2) does. msg_read() returns as msg_recv() does, and
 * there is nothing to release.
 */
#define MSG_HEADER_SIZE 16
int msg_write(int pipe, uint32_t type, const void *body, size_t len);
int msg_read(int pipe, void *buf, size_t cap, struct msg *ret);

#endif
