/*
 * Sessions: persistent shells. They live in the sandbox, held by its agent (agent_proto.h), so that any process that
 * opens the state directory finds them; here are only connections to them.
 */
#ifndef STOCKADE_SESSION_H
#define STOCKADE_SESSION_H

#include "process.h"
#include "session_turn.h"

/* What AGENT_REFUSED with AGENT_STAGE_SESSION means. */
int32_t session_refused(struct op *op, const char *session, int err);

/* RT_E_SESSION_NOT_FOUND for what can be no session's id. */
int32_t session_name_check(struct op *op, const char *session);

/* Ends a session's whole tree and forgets it. */
int32_t session_end(struct op *op, struct live *live, const char *session);
/*
 * Opens a way to the session's keeper, which code inside may have taken over: it can neither send fds to us nor hold
 * up who reads or writes the terminal. *ret is the caller's to close, and empty on failure.
 */
int32_t session_attach(struct op *op, struct live *live, const char *session, struct session_link *ret);

/* RT_OK if there is one that still takes commands; else says why not. */
int32_t session_check(struct op *op, struct live *live, const char *session);

#endif
