/* The wire format and the messages that carry it. */
#include "wire.h"
#include "msg.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

Test(wire, everything_comes_back_as_it_was_put)
{
    const char *const strings[] = { "a", "", "line\nbreak", "\xff\xfe", NULL };
    struct wire_out out = { 0 };
    struct wire_in in;
    const char **back;
    size_t n;

    wire_put_u32(&out, 0xdeadbeef);
    wire_put_u64(&out, UINT64_MAX - 1);
    wire_put_bytes(&out, "a\0b", 3);
    wire_put_str(&out, NULL);
    wire_put_strv(&out, strings);
    cr_assert(!out.failed);
    in = wire_in_over(out.data, out.len);
    cr_expect_eq(wire_get_u32(&in), 0xdeadbeef);
    cr_expect_eq(wire_get_u64(&in), UINT64_MAX - 1);
    cr_expect_arr_eq(wire_get_bytes(&in, &n), "a\0b", 4);
    cr_expect_eq(n, 3u);
    cr_expect_str_eq(wire_get_str(&in), "");
    back = wire_get_strv(&in, 10, &n);
    cr_assert_not_null(back);
    cr_expect_eq(n, 4u);
    for (size_t i = 0; i < n; i++)
        cr_expect_str_eq(back[i], strings[i]);
    cr_expect(wire_in_done(&in));
    free(back);
    wire_out_release(&out);
}

Test(wire, B3_every_truncation_fails_and_none_reads_outside)
{
    const char *const strings[] = { "first", "second", NULL };
    struct wire_out out = { 0 };

    wire_put_u32(&out, 7);
    wire_put_strv(&out, strings);
    wire_put_str(&out, "end");
    for (size_t len = 0; len < out.len; len++) {
        uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past it */
        struct wire_in in = wire_in_over(exact, len);
        const char **back;

        memcpy(exact, out.data, len);
        (void)wire_get_u32(&in);
        back = wire_get_strv(&in, 10, NULL);
        (void)wire_get_str(&in);
        cr_expect(!wire_in_done(&in), "%zu of %zu bytes were enough", len, out.len);
        free(back);
        free(exact);
    }
    wire_out_release(&out);
}

Test(wire, B3_a_count_that_the_input_cannot_hold_sizes_nothing)
{
    const uint8_t lies[] = { 0xff, 0xff, 0xff, 0x7f };
    struct wire_in in = wire_in_over(lies, sizeof lies);

    cr_expect_null(wire_get_strv(&in, SIZE_MAX, NULL));
    cr_expect(in.failed);
}

Test(wire, B3_text_with_a_nul_inside_is_refused)
{
    struct wire_out out = { 0 };
    struct wire_in in;

    wire_put_bytes(&out, "a\0b", 3);
    in = wire_in_over(out.data, out.len);
    cr_expect_str_eq(wire_get_str(&in), "");
    cr_expect(in.failed);
    wire_out_release(&out);
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(msg, bodies_of_every_size_and_fds_arrive)
{
    static const size_t sizes[] = { 0, 1, 4096, MSG_PACKET_MAX - 17, MSG_PACKET_MAX, 1 << 20, MSG_BODY_MAX };
    static char packet[MSG_PACKET_MAX];
    int pair[2], before;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    before = count_fds();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *body = malloc(sizes[i] + 1);
        int fds[2] = { STDIN_FILENO, pair[0] }, taken;
        struct msg msg;

        memset(body, (int)('a' + i), sizes[i]);
        cr_assert_eq(msg_send(pair[0], 42, body, sizes[i], fds, 2), 0);
        cr_assert_eq(msg_recv(pair[1], packet, sizeof packet, &msg), 0, "size %zu", sizes[i]);
        cr_expect_eq(msg.type, 42u);
        cr_expect_eq(msg.len, sizes[i]);
        cr_expect_eq(memcmp(msg.body, body, sizes[i]), 0);
        cr_expect_eq(msg.n_fds, 2u);
        taken = msg_take_fd(&msg, 0);
        cr_expect(fcntl(taken, F_GETFD) & FD_CLOEXEC);
        close(taken);
        cr_expect_eq(msg_take_fd(&msg, 2), -1);
        msg_release(&msg);
        free(body);
    }
    cr_expect_eq(count_fds(), before, "fds leaked");
}

Test(msg, B3_too_large_a_body_is_refused_by_the_sender)
{
    int pair[2];
    char *body = calloc(1, MSG_BODY_MAX + 1);

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    cr_expect_eq(msg_send(pair[0], 1, body, MSG_BODY_MAX + 1, NULL, 0), -EMSGSIZE);
    free(body);
}

Test(msg, end_of_file_is_EPIPE_and_raises_no_signal)
{
    char packet[64];
    struct msg msg;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    close(pair[0]);
    cr_expect_eq(msg_recv(pair[1], packet, sizeof packet, &msg), -EPIPE);
    cr_expect_eq(msg_send(pair[1], 1, "x", 1, NULL, 0), -EPIPE);
}

