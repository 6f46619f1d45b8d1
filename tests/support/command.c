#include "command.h"

#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static void fd_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* ---- starting -------------------------------------------------------------------------------------------------- */

/* In the child: signals as a shell would have them, whatever the test runner does with its own. */
static void child_exec(const struct command *command, int in, int out, int err)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || (command->cwd && chdir(command->cwd) < 0))
        _exit(99);
    (void)execve(command->argv[0], (char *const *)(uintptr_t)command->argv, (char *const *)(uintptr_t)command->env);
    _exit(98);
}

bool command_start(const struct command *command, bool wants_input, struct command_running *ret)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
    pid_t pid = -1;

    if (wants_input ? pipe2(in, O_CLOEXEC) == 0 : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        if (!pipe2(out, O_CLOEXEC) && !pipe2(err, O_CLOEXEC))
            pid = fork();
    if (pid == 0)
        child_exec(command, in[0], out[1], err[1]);
    fd_close(&in[0]);
    fd_close(&out[1]);
    fd_close(&err[1]);
    *ret = (struct command_running){ .pid = pid, .in = in[1], .out = out[0], .err = err[0] };
    if (pid >= 0)
        return true;
    fd_close(&ret->in);
    fd_close(&ret->out);
    fd_close(&ret->err);
    return false;
}

/* ---- talking --------------------------------------------------------------------------------------------------- */

struct buffer {
    char *data;
    size_t len, cap;
};

/* Reads once. Returns false at the end. */
static bool buffer_read(struct buffer *buffer, int fd)
{
    ssize_t n;

    if (buffer->cap - buffer->len < 65536) {
        buffer->cap = buffer->cap * 2 + 65536;
        buffer->data = realloc(buffer->data, buffer->cap + 1);
        if (!buffer->data)
            abort();
    }
    n = read(fd, buffer->data + buffer->len, buffer->cap - buffer->len);
    if (n > 0)
        buffer->len += (size_t)n;
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

static char *buffer_text(struct buffer *buffer)
{
    if (!buffer->data && !(buffer->data = malloc(1)))
        abort();
    buffer->data[buffer->len] = '\0';
    return buffer->data;
}

bool command_await(int fd, const char *text)
{
    int64_t end = now_ms() + HANG_MS;
    struct buffer buffer = { 0 };
    bool is_there = false;

    while (!is_there && now_ms() < end) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };

        if (poll(&pfd, 1, (int)(end - now_ms())) <= 0 || !buffer_read(&buffer, fd))
            break;
        is_there = strstr(buffer_text(&buffer), text) != NULL;
    }
    free(buffer.data);
    return is_there;
}

/* Feeds and drains until both outputs have ended or the time is over; returns whether it was in time. */
static bool streams_pump(struct command_running *running, const char *input, size_t left, int64_t end,
                         struct buffer *out, struct buffer *err)
{
    if (running->in >= 0)
        (void)fcntl(running->in, F_SETFL, O_NONBLOCK);
    while (running->out >= 0 || running->err >= 0) {
        struct pollfd fds[] = { { running->out, POLLIN, 0 }, { running->err, POLLIN, 0 }, { running->in, POLLOUT, 0 } };
        int64_t wait = end - now_ms();

        if (running->in >= 0 && !left)
            fd_close(&running->in);
        fds[2].fd = running->in;
        if (wait <= 0 || (poll(fds, 3, (int)wait) < 0 && errno != EINTR))
            return false;
        if (fds[0].revents && !buffer_read(out, running->out))
            fd_close(&running->out);
        if (fds[1].revents && !buffer_read(err, running->err))
            fd_close(&running->err);
        if (fds[2].revents && running->in >= 0) {
            ssize_t n = write(running->in, input, left);

            if (n < 0 && errno != EAGAIN && errno != EINTR)
                fd_close(&running->in);
            input += n > 0 ? n : 0;
            left -= n > 0 ? (size_t)n : 0;
        }
    }
    return true;
}

/* Waits for the end, at most until `end`. */
static bool end_wait(pid_t pid, int64_t end, int *ret)
{
    const struct timespec pause = { 0, 2000000 };

    while (waitpid(pid, ret, WNOHANG) != pid) {
        if (now_ms() >= end)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static void finish(struct command_running *running, const void *input, size_t input_len, struct command_result *ret)
{
    struct buffer out = { 0 }, err = { 0 };
    int64_t end = now_ms() + HANG_MS;
    int status = 0;

    *ret = (struct command_result){ .code = -1 };
    (void)signal(SIGPIPE, SIG_IGN);
    ret->late = !streams_pump(running, input, input_len, end, &out, &err) || !end_wait(running->pid, end, &status);
    if (ret->late) {
        (void)kill(running->pid, SIGKILL);
        (void)waitpid(running->pid, &status, 0);
    }
    fd_close(&running->in);
    fd_close(&running->out);
    fd_close(&running->err);
    if (WIFEXITED(status))
        ret->code = WEXITSTATUS(status);
    else
        ret->signal = WTERMSIG(status);
    ret->out = buffer_text(&out);
    ret->out_len = out.len;
    ret->err = buffer_text(&err);
    ret->err_len = err.len;
}

void command_finish(struct command_running *running, struct command_result *ret)
{
    finish(running, NULL, 0, ret);
}

bool command_run(const struct command *command, struct command_result *ret)
{
    struct command_running running;

    if (!command_start(command, command->input != NULL, &running))
        return false;
    finish(&running, command->input, command->input_len, ret);
    return true;
}

void command_result_release(struct command_result *result)
{
    free(result->out);
    free(result->err);
    result->out = result->err = NULL;
}
