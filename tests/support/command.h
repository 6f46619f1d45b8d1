/* Running a program as a user would: its arguments, input and environment given, its output and end taken. */
#ifndef STOCKADE_TEST_COMMAND_H
#define STOCKADE_TEST_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct command {
    const char *const *argv; /* ended by NULL; argv[0] is a path */
    const char *const *env;  /* the whole environment, ended by NULL */
    const char *cwd;         /* NULL = as it is */
    const void *input;       /* fed to stdin; NULL = /dev/null */
    size_t input_len;
};

struct command_result {
    int code;        /* exit code, -1 if it did not exit */
    int signal;      /* that ended it, 0 = none */
    bool late;       /* it did not end within HANG_MS (proc.h), and was killed */
    char *out, *err; /* NUL-terminated */
    size_t out_len, err_len;
};

/* Runs to the end. Returns false with errno if it could not be started. The caller command_result_release()s. */
bool command_run(const struct command *command, struct command_result *ret);
void command_result_release(struct command_result *result);

/* A program that goes on: to be sent signals, say. */
struct command_running {
    pid_t pid;
    int in, out, err; /* pipes; in is -1 if input was not wanted */
};

/* The command's input is not used; wants_input makes stdin a pipe. */
bool command_start(const struct command *command, bool wants_input, struct command_running *ret);
/* Reads from fd until text has appeared, at most HANG_MS. */
bool command_await(int fd, const char *text);
/* Takes its remaining output and its end. */
void command_finish(struct command_running *running, struct command_result *ret);

#endif
