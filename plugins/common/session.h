/*
 * Sessions: persistent shells. They live in the sandbox, held by its agent (agent_proto.h), so that any process that
 * opens the state directory finds them; here are only connections to them.
 */
#ifndef STOCKADE_SESSION_H
#define STOCKADE_SESSION_H

#include "process.h"

/* Idle connections to the keepers of one sandbox's sessions, to be used again; thread-safe. */
struct session_pool;

struct session_pool *session_pool_new(void); /* NULL: no memory */
void session_pool_free(struct session_pool *pool);
/* Takes one out that is not known to have ended; -1 if there is none. */
int session_connection_take(struct live *live, const char *session);
/* Keeps a connection whose command has ended, if there is room: then *conn becomes -1. */
void session_connection_keep(struct live *live, const char *session, int *conn);

/* Connects to the sandbox's agent: *ret is the caller's to close. RT_E_NOT_RUNNING, RT_E_UNAVAILABLE. */
int32_t agent_connect(struct op *op, struct live *live, int *ret);

/* What AGENT_REFUSED with AGENT_STAGE_SESSION means. */
int32_t session_refused(struct op *op, const char *session, int err);

/* RT_E_SESSION_NOT_FOUND for what can be no session's id. */
int32_t session_name_check(struct op *op, const char *session);

/* Ends a session's whole tree and forgets it. */
int32_t session_end(struct op *op, struct live *live, const char *session);
/* RT_OK if there is one that still takes commands; else says why not. */
int32_t session_check(struct op *op, struct live *live, const char *session);

#endif
