/* Small things that every file here needs: owned fds and memory, time, names. */
#ifndef STOCKADE_UTIL_H
#define STOCKADE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
#define NS_PER_MS    INT64_C(1000000)
#define NS_PER_S     INT64_C(1000000000)

/*
 * How long a program of ours is waited for, where it has to answer and the caller sets no limit: on no machine that has
 * however much else to do it takes that long, unless it hangs or lies.
 */
#define HANG_S  60
#define HANG_NS (HANG_S * NS_PER_S)

static inline void fd_closep(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;

        close(*fd); /* not retried on EINTR: Linux has freed the number by then */
        errno = saved;
        *fd = -1;
    }
}

static inline void mem_freep(void *p)
{
    free(*(void **)p);
}

#define cleanup_fd   __attribute__((cleanup(fd_closep)))
#define cleanup_free __attribute__((cleanup(mem_freep)))

static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

int64_t now_ns(void);      /* CLOCK_MONOTONIC */
int64_t now_real_us(void); /* CLOCK_REALTIME, microseconds since the epoch: exact in a JSON number until 2255 */

/* The sooner of two points in time, where 0 is never. */
static inline int64_t sooner_ns(int64_t a, int64_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* Whether s is an id of contract L2: [A-Za-z0-9][A-Za-z0-9_.-]{0,62}. */
bool id_valid(const char *s);
#define ID_MAX 63

/* Writes n random lower-case letters and digits and a NUL. */
void random_name(char *ret, size_t n);

/* Whether path names something in the directory dir, however deep, by the texts alone; dir may end in slashes. */
bool path_is_below(const char *path, const char *dir);

/*
 * mkdirat(2), openat(2) and mkfifoat(2) with exactly this mode, whatever the host's umask. dir_make() accepts one that
 * is there, as it is, and returns 0 or -errno; file_make() opens for reading and writing and returns the fd or -errno;
 * fifo_open() makes a new one, whatever is there, and returns an fd to read from, non-blocking, or -errno.
 */
int dir_make(int dir_fd, const char *name, mode_t mode);
int file_make(int dir_fd, const char *name, int flags, mode_t mode);
int fifo_open(int dir_fd, const char *name, mode_t mode);

/* Reads a whole small file below a directory into memory; refuses one larger than max. Returns 0 or -errno. */
int file_read(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len);

/* Replaces a file's content by rename, so that it is old or new at any moment; mode 0600. Returns 0 or -errno. */
int file_replace(int dir_fd, const char *name, const char *data, size_t len);

/* Writes all of it; returns 0 or -errno. */
int write_all(int fd, const void *data, size_t len);

#endif
