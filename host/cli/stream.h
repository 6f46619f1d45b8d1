/* Commands whose output comes by callback: in sessions, and with runtimes that have no process_spawn(). */
#ifndef STOCKADE_CLI_STREAM_H
#define STOCKADE_CLI_STREAM_H

#include "pump.h"

/*
 * Runs req in sandbox id, in a session of it unless that is NULL. A signal cancels the command. interactive: our stdin
 * is read to its end before, and fed to it. Errors are left in host->call.
 */
void stream_run(struct host *host, const char *id, const char *session, const rt_exec_request *given, bool interactive,
                int signal_fd, struct pump_end *ret);

#endif
