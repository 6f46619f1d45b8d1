#include "delta_log.h"

#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC        0x53444c31u         /* "SDL1" */
#define PATH_LEN_MAX ((uint32_t)1 << 20) /* far beyond what 100 levels of 255 bytes take */
#define LOG_MAX      ((off_t)1 << 30)

/* In the byte order of the machine: a delta does not leave it. */
struct head {
    uint32_t magic, check; /* check: of all that follows, path included */
    uint32_t kind, path_len;
    struct delta_stamp lower, upper;
};

_Static_assert(sizeof(struct head) == 16 + 2 * 48, "no padding: it is summed and written as it is");

static uint32_t sum(uint32_t h, const void *data, size_t len)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * 16777619u; /* FNV-1a */
    return h;
}

static uint32_t check_of(const struct head *head, const char *path)
{
    const size_t skip = offsetof(struct head, kind);

    return sum(sum(2166136261u, (const char *)head + skip, sizeof *head - skip), path, head->path_len);
}

static uint64_t ns_of(struct timespec ts)
{
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct delta_stamp delta_stamp_of(const struct stat *st)
{
    return (struct delta_stamp){ .dev = st->st_dev,
                                 .ino = st->st_ino,
                                 .size = (uint64_t)st->st_size,
                                 .mtime_ns = ns_of(st->st_mtim),
                                 .ctime_ns = ns_of(st->st_ctim),
                                 .mode = st->st_mode };
}

bool delta_stamp_same(const struct delta_stamp *a, const struct delta_stamp *b)
{
    if (a->dev != b->dev || a->ino != b->ino || a->mode != b->mode)
        return false;
    return S_ISDIR((mode_t)a->mode) || (a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns);
}

int delta_log_open(int delta_fd)
{
    int fd = openat(delta_fd, DELTA_LOG, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

int delta_log_append(int fd, const struct delta_record *record)
{
    struct head head = { .magic = MAGIC,
                         .kind = record->kind,
                         .path_len = (uint32_t)strlen(record->path),
                         .lower = record->lower,
                         .upper = record->upper };
    struct iovec iov[2] = { { &head, sizeof head }, { (void *)(uintptr_t)record->path, head.path_len } };
    ssize_t n;

    head.check = check_of(&head, record->path);
    do
        n = writev(fd, iov, 2);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == sizeof head + head.path_len ? 0 : -ENOSPC; /* the reader skips the part */
}

/* The record at the place, or false: then it is looked for behind. */
static bool record_at(const char *data, size_t len, struct head *head, char *path)
{
    if (len < sizeof *head)
        return false;
    memcpy(head, data, sizeof *head);
    if (head->magic != MAGIC || head->path_len > PATH_LEN_MAX || head->path_len > len - sizeof *head)
        return false;
    if (head->kind < DELTA_TOUCHED || head->kind > DELTA_FORGOTTEN)
        return false;
    if (head->check != check_of(head, data + sizeof *head))
        return false;
    memcpy(path, data + sizeof *head, head->path_len);
    path[head->path_len] = '\0';
    return strlen(path) == head->path_len;
}

static int walk(const char *data, size_t len, char *path, delta_log_fn *fn, void *user)
{
    struct head head;
    int r = 0;

    for (size_t at = 0; !r && at + sizeof head <= len;) {
        struct delta_record record;

        if (!record_at(data + at, len - at, &head, path)) {
            at++;
            continue;
        }
        record = (struct delta_record){
            .kind = (enum delta_kind)head.kind, .path = path, .lower = head.lower, .upper = head.upper
        };
        r = fn(user, &record);
        at += sizeof head + head.path_len;
    }
    return r;
}

int delta_log_read(int fd, delta_log_fn *fn, void *user)
{
    struct stat st;
    char *data, *path;
    ssize_t len;
    int r;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size > LOG_MAX)
        return -EFBIG;
    data = malloc((size_t)st.st_size + 1);
    path = malloc((size_t)PATH_LEN_MAX + 1);
    len = data && path ? read_full_at(fd, data, (size_t)st.st_size, 0) : -ENOMEM;
    r = len < 0 ? (int)len : walk(data, (size_t)len, path, fn, user);
    free(data);
    free(path);
    return r;
}
