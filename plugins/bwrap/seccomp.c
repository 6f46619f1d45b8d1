#include "bwrap.h"

#include "util.h"

#include <linux/filter.h>
#include <sys/mman.h>

#include "filters.h"

#define PROGRAM(filter)                                                                                                \
    {                                                                                                                  \
        filter, sizeof filter                                                                                          \
    }

static const struct {
    const struct sock_filter *ops;
    size_t size; /* bytes */
} programs[][2] = {
    [SECCOMP_CALLS] = { PROGRAM(calls_filter), PROGRAM(calls_userns_filter) },
    [SECCOMP_ARGUMENTS] = { PROGRAM(arguments_filter), PROGRAM(arguments_userns_filter) },
};

int seccomp_filter_fd(enum seccomp_part part, bool has_userns)
{
    cleanup_fd int fd = memfd_create("stockade-seccomp", MFD_CLOEXEC);
    int err;

    if (fd < 0)
        return -errno;
    err = write_all(fd, programs[part][has_userns].ops, programs[part][has_userns].size);
    if (!err && lseek(fd, 0, SEEK_SET) < 0)
        err = -errno;
    return err ? err : take_fd(&fd);
}
