/* Streams and messages over one byte stream (mux.h): two ends, joined by hand in pieces of any size. */
#include "mux.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE ((size_t)64 << 10) /* its capacity */

struct end {
    struct mux mux;
    int messages;
    char last[64];
    struct mux *before; /* whose channel must have been written before a message is taken; NULL = does not matter */
};

static struct end near, far;

static void take(void *arg, const void *data, size_t len)
{
    struct end *end = arg;

    end->messages++;
    snprintf(end->last, sizeof end->last, "%.*s", (int)len, (const char *)data);
    if (end->before)
        mux_flush(end->before);
}

static void begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    near = far = (struct end){ 0 };
    mux_init(&near.mux, take, &near);
    mux_init(&far.mux, take, &far);
}

static void end(void)
{
    mux_release(&near.mux);
    mux_release(&far.mux);
}

TestSuite(mux, .init = begin, .fini = end);

/* Moves what one end has to say to the other, so many bytes at a time. */
static void carry(struct mux *from, struct mux *to, size_t piece)
{
    while (mux_unsent(from)) {
        size_t n = mux_unsent(from) < piece ? mux_unsent(from) : piece;

        cr_assert_eq(mux_feed(to, from->out.data + from->out.at, n), 0);
        mux_sent(from, n);
    }
}

static void serve(struct mux *mux)
{
    struct pollfd fds[MUX_CHANNELS];

    mux_poll(mux, fds);
    if (poll(fds, MUX_CHANNELS, 0) > 0)
        mux_serve(mux, fds);
}

/* Until neither end has anything to do. */
static void settle(size_t piece)
{
    for (int quiet = 0; quiet < 3; quiet++) {
        serve(&near.mux);
        serve(&far.mux);
        if (mux_unsent(&near.mux) || mux_unsent(&far.mux))
            quiet = 0;
        carry(&near.mux, &far.mux, piece);
        carry(&far.mux, &near.mux, piece);
    }
}

/* Channel i from a pipe at the near end to one at the far end: *ret_in is written to, *ret_out read from. */
static void channel(size_t i, int *ret_in, int *ret_out)
{
    int in[2], out[2];

    cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0);
    mux_open(&near.mux, i, in[0], true, false);
    mux_open(&far.mux, i, out[1], false, true);
    *ret_in = in[1];
    *ret_out = out[0];
}

static void put_from(int fd, size_t at, size_t len)
{
    char *data = malloc(len);

    for (size_t i = 0; i < len; i++)
        data[i] = (char)((at + i) % 251);
    cr_assert(write(fd, data, len) == (ssize_t)len);
    free(data);
}

static void put(int fd, size_t len)
{
    put_from(fd, 0, len);
}

/* Reads what is there; checks that it goes on where `at` was. Returns how much. */
static size_t got(int fd, size_t at)
{
    char data[4096];
    size_t all = 0;
    ssize_t n;

    while ((n = read(fd, data, sizeof data)) > 0)
        for (ssize_t i = 0; i < n; i++, all++)
            cr_assert_eq(data[i], (char)((at + all) % 251));
    return all;
}

Test(mux, pieces_of_any_size)
{
    for (size_t piece = 1; piece < 40; piece++) {
        int in, out;

        channel(0, &in, &out);
        put(in, 1000);
        settle(piece);
        cr_expect_eq(got(out, 0), 1000, "pieces of %zu", piece);
        mux_send(&near.mux, "words", 5);
        settle(piece);
        cr_expect_str_eq(far.last, "words");
        close(in);
        settle(piece);
        cr_expect_eq(read(out, &(char){ 0 }, 1), 0, "the end of the stream is not told");
        close(out);
    }
    cr_expect_eq(far.messages, 39);
}

Test(mux, X11_a_channel_that_is_not_read_holds_up_no_other)
{
    int in[2], out[2];
    size_t written = 0, stuck;

    channel(0, &in[0], &out[0]);
    channel(1, &in[1], &out[1]);
    (void)fcntl(in[0], F_SETFL, O_WRONLY | O_NONBLOCK);
    for (int round = 0; round < 400; round++) {
        ssize_t n = write(in[0], (char[4096]){ 0 }, 4096);

        written += n > 0 ? (size_t)n : 0;
        settle(SIZE_MAX);
    }
    stuck = written;
    /* Two pipes and a window: then the writer is held back. */
    cr_expect_leq(stuck, MUX_WINDOW + 3 * PIPE);
    put(in[1], 1000);
    mux_send(&near.mux, "still", 5);
    settle(SIZE_MAX);
    cr_expect_eq(got(out[1], 0), 1000);
    cr_expect_str_eq(far.last, "still");
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

Test(mux, a_reader_who_leaves_stops_the_writer)
{
    int in, out;

    channel(0, &in, &out);
    close(out);
    put(in, 10);
    settle(SIZE_MAX);
    cr_expect_lt(write(in, "x", 1), 0);
    cr_expect_eq(errno, EPIPE);
    close(in);
}

/* As often as one likes: there is room again for as much as was dropped. */
Test(mux, what_waits_can_be_dropped, .timeout = 60)
{
    int in, out;

    channel(0, &in, &out);
    put(in, PIPE); /* which the pipe at the far end holds */
    settle(4096);
    for (size_t dropped = 0; dropped < 2 * MUX_WINDOW; dropped += PIPE) {
        put(in, PIPE);
        settle(4096);
        mux_drop(&far.mux, 0);
        settle(4096);
    }
    cr_expect_eq(got(out, 0), PIPE);
    put(in, 100);
    settle(4096);
    cr_expect_eq(got(out, 0), 100);
    put(in, PIPE);
    settle(4096);
    put(in, PIPE);
    close(in);
    settle(4096);
    cr_expect(far.mux.channels[0].fd >= 0);
    mux_drop(&far.mux, 0);
    cr_expect(far.mux.channels[0].fd < 0, "its end was to come after what was dropped");
    close(out);
}

Test(mux, what_was_written_comes_before_the_message)
{
    int in, out;

    channel(0, &in, &out);
    far.before = &far.mux;
    for (size_t full = 0; full < PIPE + MUX_WINDOW; full += PIPE) { /* the far pipe, and what may be under way */
        put_from(in, full, PIPE);
        settle(SIZE_MAX);
    }
    put_from(in, PIPE + MUX_WINDOW, 1000);
    mux_drain(&near.mux);
    mux_send(&near.mux, "end", 3);
    settle(SIZE_MAX);
    cr_expect_str_eq(far.last, "end");
    cr_expect_eq(got(out, 0), PIPE + MUX_WINDOW + 1000);
    close(in);
    close(out);
}

/* The same with a terminal's stand-in, whose buffer is full of small pieces. */
Test(mux, what_a_terminal_gave_comes_before_the_message)
{
    const size_t piece = 4096;
    int here[2], there[2];

    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, here) == 0 &&
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, there) == 0);
    mux_open(&near.mux, MUX_LASTING, here[0], true, true);
    mux_open(&far.mux, MUX_LASTING, there[0], true, true);
    far.before = &far.mux;
    for (size_t at = 0; at < MUX_WINDOW; at += piece) {
        put_from(here[1], at, piece);
        settle(SIZE_MAX);
    }
    put_from(here[1], MUX_WINDOW, piece);
    mux_drain(&near.mux);
    mux_send(&near.mux, "end", 3);
    settle(SIZE_MAX);
    cr_expect_str_eq(far.last, "end");
    cr_expect_eq(got(there[1], 0), MUX_WINDOW + piece);
    close(here[1]);
    close(there[1]);
}

