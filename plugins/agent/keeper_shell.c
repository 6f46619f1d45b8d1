/* The session's shell, and what it is told. */
#include "agent.h"
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define LINE_SIZE   1024
#define DROP_ROUNDS 4096 /* a terminal holds less than 256 KiB in all, in pieces of 256 bytes at least */

struct shell shell = { .terminal = -1 };

static struct watch control; /* write end of the pipe that the shell reads its lines from */

static struct termios termios_at_start, termios_in_use; /* the latter while it is muted */
static bool is_muted;
static int stat_fd = -1;
static int return_fd = -1; /* memfd of `return N` */

enum dialect { POSIX_SHELL, BASH, BUSYBOX };

static enum dialect dialect;

static const char *name_of(const char *path)
{
    return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

/* busybox goes by any name, also by hard links; what it says of itself is in it. */
static bool is_busybox(const char *path)
{
    static const char mark[] = "BusyBox v";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *at = MAP_FAILED;
    bool found;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && st.st_size > 0)
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return false;
    found = memmem(at, (size_t)st.st_size, mark, sizeof mark - 1);
    munmap(at, (size_t)st.st_size);
    return found;
}

static enum dialect dialect_of(const char *path)
{
    char real[PATH_MAX];

    if (!strncmp(name_of(realpath(path, real) ? real : path), "bash", 4))
        return BASH;
    return is_busybox(path) ? BUSYBOX : POSIX_SHELL;
}

