#include "signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool is_ignored(int sig)
{
    struct sigaction action;

    return !sigaction(sig, NULL, &action) && action.sa_handler == SIG_IGN;
}

int signals_open(void)
{
    static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    sigset_t watched, blocked;

    sigemptyset(&watched);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (!is_ignored(ending[i]))
            sigaddset(&watched, ending[i]);
    blocked = watched;
    sigaddset(&blocked, SIGPIPE); /* a reader that has gone is an error of write(2) */
    sigaddset(&blocked, SIGWINCH);
    sigaddset(&blocked, SIGCONT);
    if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
        return -1;
    return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

int signals_take(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}
