#include "util.h"
#include "io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t now_real_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static bool is_alnum(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool id_valid(const char *s)
{
    size_t n = 0;

    if (!is_alnum(s[0]))
        return false;
    for (; s[n]; n++)
        if (n >= ID_MAX || (!is_alnum(s[n]) && !strchr("_.-", s[n])))
            return false;
    return true;
}

void random_name(char *ret, size_t n)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyz012345"; /* 32: no bias from the modulo */
    uint8_t bytes[64];

    n = n < sizeof bytes ? n : sizeof bytes;
    while (getrandom(bytes, n, 0) != (ssize_t)n)
        ; /* up to 256 bytes come whole but for an interrupted early boot */
    for (size_t i = 0; i < n; i++)
        ret[i] = set[bytes[i] % 32];
    ret[n] = '\0';
}

bool path_is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    while (len && dir[len - 1] == '/')
        len--;
    return !strncmp(path, dir, len) && path[len] == '/' && path[len + 1];
}

int dir_make(int dir_fd, const char *name, mode_t mode)
{
    if (mkdirat(dir_fd, name, mode) < 0)
        return errno == EEXIST ? 0 : -errno;
    return fchmodat(dir_fd, name, mode, 0) < 0 ? -errno : 0;
}

int file_make(int dir_fd, const char *name, int flags, mode_t mode)
{
    int fd = openat(dir_fd, name, flags | O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode), err;

    if (fd >= 0 && fchmod(fd, mode) == 0)
        return fd;
    err = -errno;
    if (fd >= 0)
        close(fd);
    return err;
}

int fifo_open(int dir_fd, const char *name, mode_t mode)
{
    int fd;

    (void)unlinkat(dir_fd, name, 0);
    if (mkfifoat(dir_fd, name, mode) < 0 || fchmodat(dir_fd, name, mode, 0) < 0)
        return -errno;
    fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int file_read(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len)
{
    cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    cleanup_free char *data = NULL;
    ssize_t len;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return -EFBIG;
    data = malloc(max < (size_t)st.st_size + 1 ? max + 1 : (size_t)st.st_size + 1);
    if (!data)
        return -ENOMEM;
    len = read_full_at(fd, data, (size_t)st.st_size, 0);
    if (len < 0)
        return (int)len;
    data[len] = '\0';
    *ret = data;
    data = NULL;
    if (ret_len)
        *ret_len = (size_t)len;
    return 0;
}

int write_all(int fd, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const char *)data + at, len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += (size_t)n;
    }
    return 0;
}

int file_replace(int dir_fd, const char *name, const char *data, size_t len)
{
    char temp[300], suffix[9];
    cleanup_fd int fd = -1;
    int err;

    random_name(suffix, sizeof suffix - 1);
    snprintf(temp, sizeof temp, ".%s.%s", name, suffix);
    fd = file_make(dir_fd, temp, O_EXCL, 0600);
    if (fd < 0)
        return fd;
    err = write_all(fd, data, len);
    if (!err && renameat(dir_fd, temp, dir_fd, name) < 0)
        err = -errno;
    if (err)
        (void)unlinkat(dir_fd, temp, 0);
    return err;
}
