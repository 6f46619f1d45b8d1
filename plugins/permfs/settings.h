/* What the owner tells permfs at its start (permfs_proto.h), decoded and checked. */
#ifndef STOCKADE_PERMFS_SETTINGS_H
#define STOCKADE_PERMFS_SETTINGS_H

#include "msg.h"
#include "rules.h"
#include "wire.h"

#include <stdbool.h>
#include <sys/types.h>

#define WHY_MAX 256

struct settings {
    char *sandbox;
    char *mount_point; /* absolute */
    bool lease;
    bool watch;       /* for the host's changes */
    bool passthrough; /* wanted, where it can be had */
    bool epochs;      /* likewise, see refresh.c */
    uint32_t cache_ms;
    uid_t owner_uid, shown_uid;
    gid_t owner_gid, shown_gid;
    struct rules *rules;
    int root_fd, listen_fd;
    int delta_fd;      /* the delta's directory, for copy-on-write; -1 = none */
    int audit_fd;      /* the audit's file; -1 = none is wanted */
    int audit_sock;    /* for the host that wants its lines; -1 = none does */
    int64_t audit_max; /* bytes of its file, 0 = no limit */
    int lock_fd;       /* the sandbox's lock, until the daemon is guarded; -1 = none */
};

#define SETTINGS_NONE                                                                                                  \
    {                                                                                                                  \
        .root_fd = -1, .listen_fd = -1, .delta_fd = -1, .audit_fd = -1, .audit_sock = -1, .lock_fd = -1                \
    }

/*
 * Takes the fds and copies the rest of a PERMFS_CONFIG message. On failure returns -errno (-EPROTO for a malformed
 * one) with one line for people in why, and *ret needs no release.
 */
int settings_decode(struct msg *msg, struct settings *ret, char why[WHY_MAX]);
/* Reads and compiles what PERMFS_RULES carries. Returns 0 or -errno with why. */
int settings_decode_rules(struct wire_in *w, struct rules **ret, char why[WHY_MAX]);
void settings_release(struct settings *settings);

#endif
