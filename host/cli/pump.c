#include "pump.h"

#include "channel.h"
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS INT64_C(1000000)
/* A command that goes on after two signals may be told by the third that it was the last. */
#define SIGNALS_MAX 3
/* Of input that a runtime without process_spawn() must be given at once. */
#define INPUT_MAX ((size_t)256 << 20)

enum { IN, OUT, ERR, CHANNELS };

struct pump {
    struct host *host;
    rt_process *process;
    struct pump_end *end;
    struct channel channels[CHANNELS];
    int stdin_fd, stdout_fd, stderr_fd; /* our own; -1 = not, or no longer, in use */
    int signal_fd;
    int signals;     /* passed on so far */
    int64_t expires; /* CLOCK_MONOTONIC, when the command's timeout is over; 0 = never */
    bool is_exited;
};

static int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- the command's end ----------------------------------------------------------------------------------------- */

static void exit_take(struct pump *pump, int32_t status)
{
    pump->is_exited = true;
    pump->end->status = status;
    channel_limit(&pump->channels[OUT]);
    channel_limit(&pump->channels[ERR]);
}

/* Waits at most wait_ms, -1 = for ever: also until the runtime has ended a command whose timeout is over. */
static void exit_wait(struct pump *pump, int wait_ms)
{
    const stockade_runtime *sb = pump->host->sb;
    rt_call *call = &pump->host->call;
    int32_t status;

    call->deadline_ns = wait_ms < 0 ? 0 : now_ns() + wait_ms * NS_PER_MS;
    pump->end->exit = (rt_exit)RT_EXIT_INIT;
    status = sb->ops->process_wait(sb->rt, pump->process, call, &pump->end->exit);
    call->deadline_ns = 0;
    if (status == RT_E_TIMEOUT && wait_ms >= 0 && !(pump->end->exit.flags & RT_RESULT_TIMED_OUT))
        return;
    exit_take(pump, status);
}

static void command_kill(struct pump *pump)
{
    const stockade_runtime *sb = pump->host->sb;

    (void)sb->ops->process_signal(sb->rt, pump->process, SIGKILL, NULL);
}

static void signal_pass(struct pump *pump)
{
    const stockade_runtime *sb = pump->host->sb;
    int sig = signals_take(pump->signal_fd);

    if (!sig)
        return;
    if (pump->is_exited) { /* what is left of the output is not wanted any more */
        pump->channels[OUT].left = pump->channels[ERR].left = 0;
        pump->channels[OUT].at = pump->channels[OUT].len = 0;
        pump->channels[ERR].at = pump->channels[ERR].len = 0;
        return;
    }
    if (++pump->signals >= SIGNALS_MAX)
        command_kill(pump);
    else
        (void)sb->ops->process_signal(sb->rt, pump->process, sig, NULL); /* it may have ended: no news */
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static bool is_over(const struct pump *pump)
{
    return pump->is_exited && channel_is_done(&pump->channels[OUT]) && channel_is_done(&pump->channels[ERR]);
}

static int poll_wait_ms(const struct pump *pump)
{
    int64_t left = pump->expires - now_ns();

    if (!pump->expires || pump->is_exited)
        return -1;
    if (left <= 0)
        return 0;
    left = (left + NS_PER_MS - 1) / NS_PER_MS;
    return left > 1000000 ? 1000000 : (int)left;
}

static void channels_step(struct pump *pump, const struct pollfd *fds)
{
    for (int i = 0; i < CHANNELS; i++) {
        struct channel *channel = &pump->channels[i];

        if (fds[i].fd >= 0 && fds[i].revents)
            channel_step(channel);
        if (channel->err && i != IN && !pump->end->write_err) {
            pump->end->write_err = channel->err;
            command_kill(pump);
        }
    }
}

/* The command's stdin may be closed by it while we have nothing to write: only poll(2) tells. */
static void input_watch(struct pump *pump, struct pollfd *fd)
{
    *fd = (struct pollfd){ .fd = pump->is_exited ? -1 : pump->process->stdin_fd, .events = 0 };
}

static void pump_once(struct pump *pump)
{
    enum { SIGNALS = CHANNELS, EXIT, INPUT_GONE, FDS };
    struct pollfd fds[FDS];

    for (int i = 0; i < CHANNELS; i++)
        fds[i] = channel_pollfd(&pump->channels[i]);
    if (pump->is_exited)
        fds[IN].fd = -1;
    fds[SIGNALS] = (struct pollfd){ .fd = pump->signal_fd, .events = POLLIN };
    fds[EXIT] = (struct pollfd){ .fd = pump->is_exited ? -1 : pump->process->exit_fd, .events = POLLIN };
    input_watch(pump, &fds[INPUT_GONE]);
    if (poll(fds, FDS, poll_wait_ms(pump)) < 0)
        return; /* EINTR */
    if (fds[SIGNALS].revents)
        signal_pass(pump);
    if (fds[INPUT_GONE].revents & POLLERR) {
        (void)close(pump->process->stdin_fd);
        pump->process->stdin_fd = pump->stdin_fd = -1;
        pump->channels[IN].at = pump->channels[IN].len = 0;
        fds[IN].fd = -1;
    }
    channels_step(pump, fds);
    if (fds[EXIT].revents)
        exit_wait(pump, 10);
    else if (!pump->is_exited && pump->expires && now_ns() >= pump->expires)
        exit_wait(pump, -1);
}

static void channels_init(struct pump *pump, bool interactive)
{
    rt_process *process = pump->process;

    pump->stdin_fd = interactive ? STDIN_FILENO : -1;
    pump->stdout_fd = STDOUT_FILENO;
    pump->stderr_fd = STDERR_FILENO;
    channel_init(&pump->channels[IN], &pump->stdin_fd, false, &process->stdin_fd, true);
    channel_init(&pump->channels[OUT], &process->stdout_fd, true, &pump->stdout_fd, false);
    channel_init(&pump->channels[ERR], &process->stderr_fd, true, &pump->stderr_fd, false);
}

static void process_run(struct pump *pump, const char *id, const rt_exec_request *req, bool interactive)
{
    const stockade_runtime *sb = pump->host->sb;
    rt_exec_request own = *req;

    own.flags |= interactive ? 0 : RT_EXEC_NULL_STDIN;
    pump->end->status = sb->ops->process_spawn(sb->rt, id, &own, &pump->host->call, &pump->process);
    if (pump->end->status == RT_E_CANCELLED)
        pump->end->signal = signals_take(pump->signal_fd);
    if (pump->end->status)
        return;
    if (req->timeout_ms > 0)
        pump->expires = now_ns() + req->timeout_ms * NS_PER_MS;
    channels_init(pump, interactive);
    pump->host->call.cancel_fd = -1; /* signals are the command's now */
    while (!is_over(pump))
        pump_once(pump);
    sb->ops->process_release(sb->rt, pump->process);
}

/* ---- runtimes without process_spawn() -------------------------------------------------------------------------- */

struct plain {
    struct pump_end *end;
    bool is_closed[3]; /* by stream: nobody reads it */
};

static int32_t plain_write(void *user, int32_t stream, const void *data, size_t len)
{
    struct plain *plain = user;
    const char *at = data;
    int fd = stream == RT_STDERR ? STDERR_FILENO : STDOUT_FILENO;

    while (len && !plain->is_closed[fd]) {
        ssize_t n = write(fd, at, len);

        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EPIPE) {
            plain->is_closed[fd] = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            plain->end->write_err = errno;
            return 0;
        }
    }
    return !plain->is_closed[STDOUT_FILENO]; /* nobody reads: that ends the command */
}

