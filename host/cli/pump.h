/* A sandboxed command's streams, copied from and to our own until it ends. Only bytes pass, never a descriptor. */
#ifndef STOCKADE_CLI_PUMP_H
#define STOCKADE_CLI_PUMP_H

#include "cli.h"

#include <sys/types.h>

struct pump_end {
    int32_t status; /* RT_OK if the command ran: exit is filled; RT_E_TIMEOUT; else the call's error says why */
    rt_exit exit;
    int signal;    /* that ended the command in an orderly way before it could report, 0 = none */
    int write_err; /* errno of a write to our stdout or stderr, 0 = all was written */
};

/*
 * Runs req in sandbox id. signal_fd: what signals_open() gave; signals are passed on to the command, and the third ends
 * it at once. interactive: our stdin is fed to it. Errors are left in host->call.
 */
void pump_run(struct host *host, const char *id, const rt_exec_request *req, bool interactive, int signal_fd,
              struct pump_end *ret);

#endif
