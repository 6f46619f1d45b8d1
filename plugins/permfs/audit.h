/*
 * The audit's way out (contract W14): lines are put into a bounded queue and written by a thread of its own, to a file
 * and to the host's socket. Whoever puts one waits for no disk and no reader: what does not fit, or comes faster than
 * the rate, is counted instead, and the count becomes a line.
 */
#ifndef STOCKADE_PERMFS_AUDIT_H
#define STOCKADE_PERMFS_AUDIT_H

#include "audit_line.h"

#include <pthread.h>
#include <stdatomic.h>

#define AUDIT_QUEUE 1024 /* lines that wait to be written */
#define AUDIT_BURST 1000 /* lines that may come at once */
#define AUDIT_RATE  100  /* a second beyond these */

struct audit_entry;

struct audit {
    const char *sandbox;
    int file, sock;   /* -1 = none */
    int64_t file_max; /* bytes beyond which nothing more is written to the file; 0 = no limit */
    bool running;     /* constant once there are workers */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows; innermost, held for a few instructions */
    pthread_cond_t more;
    struct audit_entry *queue[AUDIT_QUEUE];
    size_t first, n;
    int64_t next_ns;     /* CLOCK_MONOTONIC: when the rate allows the next line, less the burst */
    uint64_t suppressed; /* lines left out since the last that said so */
    bool ending;
};

/*
 * file and sock are borrowed until audit_stop. file: open for appending; sock: SEQPACKET, a packet a line, its first
 * byte an enum rt_log_level. Either may be -1. sandbox is borrowed too. Returns 0 or -errno.
 */
int audit_start(struct audit *audit, const char *sandbox, int file, int sock, int64_t file_max);
/* Writes what is queued and ends the thread; what comes later is dropped. A no-op where nothing was started. */
void audit_stop(struct audit *audit);
/* Whether the rate allows a line now; if not it is counted. Ask before the work of putting it together. */
bool audit_admit(struct audit *audit);
/* Queues a line; event is copied, its time filled in. */
void audit_put(struct audit *audit, const struct audit_event *event);

#endif
