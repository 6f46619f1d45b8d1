#include "pump.h"

#include "channel.h"
#include "signals.h"
#include "stream.h"
#include "terminal.h"

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
/* What a command on a terminal is given to end by itself when we are told to end. */
#define HANG_UP_MS 2000

enum { IN, OUT, ERR, CHANNELS };

struct pump {
    struct host *host;
    rt_process *process;
    struct pump_end *end;
    struct terminal *terminal; /* ours, lent to it; NULL = it runs on none */
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
    if (status == RT_E_UNAVAILABLE && wait_ms >= 0) /* what has become of the sandbox may take longer to find out */
        status = sb->ops->process_wait(sb->rt, pump->process, call, &pump->end->exit);
    if (status == RT_E_TIMEOUT && wait_ms >= 0 && !(pump->end->exit.flags & RT_RESULT_TIMED_OUT))
        return;
    exit_take(pump, status);
}

static void command_kill(struct pump *pump)
{
    const stockade_runtime *sb = pump->host->sb;

    (void)sb->ops->process_signal(sb->rt, pump->process, SIGKILL, NULL);
}

static void output_drop(struct pump *pump)
{
    for (int i = OUT; i <= ERR; i++)
        pump->channels[i].left = (ssize_t)(pump->channels[i].at = pump->channels[i].len = 0);
}

/*
 * We are to end, and the command's terminal ends with us: it is told as when a real one goes away, and what has not
 * ended soon is killed by process_release(). A further signal cuts that short.
 */
static void hang_up(struct pump *pump, int sig)
{
    const stockade_runtime *sb = pump->host->sb;

    terminal_take_back(pump->terminal);
    (void)sb->ops->process_signal(sb->rt, pump->process, SIGHUP, NULL);
    pump->host->call.cancel_fd = pump->signal_fd;
    exit_wait(pump, HANG_UP_MS);
    pump->host->call.cancel_fd = -1;
    pump->is_exited = true;
    pump->end->signal = sig;
    output_drop(pump);
}

