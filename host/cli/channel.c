#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than a pseudo-terminal ever has on its way: 8 KiB (pty_unix98_install) and its reader's 4 KiB (N_TTY_BUF_SIZE).
 */
#define TERMINAL_HOLDS ((ssize_t)64 << 10)

static void end_close(int *fd, bool owns)
{
    if (owns && *fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void end_nonblocking(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Our own output stays blocking, it is shared with others: a pipe that polls as writable takes PIPE_BUF bytes. */
static size_t write_max_of(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags >= 0 && (flags & O_NONBLOCK))
        return CHANNEL_BUFFER;
    return !fstat(fd, &st) && S_ISREG(st.st_mode) ? CHANNEL_BUFFER : PIPE_BUF;
}

void channel_init(struct channel *channel, int *from, bool owns_from, int *to, bool owns_to)
{
    channel->from = from;
    channel->to = to;
    channel->owns_from = owns_from;
    channel->owns_to = owns_to;
    channel->left = -1;
    channel->at = channel->len = 0;
    channel->err = 0;
    channel->is_ended = false;
    if (owns_from)
        end_nonblocking(*from);
    if (owns_to)
        end_nonblocking(*to);
    channel->write_max = owns_to ? CHANNEL_BUFFER : write_max_of(*to);
}

bool channel_is_done(const struct channel *channel)
{
    return channel->at == channel->len && (*channel->from < 0 || channel->left == 0);
}

struct pollfd channel_pollfd(const struct channel *channel)
{
    if (channel->at < channel->len)
        return (struct pollfd){ .fd = *channel->to, .events = POLLOUT };
    return (struct pollfd){ .fd = channel->left ? *channel->from : -1, .events = POLLIN };
}

/* Nothing more can be written: neither is there any use in reading. The command sees what it would see outside. */
static void channel_break(struct channel *channel, int err)
{
    if (err != EPIPE)
        channel->err = err;
    channel->at = channel->len = 0;
    end_close(channel->from, channel->owns_from);
    end_close(channel->to, channel->owns_to);
}

static void step_write(struct channel *channel)
{
    size_t len = channel->len - channel->at;
    ssize_t n = write(*channel->to, channel->buffer + channel->at, len < channel->write_max ? len : channel->write_max);

    if (n >= 0)
        channel->at += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR)
        channel_break(channel, errno);
}

static void step_read(struct channel *channel)
{
    size_t cap = channel->left >= 0 && (size_t)channel->left < CHANNEL_BUFFER ? (size_t)channel->left : CHANNEL_BUFFER;
    ssize_t n = read(*channel->from, channel->buffer, cap);

    if (n < 0 && errno == EAGAIN && channel->left > 0)
        channel->left = 0; /* a terminal had less than it may hold */
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    channel->at = 0;
    channel->len = n > 0 ? (size_t)n : 0;
    if (n > 0 && channel->left > 0)
        channel->left -= n;
    if (n > 0)
        return;
    channel->is_ended = true;
    end_close(channel->from, channel->owns_from); /* EIO is how a terminal ends */
    if (channel->owns_to)
        end_close(channel->to, true);
}

void channel_step(struct channel *channel)
{
    if (channel->at < channel->len)
        step_write(channel);
    else if (*channel->from >= 0 && channel->left)
        step_read(channel);
}

void channel_limit(struct channel *channel)
{
    int waiting = 0;

    channel->left = 0;
    if (*channel->from >= 0 && isatty(*channel->from))
        channel->left =
            TERMINAL_HOLDS; /* FIONREAD leaves out what is on its way through the kernel, read(2) does not */
    else if (*channel->from >= 0 && !ioctl(*channel->from, FIONREAD, &waiting) && waiting > 0)
        channel->left = waiting;
}
