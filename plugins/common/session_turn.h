/*
 * Taking turns in a session (S6): the callers of this process wait here, so that a command's timeout counts from its
 * sending, whatever the keeper says or does not say. Between processes the keeper queues.
 */
#ifndef STOCKADE_SESSION_TURN_H
#define STOCKADE_SESSION_TURN_H

#include "op.h"

struct session_turns; /* of one sandbox's sessions; thread-safe */
struct session_turn;  /* one session's, held by one caller at a time */

struct session_turns *session_turns_new(void); /* NULL: no memory */
void session_turns_free(struct session_turns *turns);

/* Waits until it is the caller's turn, first come, first served; *ret is given back by session_turn_give().
 * RT_E_TIMEOUT, RT_E_CANCELLED. */
int32_t session_turn_take(struct op *op, struct session_turns *turns, const char *session, struct session_turn **ret);
/* Lets the next one in. conn: a connection to the keeper for it to use, or -1; taken over. NULL is a no-op. */
void session_turn_give(struct session_turn *turn, int conn);
/* The connection that the last one left, if it still stands, else -1; the caller's. */
int session_turn_connection(struct session_turn *turn);
/* The session is no more: what was kept for it is closed. */
void session_turns_forget(struct session_turns *turns, const char *session);

#endif