/* What a lying peer may send in place of a message. */
static int recv_raw(const void *data, size_t len, int fd_with_it)
{
    static char packet[MSG_PACKET_MAX];
    struct iovec iov = { (void *)(uintptr_t)data, len };
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
    struct msg msg;
    int pair[2], before, err;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    before = count_fds();
    if (fd_with_it >= 0) {
        hdr.msg_control = control.room;
        hdr.msg_controllen = sizeof control.room;
        CMSG_FIRSTHDR(&hdr)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&hdr)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&hdr)->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&hdr)), &fd_with_it, sizeof fd_with_it);
    }
    cr_assert_eq(sendmsg(pair[0], &hdr, 0), (ssize_t)len);
    err = msg_recv(pair[1], packet, sizeof packet, &msg);
    cr_expect_eq(count_fds(), before, "fds leaked");
    close(pair[0]);
    close(pair[1]);
    return err;
}

Test(msg, B3_malformed_packets_are_EPROTO)
{
    struct {
        uint32_t type, flags;
        uint64_t len;
        char body[8];
    } packet = { .type = 1, .len = 8 };
    int memfd = memfd_create("unsealed", MFD_CLOEXEC), null = open("/dev/zero", O_RDONLY);

    cr_expect_eq(recv_raw("short", 5, -1), -EPROTO);
    packet.len = 9; /* says more than there is */
    cr_expect_eq(recv_raw(&packet, sizeof packet, -1), -EPROTO);
    packet.len = UINT64_MAX;
    cr_expect_eq(recv_raw(&packet, sizeof packet, -1), -EPROTO);
    packet.flags = 1; /* a body in an fd, and no fd */
    packet.len = 8;
    cr_expect_eq(recv_raw(&packet, 16, -1), -EPROTO);
    cr_expect_eq(recv_raw(&packet, 16, null), -EPROTO, "an endless device was read");
    cr_expect_eq(recv_raw(&packet, 16, memfd), -EPROTO, "a memfd of another size was read");
    packet.len = MSG_BODY_MAX + 1;
    cr_assert_eq(ftruncate(memfd, (off_t)MSG_BODY_MAX + 1), 0);
    cr_expect_eq(recv_raw(&packet, 16, memfd), -EPROTO, "too large a body was read");
}

static void packet_pipe(int pair[2])
{
    cr_assert_eq(pipe2(pair, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
}

/* Two at a time: a user who has many pipes gets no more room than for two packets in a new one, see pipe(7). */
Test(msg, round_trip_through_a_packet_pipe)
{
    static const size_t sizes[] = { 0, 1, 100, PIPE_BUF - MSG_HEADER_SIZE };
    char body[PIPE_BUF], into[PIPE_BUF];
    struct msg msg;
    int pair[2];

    packet_pipe(pair);
    memset(body, 'x', sizeof body);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t k = 0; k < 2; k++)
            cr_assert_eq(msg_write(pair[1], 10 * k + (uint32_t)i, body, sizes[i]), 0);
        for (uint32_t k = 0; k < 2; k++) {
            cr_assert_eq(msg_read(pair[0], into, sizeof into, &msg), 0, "size %zu", sizes[i]);
            cr_expect(msg.type == 10 * k + i && msg.len == sizes[i] && !msg.n_fds);
            cr_expect_eq(memcmp(msg.body, body, sizes[i]), 0);
        }
    }
    cr_expect_eq(msg_read(pair[0], into, sizeof into, &msg), -EAGAIN);
    cr_expect_eq(msg_write(pair[1], 1, body, PIPE_BUF - MSG_HEADER_SIZE + 1), -EMSGSIZE);
    close(pair[1]);
    cr_expect_eq(msg_read(pair[0], into, sizeof into, &msg), -EPIPE);
}

Test(msg, B3_malformed_packets_of_a_pipe_are_EPROTO)
{
    struct {
        uint32_t type, flags;
        uint64_t len;
        char body[48];
    } packet = { .type = 1, .len = 48 };
    char into[32];
    struct msg msg;
    int pair[2];

    packet_pipe(pair);
    cr_assert_eq(write(pair[1], "short", 5), 5);
    cr_expect_eq(msg_read(pair[0], into, sizeof into, &msg), -EPROTO);
    cr_assert_eq(write(pair[1], &packet, sizeof packet), (ssize_t)sizeof packet);
    cr_expect_eq(msg_read(pair[0], into, sizeof into, &msg), -EPROTO, "a packet beyond the buffer was taken");
    packet.len = 8;
    packet.flags = 1; /* a body in an fd, which no pipe carries */
    cr_assert_eq(write(pair[1], &packet, 24), 24);
    cr_expect_eq(msg_read(pair[0], into, sizeof into, &msg), -EPROTO);
    packet.flags = 0;
    packet.len = UINT64_MAX;
    cr_assert_eq(write(pair[1], &packet, 24), 24);
    cr_expect_eq(msg_read(pair[0], into, sizeof into, &msg), -EPROTO);
}
