/* A sandboxed command's streams, copied from and to our own until it ends. Only bytes pass, never a descriptor. */
#ifndef STOCKADE_CLI_PUMP_H
#define STOCKADE_CLI_PUMP_H

#include "cli.h"

#include <sys/types.h>

struct pump_end {
    int32_t status; /* RT_OK if the command ran: exit is filled; RT_E_TIMEOUT; else the call's error says why */
    rt_exit exit;
    int signal;      /* that ended the command in an orderly way before it could report, 0 = none */
    bool is_refused; /* on a terminal, where it cannot say so itself: it could not be executed */
    int write_err;   /* errno of a write to our stdout or stderr, 0 = all was written */
};

struct terminal;

/*
 * Runs req in sandbox id. signal_fd: what signals_open() gave; signals are passed on to the command, and the third ends
 * it at once. interactive: our stdin is fed to it. terminal: the command runs on one of its own, which ours, if there
 * is one, stands for meanwhile; while ours is raw, a signal ends the command as a terminal that goes away does, and
 * ret->signal is set. Taken back at the end. NULL = it runs on none. Errors are left in host->call.
 */
void pump_run(struct host *host, const char *id, const rt_exec_request *req, bool interactive,
              struct terminal *terminal, int signal_fd, struct pump_end *ret);

#endif