static void shell_exec(const char *path)
{
    char *name = (char *)(uintptr_t)name_of(path), path_of_control[32];
    char *argvs[][6] = {
        [POSIX_SHELL] = { name, "-i" },
        /* Without readline, which reads a pipe byte by byte and would lose the rest of each packet. */
        [BASH] = { name, "--norc", "--noprofile", "--noediting", "-i" },
        /* Not from stdin, which busybox takes for ended when a signal interrupts it: the end of any background job. */
        [BUSYBOX] = { name, "-i", path_of_control },
    };
    sigset_t none;

    snprintf(path_of_control, sizeof path_of_control, "/proc/%d/fd/%d", (int)getppid(), KEEPER_CONTROL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    if (shell.terminal >= 0)
        (void)ioctl(shell.terminal, TIOCSCTTY, 0);
    if (dup2(dialect == BUSYBOX ? KEEPER_TEXT : KEEPER_CONTROL, 0) < 0 || dup2(KEEPER_TEXT, 1) < 0 ||
        dup2(KEEPER_TEXT, 2) < 0)
        _exit(126);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(path, argvs[dialect]);
    _exit(errno == ENOENT ? 127 : 126);
}

/* The prompt and history are not wanted; a failed exec must not end the shell, as it does not end one at a terminal. */
static int shell_prepare(void)
{
    static const char *const lines[] = {
        [POSIX_SHELL] = "PS1= PS2=\n",
        [BASH] = "PS1= PS2=;shopt -s execfail;set +o history +H\n",
        /* It leaves its SIGINT handler by longjmp(3), also out of malloc(3), and then stands still: busybox 1.35. */
        [BUSYBOX] = "PS1= PS2=;trap '\\kill -INT $$' PWR\n",
    };
    const char *line = lines[dialect];

    shell.interrupt = dialect == BUSYBOX ? SIGPWR : SIGINT;

    return write(control.fd, line, strlen(line)) < 0 ? -errno : 0;
}

/*
 * The last command's lines that the pipe has not taken yet. Once a user has many pipes the kernel makes new ones with
 * room for two packets (pipe(7), pipe-user-pages-soft), and what the shell was sent before may lie there unread.
 */
static struct line {
    char text[LINE_SIZE];
    size_t len;
} lines[2];
static size_t n_lines, n_written;

static void lines_write(void)
{
    while (n_written < n_lines && write(control.fd, lines[n_written].text, lines[n_written].len) >= 0)
        n_written++;
    watch_change(&control, n_written < n_lines ? EPOLLOUT : 0);
}

static void control_ready(struct watch *watch, uint32_t events)
{
    (void)watch, (void)events;
    lines_write();
}

int shell_start(const char *path, int terminal, const char *pts)
{
    char stat_path[32];
    int pair[2];

    return_fd = memfd_create("return", MFD_CLOEXEC);
    if (return_fd < 0)
        return -errno;
    shell.terminal = terminal;
    shell.pts = pts;
    /* Non-blocking, as who writes to a full one holds up every other. */
    if (terminal >= 0 &&
        (tcgetattr(terminal, &termios_at_start) < 0 || fcntl(terminal, F_SETFL, O_RDWR | O_NONBLOCK) < 0))
        return -errno;
    /*
     * A packet a line: a shell that reads ahead gets no more than one line, and what it throws away after an error is
     * not the next one (pipe(2), O_DIRECT).
     */
    if (pipe2(pair, O_CLOEXEC | O_DIRECT | O_NONBLOCK) < 0 || fcntl(pair[0], F_SETFL, 0) < 0 ||
        dup3(pair[0], KEEPER_CONTROL, O_CLOEXEC) < 0)
        return -errno;
    close(pair[0]);
    control = (struct watch){ .ready = control_ready, .fd = pair[1] };
    if (watch_add(&control, 0) < 0)
        return -errno;
    dialect = dialect_of(path);
    shell.pid = fork();
    if (shell.pid < 0)
        return -errno;
    if (!shell.pid)
        shell_exec(path);
    snprintf(stat_path, sizeof stat_path, "/proc/%d/stat", (int)shell.pid);
    stat_fd = open(stat_path, O_RDONLY | O_CLOEXEC);
    return shell_prepare();
}

/*
 * A command may begin by asking for $?: the last one's code, not that of the line that reported it. In front of an
 * `||`, here and in the line that sources it, so that `set -e` has no say.
 */
static int return_make(int last_code)
{
    char text[32];
    int n = snprintf(text, sizeof text, "return %d||:\n", last_code);

    if (ftruncate(return_fd, 0) < 0 || pwrite(return_fd, text, (size_t)n, 0) != n ||
        dup3(return_fd, KEEPER_RETURN, O_CLOEXEC) < 0)
        return -errno;
    return 0;
}

/*
 * What runs the text with its streams. bash 5.2 corrupts its heap where a file that it sources ends within `$(`
 * (it shows with the next syntax errors), but not where that is the text of an eval. An eval on its part would tell
 * of every background job on stderr. So the text is parsed first, where nothing of it is run, and sourced only if it
 * parses.
 */
static void run_make(char *run, size_t size, const char *code, const char *text, const char *streams)
{
    if (dialect == BASH)
        snprintf(run, size,
                 "if \\eval \"while false;do :\"$'\\n'\"$(<%s)\"$'\\n'done 2>/dev/null;then %s\\. %s %s;"
                 "else %s\\eval \"$(<%s)\" %s;fi;",
                 text, code, text, streams, code, text, streams);
    else
        snprintf(run, size, "%s\\. %s %s;", code, text, streams);
}

/* A line that runs `first`, reports the code of what ran last, and runs `last`. */
static void line_add(uint64_t id, const char *first, const char *last)
{
    struct line *line = &lines[n_lines++];

    line->len = (size_t)snprintf(line->text, sizeof line->text, "%s\\command echo %llu $? >>/proc/%d/fd/%d%s\n", first,
                                 (unsigned long long)id, (int)getpid(), KEEPER_STATUS, last);
}

void shell_ask_again(uint64_t id)
{
    int unread;

    if (n_written < n_lines || ioctl(KEEPER_CONTROL, FIONREAD, &unread) < 0 || unread)
        return;
    n_lines = n_written = 0;
    line_add(id, "", "");
    lines_write();
}

/*
 * Two lines. The first runs the command and reports; whatever a failing command makes the shell forget of it, the
 * second one is still in the pipe and reports again, which counts only if it is the first to arrive. Should the
 * command have closed the shell's input, it is opened again.
 */
int shell_send(uint64_t id, int last_code)
{
    char run[800], code[48] = "", text[40], streams[160], reopen[64] = "";
    int me = (int)getpid(), n;

    if (last_code) {
        n = return_make(last_code);
        if (n)
            return n;
        snprintf(code, sizeof code, "\\. /proc/%d/fd/%d||", me, KEEPER_RETURN);
    }
    snprintf(text, sizeof text, "/proc/%d/fd/%d", me, KEEPER_TEXT);
    if (*shell.pts)
        snprintf(streams, sizeof streams, "<%s >>%s 2>>%s", shell.pts, shell.pts, shell.pts);
    else
        snprintf(streams, sizeof streams, "</proc/%d/fd/%d >>/proc/%d/fd/%d 2>>/proc/%d/fd/%d", me, KEEPER_IN, me,
                 KEEPER_OUT, me, KEEPER_ERR);
    run_make(run, sizeof run, code, text, streams);
    if (dialect != BUSYBOX) /* which does not read its stdin */
        snprintf(reopen, sizeof reopen, ";[ -p /dev/stdin ]||\\exec </proc/%d/fd/%d", me, KEEPER_CONTROL);
    n_lines = n_written = 0; /* what is left of the last command's asks only for a code that is known */
    line_add(id, run, reopen);
    line_add(id, "", "");
    lines_write();
    return 0;
}

void shell_terminal_mute(void)
{
    struct termios mute;

    if (is_muted || tcgetattr(shell.terminal, &termios_in_use) < 0)
        return;
    mute = termios_in_use;
    mute.c_iflag &= ~(tcflag_t)IXON; /* which undoes a ^S */
    mute.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL | ISIG);
    mute.c_cc[VMIN] = 1;
    mute.c_cc[VTIME] = 0;
    is_muted = tcsetattr(shell.terminal, TCSANOW, &mute) == 0;
    (void)!write(shell.terminal, "", 0); /* echoes what there was no room for: else the next one's first write does */
}

