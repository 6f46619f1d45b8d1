/* Keeps the pipes of background children open and empty, so that they neither die of SIGPIPE nor block (X9). */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READS_A_TURN 16 /* then the others have theirs: an endless writer must not hold up the loop */

static void sink_ready(struct watch *watch, uint32_t events)
{
    static char dropped[64 << 10];

    (void)events;
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = read(watch->fd, dropped, sizeof dropped);

        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        watch_close(watch);
        free(watch);
        return;
    }
}

void sink_add(int fd)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (watch && fcntl(fd, F_SETFL, O_RDONLY | O_NONBLOCK) == 0) {
        *watch = (struct watch){ .ready = sink_ready, .fd = fd };
        if (watch_add(watch, EPOLLIN) == 0)
            return;
    }
    free(watch);
    close(fd);
}
