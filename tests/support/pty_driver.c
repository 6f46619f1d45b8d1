#include "pty_driver.h"

#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* ---- the session leader ---------------------------------------------------------------------------------------- */

struct leader {
    const struct command *command;
    int slave, news, words;
    struct termios cooked;
};

static void program_exec(const struct leader *leader)
{
    const struct command *command = leader->command;
    sigset_t none;

    (void)setpgid(0, 0);
    (void)tcsetpgrp(leader->slave, getpid()); /* SIGTTOU is ignored still */
    for (int sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (int fd = 0; fd < 3; fd++)
        if (dup2(leader->slave, fd) < 0)
            _exit(99);
    if (command->cwd && chdir(command->cwd) < 0)
        _exit(99);
    (void)execve(command->argv[0], (char *const *)(uintptr_t)command->argv, (char *const *)(uintptr_t)command->env);
    _exit(98);
}

static void news_send(const struct leader *leader, int status, const struct rusage *usage)
{
    const struct timeval *user = &usage->ru_utime, *sys = &usage->ru_stime;
    struct pty_news news = { status, (user->tv_sec + sys->tv_sec) * 1000 * MS + (user->tv_usec + sys->tv_usec) * 1000 };

    if (write(leader->news, &news, sizeof news) != (ssize_t)sizeof news)
        _exit(97);
}

/* Never returns; ends when the test closes `words`, or ends itself. */
static void leader_run(const struct leader *leader)
{
    struct rusage usage;
    int status;
    char word;
    pid_t pid;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGTTOU, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    if (setsid() < 0 || ioctl(leader->slave, TIOCSCTTY, 0) < 0 || (pid = fork()) < 0)
        _exit(96);
    if (pid == 0)
        program_exec(leader);
    if (write(leader->news, &pid, sizeof pid) != (ssize_t)sizeof pid)
        _exit(97);
    while (wait4(pid, &status, WUNTRACED, &usage) == pid) {
        if (!WIFSTOPPED(status)) {
            news_send(leader, status, &usage);
            break;
        }
        (void)tcsetpgrp(leader->slave, getpid());
        (void)tcsetattr(leader->slave, TCSANOW, &leader->cooked);
        news_send(leader, status, &usage);
        if (read(leader->words, &word, 1) != 1)
            break;
        (void)tcsetpgrp(leader->slave, pid);
        (void)kill(-pid, SIGCONT);
    }
    while (read(leader->words, &word, 1) > 0)
        ;
    _exit(0);
}

/* ---- starting and ending --------------------------------------------------------------------------------------- */

bool pty_start(const struct command *command, unsigned short rows, unsigned short cols, struct pty *ret)
{
    struct winsize size = { .ws_row = rows, .ws_col = cols };
    int news[2], words[2], slave;

    *ret = (struct pty){ .master = -1 };
    if (openpty(&ret->master, &slave, NULL, NULL, &size) < 0 || pipe2(news, O_CLOEXEC) < 0 ||
        pipe2(words, O_CLOEXEC) < 0 || tcgetattr(slave, &ret->before) < 0)
        return false;
    (void)fcntl(ret->master, F_SETFD, FD_CLOEXEC);
    (void)fcntl(slave, F_SETFD, FD_CLOEXEC);
    (void)fcntl(ret->master, F_SETFL, O_NONBLOCK);
    ret->leader = fork();
    if (ret->leader == 0) {
        (void)close(ret->master);
        (void)close(news[0]);
        (void)close(words[1]);
        leader_run(&(struct leader){ command, slave, news[1], words[0], ret->before });
    }
    (void)close(slave);
    (void)close(news[1]);
    (void)close(words[0]);
    ret->news = news[0];
    ret->words = words[1];
    return ret->leader > 0 && read(ret->news, &ret->pid, sizeof ret->pid) == (ssize_t)sizeof ret->pid;
}

void pty_end(struct pty *pty)
{
    (void)kill(pty->pid, SIGCONT);
    (void)kill(pty->pid, SIGKILL);
    (void)close(pty->words);
    while (waitpid(pty->leader, NULL, 0) < 0 && errno == EINTR)
        ;
    (void)close(pty->news);
    pty_hang_up(pty);
    free(pty->text);
    *pty = (struct pty){ .master = -1 };
}

void pty_hang_up(struct pty *pty)
{
    if (pty->master >= 0)
        (void)close(pty->master);
    pty->master = -1;
}

/* ---- talking --------------------------------------------------------------------------------------------------- */

static void output_read(struct pty *pty)
{
    ssize_t n;

    if (pty->cap - pty->len < 65536) {
        pty->cap = pty->cap * 2 + 65536;
        pty->text = realloc(pty->text, pty->cap + 1);
        if (!pty->text)
            abort();
    }
    n = read(pty->master, pty->text + pty->len, pty->cap - pty->len);
    if (n > 0)
        pty->len += (size_t)n;
    pty->text[pty->len] = '\0';
}

bool pty_send(struct pty *pty, const char *keys)
{
    size_t left = strlen(keys);

    while (left) {
        struct pollfd fd = { .fd = pty->master, .events = POLLIN | POLLOUT };
        ssize_t n;

        if (poll(&fd, 1, 10000) <= 0 || (fd.revents & (POLLERR | POLLHUP)))
            return false;
        if (fd.revents & POLLIN) /* its echo may be what stands in the way */
            output_read(pty);
        if (!(fd.revents & POLLOUT))
            continue;
        n = write(pty->master, keys, left);
        if (n < 0 && errno != EAGAIN)
            return false;
        keys += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool pty_await(struct pty *pty, const char *text)
{
    int64_t end = now_ns() + HANG_MS * MS;
    size_t from = pty->seen, len = strlen(text);

    for (;;) {
        const char *found = pty->text ? memmem(pty->text + from, pty->len - from, text, len) : NULL;
        struct pollfd fd = { .fd = pty->master, .events = POLLIN };
        int64_t left = (end - now_ns()) / MS;

        if (found) {
            pty->seen = (size_t)(found - pty->text) + len;
            return true;
        }
        if (pty->len > len && pty->len - len > from)
            from = pty->len - len;
        if (left <= 0 || poll(&fd, 1, (int)left) <= 0 || !(fd.revents & POLLIN))
            return false;
        output_read(pty);
    }
}

bool pty_wait(struct pty *pty, struct pty_news *ret)
{
    int64_t end = now_ns() + HANG_MS * MS;

    for (;;) {
        struct pollfd fds[] = { { pty->news, POLLIN, 0 }, { pty->is_unread ? -1 : pty->master, POLLIN, 0 } };
        int64_t left = (end - now_ns()) / MS;

        if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR))
            return false;
        if (fds[1].revents & POLLIN)
            output_read(pty);
        else if (fds[0].revents) /* what it wrote before has been read */
            return read(pty->news, ret, sizeof *ret) == (ssize_t)sizeof *ret;
    }
}

void pty_continue(struct pty *pty)
{
    if (write(pty->words, "c", 1) != 1)
        abort();
}

/* ---- the terminal ---------------------------------------------------------------------------------------------- */

void pty_resize(const struct pty *pty, unsigned short rows, unsigned short cols)
{
    struct winsize size = { .ws_row = rows, .ws_col = cols };

    (void)ioctl(pty->master, TIOCSWINSZ, &size);
}

bool pty_is_raw(const struct pty *pty)
{
    struct termios now;

    return !tcgetattr(pty->master, &now) && !(now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) &&
           !(now.c_oflag & OPOST) && !(now.c_iflag & (ICRNL | IXON));
}

bool pty_await_raw(const struct pty *pty)
{
    return AWAIT(pty_is_raw(pty));
}

bool pty_is_as_before(const struct pty *pty)
{
    const struct termios *before = &pty->before;
    struct termios now;

    return !tcgetattr(pty->master, &now) && now.c_iflag == before->c_iflag && now.c_oflag == before->c_oflag &&
           now.c_cflag == before->c_cflag && now.c_lflag == before->c_lflag &&
           !memcmp(now.c_cc, before->c_cc, sizeof now.c_cc);
}
