/*
 * Taking turns in a session (S6): the callers of this process wait here, so that a command's timeout counts from its
 * sending, whatever the keeper says or does not say. Between processes the keeper queues.
 */
#ifndef STOCKADE_SESSION_TURN_H
#define STOCKADE_SESSION_TURN_H

#include "op.h"

/* A way to a session's keeper: what it is told goes by conn, what it answers comes by a pipe (agent_proto.h). */
struct session_link {
    int conn;    /* -1 = none, or of no more use */
    int answers; /* read end */
    int master;  /* of the session's terminal; -1 = it has none */
};

#define SESSION_LINK_NONE                                                                                              \
    {                                                                                                                  \
        -1, -1, -1                                                                                                     \
    }

void session_link_close(struct session_link *link);

struct session_turns; /* of one sandbox's sessions; thread-safe */
struct session_turn;  /* one session's, held by one caller at a time */

struct session_turns *session_turns_new(void); /* NULL: no memory */
void session_turns_free(struct session_turns *turns);

/* Waits until it is the caller's turn, first come, first served; *ret is given back by session_turn_give().
 * RT_E_TIMEOUT, RT_E_CANCELLED. */
int32_t session_turn_take(struct op *op, struct session_turns *turns, const char *session, struct session_turn **ret);
/* Lets the next one in. link: for it to use; taken over, and closed if it has no connection. turn may be NULL. */
void session_turn_give(struct session_turn *turn, struct session_link *link);
/* The link that the last one left, if it still stands, else none; the caller's. */
struct session_link session_turn_link(struct session_turn *turn);
/* The session is no more: what was kept for it is closed. */
void session_turns_forget(struct session_turns *turns, const char *session);

#endif
