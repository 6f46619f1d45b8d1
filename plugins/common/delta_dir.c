#include "delta_dir.h"

#include "delta_log.h"
#include "error.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- making ---- */

/* The overlay shows the upper layer's top directory as the workspace's. */
static int top_make(int delta_fd, const struct stat *like)
{
    int err = dir_make(delta_fd, DELTA_UPPER, 0700);

    if (err)
        return err;
    if (geteuid() == 0 && fchownat(delta_fd, DELTA_UPPER, like->st_uid, like->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return fchmodat(delta_fd, DELTA_UPPER, like->st_mode & 01777, 0) < 0 ? -errno : 0;
}

static int dir_fill(int delta_fd, const char *codebase)
{
    struct stat like, st;

    if (stat(codebase, &like) < 0)
        return -errno;
    if (fstatat(delta_fd, DELTA_UPPER, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        int err = errno == ENOENT ? top_make(delta_fd, &like) : -errno;

        if (err)
            return err;
    }
    return dir_make(delta_fd, DELTA_WORK, 0700);
}

int32_t delta_dir_make(struct op *op, const struct record *record, int box_fd, int *ret_fd)
{
    int err = dir_make(box_fd, DELTA_DIR, 0700), fd = -1;

    if (!err) {
        fd = openat(box_fd, DELTA_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        err = fd < 0 ? -errno : dir_fill(fd, record->spec.codebase);
    }
    if (err) {
        fd_closep(&fd);
        return op_fail(op, error_status(-err), -err, "make the delta's directory");
    }
    *ret_fd = fd;
    return RT_OK;
}

/* ---- removing ---- */

static int empty(int dir_fd);

int delta_dir_open_forced(int dir_fd, const char *name)
{
    cleanup_fd int at = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char path[32];
    int fd;

    if (at < 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", at);
    if (chmod(path, 0700) < 0)
        return -errno;
    fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int delta_tree_remove(int dir_fd, const char *name)
{
    int fd, err;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    fd = delta_dir_open_forced(dir_fd, name);
    if (fd < 0)
        return fd;
    err = empty(fd);
    if (!err && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
        err = -errno;
    return err;
}

/* Takes the fd over. */
static int empty(int dir_fd)
{
    DIR *dir = fdopendir(dir_fd);
    struct dirent *entry;
    int err = 0;

    if (!dir) {
        err = -errno;
        close(dir_fd);
        return err;
    }
    while (!err && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = delta_tree_remove(dir_fd, entry->d_name);
    closedir(dir);
    return err;
}

int delta_dir_remove(int box_fd)
{
    return delta_tree_remove(box_fd, DELTA_DIR);
}
