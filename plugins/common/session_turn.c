#include "session_turn.h"

#include "error.h"
#include "util.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* Who waits, in the order of their coming; on the waiter's stack. */
struct waiter {
    struct waiter *next;
    int fd;       /* eventfd: readable once it is its turn */
    bool granted; /* and off the queue */
};

struct session_turn {
    struct session_turns *turns;
    struct session_turn *next;
    char session[ID_MAX + 1];
    bool held;
    struct waiter *waiters;
    int conn; /* left by the last one, for the next; -1 = none */
};

struct session_turns {
    pthread_mutex_t lock; /* guards all of it; never held across I/O that may block */
    struct session_turn *first;
};

struct session_turns *session_turns_new(void)
{
    struct session_turns *turns = calloc(1, sizeof *turns);

    if (turns)
        pthread_mutex_init(&turns->lock, NULL);
    return turns;
}

static void turn_free(struct session_turn *turn)
{
    fd_closep(&turn->conn);
    free(turn);
}

void session_turns_free(struct session_turns *turns)
{
    if (!turns)
        return;
    while (turns->first) {
        struct session_turn *turn = turns->first;

        turns->first = turn->next;
        turn_free(turn);
    }
    pthread_mutex_destroy(&turns->lock);
    free(turns);
}

/* Whether its session has ended: nothing else is said on an idle connection. */
static bool conn_is_over(int conn)
{
    struct pollfd pfd = { .fd = conn, .events = POLLIN };

    return poll(&pfd, 1, 0) != 0;
}

/* Forgets what nobody uses and that holds no connection worth keeping. */
static void turns_tidy(struct session_turns *turns)
{
    for (struct session_turn **at = &turns->first; *at;) {
        struct session_turn *turn = *at;

        if (turn->held || (turn->conn >= 0 && !conn_is_over(turn->conn))) {
            at = &turn->next;
            continue;
        }
        *at = turn->next;
        turn_free(turn);
    }
}

static struct session_turn *turn_find(struct session_turns *turns, const char *session)
{
    struct session_turn *turn = turns->first;

    while (turn && strcmp(turn->session, session) != 0)
        turn = turn->next;
    return turn;
}

static struct session_turn *turn_new(struct session_turns *turns, const char *session)
{
    struct session_turn *turn = calloc(1, sizeof *turn);

    if (!turn)
        return NULL;
    turns_tidy(turns);
    *turn = (struct session_turn){ .turns = turns, .next = turns->first, .conn = -1 };
    snprintf(turn->session, sizeof turn->session, "%s", session);
    turns->first = turn;
    return turn;
}

/* Takes the turn if it is free, else joins the queue. NULL with errno set if neither can be. */
static struct session_turn *turn_join(struct session_turns *turns, const char *session, struct waiter *waiter)
{
    struct session_turn *turn;
    struct waiter **last;

    pthread_mutex_lock(&turns->lock);
    turn = turn_find(turns, session);
    if (!turn)
        turn = turn_new(turns, session);
    if (turn && !turn->held) {
        turn->held = true;
    } else if (turn && (waiter->fd = eventfd(0, EFD_CLOEXEC)) >= 0) {
        for (last = &turn->waiters; *last;)
            last = &(*last)->next;
        *last = waiter;
    } else {
        turn = NULL;
    }
    pthread_mutex_unlock(&turns->lock);
    return turn;
}

/* Leaves the queue. False if the turn had been granted meanwhile: then it is the caller's. */
static bool turn_quit(struct session_turn *turn, struct waiter *waiter)
{
    bool granted;

    pthread_mutex_lock(&turn->turns->lock);
    granted = waiter->granted;
    for (struct waiter **at = &turn->waiters; *at && !granted; at = &(*at)->next) {
        if (*at != waiter)
            continue;
        *at = waiter->next;
        break;
    }
    pthread_mutex_unlock(&turn->turns->lock);
    return !granted;
}

int32_t session_turn_take(struct op *op, struct session_turns *turns, const char *session, struct session_turn **ret)
{
    struct waiter waiter = { .fd = -1 };
    struct session_turn *turn = turn_join(turns, session, &waiter);
    int32_t status = RT_OK;

    if (!turn)
        return op_fail(op, error_status(errno), errno, "wait for session '%s'", session);
    if (waiter.fd >= 0)
        status = op_wait_readable(op, waiter.fd, 0, "the session");
    if (status && !turn_quit(turn, &waiter))
        session_turn_give(turn, session_turn_connection(turn));
    fd_closep(&waiter.fd);
    if (!status)
        *ret = turn;
    return status;
}

int session_turn_connection(struct session_turn *turn)
{
    int conn = take_fd(&turn->conn);

    if (conn >= 0 && conn_is_over(conn))
        fd_closep(&conn);
    return conn;
}

void session_turn_give(struct session_turn *turn, int conn)
{
    struct session_turns *turns;
    struct waiter *next;
    const uint64_t one = 1;

    if (!turn)
        return;
    turns = turn->turns;
    pthread_mutex_lock(&turns->lock);
    turn->conn = conn;
    next = turn->waiters;
    turn->held = next != NULL;
    if (next) {
        turn->waiters = next->next;
        next->granted = true;
        (void)!write(next->fd, &one, sizeof one); /* at once: its counter was 0 */
    }
    pthread_mutex_unlock(&turns->lock);
}

void session_turns_forget(struct session_turns *turns, const char *session)
{
    struct session_turn *turn;

    pthread_mutex_lock(&turns->lock);
    turn = turn_find(turns, session);
    if (turn && !turn->held)
        fd_closep(&turn->conn);
    turns_tidy(turns);
    pthread_mutex_unlock(&turns->lock);
}
