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

int fs_forget_entries(struct fs *fs, struct fuse_session *session, struct node *node)
{
    struct node_names names;
    int r = node_names(&fs->nodes, node, &names);

    if (r)
        return r;
    for (size_t i = 0; i < names.n; i++)
        (void)fuse_lowlevel_notify_inval_entry(session, fs_ino(fs, names.v[i].dir), names.v[i].name, names.v[i].len);
    free(names.v);
    return 0;
}

static int forget_known(struct fs *fs, struct fuse_session *session, bool entries, bool attrs)
{
    struct nodes known;
    int r = nodes_collect(&fs->nodes, &known);
    bool failed = false;

    for (size_t i = 0; !r && i < known.n; i++) {
        if (entries)
            failed = fs_forget_entries(fs, session, known.v[i]) || failed;
        if (attrs)
            (void)fuse_lowlevel_notify_inval_inode(session, fs_ino(fs, known.v[i]), -1, 0);
    }
    if (!r)
        nodes_release(&fs->nodes, &known);
    return failed ? -ENOMEM : r;
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
    if (told)
        nodes_part(&fs->nodes);
    else /* what it holds for missing is waited out; then it is told entry by entry what else it knows */
        (void)usleep((ms + TICK_MS) * 1000);
    return forget_known(fs, session, !told, true);
}

void fs_part_names(struct fs *fs)
{
    if (fs->epochs && nodes_differ(&fs->nodes) && raise_epoch(fs->watch.session) == 0)
        nodes_part(&fs->nodes);
}

void fs_forget_all(struct fs *fs, struct fuse_session *session)
{
    (void)fuse_lowlevel_notify_inval_inode(session, FUSE_ROOT_ID, -1, 0);
    (void)forget_known(fs, session, !fs->epochs || raise_epoch(session) != 0, true);
}
