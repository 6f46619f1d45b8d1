#include "bwrap.h"

#include "util.h"

#include <linux/filter.h>
#include <sys/mman.h>

#include "filters.h"

int seccomp_filter_fd(enum seccomp_part part)
{
    cleanup_fd int fd = memfd_create("stockade-seccomp", MFD_CLOEXEC);
    int err;

    if (fd < 0)
        return -errno;
    if (part == SECCOMP_CALLS)
        err = write_all(fd, calls_filter, sizeof calls_filter);
    else
        err = write_all(fd, arguments_filter, sizeof arguments_filter);
    if (!err && lseek(fd, 0, SEEK_SET) < 0)
        err = -errno;
    return err ? err : take_fd(&fd);
}
