/* The terminal that we were started on, lent to a command that runs on one of its own (-t). */
#ifndef STOCKADE_CLI_TERMINAL_H
#define STOCKADE_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
    int in;        /* stdin, if it is a terminal and the command's input: raw while lent; -1 = none */
    int size_from; /* the terminal whose size the command's follows, -1 = none */
    int out;       /* to write output to: where stdout is a terminal, a description of our own that never blocks */
    int signal_fd; /* SIGWINCH and SIGCONT, which signals_open() has blocked */
    struct termios before;
    bool is_raw;
};

/* interactive: stdin is the command's. Returns false with errno. Closed by terminal_close(), also when it failed. */
bool terminal_open(struct terminal *terminal, bool interactive);
void terminal_close(struct terminal *terminal); /* takes it back first */

/* 0 for what is not known. */
void terminal_size(const struct terminal *terminal, uint16_t *ret_rows, uint16_t *ret_cols);

/*
 * Makes stdin raw: every key is the command's. In the background that stops us until we are in front again, as any
 * program that wants the terminal. Returns false with errno; true if there is none.
 */
bool terminal_lend(struct terminal *terminal);
/* Makes it what it was, unless it is somebody else's by now. Never blocks. */
void terminal_take_back(struct terminal *terminal);

/* After signal_fd was readable: makes it raw again if we were stopped, for whoever was in front then made it cooked. */
void terminal_notice(struct terminal *terminal);

#endif
