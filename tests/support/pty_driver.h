/*
 * Driving a program through a real terminal, as a person at a shell would: a session leader of its own starts it in the
 * foreground, takes the terminal back when it stops, and outlives it, so that what it left the terminal in can be seen.
 */
#ifndef STOCKADE_TEST_PTY_H
#define STOCKADE_TEST_PTY_H

#include "command.h"

#include <stdint.h>
#include <termios.h>

struct pty {
    int master;      /* non-blocking; -1 once hung up */
    int news, words; /* from and to the session leader */
    pid_t leader, pid;
    struct termios before; /* as the program found the terminal */
    bool is_unread;        /* set it, and pty_wait() leaves output where it is, as a terminal held by ^S */
    char *text;            /* all output so far, NUL-terminated; may hold NULs */
    size_t len, cap, seen; /* seen: what pty_await() has passed */
};

struct pty_news {
    int status;     /* as of waitpid(2), WUNTRACED */
    int64_t cpu_ns; /* that it used, once it has ended */
};

/* command's input is not used. Returns false with errno. */
bool pty_start(const struct command *command, unsigned short rows, unsigned short cols, struct pty *ret);
/* Ends what is left of it and closes; waits for the program's end. */
void pty_end(struct pty *pty);

bool pty_send(struct pty *pty, const char *keys);
/* Reads until text has appeared behind what was awaited before, at most HANG_MS (proc.h). */
bool pty_await(struct pty *pty, const char *text);
/* Reads until the program has stopped or ended, at most HANG_MS: false if it has not. */
bool pty_wait(struct pty *pty, struct pty_news *ret);
/* After it has stopped: gives it the terminal and continues it. */
void pty_continue(struct pty *pty);

void pty_resize(const struct pty *pty, unsigned short rows, unsigned short cols);
bool pty_is_raw(const struct pty *pty);
bool pty_await_raw(const struct pty *pty);
bool pty_is_as_before(const struct pty *pty); /* the terminal's modes are what the program found */
void pty_hang_up(struct pty *pty);            /* the terminal goes away */

#endif
