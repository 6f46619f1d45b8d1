/* Renaming (contract W6, W7). */
#include "audit_fs.h"
#include "below.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct move {
    struct fs *fs;
    struct place from, to;
    unsigned flags;
};

/* Whether what is at `from`, a directory, may be called as `to` is. */
static int check_dir(struct move *m, const struct place *from, const struct place *to)
{
    const struct rule_state *a, *b;
    struct rules *rules = node_rules(&m->fs->nodes, from->dir, &a), *again;
    int r = -EXDEV;

    if (!rules)
        return -ENOMEM;
    again = node_rules(&m->fs->nodes, to->dir, &b);
    if (again == rules) { /* otherwise they have just been replaced: whoever renames may copy */
        a = rules_child(rules, a, from->name, strlen(from->name), true);
        b = rules_child(rules, b, to->name, strlen(to->name), true);
        r = a && b ? raise_check(rules, from->fd, from->name, a, b) : -ENOMEM;
    }
    rules_unref(again);
    rules_unref(rules);
    return r == -EXDEV ? audit_denied(m->fs, from->dir, from->name, true, r) : r;
}

static int check_entry(struct move *m, const struct place *from, const struct place *to, bool is_dir)
{
    enum perm perm = node_child_perm(&m->fs->nodes, from->dir, from->name, is_dir);

    if (perm < PERM_WRITE)
        return audit_denied(m->fs, from->dir, from->name, is_dir, perm == PERM_NONE ? -ENOENT : -EACCES);
    return fs_allow_name(m->fs, to->dir, to->name, is_dir);
}

static int check_target(struct move *m, const struct stat *st)
{
    /* Hidden or not, what is there is not to be told from nothing where it may not be written. */
    int r = fs_allow_name(m->fs, m->to.dir, m->to.name, S_ISDIR(st->st_mode));

    if (!r && (m->flags & RENAME_EXCHANGE))
        r = check_entry(m, &m->to, &m->from, S_ISDIR(st->st_mode));
    if (!r && (m->flags & RENAME_EXCHANGE) && S_ISDIR(st->st_mode))
        r = check_dir(m, &m->to, &m->from);
    return r;
}

static int move_entry(struct move *m)
{
    struct stat st, there;
    int r = below_stat(m->from.fd, m->from.name, &st);

    if (!r)
        r = check_entry(m, &m->from, &m->to, S_ISDIR(st.st_mode));
    if (r)
        return r;
    r = below_stat(m->to.fd, m->to.name, &there);
    if (!r)
        r = check_target(m, &there);
    else if (r == -ENOENT && !(m->flags & RENAME_EXCHANGE))
        r = 0;
    if (!r && S_ISDIR(st.st_mode))
        r = check_dir(m, &m->from, &m->to);
    if (r)
        return r;
    r = delta_touch(m->fs, m->from.dir, m->from.name);
    if (!r)
        r = delta_touch(m->fs, m->to.dir, m->to.name);
    if (r)
        return r;
    if (syscall(SYS_renameat2, m->from.fd, m->from.name, m->to.fd, m->to.name, m->flags) < 0)
        return -errno;
    if (node_moved(&m->fs->nodes, m->from.dir, m->from.name, m->to.dir, m->to.name, m->flags & RENAME_EXCHANGE))
        fs_part_names(m->fs);
    return 0;
}

void fs_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent, const char *to_name,
                  unsigned flags)
{
    struct fs *fs = fs_of(req);
    struct move m = { .fs = fs, .flags = flags };
    int r = flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ? -EINVAL : 0;

    if (!r)
        r = place_of_name(&fs->nodes, fs_node(fs, parent), name, &m.from);
    if (!r) {
        r = place_of_name(&fs->nodes, fs_node(fs, to_parent), to_name, &m.to);
        if (!r) {
            pthread_mutex_lock(&fs->rename_lock);
            r = move_entry(&m);
            pthread_mutex_unlock(&fs->rename_lock);
            place_release(&fs->nodes, &m.to);
        }
        place_release(&fs->nodes, &m.from);
    }
    fs_reply(req, r);
}
