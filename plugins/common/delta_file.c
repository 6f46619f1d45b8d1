#include "delta_file.h"

#include "io.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define CHUNK     ((size_t)128 << 10)
#define MODE_MASK 01777 /* as permfs: setuid bits have no effect (contract W9) */

/* ---- attributes ---- */

/* An fd that need not be readable, by a path: most calls on attributes take neither O_PATH nor AT_EMPTY_PATH. */
static int path_open(int dir, const char *name, char ret[32])
{
    int fd = delta_open_at(dir, name, O_PATH);

    if (fd >= 0)
        snprintf(ret, 32, "/proc/self/fd/%d", fd);
    return fd;
}

/* The names of all attributes that are data, each ended by a NUL; to be freed. Returns their length or -errno. */
static ssize_t xattr_names(const char *path, char **ret)
{
    char *names = malloc(XATTR_LIST_MAX);
    ssize_t n = names ? listxattr(path, names, XATTR_LIST_MAX) : -1, kept = 0;

    if (n < 0) {
        int err = names ? errno : ENOMEM;

        free(names);
        *ret = NULL;
        return err == EOPNOTSUPP ? 0 : -err;
    }
    for (ssize_t at = 0, len; at < n; at += len) {
        len = (ssize_t)strlen(names + at) + 1;
        if (!delta_xattr_is_data(names + at))
            continue;
        memmove(names + kept, names + at, (size_t)len);
        kept += len;
    }
    *ret = names;
    return kept;
}

static bool xattr_is_same(const char *a, const char *b, const char *name)
{
    cleanup_free char *x = malloc(XATTR_SIZE_MAX), *y = malloc(XATTR_SIZE_MAX);
    ssize_t n = x && y ? getxattr(a, name, x, XATTR_SIZE_MAX) : -1;

    return n >= 0 && getxattr(b, name, y, XATTR_SIZE_MAX) == n && memcmp(x, y, (size_t)n) == 0;
}

/* 1 if each of a's attributes is b's too. */
static int xattrs_within(const char *a, const char *b, ssize_t *ret_len)
{
    cleanup_free char *names = NULL;
    ssize_t n = xattr_names(a, &names);

    *ret_len = n;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
        if (!xattr_is_same(a, b, names + at))
            return 0;
    return n < 0 ? (int)n : 1;
}

static int xattrs_are_same(const struct delta_entry *a, const struct delta_entry *b)
{
    char path_a[32], path_b[32];
    cleanup_fd int fd_a = path_open(a->dir, a->name, path_a), fd_b = path_open(b->dir, b->name, path_b);
    ssize_t len_a, len_b;
    int r;

    if (fd_a < 0 || fd_b < 0)
        return fd_a < 0 ? fd_a : fd_b;
    r = xattrs_within(path_a, path_b, &len_a);
    if (r == 1)
        r = xattrs_within(path_b, path_a, &len_b);
    return r;
}

static int xattr_copy(const char *from, const char *to, const char *name)
{
    cleanup_free char *value = malloc(XATTR_SIZE_MAX);
    ssize_t n = value ? getxattr(from, name, value, XATTR_SIZE_MAX) : -1;

    if (!value)
        return -ENOMEM;
    return n < 0 || setxattr(to, name, value, (size_t)n, 0) < 0 ? -errno : 0;
}

/* Makes the attributes of `to` those of `from`, and no others. */
static int xattrs_copy(const char *from, const char *to)
{
    cleanup_free char *had = NULL, *has = NULL;
    ssize_t n_had = xattr_names(to, &had), n_has = xattr_names(from, &has);
    int r = n_had < 0 ? (int)n_had : n_has < 0 ? (int)n_has : 0;

    for (ssize_t at = 0; !r && at < n_had; at += (ssize_t)strlen(had + at) + 1)
        r = removexattr(to, had + at) < 0 ? -errno : 0;
    for (ssize_t at = 0; !r && at < n_has; at += (ssize_t)strlen(has + at) + 1)
        r = xattr_copy(from, to, has + at);
    return r;
}

/* ---- stamps ---- */

static uint64_t sum(uint64_t h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)data[i]) * UINT64_C(1099511628211); /* FNV-1a */
    return h;
}

