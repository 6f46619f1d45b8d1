/* The nodes whose backing is kept while nobody has them open (backing.h). */
#include "node.h"

#include <string.h>
#include <sys/eventfd.h>

void nodes_kept_init(struct node_table *t, int wake)
{
    t->kept_wake = wake;
}

static void wake(struct node_table *t)
{
    (void)eventfd_write(t->kept_wake, 1);
}

bool node_keep_locked(struct node_table *t, struct node *node)
{
    /* Of a file that has no name any more the space is to be freed. */
    if (t->kept_wake < 0 || !node->hashed || t->n_kept + t->n_unkept == KEPT_MAX)
        return false;
    if (!t->n_kept) /* there was nothing to age */
        wake(t);
    node->kept_long = false;
    LIST_INSERT_HEAD(&t->kept, node, kept);
    t->n_kept++;
    return true;
}

void node_reuse_locked(struct node_table *t, struct node *node)
{
    LIST_REMOVE(node, kept);
    t->n_kept--;
}

void node_unkeep_locked(struct node_table *t, struct node *node)
{
    if (!node->backing || node->n_passed)
        return;
    node_reuse_locked(t, node);
    if (!t->n_unkept)
        wake(t);
    t->unkept[t->n_unkept++] = node->backing;
    node->backing = 0;
}

bool nodes_kept_age(struct node_table *t)
{
    bool more;

    pthread_mutex_lock(&t->lock);
    for (struct node *node = LIST_FIRST(&t->kept), *next; node; node = next) {
        next = LIST_NEXT(node, kept);
        if (node->kept_long)
            node_unkeep_locked(t, node);
        else
            node->kept_long = true;
    }
    more = t->n_kept;
    pthread_mutex_unlock(&t->lock);
    return more;
}

size_t nodes_unkept(struct node_table *t, int32_t *ret, size_t max)
{
    size_t n;

    pthread_mutex_lock(&t->lock);
    n = t->n_unkept < max ? t->n_unkept : max;
    t->n_unkept -= n;
    memcpy(ret, t->unkept + t->n_unkept, n * sizeof *ret);
    pthread_mutex_unlock(&t->lock);
    return n;
}
