/*
 * A copy-on-write workspace as the host's process sees it, whether its sandbox runs or not: the upper layer that the
 * sandbox wrote, the codebase below, and the log of what it touched (delta_log.h). Both layers are reached by directory
 * fds alone, a name at a time, never through a symlink: the sandbox may change the upper one meanwhile, and anybody
 * the codebase. The caller holds the sandbox's lock.
 */
#ifndef STOCKADE_DELTA_H
#define STOCKADE_DELTA_H

#include "delta_log.h"
#include "permfs/rules.h"
#include "record.h"
#include "util.h"

struct delta_note; /* what the log says of a path, the latest record */

struct delta {
    struct op *op;
    const struct record *record;
    int dir_fd, upper_fd, lower_fd, log_fd;
    struct rules *rules;
    struct delta_note *notes;
    bool is_running;
    int unlogged; /* -errno where there is no room to log what a commit that was cut short has left: none goes on */
};

/*
 * Opens it, and removes what a commit that was cut short has left in the codebase. RT_E_UNSUPPORTED for a sandbox that
 * is not copy-on-write. Before its first start there is nothing: upper_fd is -1. The caller delta_close()s, also after
 * a failure.
 */
int32_t delta_open(struct op *op, const struct record *record, int box_fd, struct delta *ret);
void delta_close(struct delta *delta);

/* The latest record of a path, NULL if there is none; valid until the next delta_note_add. */
const struct delta_record *delta_note(const struct delta *delta, const char *path);
/*
 * Of a path in an opaque directory of which the upper layer has nothing: whether the sandbox has deleted what the
 * codebase has there, and no commit has done the same. What the sandbox never touched came later, and is not deleted.
 */
bool delta_has_deleted(const struct delta *delta, const char *path);
/* Makes it known and appends it to the log. Returns 0, or -errno and it is known all the same, unless -ENOMEM. */
int delta_note_add(struct delta *delta, const struct delta_record *record);
/* Calls fn for each path that is known, in no order; fn may add notes. Returns what fn returns once that is not 0. */
int delta_notes_each(struct delta *delta, int (*fn)(struct delta *delta, const char *path, void *user), void *user);

/* ---- names below a directory ---- */

struct delta_names {
    char **v;
    size_t n;
};

/* All entries of a directory, "." and ".." left out, in byte order. dir_fd < 0: none. Returns 0 or -errno. */
int delta_names_read(int dir_fd, struct delta_names *ret);
void delta_names_free(struct delta_names *names);

/* Opens an entry without following it or leaving dir_fd. Returns an fd or -errno. */
int delta_open_at(int dir_fd, const char *name, int flags);
#define DELTA_OPEN_DIR (O_RDONLY | O_DIRECTORY)
/* Opens the directory that a path's last component is in; *ret_name is that, in path. Returns an fd or -errno. */
int delta_open_parent(int root_fd, const char *path, const char **ret_name);
/* Returns 0, or -errno; -ENOENT too where dir_fd is -1. */
int delta_stat(int dir_fd, const char *name, struct stat *ret);
/* "dir/name", or name where dir is "". To be freed; NULL if memory runs out. */
char *delta_join(const char *dir, const char *name);

/* ---- what the overlay's own marks mean ---- */

bool delta_is_whiteout(const struct stat *st);
bool delta_is_opaque(int dir_fd);           /* nothing of the codebase's directory shows */
int delta_clear_opaque(int dir_fd);         /* Returns 0, or -errno and it is as it was */
bool delta_xattr_is_data(const char *name); /* an attribute that is the sandbox's own, and no mark */

/* ---- which paths are meant, and which may be ---- */

/* Skips leading "/" and "./"; *ret_len is the length without trailing "/", 0 for the top. */
const char *delta_path_trim(const char *path, size_t *ret_len);
/* Whether path is one of paths or below one, whose ends are ignored as above; NULL: all. */
bool delta_is_selected(const char *const *paths, const char *path);
/* The state of an entry, and whether rules hide it (D7). NULL state (no memory) counts as hidden. */
const struct rule_state *delta_rule(const struct delta *delta, const struct rule_state *dir, const char *name,
                                    bool is_dir);
static inline bool delta_is_hidden(const struct rule_state *state)
{
    return !state || rule_state_perm(state) == PERM_NONE;
}

#endif
