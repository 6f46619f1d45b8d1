/*
 * Whose end is permfs's own, beside its owner's connection: the sandbox's init, and where the sandbox's lifetime is its
 * host's, that host, which may have left copies of its connections to children that it forked.
 */
#ifndef STOCKADE_PERMFS_GUARD_H
#define STOCKADE_PERMFS_GUARD_H

#include "msg.h"

/* All -1 until PERMFS_GUARD has come. */
struct guard {
    int init;  /* pidfd; readable = all in the sandbox's pid namespace have ended, and what they wrote has arrived */
    int notes; /* pipe from the agent; closed after the first */
    int ended; /* file for what the agent notes */
    int owner; /* pidfd of the host; -1 = not watched */
};

#define GUARD_INIT                                                                                                     \
    {                                                                                                                  \
        -1, -1, -1, -1                                                                                                 \
    }

/* Takes the fds of PERMFS_GUARD. 0, or -EPROTO for a malformed one and for a second one. */
int guard_take(struct guard *guard, struct msg *msg);

/*
 * notes is readable: writes the cause that the agent names into `ended`, and closes the pipe, which tells the
 * agent that it is written. Anything but a cause closes it too.
 */
void guard_note(struct guard *guard);

#endif
