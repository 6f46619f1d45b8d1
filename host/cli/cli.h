/* What the subcommands share: reporting, opening, exit codes. */
#ifndef STOCKADE_CLI_H
#define STOCKADE_CLI_H

#include "../stockade.h"

#include <stdbool.h>

/* Exit codes of our own, as docker's; 126 and 127 come from the sandbox as the command's. */
enum {
    EXIT_OK = 0,
    EXIT_UNUSABLE = 1,  /* doctor: no runtime works here */
    EXIT_DIFFERS = 1,   /* compare: not all of it could be measured, or runtimes behave differently */
    EXIT_TIMEOUT = 124, /* as timeout(1) */
    EXIT_OURS = 125     /* Stockade failed, not the command */
};

int cmd_runtimes(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_destroy(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_rules(int argc, char **argv);
int cmd_changes(int argc, char **argv);
int cmd_commit(int argc, char **argv);
int cmd_discard(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_conformance(int argc, char **argv);
int cmd_config(int argc, char **argv);

/* ---- report.c: one line on stderr each, "stockade: SUBCOMMAND: message" ---- */

void report_as(const char *subcommand); /* borrowed; for all messages to come */
/* Returns EXIT_OURS. Control characters, which a file's name may hold, are shown as '?'. */
int report_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_log(void *user, int32_t level, const char *message); /* an rt_log_fn */
/* Ends a subcommand that printed: reports what stdout could not take. Returns code, or EXIT_OURS. */
int report_finish(int code);

/* ---- open.c: a runtime as the options say ---- */

struct open_args {
    const char *runtime;
    const char *config_file;
    const char *state_dir;
};

struct host {
    stockade_config *config;
    stockade_runtime *sb;
    rt_call call; /* for the ops to come */
};

#define HOST_INIT                                                                                                      \
    {                                                                                                                  \
        NULL, NULL, RT_CALL_INIT                                                                                       \
    }

/* Both report what goes wrong. The caller host_close()s in any case. */
bool host_open(struct host *host, const struct open_args *args);
bool host_load_config(struct host *host, const struct open_args *args);
void host_close(struct host *host);

/*
 * Opens a runtime for work that a signal cancels (signals.h; the call's cancel_fd is signal_fd), and closes it. Returns
 * what the work does, or EXIT_OURS, having reported why there was none.
 */
typedef int host_work(struct host *host, const void *args, int signal_fd);
int host_do(const struct open_args *open, host_work *work, const void *args);

#endif