/* In whatever order they are listed. What cannot be read is like none. */
static uint64_t xattrs_sum(const struct delta_entry *entry)
{
    char path[32];
    cleanup_fd int fd = path_open(entry->dir, entry->name, path);
    cleanup_free char *names = NULL, *value = malloc(XATTR_SIZE_MAX);
    ssize_t n = fd >= 0 && value ? xattr_names(path, &names) : 0;
    uint64_t all = 0;

    for (ssize_t at = 0, len; at < n; at += (ssize_t)strlen(names + at) + 1) {
        len = getxattr(path, names + at, value, XATTR_SIZE_MAX);
        all += sum(sum(UINT64_C(14695981039346656037), names + at, strlen(names + at) + 1), value,
                   len < 0 ? 0 : (size_t)len);
    }
    return all;
}

struct delta_stamp delta_entry_stamp(const struct delta_entry *entry)
{
    struct delta_stamp stamp = delta_stamp_of(&entry->st);

    if (S_ISDIR(entry->st.st_mode))
        stamp.size = xattrs_sum(entry);
    return stamp;
}

/* ---- comparing ---- */

static int data_is_same(const struct delta_entry *a, const struct delta_entry *b)
{
    cleanup_fd int x = delta_open_at(a->dir, a->name, O_RDONLY), y = delta_open_at(b->dir, b->name, O_RDONLY);
    cleanup_free char *buf = malloc(2 * CHUNK);
    ssize_t n, m;
    off_t at = 0;

    if (x < 0 || y < 0 || !buf)
        return x < 0 ? x : y < 0 ? y : -ENOMEM;
    do {
        n = read_full_at(x, buf, CHUNK, at);
        m = read_full_at(y, buf + CHUNK, CHUNK, at);
        if (n < 0 || m < 0)
            return n < 0 ? (int)n : (int)m;
        at += n;
    } while (n == m && n && memcmp(buf, buf + CHUNK, (size_t)n) == 0);
    return n == m && !n;
}

static int target_is_same(const struct delta_entry *a, const struct delta_entry *b)
{
    char x[PATH_MAX], y[PATH_MAX];
    ssize_t n = readlinkat(a->dir, a->name, x, sizeof x);

    return n < 0 ? -errno : readlinkat(b->dir, b->name, y, sizeof y) == n && memcmp(x, y, (size_t)n) == 0;
}

static int content_is_same(const struct delta_entry *a, const struct delta_entry *b)
{
    if (S_ISLNK(a->st.st_mode))
        return target_is_same(a, b);
    if (!S_ISREG(a->st.st_mode))
        return 1;
    return a->st.st_size == b->st.st_size ? data_is_same(a, b) : 0;
}

