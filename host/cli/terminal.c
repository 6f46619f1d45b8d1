#include "terminal.h"

#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * A terminal that nobody reads takes no more output; a write(2) that waits for it would keep us from noticing signals.
 * O_NONBLOCK belongs to the open description, which we share with the shell, hence one of our own.
 */
static int out_open(void)
{
    return isatty(STDOUT_FILENO) ? open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
}

bool terminal_open(struct terminal *terminal, bool interactive)
{
    sigset_t changes;

    *terminal = (struct terminal){ .in = -1, .size_from = -1, .signal_fd = -1 };
    if (interactive && isatty(STDIN_FILENO))
        terminal->in = STDIN_FILENO;
    if (isatty(STDOUT_FILENO))
        terminal->size_from = STDOUT_FILENO;
    else if (isatty(STDIN_FILENO))
        terminal->size_from = STDIN_FILENO;
    terminal->out = out_open();
    sigemptyset(&changes);
    sigaddset(&changes, SIGWINCH);
    sigaddset(&changes, SIGCONT);
    terminal->signal_fd = signalfd(-1, &changes, SFD_CLOEXEC | SFD_NONBLOCK);
    return terminal->signal_fd >= 0;
}

void terminal_close(struct terminal *terminal)
{
    terminal_take_back(terminal);
    if (terminal->out >= 0)
        (void)close(terminal->out);
    if (terminal->signal_fd >= 0)
        (void)close(terminal->signal_fd);
}

void terminal_size(const struct terminal *terminal, uint16_t *ret_rows, uint16_t *ret_cols)
{
    struct winsize size = { 0 };

    if (terminal->size_from >= 0)
        (void)ioctl(terminal->size_from, TIOCGWINSZ, &size);
    *ret_rows = size.ws_row;
    *ret_cols = size.ws_col;
}

bool terminal_lend(struct terminal *terminal)
{
    struct termios raw;

    if (terminal->in < 0)
        return true;
    if (!terminal->is_raw && tcgetattr(terminal->in, &terminal->before) < 0)
        return false;
    raw = terminal->before;
    cfmakeraw(&raw);
    if (tcsetattr(terminal->in, TCSANOW, &raw) < 0)
        return false;
    terminal->is_raw = true;
    return true;
}

void terminal_take_back(struct terminal *terminal)
{
    pid_t front;

    if (!terminal->is_raw)
        return;
    front = tcgetpgrp(terminal->in); /* an error: it does no job control on us */
    if (front < 0 || front == getpgrp())
        (void)tcsetattr(terminal->in, TCSANOW, &terminal->before);
    terminal->is_raw = false;
}

void terminal_notice(struct terminal *terminal)
{
    int sig;

    while ((sig = signals_take(terminal->signal_fd)))
        if (sig == SIGCONT && terminal->is_raw)
            (void)terminal_lend(terminal); /* a terminal that has gone ends the input */
}
