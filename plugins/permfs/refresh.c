/* New rules for a mounted workspace (contract W11). */
#include "fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFY_INC_EPOCH 8 /* FUSE_NOTIFY_INC_EPOCH; linux/fuse.h has it since Linux 6.16 */

struct known {
    struct node **v;
    size_t n;
};

/* Makes the kernel look up again all that it knows, and all that it knows to be missing. */
static int raise_epoch(struct fuse_session *session)
{
    struct fuse_out_header head = { .len = sizeof head, .error = NOTIFY_INC_EPOCH };

    return write(fuse_session_fd(session), &head, sizeof head) < 0 ? -errno : 0;
}

static int known_collect(struct node_table *t, struct known *ret)
{
    pthread_mutex_lock(&t->lock);
    ret->n = 0;
    ret->v = malloc((t->n_nodes + 1) * sizeof(*ret->v));
    for (size_t i = 0; ret->v && i < t->n_buckets; i++)
        for (struct node *node = t->buckets[i]; node; node = node->next) {
            node->refs++;
            ret->v[ret->n++] = node;
        }
    pthread_mutex_unlock(&t->lock);
    return ret->v ? 0 : -ENOMEM;
}

static void forget_entry(struct fs *fs, struct fuse_session *session, struct node *node)
{
    struct node_table *t = &fs->nodes;
    fuse_ino_t parent;
    char name[DIRS_NAME_MAX + 1];
    size_t len;

    pthread_mutex_lock(&t->lock);
    parent = node->parent == &t->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node->parent;
    len = node->name_len;
    memcpy(name, node->name, len + 1);
    pthread_mutex_unlock(&t->lock);
    (void)fuse_lowlevel_notify_inval_entry(session, parent, name, len);
}

int fs_set_rules(struct fs *fs, struct fuse_session *session, struct rules *rules)
{
    struct known known;
    int r;

    node_set_rules(&fs->nodes, rules);
    if (raise_epoch(session) == 0)
        return 0;
    /* An older kernel is told entry by entry; what it holds for missing expires with the cache time. */
    r = known_collect(&fs->nodes, &known);
    if (r)
        return r;
    for (size_t i = 0; i < known.n; i++) {
        forget_entry(fs, session, known.v[i]);
        node_put(&fs->nodes, known.v[i]);
    }
    free(known.v);
    return 0;
}
