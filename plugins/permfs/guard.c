#include "guard.h"

#include "permfs_proto.h"

#include <errno.h>
#include <unistd.h>

int guard_take(struct guard *guard, struct msg *msg)
{
    if (msg->len || msg->n_fds < 3 || msg->n_fds > 4 || guard->init >= 0)
        return -EPROTO;
    guard->init = msg_take_fd(msg, 0);
    guard->notes = msg_take_fd(msg, 1);
    guard->ended = msg_take_fd(msg, 2);
    guard->owner = msg_take_fd(msg, 3);
    return 0;
}

void guard_note(struct guard *guard)
{
    char cause = 0;
    ssize_t n = read(guard->notes, &cause, 1);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 1 && (cause == PERMFS_ENDED_LIFETIME || cause == PERMFS_ENDED_IDLE))
        (void)!pwrite(guard->ended, &cause, 1, 0);
    close(guard->notes);
    guard->notes = -1;
}
