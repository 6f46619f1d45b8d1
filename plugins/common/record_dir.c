/* The directory of all records: listing it, and removing from it. */
#include "record.h"

#include "delta_dir.h"
#include "error.h"
#include "runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static DIR *dir_open(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static bool ids_append(char ***ids, size_t *n, const char *id)
{
    char **bigger = realloc(*ids, (*n + 1) * sizeof **ids);

    if (!bigger)
        return false;
    *ids = bigger;
    bigger[*n] = strdup(id);
    return bigger[*n] && ++*n;
}

int32_t record_ids(struct op *op, char ***ret, size_t *ret_n)
{
    DIR *dir = dir_open(op->rt->dir_fd, "boxes");
    char **ids = NULL;
    struct dirent *entry;
    size_t n = 0;

    if (!dir)
        return op_fail(op, error_status(errno), errno, "list %s/boxes", op->rt->dir);
    while ((entry = readdir(dir))) {
        if (!id_valid(entry->d_name) || ids_append(&ids, &n, entry->d_name))
            continue;
        closedir(dir);
        record_ids_free(ids, n);
        return op_fail(op, RT_E_NOMEM, 0, "the list of sandboxes");
    }
    closedir(dir);
    *ret = ids;
    *ret_n = n;
    return RT_OK;
}

void record_ids_free(char **ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(ids[i]);
    free(ids);
}

/* Only what record.h names is ever in there, so only that is removed. A mount that is left stops it: EBUSY. */
static int box_empty(int box_fd)
{
    static const char *const files[] = {
        "boot/" BOOT_SOCKET, "boot/" BOOT_NOTES, "agent.sock", "permfs.sock", "paused", "ended", "box.json", "lock",
        AUDIT_FILE
    };
    struct dirent *entry;
    DIR *dir;
    int err;

    if (unlinkat(box_fd, "mnt", AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        (void)unlinkat(box_fd, files[i], 0);
    (void)unlinkat(box_fd, "boot", AT_REMOVEDIR);
    err = delta_dir_remove(box_fd);
    if (err)
        return err;
    dir = dir_open(box_fd, ".");
    while (dir && (entry = readdir(dir)))
        if (!strncmp(entry->d_name, ".box.json.", 10)) /* a file_replace() that was cut short */
            (void)unlinkat(box_fd, entry->d_name, 0);
    if (dir)
        closedir(dir);
    return 0;
}

/* As often as others who had it open already may make its lock anew, before they see that it has gone. */
#define REMOVE_TRIES 100

int32_t record_remove(struct op *op, const char *id, int box_fd)
{
    char path[ID_MAX + 8], temp[32];
    int err = -ENOTEMPTY;

    if (unlinkat(box_fd, "mnt", AT_REMOVEDIR) < 0 && errno != ENOENT)
        return op_fail(op, error_status(errno), errno, "remove the mount point of '%s'", id);
    snprintf(path, sizeof path, "boxes/%s", id);
    strcpy(temp, "boxes/.old-");
    random_name(temp + strlen(temp), 12);
    if (renameat(op->rt->dir_fd, path, op->rt->dir_fd, temp) < 0)
        return op_fail(op, error_status(errno), errno, "remove the directory of '%s'", id);
    for (int tries = 0; err == -ENOTEMPTY && tries < REMOVE_TRIES; tries++) {
        err = box_empty(box_fd);
        if (!err && unlinkat(op->rt->dir_fd, temp, AT_REMOVEDIR) < 0)
            err = -errno;
    }
    return err ? op_fail(op, error_status(-err), -err, "empty %s/%s", op->rt->dir, temp) : RT_OK;
}

/* How long a directory may be without a lock before it is taken for abandoned: far longer than making one takes. */
#define UNLOCKED_MAX_S 60

static void sweep_one(struct runtime *rt, const char *name)
{
    char path[300];
    cleanup_fd int box_fd = -1, lock_fd = -1;
    struct stat st, there;

    snprintf(path, sizeof path, "boxes/%s", name);
    box_fd = openat(rt->dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (box_fd < 0 || fstat(box_fd, &st) < 0)
        return;
    lock_fd = openat(box_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (lock_fd < 0 && st.st_mtime > now_real_us() / 1000000 - UNLOCKED_MAX_S)
        return; /* perhaps just being made */
    if (lock_fd >= 0 && flock(lock_fd, LOCK_EX | LOCK_NB) < 0)
        return; /* somebody is at it */
    /* Whoever was making it may have done so meanwhile, and then it is a sandbox. */
    if (fstatat(rt->dir_fd, path, &there, AT_SYMLINK_NOFOLLOW) < 0 || there.st_ino != st.st_ino ||
        there.st_dev != st.st_dev)
        return;
    if (box_empty(box_fd) == 0)
        (void)unlinkat(rt->dir_fd, path, AT_REMOVEDIR);
}

void record_sweep(struct runtime *rt)
{
    DIR *dir = dir_open(rt->dir_fd, "boxes");
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (!strncmp(entry->d_name, ".new-", 5) || !strncmp(entry->d_name, ".old-", 5))
            sweep_one(rt, entry->d_name);
    if (dir)
        closedir(dir);
}
