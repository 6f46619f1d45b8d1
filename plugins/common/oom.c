#include "oom.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int oom_open(int dir_fd, bool is_v1)
{
    return dir_fd < 0 ? -1 : openat(dir_fd, is_v1 ? "memory.oom_control" : "memory.events", O_RDONLY | O_CLOEXEC);
}

uint64_t oom_kills(int fd)
{
    char text[512], *at;
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strstr(text, "oom_kill ");
    return at ? strtoull(at + 9, NULL, 10) : 0;
}