static void signal_pass(struct pump *pump)
{
    const stockade_runtime *sb = pump->host->sb;
    int sig = signals_take(pump->signal_fd);

    if (!sig)
        return;
    if (pump->is_exited)
        output_drop(pump); /* what is left of it is not wanted any more */
    else if (pump->terminal && pump->terminal->is_raw)
        hang_up(pump, sig); /* keys reach the command as bytes: this one is meant for us */
    else if (++pump->signals >= SIGNALS_MAX)
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

/* What was there at the end is taken without waiting. */
static void leftovers_read(struct pump *pump)
{
    for (int i = OUT; i <= ERR; i++)
        if (pump->channels[i].at == pump->channels[i].len)
            channel_step(&pump->channels[i]);
}

static void terminal_step(struct pump *pump)
{
    const stockade_runtime *sb = pump->host->sb;
    uint16_t rows, cols;

    terminal_notice(pump->terminal);
    terminal_size(pump->terminal, &rows, &cols);
    if (rows && cols && !pump->is_exited)
        (void)sb->ops->process_resize(sb->rt, pump->process, rows, cols, NULL); /* it may have ended: no news */
}

/* The command's stdin may be closed by it while we have nothing to write: only poll(2) tells. */
static void input_watch(struct pump *pump, struct pollfd *fd)
{
    *fd = (struct pollfd){ .fd = pump->is_exited ? -1 : pump->process->stdin_fd, .events = 0 };
}

static void pump_once(struct pump *pump)
{
    enum { SIGNALS = CHANNELS, EXIT, INPUT_GONE, TERMINAL, FDS };
    struct pollfd fds[FDS];

    if (pump->is_exited) {
        leftovers_read(pump);
        if (is_over(pump))
            return;
    }
    for (int i = 0; i < CHANNELS; i++)
        fds[i] = channel_pollfd(&pump->channels[i]);
    if (pump->is_exited)
        fds[IN].fd = -1;
    fds[SIGNALS] = (struct pollfd){ .fd = pump->signal_fd, .events = POLLIN };
    fds[EXIT] = (struct pollfd){ .fd = pump->is_exited ? -1 : pump->process->exit_fd, .events = POLLIN };
    fds[TERMINAL] = (struct pollfd){ .fd = pump->terminal ? pump->terminal->signal_fd : -1, .events = POLLIN };
    input_watch(pump, &fds[INPUT_GONE]);
    if (poll(fds, FDS, poll_wait_ms(pump)) < 0)
        return; /* EINTR */
    if (fds[SIGNALS].revents)
        signal_pass(pump);
    if (fds[TERMINAL].revents)
        terminal_step(pump);
    if (fds[INPUT_GONE].revents & (POLLERR | POLLHUP)) {
        (void)close(pump->process->stdin_fd);
        pump->process->stdin_fd = pump->stdin_fd = -1;
        pump->channels[IN].at = pump->channels[IN].len = 0;
        fds[IN].fd = -1;
    }
    channels_step(pump, fds);
    if (pump->terminal && pump->terminal->is_raw && pump->channels[IN].is_ended && !pump->is_exited)
        hang_up(pump, SIGHUP); /* ours has gone */
    if (pump->is_exited)
        return;
    if (fds[EXIT].revents)
        exit_wait(pump, 10);
    else if (pump->expires && now_ns() >= pump->expires)
        exit_wait(pump, -1);
}

static void channels_init(struct pump *pump, bool interactive)
{
    rt_process *process = pump->process;

    pump->stdin_fd = interactive ? STDIN_FILENO : -1;
    pump->stdout_fd = pump->terminal && pump->terminal->out >= 0 ? pump->terminal->out : STDOUT_FILENO;
    pump->stderr_fd = STDERR_FILENO;
    channel_init(&pump->channels[IN], &pump->stdin_fd, false, &process->stdin_fd, true);
    channel_init(&pump->channels[OUT], &process->stdout_fd, true, &pump->stdout_fd, false);
    channel_init(&pump->channels[ERR], &process->stderr_fd, true, &pump->stderr_fd, false);
}

static int32_t process_start(struct pump *pump, const char *id, const rt_exec_request *req, bool interactive)
{
    const stockade_runtime *sb = pump->host->sb;
    rt_exec_request own = *req;

    if (!interactive)
        own.flags |= RT_EXEC_NULL_STDIN;
    if (pump->terminal) {
        own.flags |= RT_EXEC_TTY;
        terminal_size(pump->terminal, &own.rows, &own.cols);
    }
    return sb->ops->process_spawn(sb->rt, id, &own, &pump->host->call, &pump->process);
}

static void process_run(struct pump *pump, const char *id, const rt_exec_request *req, bool interactive)
{
    const stockade_runtime *sb = pump->host->sb;

    pump->end->status = process_start(pump, id, req, interactive);
    if (pump->end->status == RT_E_CANCELLED)
        pump->end->signal = signals_take(pump->signal_fd);
    if (pump->end->status)
        return;
    pump->end->is_refused = pump->terminal && pump->process->stdout_fd < 0;
    if (req->timeout_ms > 0)
        pump->expires = now_ns() + req->timeout_ms * NS_PER_MS;
    channels_init(pump, interactive);
    pump->host->call.cancel_fd = -1; /* signals are the command's now */
    if (pump->terminal && !terminal_lend(pump->terminal))
        hang_up(pump, SIGHUP); /* it has gone already */
    while (!is_over(pump))
        pump_once(pump);
    if (pump->terminal)
        terminal_take_back(pump->terminal);
    sb->ops->process_release(sb->rt, pump->process);
}

void pump_run(struct host *host, const char *id, const rt_exec_request *req, bool interactive,
              struct terminal *terminal, int signal_fd, struct pump_end *ret)
{
    struct pump *pump;

    if (!(host->sb->plugin->capabilities & RT_CAP_PROCESS)) {
        stream_run(host, id, NULL, req, interactive, signal_fd, ret);
        return;
    }
    *ret = (struct pump_end){ .exit = RT_EXIT_INIT };
    pump = calloc(1, sizeof *pump);
    if (!pump) {
        ret->status = RT_E_NOMEM;
        return;
    }
    pump->host = host;
    pump->end = ret;
    pump->terminal = terminal;
    pump->signal_fd = signal_fd;
    host->call.cancel_fd = signal_fd;
    process_run(pump, id, req, interactive);
    host->call.cancel_fd = -1;
    free(pump);
}
