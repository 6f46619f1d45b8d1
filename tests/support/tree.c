#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_join(char *buf, size_t cap, const char *dir, const char *path)
{
    snprintf(buf, cap, "%s/%s", dir, path);
}

/* Makes the directories above full. */
static bool parents_make(char *full)
{
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int failed;

        *slash = '\0';
        failed = mkdir(full, 0755) < 0 && errno != EEXIST;
        *slash = '/';
        if (failed)
            return false;
    }
    return true;
}

bool tree_mkdir(const char *dir, const char *path)
{
    char full[PATH_MAX];

    path_join(full, sizeof full, dir, path);
    return parents_make(full) && (mkdir(full, 0755) == 0 || errno == EEXIST);
}

bool tree_put_bytes(const char *dir, const char *path, const void *data, size_t len)
{
    char full[PATH_MAX];
    const char *at = data;
    int fd;

    path_join(full, sizeof full, dir, path);
    if (!parents_make(full))
        return false;
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0) {
            close(fd);
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return close(fd) == 0;
}

bool tree_put(const char *dir, const char *path, const char *text)
{
    return tree_put_bytes(dir, path, text, strlen(text));
}

bool tree_symlink(const char *target, const char *dir, const char *path)
{
    char full[PATH_MAX];

    path_join(full, sizeof full, dir, path);
    return parents_make(full) && symlink(target, full) == 0;
}

static char *fd_read(int fd, size_t *ret_len)
{
    size_t len = 0, cap = 4096;
    char *data = malloc(cap + 1);

    for (;;) {
        ssize_t n = data ? read(fd, data + len, cap - len) : -1;

        if (n < 0) {
            free(data);
            return NULL;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len == cap) {
            char *more = realloc(data, cap * 2 + 1);

            if (!more)
                free(data);
            data = more;
            cap *= 2;
        }
    }
    data[len] = '\0';
    if (ret_len)
        *ret_len = len;
    return data;
}

char *tree_read(const char *dir, const char *path, size_t *ret_len)
{
    char full[PATH_MAX], *data;
    int fd;

    path_join(full, sizeof full, dir, path);
    fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    data = fd_read(fd, ret_len);
    close(fd);
    return data;
}

bool tree_copy(const char *file, const char *dir, const char *path, mode_t mode)
{
    char full[PATH_MAX];
    size_t len;
    char *data = tree_read("", file, &len);
    bool done = data && tree_put_bytes(dir, path, data, len);

    free(data);
    path_join(full, sizeof full, dir, path);
    return done && chmod(full, mode) == 0;
}

bool tree_exists(const char *dir, const char *path)
{
    char full[PATH_MAX];
    struct stat st;

    path_join(full, sizeof full, dir, path);
    return lstat(full, &st) == 0;
}

bool tree_is(const char *dir, const char *path, const char *text)
{
    size_t len;
    char *data = tree_read(dir, path, &len);
    bool same = data && len == strlen(text) && !memcmp(data, text, len);

    free(data);
    return same;
}

static int name_order(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *tree_open(const char *root)
{
    char *const roots[] = { (char *)root, NULL };

    return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, name_order);
}

bool tree_remove(const char *root)
{
    FTS *fts = tree_open(root);
    FTSENT *entry;

    while (fts && (entry = fts_read(fts))) {
        if (entry->fts_info == FTS_DP)
            rmdir(entry->fts_accpath);
        else if (entry->fts_info != FTS_D)
            unlink(entry->fts_accpath);
    }
    if (fts)
        fts_close(fts);
    return !tree_exists("", root);
}

bool tree_chown(const char *root, uid_t uid, gid_t gid)
{
    FTS *fts = tree_open(root);
    FTSENT *entry;
    bool done = fts != NULL;

    while (fts && (entry = fts_read(fts)))
        if (entry->fts_info != FTS_DP && lchown(entry->fts_accpath, uid, gid) < 0)
            done = false;
    if (fts)
        fts_close(fts);
    return done;
}

char *tree_list(const char *root, bool directories)
{
    FTS *fts = tree_open(root);
    FTSENT *entry;
    char *text = NULL;
    size_t len, skip = strlen(root) + 1;
    FILE *out = open_memstream(&text, &len);

    while (fts && (entry = fts_read(fts)))
        if (entry->fts_info != FTS_DP && entry->fts_level > 0 && (directories || entry->fts_info != FTS_D))
            fprintf(out, "%s\n", entry->fts_path + skip);
    if (fts)
        fts_close(fts);
    fclose(out);
    return text;
}
