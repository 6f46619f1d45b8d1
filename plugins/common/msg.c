#include "msg.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FLAG_MEMFD  1u /* the body is in the last fd */
#define MEMFD_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct header {
    uint32_t type;
    uint32_t flags;
    uint64_t len; /* of the body */
};

_Static_assert(sizeof(struct header) == MSG_HEADER_SIZE, "as msg.h says");

union cmsg_room {
    char bytes[CMSG_SPACE(sizeof(int) * (MSG_FDS_MAX + 1))];
    struct cmsghdr align;
};

static int body_memfd(const void *body, size_t len)
{
    int fd = memfd_create("stockade-msg", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

    if (fd < 0)
        return -errno;
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const char *)body + at, len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = -errno;
            close(fd);
            return err;
        }
        at += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) < 0) {
        err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

int msg_send(int sock, uint32_t type, const void *body, size_t len, const int *fds, size_t n_fds)
{
    struct header head = { .type = type, .len = len };
    struct iovec iov[2] = { { &head, sizeof head }, { (void *)(uintptr_t)body, len } };
    struct msghdr hdr = { .msg_iov = iov, .msg_iovlen = 2 };
    union cmsg_room room;
    int all[MSG_FDS_MAX + 1], memfd = -1;
    ssize_t sent;

    if (len > MSG_BODY_MAX || n_fds > MSG_FDS_MAX)
        return -EMSGSIZE;
    for (size_t i = 0; i < n_fds; i++)
        all[i] = fds[i];
    if (len > MSG_PACKET_MAX - sizeof head) {
        memfd = body_memfd(body, len);
        if (memfd < 0)
            return memfd;
        all[n_fds++] = memfd;
        head.flags = FLAG_MEMFD;
        hdr.msg_iovlen = 1;
    }
    if (n_fds) {
        struct cmsghdr *cmsg;

        memset(&room, 0, sizeof room);
        hdr.msg_control = room.bytes;
        hdr.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        cmsg = CMSG_FIRSTHDR(&hdr);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(cmsg), all, sizeof(int) * n_fds);
    }
    do
        sent = sendmsg(sock, &hdr, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    sent = sent < 0 ? -errno : 0;
    if (memfd >= 0)
        close(memfd);
    return (int)sent;
}

static void take_fds(struct msghdr *hdr, struct msg *ret, int *ret_extra)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (ret->n_fds < MSG_FDS_MAX)
                ret->fds[ret->n_fds++] = fd;
            else if (*ret_extra < 0)
                *ret_extra = fd;
            else
                close(fd);
        }
    }
}

/* Reads a body out of a memfd; not mapped, so that a sender that shrinks it cannot raise SIGBUS here. */
static int read_memfd(int fd, size_t len, struct msg *ret)
{
    struct stat st;

    if (len > MSG_BODY_MAX || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != len)
        return -EPROTO;
    if (fcntl(fd, F_GET_SEALS) < 0) /* only a memfd has seals: a read from anything else could block for ever */
        return -EPROTO;
    ret->heap = malloc(len ? len : 1);
    if (!ret->heap)
        return -ENOMEM;
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, (char *)ret->heap + at, len - at, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EPROTO;
        at += (size_t)n;
    }
    ret->body = ret->heap;
    return 0;
}

int msg_recv(int sock, void *buf, size_t cap, struct msg *ret)
{
    struct header head;
    struct iovec iov[2] = { { &head, sizeof head }, { buf, cap } };
    union cmsg_room room;
    struct msghdr hdr = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = room.bytes, .msg_controllen = sizeof room };
    ssize_t n;
    int extra = -1, err = 0;

    *ret = (struct msg){ 0 };
    do
        n = recvmsg(sock, &hdr, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    take_fds(&hdr, ret, &extra);
    if (n == 0 && !ret->n_fds)
        return -EPIPE;
    if ((size_t)n < sizeof head || (hdr.msg_flags & MSG_TRUNC))
        err = -EPROTO;
    else if (hdr.msg_flags & MSG_CTRUNC) /* for want of room here, or in this process's table */
        err = extra >= 0 ? -EPROTO : -EMFILE;
    if (!err) {
        ret->type = head.type;
        ret->len = head.len;
        ret->body = buf;
        if (head.flags & FLAG_MEMFD) {
            if (extra < 0 && ret->n_fds)
                extra = ret->fds[--ret->n_fds];
            err = extra < 0 ? -EPROTO : read_memfd(extra, head.len, ret);
        } else if (head.len != (size_t)n - sizeof head) {
            err = -EPROTO;
        }
    }
    if (extra >= 0)
        close(extra);
    if (err)
        msg_release(ret);
    return err;
}

int msg_write(int pipe, uint32_t type, const void *body, size_t len)
{
    struct header head = { .type = type, .len = len };
    struct iovec iov[2] = { { &head, sizeof head }, { (void *)(uintptr_t)body, len } };
    ssize_t n;

    if (len > PIPE_BUF - sizeof head)
        return -EMSGSIZE;
    do
        n = writev(pipe, iov, 2);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int msg_read(int pipe, void *buf, size_t cap, struct msg *ret)
{
    struct header head;
    struct iovec iov[2] = { { &head, sizeof head }, { buf, cap } };
    ssize_t n;

    *ret = (struct msg){ 0 };
    do
        n = readv(pipe, iov, 2);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : -EPIPE;
    if ((size_t)n < sizeof head || head.flags || head.len != (size_t)n - sizeof head)
        return -EPROTO;
    *ret = (struct msg){ .type = head.type, .body = buf, .len = head.len };
    return 0;
}

int msg_take_fd(struct msg *msg, size_t i)
{
    int fd = i < msg->n_fds ? msg->fds[i] : -1;

    if (fd >= 0)
        msg->fds[i] = -1;
    return fd;
}

void msg_release(struct msg *msg)
{
    for (size_t i = 0; i < msg->n_fds; i++)
        if (msg->fds[i] >= 0)
            close(msg->fds[i]);
    free(msg->heap);
    *msg = (struct msg){ 0 };
}
