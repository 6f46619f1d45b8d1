/* The nodes of the directories that are watched (watch.h), by inotify's descriptors. */
#include "node.h"

#include <stdlib.h>
#include <sys/inotify.h>

#define EVENTS                                                                                                         \
    (IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

void node_watches_init(struct node_table *t, int inotify, size_t max)
{
    t->inotify = inotify;
    t->max_watches = max;
}

static struct node **bucket_of(struct node_table *t, int wd)
{
    return &t->watched[(size_t)wd % WATCH_BUCKETS];
}

void node_watch(struct node_table *t, struct node *dir, const char *fd_path)
{
    int wd;

    pthread_mutex_lock(&t->lock);
    if (!atomic_load(&dir->wd)) {
        wd = dir->dev == t->root.dev && t->n_watches < t->max_watches ? inotify_add_watch(t->inotify, fd_path, EVENTS)
                                                                      : -1;
        if (wd > 0) {
            dir->wd_next = *bucket_of(t, wd);
            *bucket_of(t, wd) = dir;
            t->n_watches++;
        }
        atomic_store_explicit(&dir->wd, wd, memory_order_release);
    }
    pthread_mutex_unlock(&t->lock);
}

static void unlink_watched(struct node_table *t, struct node *dir, int wd)
{
    struct node **p = bucket_of(t, wd);

    while (*p != dir)
        p = &(*p)->wd_next;
    *p = dir->wd_next;
    t->n_watches--;
    atomic_store(&dir->wd, 0);
}

void node_unwatch_locked(struct node_table *t, struct node *dir)
{
    int wd = atomic_load(&dir->wd);

    if (wd <= 0)
        return;
    unlink_watched(t, dir, wd);
    for (struct node *n = *bucket_of(t, wd); n; n = n->wd_next)
        if (atomic_load(&n->wd) == wd)
            return;
    (void)inotify_rm_watch(t->inotify, wd);
}

void node_unwatched(struct node_table *t, struct node *dir)
{
    int wd;

    pthread_mutex_lock(&t->lock);
    wd = atomic_load(&dir->wd);
    if (wd > 0)
        unlink_watched(t, dir, wd);
    pthread_mutex_unlock(&t->lock);
}

size_t nodes_watched_by(struct node_table *t, int wd, struct node **ret, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    for (struct node *dir = wd > 0 ? *bucket_of(t, wd) : NULL; dir && n < max; dir = dir->wd_next)
        if (atomic_load(&dir->wd) == wd) {
            dir->refs++;
            ret[n++] = dir;
        }
    pthread_mutex_unlock(&t->lock);
    return n;
}

bool node_is_watched(struct node *node)
{
    return atomic_load(&node->wd) > 0;
}
