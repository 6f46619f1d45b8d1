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
    struct session_link link; /* left by the last one, for the next */
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

void session_link_close(struct session_link *link)
{
    fd_closep(&link->conn);
    fd_closep(&link->answers);
    fd_closep(&link->master);
}

static void turn_free(struct session_turn *turn)
{
    session_link_close(&turn->link);
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

/* Whether it leads to a keeper that is there and idle: one that has ended, or says more than it was asked, is of no
 * use. */
static bool link_stands(const struct session_link *link)
{
    struct pollfd pfd = { .fd = link->answers, .events = POLLIN };

    return link->conn >= 0 && poll(&pfd, 1, 0) == 0;
}

/* Forgets what nobody uses and that holds no connection worth keeping. */
static void turns_tidy(struct session_turns *turns)
{
    for (struct session_turn **at = &turns->first; *at;) {
        struct session_turn *turn = *at;

        if (turn->held || link_stands(&turn->link)) {
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
    *turn = (struct session_turn){ .turns = turns, .next = turns->first, .link = SESSION_LINK_NONE };
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
    if (waiter.fd >= 0 && !status) { /* who granted it wrote under the lock */
        pthread_mutex_lock(&turns->lock);
        pthread_mutex_unlock(&turns->lock);
    }
    if (status && !turn_quit(turn, &waiter)) {
        struct session_link link = session_turn_link(turn);

        session_turn_give(turn, &link);
    }
    fd_closep(&waiter.fd);
    if (!status)
        *ret = turn;
    return status;
}

struct session_link session_turn_link(struct session_turn *turn)
{
    struct session_link link = turn->link;

    turn->link = (struct session_link)SESSION_LINK_NONE;
    if (!link_stands(&link))
        session_link_close(&link);
    return link;
}

void session_turn_give(struct session_turn *turn, struct session_link *link)
{
    struct session_turns *turns;
    struct waiter *next;
    const uint64_t one = 1;

    if (!turn || link->conn < 0)
        session_link_close(link);
    if (!turn)
        return;
    turns = turn->turns;
    pthread_mutex_lock(&turns->lock);
    if (link->conn >= 0) /* else what was left stays: this one may have failed before it took it */
        turn->link = *link;
    *link = (struct session_link)SESSION_LINK_NONE;
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
        session_link_close(&turn->link);
    turns_tidy(turns);
    pthread_mutex_unlock(&turns->lock);
}