/*
 * What was typed comes by way of a kernel worker, and flushing does not wait for that; poll(2) does, before it says
 * that there is nothing. Bounded, as code inside may go on typing where the kernel lets it (TIOCSTI).
 */
static void input_drop(void)
{
    struct pollfd pfd = { .fd = shell.terminal, .events = POLLIN };
    int rounds = 0;

    do
        (void)tcflush(shell.terminal, TCIFLUSH);
    while (poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLIN) && ++rounds < DROP_ROUNDS);
}

void shell_terminal_reset(bool settings_too)
{
    if (shell.terminal < 0)
        return;
    shell_terminal_mute();
    input_drop();
    if (is_muted)
        (void)tcsetattr(shell.terminal, TCSANOW, settings_too ? &termios_at_start : &termios_in_use);
    is_muted = false;
}

/* utime, stime, cutime and cstime, in clock ticks: proc(5), fields 14 to 17. */
void shell_cpu(uint64_t *ret_user_us, uint64_t *ret_sys_us)
{
    char text[512];
    ssize_t n = stat_fd < 0 ? -1 : pread(stat_fd, text, sizeof text - 1, 0);
    unsigned long user, sys, children_user, children_sys, tick_us = 1000000ul / (unsigned long)sysconf(_SC_CLK_TCK);
    const char *rest;

    *ret_user_us = *ret_sys_us = 0;
    if (n <= 0)
        return;
    text[n] = '\0';
    rest = strrchr(text, ')');
    if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &user, &sys,
                        &children_user, &children_sys) != 4)
        return;
    *ret_user_us = (uint64_t)(user + children_user) * tick_us;
    *ret_sys_us = (uint64_t)(sys + children_sys) * tick_us;
}
