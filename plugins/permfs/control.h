/* The owner's and other hosts' connections: requests of permfs_proto.h, answered one at a time. */
#ifndef STOCKADE_PERMFS_CONTROL_H
#define STOCKADE_PERMFS_CONTROL_H

#include "guard.h"
#include "settings.h"

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#define CONTROL_CONNS_MAX 16

/* What the daemon does for a request; called by control_run alone, in its thread. */
struct control_ops {
    void (*unmount)(void *user);
    int (*set_rules)(void *user, struct rules *rules); /* takes a reference. Returns 0 or -errno */
    int (*refresh)(void *user);                        /* Returns 0 or -errno */
};

struct control {
    int owner;          /* the socket of PERMFS_OWNER_FD; -1 once it is closed */
    int listen;         /* listening socket */
    bool lease;         /* the owner's going ends it all, also once there is a guard */
    int *lock;          /* closed once there is a guard; -1 = none */
    uid_t uid;          /* besides root, the user whose connections are taken */
    int signals, ended; /* readable: SIGTERM has come, the filesystem has ended */
    const struct control_ops *ops;
    void *user;
    struct guard guard;
    int conns[CONTROL_CONNS_MAX]; /* -1 = free */
};

void control_init(struct control *c);
/* Answers requests until there is reason to end; the mount is gone by then, or was never ours to remove. */
void control_run(struct control *c);
int control_send_failed(int sock, int r, const char *why); /* PERMFS_FAILED; r: -errno */

#endif
