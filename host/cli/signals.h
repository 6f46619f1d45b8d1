/* Signals that ask us to end, as a file descriptor: readable while one waits. */
#ifndef STOCKADE_CLI_SIGNALS_H
#define STOCKADE_CLI_SIGNALS_H

#include <stdbool.h>

/*
 * Blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT, but those that we were started with ignored (nohup), and SIGPIPE; also
 * SIGWINCH and SIGCONT, for terminal.h. The fd is of the former four and does as an rt_call's cancel_fd. Returns -1
 * with errno.
 */
int signals_open(void);
/* The next one waiting, 0 if none is. */
int signals_take(int fd);

#endif
