/* Connections to the keepers of sessions, kept for the next command: attaching anew costs a detour by the agent. */
#include "session.h"

#include <string.h>

#define POOL_MAX 64

struct session_pool {
    pthread_mutex_t lock;
    size_t n;
    struct {
        char session[ID_MAX + 1];
        int conn;
    } idle[POOL_MAX];
};

struct session_pool *session_pool_new(void)
{
    struct session_pool *pool = calloc(1, sizeof *pool);

    if (pool)
        pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

void session_pool_free(struct session_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->n; i++)
        close(pool->idle[i].conn);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static int pool_take(struct session_pool *pool, const char *session)
{
    int conn = -1;

    pthread_mutex_lock(&pool->lock);
    for (size_t i = pool->n; conn < 0 && i-- > 0;) {
        if (strcmp(pool->idle[i].session, session) != 0)
            continue;
        conn = pool->idle[i].conn;
        pool->idle[i] = pool->idle[--pool->n];
    }
    pthread_mutex_unlock(&pool->lock);
    return conn;
}

int session_connection_take(struct live *live, const char *session)
{
    int conn;

    while ((conn = pool_take(live->sessions, session)) >= 0) {
        struct pollfd pfd = { .fd = conn, .events = POLLIN };

        if (poll(&pfd, 1, 0) == 0)
            return conn;
        close(conn); /* its session has ended: nothing else is said without being asked */
    }
    return -1;
}

void session_connection_keep(struct live *live, const char *session, int *conn)
{
    struct session_pool *pool = live->sessions;

    if (*conn < 0 || strlen(session) > ID_MAX)
        return;
    pthread_mutex_lock(&pool->lock);
    if (pool->n < POOL_MAX) {
        strcpy(pool->idle[pool->n].session, session);
        pool->idle[pool->n++].conn = take_fd(conn);
    }
    pthread_mutex_unlock(&pool->lock);
}
