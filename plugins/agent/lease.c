/* On the host: ends a sandbox's init when the host's process ends, where the init itself cannot hear of that. */
#include "inside.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

enum { FD_LEASE, FD_INIT, FD_HOST, FD_COUNT };

int lease_main(void)
{
    struct pollfd fds[FD_COUNT];

    for (int fd = 0; fd < FD_COUNT; fd++)
        fds[fd] = (struct pollfd){ .fd = fd, .events = POLLIN };
    while (poll(fds, FD_COUNT, -1) < 0)
        ;
    if (!fds[FD_INIT].revents)
        (void)syscall(SYS_pidfd_send_signal, FD_INIT, SIGKILL, NULL, 0u);
    return 0;
}