Test(mux, what_is_under_way_at_a_reset_is_nobodys)
{
    int in, out, fresh_in, fresh_out;

    channel(0, &in, &out);
    put(in, 100);
    serve(&near.mux); /* framed, not carried */
    mux_reset(&far.mux);
    close(in);
    close(out);
    /* The far end has begun anew and the near end not yet: what it sent is not for the new channel. */
    {
        int pipe_out[2];

        cr_assert(pipe2(pipe_out, O_CLOEXEC | O_NONBLOCK) == 0);
        mux_open(&far.mux, 0, pipe_out[1], false, true);
        carry(&near.mux, &far.mux, SIZE_MAX);
        cr_expect_eq(got(pipe_out[0], 0), 0);
        close(pipe_out[0]);
    }
    mux_reset(&near.mux);
    channel(0, &fresh_in, &fresh_out);
    put(fresh_in, 50);
    settle(SIZE_MAX);
    cr_expect_eq(got(fresh_out, 0), 50);
    close(fresh_in);
    close(fresh_out);
}

Test(mux, a_lasting_channel_goes_both_ways_and_outlives_a_reset)
{
    int here[2], there[2];

    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, here) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, there) == 0);
    mux_open(&near.mux, MUX_LASTING, here[0], true, true);
    mux_open(&far.mux, MUX_LASTING, there[0], true, true);
    mux_reset(&near.mux);
    put(here[1], 100);
    put(there[1], 200);
    settle(7);
    (void)fcntl(here[1], F_SETFL, O_NONBLOCK);
    (void)fcntl(there[1], F_SETFL, O_NONBLOCK);
    cr_expect_eq(got(there[1], 0), 100);
    cr_expect_eq(got(here[1], 0), 200);
    close(here[1]);
    settle(7);
    cr_expect_eq(read(there[1], &(char){ 0 }, 1), 0, "one end's hangup is not the other's");
    close(there[1]);
}

struct bad {
    unsigned char frame[12];
    size_t len;
    char what[32];
};

ParameterizedTestParameters(mux, B3_what_our_other_end_does_not_send)
{
    static struct bad bad[] = {
        { { 9, 0, 0, 0, 0, 0, 0, 0 }, 8, "an unknown kind" },
        { { 2, 7, 0, 0, 1, 0, 0, 0, 'x' }, 9, "a channel beyond the last" },
        { { 1, 0, 0, 0, 0, 0, 0, 0xff }, 8, "a message of 4 GiB" },
        { { 4, 0, 0, 0, 2, 0, 0, 0, 1, 0 }, 10, "a credit cut short" },
        { { 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0 }, 12, "more credit than was used" },
    };

    return cr_make_param_array(struct bad, bad, sizeof bad / sizeof *bad);
}

ParameterizedTest(struct bad *bad, mux, B3_what_our_other_end_does_not_send)
{
    int in[2];

    cr_assert(pipe2(in, O_CLOEXEC) == 0);
    mux_open(&near.mux, 0, in[0], true, false);
    cr_expect_eq(mux_feed(&near.mux, bad->frame, bad->len), -EPROTO, "%s", bad->what);
    close(in[1]);
}

Test(mux, B3_more_than_the_window)
{
    static char frame[8 + 8192];
    int out[2], err = 0;

    cr_assert(pipe2(out, O_CLOEXEC) == 0);
    mux_open(&far.mux, 0, out[1], false, true);
    memcpy(frame, (unsigned char[]){ 2, 0, 0, 0, 0, 0x20, 0, 0 }, 8);
    for (int i = 0; !err && i < 1000; i++)
        err = mux_feed(&far.mux, frame, sizeof frame);
    cr_expect_eq(err, -EPROTO, "all was kept");
    close(out[0]);
}
