#include "audit_fs.h"

#include <linux/fuse.h>
#include <string.h>

static const char *op_name(uint32_t opcode)
{
    static const char *const names[] = {
        [FUSE_LOOKUP] = "lookup",       [FUSE_GETATTR] = "getattr",
        [FUSE_SETATTR] = "setattr",     [FUSE_READLINK] = "readlink",
        [FUSE_SYMLINK] = "symlink",     [FUSE_MKNOD] = "mknod",
        [FUSE_MKDIR] = "mkdir",         [FUSE_UNLINK] = "unlink",
        [FUSE_RMDIR] = "rmdir",         [FUSE_RENAME] = "rename",
        [FUSE_LINK] = "link",           [FUSE_OPEN] = "open",
        [FUSE_SETXATTR] = "setxattr",   [FUSE_GETXATTR] = "getxattr",
        [FUSE_LISTXATTR] = "listxattr", [FUSE_REMOVEXATTR] = "removexattr",
        [FUSE_OPENDIR] = "opendir",     [FUSE_CREATE] = "create",
        [FUSE_RENAME2] = "rename",
    };

    return opcode < sizeof names / sizeof *names && names[opcode] ? names[opcode] : "other";
}

static void tell(struct fs *fs, enum audit_kind kind, struct node *node, const char *name, bool is_dir)
{
    struct told told;
    struct audit_event event = { .kind = kind };

    if (!audit_admit(&fs->audit))
        return;
    node_tell(&fs->nodes, node, name, is_dir, &told);
    event.op = op_name(device_request()->opcode);
    event.pid = device_request()->pid;
    event.path = told.path + told.at;
    event.path_len = AUDIT_PATH_MAX - told.at;
    event.is_cut = told.is_cut;
    event.permission = told.perm;
    event.rule = told.rule;
    event.pattern = told.pattern;
    audit_put(&fs->audit, &event);
    rules_unref(told.rules);
}

int audit_denied(struct fs *fs, struct node *node, const char *name, bool is_dir, int r)
{
    const uint32_t opcode = device_request()->opcode;

    if (fs->audit.running && opcode != FUSE_READDIR &&
        opcode != FUSE_READDIRPLUS) /* a listing leaves out, that is all */
        tell(fs, AUDIT_DENIED, node, name, is_dir);
    return r;
}

void audit_written(struct fs *fs, struct node *node)
{
    if (fs->audit.running && !atomic_exchange(&node->written, true))
        tell(fs, AUDIT_WRITE, node, NULL, false);
}

void audit_rules(struct fs *fs, const struct rules *rules)
{
    const struct audit_event event = { .kind = AUDIT_RULES, .count = rules_count(rules) };

    if (fs->audit.running && audit_admit(&fs->audit))
        audit_put(&fs->audit, &event);
}
