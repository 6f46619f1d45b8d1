/* Growing lists of strings, ended by NULL, and what fills them from options. */
#ifndef STOCKADE_CLI_STRV_H
#define STOCKADE_CLI_STRV_H

#include <stdbool.h>
#include <stddef.h>

struct strv {
    char **items; /* ended by NULL; NULL while empty */
    size_t n;
};

bool strv_add(struct strv *strv, const char *item); /* false if memory runs out */
void strv_release(struct strv *strv);

/*
 * Adds the lines of a text file; empty lines and lines that start with '#' are skipped. Returns NULL, or a text that
 * says what is wrong, which is static or the C library's.
 */
const char *strv_file_add(struct strv *strv, const char *file);

/*
 * --env: NAME=VALUE, or NAME, which takes the value from our environment and is skipped if it is not there.
 * Returns NULL, or a static text that says what is wrong.
 */
const char *env_add(struct strv *env, const char *text);
/* --env-file: one of these a line, as strv_file_add() has them. */
const char *env_file_add(struct strv *env, const char *file);

#endif
