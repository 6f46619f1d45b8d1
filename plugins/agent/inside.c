#include "inside.h"

#include "procs.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 1024

socklen_t inside_address(const char *name, struct sockaddr_un *ret)
{
    size_t len = strlen(name);

    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (len >= sizeof ret->sun_path)
        return 0;
    memcpy(ret->sun_path + 1, name, len); /* behind a NUL: unix(7), abstract */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

int inside_listen(const char *name)
{
    struct sockaddr_un addr;
    socklen_t len = inside_address(name, &addr);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || (len && bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, BACKLOG) == 0))
        return fd;
    close(fd);
    return -1;
}

bool inside_is_bridge(pid_t pid)
{
    struct proc proc;

    return pid > 1 && proc_of(pid, &proc) && proc.ppid == 0;
}
