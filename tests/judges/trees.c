#include "trees.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_MOST 4096
#define READ_BYTES 65536

static int order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a + 1, *(char *const *)b + 1);
}

/* Takes the entries one by one, each with its kind in front. Returns how many, or -1. */
static int entries_read(DIR *dir, char *entries[NAMES_MOST])
{
    struct dirent *e;
    int n = 0;

    for (errno = 0; (e = readdir(dir)) && n < NAMES_MOST; errno = 0) {
        if (asprintf(&entries[n], "%c%s", e->d_type + 'A', e->d_name) < 0)
            return -1;
        n++;
    }
    return errno ? -1 : n;
}

long dir_text(int dir, const char *name, char text[DIR_TEXT_BYTES])
{
    static char *entries[NAMES_MOST];
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), n;
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    size_t len = 0;

    if (!stream)
        return -1;
    n = entries_read(stream, entries);
    closedir(stream);
    if (n < 0)
        return -1;
    qsort(entries, (size_t)n, sizeof *entries, order);
    for (int i = 0; i < n; i++) {
        size_t size = strlen(entries[i]) + 1;

        if (len + size <= DIR_TEXT_BYTES) {
            memcpy(text + len, entries[i], size);
            len += size;
        }
        free(entries[i]);
    }
    return (long)len;
}

size_t stat_text(const struct stat *st, char *text, size_t size)
{
    bool is_dir = S_ISDIR(st->st_mode);

    return (size_t)snprintf(text, size, "mode %o uid %u gid %u links %ju size %jd", st->st_mode, st->st_uid, st->st_gid,
                            is_dir ? 0 : (uintmax_t)st->st_nlink, is_dir ? 0 : (intmax_t)st->st_size);
}

static bool files_same(int subject, int oracle, const char *name)
{
    static char a[READ_BYTES], b[READ_BYTES];
    int fds[2] = { openat(subject, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC),
                   openat(oracle, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) };
    bool same = fds[0] >= 0 && fds[1] >= 0;
    ssize_t n = 1;

    while (same && n > 0) {
        n = read(fds[0], a, sizeof a);
        same = n >= 0 && read(fds[1], b, sizeof b) == n && memcmp(a, b, (size_t)n) == 0;
    }
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return same;
}

static bool links_same(int subject, int oracle, const char *name)
{
    char a[PATH_MAX], b[PATH_MAX];
    ssize_t n = readlinkat(subject, name, a, sizeof a);

    return n >= 0 && readlinkat(oracle, name, b, sizeof b) == n && memcmp(a, b, (size_t)n) == 0;
}

/* Each user attribute of a's is b's too. */
static bool xattrs_within(const char *a, const char *b)
{
    char names[1024], x[256], y[256];
    ssize_t n = llistxattr(a, names, sizeof names), len;

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
        if (strncmp(names + at, "user.", 5) != 0)
            continue;
        len = lgetxattr(a, names + at, x, sizeof x);
        if (len < 0 || lgetxattr(b, names + at, y, sizeof y) != len || memcmp(x, y, (size_t)len) != 0)
            return false;
    }
    return n >= 0;
}

static bool xattrs_same(int subject, int oracle, const char *name)
{
    char a[PATH_MAX], b[PATH_MAX];

    snprintf(a, sizeof a, "/proc/self/fd/%d/%s", subject, name);
    snprintf(b, sizeof b, "/proc/self/fd/%d/%s", oracle, name);
    return xattrs_within(a, b) && xattrs_within(b, a);
}

static bool dirs_same(int subject, int oracle, const char *name, const char *path)
{
    int fds[2] = { openat(subject, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                   openat(oracle, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
    bool same = fds[0] >= 0 && fds[1] >= 0 && trees_same(fds[0], fds[1], path);

    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return same;
}

static bool entry_same(int subject, int oracle, const char *name, const char *path)
{
    char texts[2][128] = { "missing", "missing" }, below[PATH_MAX];
    const int dirs[2] = { subject, oracle };
    struct stat st = { 0 };
    bool same;

    for (int i = 0; i < 2; i++) {
        if (fstatat(dirs[i], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            stat_text(&st, texts[i], sizeof texts[i]);
    }
    snprintf(below, sizeof below, "%s/%s", path, name);
    if (strcmp(texts[0], texts[1]) != 0) {
        fprintf(stderr, "%s: %s, in the oracle %s\n", below, texts[0], texts[1]);
        return false;
    }
    if (!xattrs_same(subject, oracle, name)) {
        fprintf(stderr, "%s: the attributes are not the oracle's\n", below);
        return false;
    }
    if (S_ISDIR(st.st_mode))
        return dirs_same(subject, oracle, name, below);
    same = S_ISREG(st.st_mode)   ? files_same(subject, oracle, name)
           : S_ISLNK(st.st_mode) ? links_same(subject, oracle, name)
                                 : true;
    if (!same)
        fprintf(stderr, "%s: the content is not the oracle's\n", below);
    return same;
}

bool trees_same(int subject, int oracle, const char *path)
{
    char *a = malloc(DIR_TEXT_BYTES), *b = malloc(DIR_TEXT_BYTES);
    long n = a && b ? dir_text(subject, ".", a) : -1, want = a && b ? dir_text(oracle, ".", b) : -1;
    bool same = n >= 0 && n == want && memcmp(a, b, (size_t)n) == 0;

    if (!same)
        fprintf(stderr, "%s: the names or their kinds are not the oracle's\n", path);
    for (long at = 0; same && at < n; at += (long)strlen(b + at) + 1) {
        if (strcmp(b + at + 1, ".") != 0 && strcmp(b + at + 1, "..") != 0)
            same = entry_same(subject, oracle, b + at + 1, path);
    }
    free(a);
    free(b);
    return same;
}
