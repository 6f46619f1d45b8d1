/* Taking back what the kernel was told: of a mounted workspace with new rules (contract W11), or that has changed. */
#include "audit_fs.h"
#include "fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFY_INC_EPOCH 8  /* FUSE_NOTIFY_INC_EPOCH; linux/fuse.h has it since Linux 6.16 */
#define TICK_MS          20 /* the kernel counts times in jiffies, of 10 ms at most, and rounds up */

/*
 * Makes the kernel look up again all that it knows, and all that it knows to be missing. A reply counts as of the
 * epoch in which its request was made, so that none of the old rules' can come late.
 */
static int raise_epoch(struct fuse_session *session)
{
    struct fuse_out_header head = { .len = sizeof head, .error = NOTIFY_INC_EPOCH };

    return write(fuse_session_fd(session), &head, sizeof head) < 0 ? -errno : 0;
}

void fs_forget_entry(struct fs *fs, struct fuse_session *session, struct node *node)
{
    struct node_table *t = &fs->nodes;
    fuse_ino_t parent;
    char name[DIRS_NAME_MAX + 1];
    size_t len;

    pthread_mutex_lock(&t->lock);
    parent = fs_ino(fs, node->parent);
    len = node->name_len;
    memcpy(name, node->name, len + 1);
    pthread_mutex_unlock(&t->lock);
    (void)fuse_lowlevel_notify_inval_entry(session, parent, name, len);
}

static int forget_known(struct fs *fs, struct fuse_session *session, bool entries, bool attrs)
{
    struct nodes known;
    int r = nodes_collect(&fs->nodes, &known);

    for (size_t i = 0; !r && i < known.n; i++) {
        if (entries)
            fs_forget_entry(fs, session, known.v[i]);
        if (attrs)
            (void)fuse_lowlevel_notify_inval_inode(session, fs_ino(fs, known.v[i]), -1, 0);
    }
    if (!r)
        nodes_release(&fs->nodes, &known);
    return r;
}

void fs_epochs_start(struct fs *fs, struct fuse_session *session)
{
    fs->epochs = fs->settings->epochs && raise_epoch(session) == 0;
}

int fs_set_rules(struct fs *fs, struct fuse_session *session, struct rules *rules)
{
    const unsigned ms = fs->settings->cache_ms < FS_MISSING_MS ? fs->settings->cache_ms : FS_MISSING_MS;
    bool told;

    node_set_rules(&fs->nodes, rules);
    audit_rules(fs, rules);
    told = fs->epochs && raise_epoch(session) == 0;
    if (!told) /* what it holds for missing is waited out; then it is told entry by entry what else it knows */
        (void)usleep((ms + TICK_MS) * 1000);
    return forget_known(fs, session, !told, true);
}

void fs_forget_all(struct fs *fs, struct fuse_session *session)
{
    (void)fuse_lowlevel_notify_inval_inode(session, FUSE_ROOT_ID, -1, 0);
    (void)forget_known(fs, session, !fs->epochs || raise_epoch(session) != 0, true);
}
