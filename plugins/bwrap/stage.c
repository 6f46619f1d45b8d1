#include "bwrap.h"

#include "child.h"
#include "util.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* From sys/mount.h, which does not go together with linux/mount.h before glibc 2.37. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
extern int umount2(const char *target, int flags);
#define DETACH 2 /* MNT_DETACH */

/* ---- planning, in the parent ---- */

static void plan(struct stage *stage, const char *source, const char *dest, const char *link, bool is_file)
{
    struct stage_item *item;

    if (stage->n == STAGE_ITEMS_MAX) {
        stage->failed = true;
        return;
    }
    item = &stage->items[stage->n++];
    *item = (struct stage_item){ .source = source ? strdup(source) : NULL,
                                 .dest = strdup(dest + 1),
                                 .link = link ? strdup(link) : NULL,
                                 .is_file = is_file };
    if (!item->dest || (source && !item->source) || (link && !item->link))
        stage->failed = true;
}

void stage_plan(struct stage *stage, const struct bwrap_settings *settings, const struct root_list *host_root,
                const struct boot *boot)
{
    static const char *const always[] = { "/dev", "/etc", "/proc" };

    stage->at = boot->boot_dir;
    stage->uid = boot->identity->host_uid;
    stage->gid = boot->identity->host_gid;
    for (size_t i = 0; i < host_root->n; i++) {
        const struct root_entry *entry = &host_root->entries[i];
        char path[sizeof entry->name + 1];

        snprintf(path, sizeof path, "/%s", entry->name);
        plan(stage, entry->link[0] ? NULL : path, path, entry->link[0] ? entry->link : NULL, false);
    }
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        plan(stage, always[i], always[i], NULL, false);
    if (settings->rootfs[0])
        plan(stage, settings->rootfs, STAGE_ROOTFS, NULL, false);
    plan(stage, boot->workspace_source, STAGE_WORKSPACE, NULL, false);
    plan(stage, boot->agent, STAGE_AGENT, NULL, true);
    plan(stage, boot->boot_dir, STAGE_BOOT_DIR, NULL, false);
}

void stage_release(struct stage *stage)
{
    for (size_t i = 0; i < stage->n; i++) {
        free(stage->items[i].source);
        free(stage->items[i].dest);
        free(stage->items[i].link);
    }
    stage->n = 0;
}

/* ---- entering, in the child: system calls only ---- */

CHILD_CODE static int item_make(const struct stage_item *item)
{
    int fd;

    if (!item->is_file)
        return mkdir(item->dest, 0755) < 0 && errno != EEXIST ? errno : 0;
    fd = open(item->dest, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

CHILD_CODE static int items_place(const struct stage *stage, const int *trees)
{
    if (mkdir("stage", 0755) < 0 || mkdir("tmp", 0755) < 0) /* bubblewrap builds its root over /tmp */
        return errno;
    for (size_t i = 0; i < stage->n; i++) {
        const struct stage_item *item = &stage->items[i];
        int err;

        if (item->link) {
            if (symlink(item->link, item->dest) < 0)
                return errno;
            continue;
        }
        err = item_make(item);
        if (err)
            return err;
        if (syscall(SYS_move_mount, trees[i], "", AT_FDCWD, item->dest, MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return errno;
        close(trees[i]);
    }
    return 0;
}

/* Raw calls: libc's would make the host's other threads change their ids too. */
CHILD_CODE static int become(uint32_t uid, uint32_t gid)
{
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
        syscall(SYS_setresuid, uid, uid, uid) < 0)
        return errno;
    return 0;
}

CHILD_CODE int stage_enter(const struct stage *stage)
{
    int trees[STAGE_ITEMS_MAX], err;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno;
    /* All sources before anything is covered. */
    for (size_t i = 0; i < stage->n; i++) {
        trees[i] = -1;
        if (!stage->items[i].source)
            continue;
        trees[i] = (int)syscall(SYS_open_tree, AT_FDCWD, stage->items[i].source,
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (trees[i] < 0)
            return errno;
    }
    if (mount("stage", stage->at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0 || chdir(stage->at) < 0)
        return errno;
    err = items_place(stage, trees);
    if (err)
        return err;
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", DETACH) < 0 || chdir("/") < 0)
        return errno;
    return become(stage->uid, stage->gid);
}
