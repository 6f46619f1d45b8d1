/* What a session's shell is given to source for a request. Pure. */
#ifndef STOCKADE_SESSION_TEXT_H
#define STOCKADE_SESSION_TEXT_H

#include "runtime_api.h"

/*
 * The request's shell text as it is, or its argv quoted; before it, on a line of their own, a `cd` to cwd and an
 * `export` of env where these are given (NULL = not). The caller frees. NULL if memory runs out.
 */
char *session_text(const rt_exec_request *req, const char *cwd, size_t *ret_len);

/* Checks that a shell can take env's names as variables. */
int32_t session_env_check(const char *const *env, rt_error *err);

#endif
