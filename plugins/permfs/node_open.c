/* The handles of open files, and whether what the kernel keeps of a node is still right when it is opened again. */
#include "node.h"

/* All entries are told again once the kernel has asked for one in so many. */
#define ASKED_SHARE 4

/* A change within one tick of the clock of the filesystem below leaves mtime and ctime as they were. */
#define SETTLE_NS INT64_C(100000000)

void node_add_handle(struct node_table *t, struct node *node, struct handle *handle, int fd)
{
    handle->node = node;
    handle->fd = fd;
    handle->refs = 1;
    pthread_mutex_lock(&t->lock);
    LIST_INSERT_HEAD(&node->handles, handle, link);
    pthread_mutex_unlock(&t->lock);
}

struct handle *node_some_handle(struct node_table *t, struct node *node)
{
    struct handle *handle;

    pthread_mutex_lock(&t->lock);
    handle = LIST_FIRST(&node->handles);
    if (handle)
        handle->refs++;
    pthread_mutex_unlock(&t->lock);
    return handle;
}

bool node_drop_handle(struct node_table *t, struct handle *handle)
{
    bool last;

    pthread_mutex_lock(&t->lock);
    last = --handle->refs == 0;
    if (last)
        LIST_REMOVE(handle, link);
    pthread_mutex_unlock(&t->lock);
    return last;
}

static bool is_settled(const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* as files get their times */
    return (int64_t)(now.tv_sec - st->st_ctim.tv_sec) * 1000000000 + now.tv_nsec - st->st_ctim.tv_nsec > SETTLE_NS;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool node_content_kept(struct node_table *t, struct node *node, const struct stat *st)
{
    struct stamp now = { st->st_mtim, st->st_ctim, st->st_size, 0, is_settled(st) };
    bool kept;

    pthread_mutex_lock(&t->lock);
    now.epoch = t->epoch;
    kept = node->seen.settled && node->seen.epoch == now.epoch && node->seen.size == now.size &&
           same_time(node->seen.mtime, now.mtime) && same_time(node->seen.ctime, now.ctime);
    node->seen = now;
    pthread_mutex_unlock(&t->lock);
    return kept;
}

void node_asked(struct node_table *t, struct node *file)
{
    pthread_mutex_lock(&t->lock);
    if (file->parent)
        file->parent->n_asked++;
    pthread_mutex_unlock(&t->lock);
}

void node_listed(struct node_table *t, struct node *dir, uint32_t n)
{
    pthread_mutex_lock(&t->lock);
    dir->n_listed += n;
    pthread_mutex_unlock(&t->lock);
}

bool node_listing_kept(struct node_table *t, struct node *dir, const struct stat *st)
{
    bool kept = node_content_kept(t, dir, st);

    pthread_mutex_lock(&t->lock);
    if (dir->n_listed && (uint64_t)dir->n_asked * ASKED_SHARE >= dir->n_listed)
        kept = false;
    if (!kept)
        dir->n_listed = dir->n_asked = 0;
    pthread_mutex_unlock(&t->lock);
    return kept;
}
