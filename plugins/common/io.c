#include "io.h"

#include <errno.h>
#include <unistd.h>

ssize_t read_full_at(int fd, void *buf, size_t size, off_t at)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = pread(fd, (char *)buf + got, size - got, at + (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}
