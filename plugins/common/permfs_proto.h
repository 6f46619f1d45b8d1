/*
 * What plugin and permfs say to each other, in messages (msg.h) of the wire format (wire.h).
 *
 * permfs is started with one SEQPACKET socket as fd 3, the owner's. The owner sends PERMFS_CONFIG; permfs mounts and
 * answers PERMFS_READY or PERMFS_FAILED (and then exits, nothing mounted). Later hosts connect to the listening
 * socket that came with the config. On any connection each request gets one answer, PERMFS_OK or PERMFS_FAILED.
 */
#ifndef STOCKADE_PERMFS_PROTO_H
#define STOCKADE_PERMFS_PROTO_H

#define PERMFS_OWNER_FD 3

enum permfs_msg {
    /*
     * Owner to permfs. fds: the codebase (a directory, O_PATH will do), the listening SEQPACKET socket; then, as the
     * flags say: PERMFS_DELTA the delta's directory (delta_log.h), with its two layers made; PERMFS_AUDIT the audit's
     * file, open for appending; PERMFS_AUDIT_LOG a SEQPACKET socket for its lines (permfs/audit.h); PERMFS_LOCK the
     * sandbox's lock.
     * Body: str sandbox id, str mount point (absolute), u32 flags (PERMFS_*), u32 cache time in ms,
     *       u32 uid and u32 gid of the codebase owner (the identity to work with when started as root),
     *       u32 uid and u32 gid to show for the owner's files (as the host's user namespace counts them),
     *       rules (see PERMFS_RULES).
     */
    PERMFS_CONFIG = 1,
    PERMFS_READY = 2,  /* u32 pid */
    PERMFS_FAILED = 3, /* u32 errno, str message in one line */
    PERMFS_OK = 4,     /* empty */
    PERMFS_PING = 5,   /* empty */
    PERMFS_QUIT = 6,   /* empty: unmounts, answers OK, exits */
    /*
     * Replaces the rules: u32 count, then for each: str pattern, u32 type, u32 permission (values of runtime_api.h),
     * u32 priority (two's complement). Once it is answered every operation goes by the new ones.
     */
    PERMFS_RULES = 7,
    /* Empty: the delta was changed under the daemon, which forgets what it knew and reads the log again. */
    PERMFS_REFRESH = 8,
    /*
     * From the owner, once: whose end is permfs's own. fds: pidfd of the sandbox's init; pipe, non-blocking,
     * whose write end the agent has (PERMFS_ENDED_*); the file that this is written to; pidfd of the host if the
     * sandbox ends with that. Until then the owner's end is permfs's, lease or not: no record may know of it yet.
     */
    PERMFS_GUARD = 16,
};

/* One byte from the agent, which then ends the sandbox: its time is over. permfs closes the pipe in answer. */
#define PERMFS_ENDED_LIFETIME 'l'
#define PERMFS_ENDED_IDLE     'i'

#define PERMFS_LEASE          1u /* end of file on fd 3 means: unmount and exit. Without it a guarded one's owner may go. */
#define PERMFS_NO_PASSTHROUGH 2u /* all data goes through the daemon, as where the kernel cannot do otherwise */
#define PERMFS_NO_WATCH       4u /* what the kernel was told holds for the cache time, as where inotify cannot be had */
#define PERMFS_NO_EPOCH       8u /* new rules are told to the kernel entry by entry, as where it has no epochs */
#define PERMFS_DELTA          16u /* copy-on-write: the codebase is not written to */
#define PERMFS_AUDIT          32u
#define PERMFS_AUDIT_CAPPED   64u  /* its file takes PERMFS_AUDIT_MAX bytes */
#define PERMFS_AUDIT_LOG      128u /* with PERMFS_AUDIT */
#define PERMFS_LOCK           256u /* kept, and with that locked, until PERMFS_GUARD has come or the mount is gone */
#define PERMFS_FLAGS          511u
#define PERMFS_AUDIT_MAX      (INT64_C(64) << 20)

#endif
