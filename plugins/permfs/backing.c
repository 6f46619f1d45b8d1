#include "backing.h"

#include "below.h"

#include <fcntl.h>
#include <unistd.h>

/*
 * The kernel opens the backing file with the flags of the moment, and does not see fcntl switch these off again. So
 * whoever has them set writes by the daemon, which sees what they are.
 */
#define FLAGS_THAT_CHANGE (O_APPEND | O_DIRECT)

/*
 * Registers a file. One that is open for writing is opened anew for that, by O_PATH: its backing may outlive the
 * handle, and must not keep the file from being executed (ETXTBSY).
 */
static int32_t register_file(struct fs *fs, int fd, bool for_writing)
{
    int32_t id;

    if (!for_writing)
        return device_backing_open(&fs->device, fd);
    fd = below_reopen(fd, O_PATH);
    if (fd < 0)
        return fd;
    id = device_backing_open(&fs->device, fd);
    close(fd);
    return id;
}

/* Joins those who have the node open; lock held. Without any, `id` decides. */
static void join(struct node *node, struct handle *handle, int32_t id)
{
    if (!node->n_passed && !node->n_cached && id > 0)
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
    int32_t id, backing;
    bool decide;

    pthread_mutex_lock(&t->lock);
    decide = !node->n_passed && !node->n_cached && !changes && device_passes(&fs->device);
    if (!decide)
        join(node, handle, 0);
    backing = node->backing;
    pthread_mutex_unlock(&t->lock);
    *ret_direct = backing && changes;
    if (!decide)
        return backing;

    id = register_file(fs, fd, (flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY);
    pthread_mutex_lock(&t->lock);
    join(node, handle, id);
    backing = node->backing;
    pthread_mutex_unlock(&t->lock);
    if (id > 0 && id != backing) /* another thread was faster */
        device_backing_close(&fs->device, id);
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
    } else if (--node->n_passed == 0) {
        id = node->backing;
        node->backing = 0;
    }
    pthread_mutex_unlock(&fs->nodes.lock);
    if (id)
        device_backing_close(&fs->device, id);
}
