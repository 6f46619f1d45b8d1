/* The nodes of one file, by its inode number: more than one where its names are not alike to the rules. */
#include "node.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 1024

static struct node_list *bucket_of(const struct node_table *t, ino_t ino)
{
    return &t->inodes[(ino ^ ino >> 17) & (t->n_inode_buckets - 1)]; /* numbers of new files follow each other */
}

int node_twins_init(struct node_table *t)
{
    t->inodes = calloc(BUCKETS_MIN, sizeof(*t->inodes)); /* of zeros, an empty list */
    t->n_inode_buckets = BUCKETS_MIN;
    return t->inodes ? 0 : -ENOMEM;
}

/* Without memory for more buckets the lists grow longer: slower, never wrong. */
static void grow(struct node_table *t)
{
    struct node_list *more = calloc(t->n_inode_buckets * 2, sizeof *more), *old = t->inodes;
    const size_t n = t->n_inode_buckets;
    struct node *node;

    if (!more)
        return;
    t->inodes = more;
    t->n_inode_buckets = n * 2;
    for (size_t i = 0; i < n; i++)
        while ((node = LIST_FIRST(&old[i]))) {
            LIST_REMOVE(node, twin);
            LIST_INSERT_HEAD(bucket_of(t, node->ino), node, twin);
        }
    free(old);
}

void node_twins_add_locked(struct node_table *t, struct node *file)
{
    if (t->n_files >= t->n_inode_buckets)
        grow(t);
    LIST_INSERT_HEAD(bucket_of(t, file->ino), file, twin);
    t->n_files++;
}

void node_twins_remove_locked(struct node_table *t, struct node *file)
{
    LIST_REMOVE(file, twin);
    t->n_files--;
}

struct node *node_first_of_inode(const struct node_table *t, ino_t ino)
{
    return LIST_FIRST(bucket_of(t, ino));
}

static bool are_twins(const struct node *a, const struct node *b)
{
    return a != b && a->ino == b->ino && a->dev == b->dev;
}

bool node_has_twin_locked(const struct node_table *t, const struct node *file)
{
    if (S_ISDIR(file->kind))
        return false;
    for (const struct node *n = LIST_FIRST(bucket_of(t, file->ino)); n; n = LIST_NEXT(n, twin))
        if (are_twins(n, file))
            return true;
    return false;
}

bool node_keeps_attr(struct node_table *t, struct node *file, nlink_t links)
{
    bool alone;

    pthread_mutex_lock(&t->lock);
    alone = links <= file->hashed + node_n_links(file) && !node_has_twin_locked(t, file);
    file->keeps_attr = file->keeps_attr || alone;
    pthread_mutex_unlock(&t->lock);
    return alone;
}

void nodes_keep_no_attr(struct node_table *t, const struct nodes *nodes)
{
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < nodes->n; i++)
        nodes->v[i]->keeps_attr = false;
    pthread_mutex_unlock(&t->lock);
}

int node_twins_kept(struct node_table *t, struct node *file, struct nodes *ret)
{
    struct node_list *all;
    size_t most = 0;

    pthread_mutex_lock(&t->lock);
    all = bucket_of(t, file->ino);
    for (struct node *n = LIST_FIRST(all); n; n = LIST_NEXT(n, twin))
        most += n->keeps_attr;
    ret->n = 0;
    ret->v = malloc((most ? most : 1) * sizeof(*ret->v));
    for (struct node *n = ret->v ? LIST_FIRST(all) : NULL; n; n = LIST_NEXT(n, twin))
        if (n->keeps_attr && are_twins(n, file)) {
            n->refs++;
            ret->v[ret->n++] = n;
        }
    pthread_mutex_unlock(&t->lock);
    return ret->v ? 0 : -ENOMEM;
}