/* All of stdin; NULL, with errno, if it cannot be had. */
static char *input_read(size_t *ret_len)
{
    size_t cap = CHANNEL_BUFFER, len = 0;
    char *data = malloc(cap), *grown;
    ssize_t n;

    while (data && (n = read(STDIN_FILENO, data + len, cap - len)) != 0) {
        if (n < 0 && errno == EINTR)
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

static void plain_run(struct pump *pump, const char *id, const rt_exec_request *given, bool interactive)
{
    struct plain plain = { .end = pump->end };
    const stockade_runtime *sb = pump->host->sb;
    rt_exec_request req = *given;
    char *input = NULL;

    if (interactive) {
        input = input_read(&req.stdin_len);
        if (!input) {
            pump->end->status = RT_E_IO;
            snprintf(pump->host->call.error.message, sizeof pump->host->call.error.message, "read stdin: %s",
                     strerror(errno));
            return;
        }
        req.stdin_data = input;
    }
    pump->end->status =
        sb->ops->exec_stream(sb->rt, id, &req, plain_write, &plain, &pump->host->call, &pump->end->exit);
    free(input);
    if (pump->end->status == RT_E_CANCELLED && plain.is_closed[STDOUT_FILENO])
        pump->end->signal = SIGPIPE;
    else if (pump->end->status == RT_E_CANCELLED)
        pump->end->signal = signals_take(pump->signal_fd);
}

void pump_run(struct host *host, const char *id, const rt_exec_request *req, bool interactive, int signal_fd,
              struct pump_end *ret)
{
    struct pump *pump = calloc(1, sizeof *pump);

    *ret = (struct pump_end){ .exit = RT_EXIT_INIT };
    if (!pump) {
        ret->status = RT_E_NOMEM;
        return;
    }
    pump->host = host;
    pump->end = ret;
    pump->signal_fd = signal_fd;
    host->call.cancel_fd = signal_fd;
    if (host->sb->plugin->capabilities & RT_CAP_PROCESS)
        process_run(pump, id, req, interactive);
    else
        plain_run(pump, id, req, interactive);
    host->call.cancel_fd = -1;
    free(pump);
}
