/*
 * The log of a copy-on-write workspace, DIR/boxes/ID/delta/log: what the codebase held when the sandbox first touched
 * a path, and what was committed since. permfs and the host's process append to it, each record by one write; what a
 * crash or a full disk has torn is skipped by the reader. The later record of a path counts.
 */
#ifndef STOCKADE_DELTA_LOG_H
#define STOCKADE_DELTA_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Where things are below the sandbox's directory. */
#define DELTA_DIR   "delta"
#define DELTA_UPPER "upper" /* the overlay's upper layer: what the sandbox has written */
#define DELTA_WORK  "work"
#define DELTA_LOG   "log"

/* What tells one state of a file from another; all zeros: there was nothing. */
struct delta_stamp {
    uint64_t dev, ino, size, mtime_ns, ctime_ns;
    uint64_t mode; /* st_mode; of what is there never 0 */
};

enum delta_kind {
    DELTA_TOUCHED = 1,   /* lower: as the sandbox found it; nothing was committed since */
    DELTA_COMMITTED = 2, /* both layers as a commit left them */
    DELTA_FORGOTTEN = 3  /* the path is as if it had never been touched */
};

struct delta_record {
    enum delta_kind kind;
    const char *path; /* relative to the workspace root; bytes */
    struct delta_stamp lower, upper;
};

struct delta_stamp delta_stamp_of(const struct stat *st);
/* Whether both stand for the same state. Of a directory, whose times tell of its entries, by identity and mode. */
bool delta_stamp_same(const struct delta_stamp *a, const struct delta_stamp *b);
static inline bool delta_stamp_there(const struct delta_stamp *stamp)
{
    return stamp->mode != 0;
}

/* Opens the log in the delta's directory, and makes it if need be. Returns an fd or -errno. */
int delta_log_open(int delta_fd);
/* Appends a record. Returns 0 or -errno (-ENOSPC), and the log then holds nothing of it. */
int delta_log_append(int fd, const struct delta_record *record);
/*
 * Calls fn with each record in order, the record being valid for the call; fn returns 0 or -errno, which ends it.
 * Returns 0 or -errno.
 */
typedef int delta_log_fn(void *user, const struct delta_record *record);
int delta_log_read(int fd, delta_log_fn *fn, void *user);

#endif
