/* From options to a sandbox and to a command in it. */
#ifndef STOCKADE_CLI_BOX_H
#define STOCKADE_CLI_BOX_H

#include "args.h"
#include "pump.h"

/* Creates a sandbox; reports what goes wrong. The caller sandbox_info_free()s *ret. */
bool box_create(struct host *host, const struct sandbox_args *sandbox, const struct env_args *env, int32_t lifetime,
                rt_sandbox_info **ret);

/* Runs a command in a running sandbox and returns the exit code, having reported what is to be reported. */
int box_exec(struct host *host, const char *id, const struct exec_args *exec, const struct env_args *env,
             char *const *argv, int signal_fd);

/* Reports how a command ended. Returns the exit code. */
int box_end(struct host *host, const struct pump_end *end, const struct exec_args *exec);

/* Destroys a sandbox, also one that a signal interrupted; reports what goes wrong. */
bool box_destroy(struct host *host, const char *id);

/* Reports the error of the last op on the host's call. Returns EXIT_OURS, or 128+n if signal n cancelled it. */
int box_fail(struct host *host, int32_t status, int signal_fd);

#endif
