#include "torn.h"

#include "agent_client.h"
#include "cgroup.h"
#include "mounts.h"
#include "msg.h"
#include "permfs_proto.h"
#include "record.h"
#include "runtime.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PERMFS_WAIT_MS 2000

/* Asks whoever listens there to end, and waits until it has let go of the connection; false if it has not. */
static bool quit(int box_fd, const char *name, uint32_t type, int wait_ms)
{
    cleanup_fd int conn = socket_connect(box_fd, name);
    struct pollfd pfd = { .fd = conn, .events = POLLRDHUP };

    return conn < 0 || (msg_send(conn, type, NULL, 0, NULL, 0) == 0 && poll(&pfd, 1, wait_ms) > 0);
}

/* The sandbox's own cgroups are known by the directory's name, whatever the record says. */
static void cgroup_end(struct op *op, const char *id)
{
    cleanup_free char *path = NULL;

    if (op->rt->backend->own_cgroup || asprintf(&path, "%s/boxes/%s", op->rt->dir, id) < 0)
        return;
    (void)cgroup_destroy(path, "");
}

static int32_t leavings_end(struct op *op, const char *id, int box_fd)
{
    cleanup_free char *mnt = runtime_mount_point(op->rt, id);
    bool hangs, is_cut;
    int32_t status;

    if (!mnt)
        return op_fail(op, RT_E_NOMEM, 0, "paths");
    (void)quit(box_fd, "agent.sock", AGENT_QUIT, (int)op->rt->settings->stop_grace_ms + 1000);
    /* Before all is killed that is left: who waits for a filesystem that hangs does not die before that is cut off. */
    hangs = !quit(box_fd, "permfs.sock", PERMFS_QUIT, PERMFS_WAIT_MS);
    is_cut = mount_abort(mnt);
    cgroup_end(op, id);
    status = mount_remove(op, mnt);
    if (!status && op->rt->mount_base)
        (void)rmdir(mnt);
    if (!status && hangs && !is_cut)
        status = op_fail(op, RT_E_UNAVAILABLE, 0,
                         "its filesystem's daemon does not answer, and without fusectl only root could cut it off: "
                         "whoever waits for it lives on until that daemon has ended");
    return status;
}

/* Whether the directory is still what the id leads to. */
static bool is_current(struct op *op, const char *path, int box_fd)
{
    struct stat here, there;

    return fstat(box_fd, &here) == 0 && fstatat(op->rt->dir_fd, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

/* Whether it is still to be set aside, now that nobody else is at it. */
static bool is_torn(struct op *op, const char *id)
{
    struct record record;
    struct op quiet;
    int32_t status;

    op_init_quiet(&quiet, op->rt);
    status = record_load(&quiet, id, &record);
    if (!status)
        record_release(&record);
    return status == RT_E_PROTOCOL || status == RT_E_SANDBOX_NOT_FOUND;
}

static void rename_away(struct op *op, const char *path, const char *id)
{
    char aside[ID_MAX + 32], suffix[7];

    random_name(suffix, sizeof suffix - 1);
    snprintf(aside, sizeof aside, "boxes/.torn-%s-%s", id, suffix);
    if (renameat(op->rt->dir_fd, path, op->rt->dir_fd, aside) < 0)
        runtime_log(op->rt, RT_LOG_ERROR, "set %s/%s aside: %s", op->rt->dir, path, strerror(errno));
    else
        runtime_log(op->rt, RT_LOG_ERROR, "%s/%s holds no sandbox's record: set aside as %s", op->rt->dir, path, aside);
}

/*
 * Removes what only Podman makes: the directories to bind into a container that it was still to create when the sandbox
 * went. Nothing is in them, and no sandbox of ours was ever without a lock.
 */
static bool bare_remove(struct op *op, const char *path, int box_fd)
{
    static const char *const dirs[] = { "mnt", "boot" };

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        (void)unlinkat(box_fd, dirs[i], AT_REMOVEDIR);
    (void)unlinkat(box_fd, "lock", 0);
    return unlinkat(op->rt->dir_fd, path, AT_REMOVEDIR) == 0;
}

void torn_set_aside(struct op *op, const char *id)
{
    char path[ID_MAX + 8];
    cleanup_fd int box_fd = -1, lock_fd = -1;
    struct stat st;
    bool is_ours;

    snprintf(path, sizeof path, "boxes/%s", id);
    box_fd = openat(op->rt->dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (box_fd < 0) { /* no directory at all: there is nothing to look into */
        if (fstatat(op->rt->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
            rename_away(op, path, id);
        return;
    }
    is_ours = faccessat(box_fd, "lock", F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
    lock_fd = file_make(box_fd, "lock", 0, 0600);
    if (lock_fd >= 0 && flock(lock_fd, LOCK_EX | LOCK_NB) < 0)
        return;
    if (!is_current(op, path, box_fd) || !is_torn(op, id))
        return;
    if (leavings_end(op, id, box_fd))
        runtime_log(op->rt, RT_LOG_WARN, "ending what runs of '%s': %s", id, op->err->message);
    if (is_ours || !bare_remove(op, path, box_fd))
        rename_away(op, path, id);
}
