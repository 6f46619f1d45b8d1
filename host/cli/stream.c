#include "stream.h"

#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of input, which must be given at once. */
#define INPUT_MAX   ((size_t)256 << 20)
#define INPUT_FIRST ((size_t)64 << 10)

struct sink {
    struct pump_end *end;
    bool is_closed[3]; /* by stream: nobody reads it */
};

static int32_t sink_write(void *user, int32_t stream, const void *data, size_t len)
{
    struct sink *sink = user;
    const char *at = data;
    int fd = stream == RT_STDERR ? STDERR_FILENO : STDOUT_FILENO;

    while (len && !sink->is_closed[fd]) {
        ssize_t n = write(fd, at, len);

        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EPIPE) {
            sink->is_closed[fd] = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            sink->end->write_err = errno;
            return 0;
        }
    }
    return !sink->is_closed[STDOUT_FILENO]; /* nobody reads: that ends the command */
}

/* Waits for stdin, or a signal: -1 with ECANCELED then. */
static ssize_t stdin_read(int signal_fd, char *data, size_t cap)
{
    struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 }, { signal_fd, POLLIN, 0 } };

    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return -1;
    if (!fds[1].revents)
        return read(STDIN_FILENO, data, cap);
    errno = ECANCELED;
    return -1;
}

/* All of stdin; NULL, with errno, if it cannot be had. */
static char *input_read(int signal_fd, size_t *ret_len)
{
    size_t cap = INPUT_FIRST, len = 0;
    char *data = malloc(cap), *grown;
    ssize_t n;

    while (data && (n = stdin_read(signal_fd, data + len, cap - len)) != 0) {
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        len += n > 0 ? (size_t)n : 0;
        grown = data;
        if (n < 0 || (len == cap && cap >= INPUT_MAX))
            grown = NULL;
        else if (len == cap)
            grown = realloc(data, cap *= 2);
        if (!grown) {
            errno = n < 0 ? errno : EFBIG;
            free(data);
        }
        data = grown;
    }
    *ret_len = len;
    return data;
}

/* Returns false having filled the end. */
static bool input_take(struct host *host, int signal_fd, rt_exec_request *req, struct pump_end *ret, char **ret_input)
{
    *ret_input = input_read(signal_fd, &req->stdin_len);
    req->stdin_data = *ret_input;
    if (*ret_input)
        return true;
    ret->status = errno == ECANCELED ? RT_E_CANCELLED : RT_E_IO;
    snprintf(host->call.error.message, sizeof host->call.error.message, "read stdin: %s", strerror(errno));
    if (ret->status == RT_E_CANCELLED)
        ret->signal = signals_take(signal_fd);
    return false;
}

void stream_run(struct host *host, const char *id, const char *session, const rt_exec_request *given, bool interactive,
                int signal_fd, struct pump_end *ret)
{
    const stockade_runtime *sb = host->sb;
    struct sink sink = { .end = ret };
    rt_exec_request req = *given;
    char *input = NULL;

    *ret = (struct pump_end){ .exit = RT_EXIT_INIT };
    if (interactive && !input_take(host, signal_fd, &req, ret, &input))
        return;
    host->call.cancel_fd = signal_fd;
    ret->status =
        session ? sb->ops->session_exec_stream(sb->rt, id, session, &req, sink_write, &sink, &host->call, &ret->exit)
                : sb->ops->exec_stream(sb->rt, id, &req, sink_write, &sink, &host->call, &ret->exit);
    host->call.cancel_fd = -1;
    free(input);
    if (ret->status == RT_E_CANCELLED && sink.is_closed[STDOUT_FILENO])
        ret->signal = SIGPIPE;
    else if (ret->status == RT_E_CANCELLED)
        ret->signal = signals_take(signal_fd);
}