static bool metadata_is_same(const struct stat *a, const struct stat *b)
{
    if ((a->st_mode & MODE_MASK) != (b->st_mode & MODE_MASK))
        return false;
    return S_ISDIR(a->st_mode) || (a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

int delta_compare(const struct delta_entry *a, const struct delta_entry *b)
{
    int r = content_is_same(a, b);

    if (r <= 0)
        return r < 0 ? r : DELTA_CONTENT;
    if (!metadata_is_same(&a->st, &b->st))
        return DELTA_METADATA;
    r = S_ISLNK(a->st.st_mode) ? 1 : xattrs_are_same(a, b);
    return r < 0 ? r : r ? DELTA_SAME : DELTA_METADATA;
}

/* ---- copying ---- */

static int copy_range(int from, int to, off_t at, off_t end, char *buf)
{
    while (at < end) {
        size_t want = (size_t)(end - at) < CHUNK ? (size_t)(end - at) : CHUNK;
        ssize_t n = read_full_at(from, buf, want, at);

        if (n <= 0)
            return n < 0 ? (int)n : -EAGAIN; /* it has become shorter */
        for (ssize_t put = 0, m; put < n; put += m) {
            m = pwrite(to, buf + put, (size_t)(n - put), at + put);
            if (m < 0 && errno != EINTR)
                return -errno;
            m = m < 0 ? 0 : m;
        }
        at += n;
    }
    return 0;
}

/* Holes stay holes where the filesystem tells of them. */
static int copy_data(int from, int to, off_t size)
{
    cleanup_free char *buf = malloc(CHUNK);
    off_t at = 0, end;
    int r = buf ? 0 : -ENOMEM;

    while (!r && at < size) {
        at = lseek(from, at, SEEK_DATA);
        if (at < 0)
            break; /* ENXIO: the rest is a hole */
        end = lseek(from, at, SEEK_HOLE);
        end = end < 0 || end > size ? size : end;
        r = copy_range(from, to, at, end, buf);
        at = end;
    }
    if (!r && ftruncate(to, size) < 0)
        r = -errno;
    return r;
}

static int64_t time_us(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000 + ts->tv_nsec / 1000;
}

/*
 * Whether what was read since `began` is one state of the file: it is as it was, and a write since would have given it
 * another time. A time to come is of a clock that was set back, and differs from any that is given now.
 */
static bool is_settled(const struct stat *before, const struct stat *after, const struct timespec *began)
{
    const struct delta_stamp was = delta_stamp_of(before), is = delta_stamp_of(after);
    const int64_t age_us = time_us(began) - time_us(&before->st_ctim);

    return delta_stamp_same(&was, &is) && (age_us >= DELTA_SETTLE_US || age_us < -DELTA_SETTLE_US);
}

static int copy_file(const struct delta_entry *from, int dir, const char *name)
{
    cleanup_fd int in = delta_open_at(from->dir, from->name, O_RDONLY), out = -1;
    struct stat before, after;
    struct timespec began;
    int r;

    clock_gettime(CLOCK_REALTIME, &began);
    if (in < 0)
        return in;
    /* Written back first: a store through a mapping then changes the file's time again. */
    if (fsync(in) < 0 || fstat(in, &before) < 0)
        return -errno;
    if (!S_ISREG(before.st_mode))
        return -EAGAIN;
    out = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return -errno;
    r = copy_data(in, out, before.st_size);
    if (!r && fstat(in, &after) < 0)
        r = -errno;
    if (!r && !is_settled(&from->st, &after, &began))
        r = -EAGAIN;
    return r;
}

static int copy_link(const struct delta_entry *from, int dir, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from->dir, from->name, target, sizeof target - 1);

    if (n < 0)
        return errno == EINVAL ? -EAGAIN : -errno;
    target[n] = '\0';
    return symlinkat(target, dir, name) < 0 ? -errno : 0;
}

static int own(const struct delta *delta, int dir, const char *name)
{
    const struct identity *who = &delta->record->identity;

    return geteuid() == 0 && fchownat(dir, name, who->owner_uid, who->owner_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_attributes(const struct delta_entry *from, int dir, const char *name)
{
    char path_from[32], path_to[32];
    cleanup_fd int fd_from = path_open(from->dir, from->name, path_from), fd_to = path_open(dir, name, path_to);
    int r;

    if (fd_from < 0 || fd_to < 0)
        return fd_from < 0 ? fd_from : fd_to;
    r = xattrs_copy(path_from, path_to);
    return r ? r : chmod(path_to, from->st.st_mode & MODE_MASK) < 0 ? -errno : 0;
}

static int set_times(const struct stat *st, int dir, const char *name)
{
    const struct timespec ts[2] = { { .tv_nsec = UTIME_NOW }, st->st_mtim };

    return utimensat(dir, name, ts, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int sync_file(int dir, const char *name)
{
    cleanup_fd int fd = delta_open_at(dir, name, O_WRONLY);

    if (fd < 0) /* a mode that closes it to its owner: the filesystem is synced before the commit counts */
        return fd == -EACCES ? 0 : fd;
    return fsync(fd) < 0 ? -errno : 0;
}

static int make_copy(const struct delta_entry *from, int dir, const char *name)
{
    switch (from->st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(from, dir, name);
    case S_IFLNK:
        return copy_link(from, dir, name);
    case S_IFIFO:
    case S_IFSOCK:
        return mknodat(dir, name, (from->st.st_mode & S_IFMT) | 0600, 0) < 0 ? -errno : 0;
    default:
        return -EINVAL;
    }
}

int delta_copy(const struct delta *delta, const struct delta_entry *from, int dir, const char *name)
{
    int r = make_copy(from, dir, name);

    if (!r)
        r = own(delta, dir, name);
    if (!r && !S_ISLNK(from->st.st_mode))
        r = copy_attributes(from, dir, name);
    if (!r)
        r = set_times(&from->st, dir, name);
    if (!r && S_ISREG(from->st.st_mode))
        r = sync_file(dir, name);
    if (r && r != -EEXIST)
        (void)unlinkat(dir, name, 0);
    return r;
}

int delta_copy_dir(const struct delta *delta, int dir, const char *name)
{
    int r = dir_make(dir, name, 0700);

    return r ? r : own(delta, dir, name);
}

int delta_dir_finish(const struct delta_entry *from, int dir, const char *name, bool is_new)
{
    int r = copy_attributes(from, dir, name);

    return r || !is_new ? r : set_times(&from->st, dir, name);
}
