/* A place of its own for each test of the command: a workspace, a state directory, a home, and nothing else's. */
#ifndef STOCKADE_TEST_WORLD_H
#define STOCKADE_TEST_WORLD_H

#include "command.h"
#include "pty_driver.h"
#include "tree.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

struct world {
    char dir[256]; /* all below it; removed at the end */
    char workspace[280];
    char state[280];
    char *stockade; /* the command's path */
    char *env[16];  /* what it runs with, ended by NULL */
};

extern struct world world;

void world_make(void);
/* Also expects that no mount, process or file of the tests is left. */
void world_remove(void);

/* Adds to the environment that the command runs with. */
void world_env(const char *pair);

/* Whether sandboxes can be started here; if not the test is skipped, or fails where RT_MUST_RUN is set. */
void world_need_bwrap(void);
/* Likewise: whether a runtime announces a capability. */
void world_need_capability(const char *runtime, const char *capability);

/*
 * Runs `stockade ARG...`, arguments ended by NULL, in the workspace. The input is stdin; NULL = /dev/null. The result
 * is the caller's to release.
 */
struct command_result stockade_feed(const void *input, size_t len, const char *const *args);
#define STOCKADE(...) stockade_feed(NULL, 0, (const char *const[]){ __VA_ARGS__, NULL })

/* Runs it, expects the exit code and that stdout is `out` and that stderr contains `err` (NULL = anything). */
void stockade_expect(int code, const char *out, const char *err, const char *const *args);
#define EXPECT(code, out, err, ...) stockade_expect(code, out, err, (const char *const[]){ __VA_ARGS__, NULL })

/* Starts it and leaves it running. */
struct command_running stockade_start(bool wants_input, const char *const *args);
#define START(wants_input, ...) stockade_start(wants_input, (const char *const[]){ __VA_ARGS__, NULL })

/* Starts it on a terminal of 24 rows and 80 columns; to be pty_end()ed. */
struct pty stockade_terminal(const char *const *args);
#define TERMINAL(...) stockade_terminal((const char *const[]){ __VA_ARGS__, NULL })

/* Parses what is all of stdout; to be deleted. */
cJSON *json_of(const struct command_result *result);
const char *json_text(const cJSON *object, const char *key);

#endif
