#include "backing.h"

#include "below.h"

#include <fcntl.h>
#include <unistd.h>

/*
 * The kernel opens the backing file with the flags of the moment, and does not see fcntl switch these off again. So
 * whoever has them set writes by the daemon, which sees what they are.
 */
#define FLAGS_THAT_CHANGE (O_APPEND | O_DIRECT)

/* How many are closed along with an opening: the rest is the watching thread's. */
#define CLOSED_ALONG 16
#define CLOSED_BATCH 256

/*
 * Registers a file. One that is open for writing is opened anew for that, by O_PATH: its backing may outlive the
 * handle, and must not keep the file from being executed (ETXTBSY).
 */
static int32_t register_file(struct fs *fs, int fd, bool for_writing)
{
    int32_t id, closed[CLOSED_ALONG];
    size_t n;

    if (for_writing) {
        fd = below_reopen(fd, O_PATH);
        if (fd < 0)
            return fd;
    }
    n = nodes_unkept(&fs->nodes, closed, CLOSED_ALONG);
    id = device_backing_open(&fs->device, fd, closed, n);
    if (for_writing)
        close(fd);
    return id;
}

/* Joins those who have the node open; lock held. Without any, a backing that was kept decides, and then `id`. */
static void join(struct node_table *t, struct node *node, struct handle *handle, int32_t id)
{
    if (node->backing && !node->n_passed)
        node_reuse_locked(t, node);
    else if (!node->backing && !node->n_cached && id > 0)
        node->backing = id;
    handle->way = node->backing ? WAY_PASSED : WAY_CACHED;
    if (node->backing)
        node->n_passed++;
    else
        node->n_cached++;
}

int32_t backing_join(struct fs *fs, struct node *node, struct handle *handle, int fd, int flags, bool *ret_direct)
{
    struct node_table *t = &fs->nodes;
    const bool changes = flags & FLAGS_THAT_CHANGE;
    const bool may_pass = !changes && (!fs->delta.on || is_for_writing(flags)) && device_passes(&fs->device);
    int32_t id, backing;
    bool decide;

    pthread_mutex_lock(&t->lock);
    if (changes)
        node_unkeep_locked(t, node);
    decide = !node->backing && !node->n_cached && may_pass;
    if (!decide)
        join(t, node, handle, 0);
    backing = node->backing;
    pthread_mutex_unlock(&t->lock);
    *ret_direct = backing && changes;
    if (!decide)
        return backing;

    id = register_file(fs, fd, is_for_writing(flags));
    pthread_mutex_lock(&t->lock);
    join(t, node, handle, id);
    backing = node->backing;
    pthread_mutex_unlock(&t->lock);
    if (id > 0 && id != backing) /* another thread was faster */
        device_backing_close(&fs->device, &id, 1);
    return backing;
}

void backing_leave(struct fs *fs, struct handle *handle)
{
    struct node *node = handle->node;
    int32_t id = 0;

    if (handle->way == WAY_NONE)
        return;
    pthread_mutex_lock(&fs->nodes.lock);
    if (handle->way == WAY_CACHED) {
        node->n_cached--;
    } else if (--node->n_passed == 0 && !node_keep_locked(&fs->nodes, node)) {
        id = node->backing;
        node->backing = 0;
    }
    pthread_mutex_unlock(&fs->nodes.lock);
    if (id)
        device_backing_close(&fs->device, &id, 1);
}

void backings_close_unkept(struct fs *fs)
{
    int32_t ids[CLOSED_BATCH];
    size_t n;

    while ((n = nodes_unkept(&fs->nodes, ids, CLOSED_BATCH)))
        device_backing_close(&fs->device, ids, n);
}
