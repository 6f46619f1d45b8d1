/* Taking entries out of the upper layer: what is discarded, and what is committed. */
#include "delta_commit.h"

#include "delta_dir.h"
#include "delta_file.h"
#include "error.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* A directory of the upper layer being cleared; lower is -1 where the codebase has none. */
struct level {
    const char *path;
    int upper, lower;
    const struct rule_state *rules;
};

/* Whether an entry may go: 1, 0, or -errno. A directory is asked for once what is in it is done with. */
typedef int remove_fn(struct delta *delta, const struct level *level, const char *name, const char *path,
                      const struct stat *upper, const struct stat *lower);

struct clearing {
    struct delta *delta;
    const char *const *paths; /* NULL = all */
    remove_fn *may_go;
    bool keeps_deletions;
};

static int clear_level(struct clearing *c, const struct level *level);

static int has_deleted(struct delta *delta, const struct level *level);

/* Of an entry of the codebase's directory: whether it, or something in it, would come back. */
static int is_deleted(struct delta *delta, const struct level *level, const char *name)
{
    cleanup_free char *path = delta_join(level->path, name);
    cleanup_fd int upper = -1, lower = -1;
    struct stat st;
    int r = path ? delta_stat(level->upper, name, &st) : -ENOMEM;

    if (r)
        return r == -ENOENT ? delta_has_deleted(delta, path) : r;
    if (!S_ISDIR(st.st_mode))
        return 0;
    upper = delta_open_at(level->upper, name, DELTA_OPEN_DIR);
    if (upper < 0)
        return upper;
    if (delta_is_opaque(upper))
        return 0;
    lower = delta_open_at(level->lower, name, DELTA_OPEN_DIR);
    if (lower < 0)
        return lower == -ENOTDIR || lower == -ELOOP || lower == -ENOENT ? 0 : lower;
    return has_deleted(delta, &(struct level){ .path = path, .upper = upper, .lower = lower });
}

/* Whether the sandbox has deleted something that only an opaque directory tells of. 1, 0 or -errno. */
static int has_deleted(struct delta *delta, const struct level *level)
{
    struct delta_names names;
    int r = delta_names_read(level->lower, &names);

    for (size_t i = 0; !r && i < names.n; i++)
        r = is_deleted(delta, level, names.v[i]);
    delta_names_free(&names);
    return r;
}

/*
 * Before entries of an opaque directory go, the codebase's has to show through it: what goes first would look deleted,
 * to the sandbox and, where this is cut short, to the next commit. Returns 1; 0 if they are to stay; -errno.
 */
static int reveal(struct clearing *c, const struct level *dir)
{
    int r;

    if (dir->lower < 0 || !delta_is_opaque(dir->upper) || !delta_is_selected(c->paths, dir->path))
        return 1;
    r = c->keeps_deletions ? has_deleted(c->delta, dir) : 0;
    if (r)
        return r < 0 ? r : 0;
    r = delta_clear_opaque(dir->upper);
    return r ? r : 1;
}

/* What is discarded goes also where the sandbox has closed a directory to its owner. */
static int upper_open(const struct clearing *c, const struct level *level, const char *name, const char *path,
                      bool is_closed)
{
    if (is_closed && !c->keeps_deletions && delta_is_selected(c->paths, path))
        return delta_dir_open_forced(level->upper, name);
    return delta_open_at(level->upper, name, DELTA_OPEN_DIR);
}

/* Clears what is in it; *ret_stays: nothing may go. */
static int clear_dir(struct clearing *c, const struct level *level, const char *name, struct level *below,
                     const struct stat *upper, const struct stat *lower, bool *ret_stays)
{
    const bool is_closed = (upper->st_mode & S_IRWXU) != S_IRWXU;
    cleanup_fd int upper_fd = upper_open(c, level, name, below->path, is_closed), lower_fd = -1;
    int r;

    if (upper_fd < 0)
        return upper_fd;
    if (S_ISDIR(lower->st_mode)) {
        lower_fd = delta_open_at(level->lower, name, DELTA_OPEN_DIR);
        if (lower_fd < 0 && lower_fd != -ENOENT && lower_fd != -ENOTDIR)
            return lower_fd;
    }
    below->upper = upper_fd;
    below->lower = lower_fd;
    r = reveal(c, below);
    *ret_stays = !r;
    if (r > 0)
        r = clear_level(c, below);
    if (is_closed)
        (void)fchmod(upper_fd, upper->st_mode & 07777); /* what rules hide keeps it there */
    return r;
}

static int clear_entry(struct clearing *c, const struct level *level, const char *name)
{
    cleanup_free char *path = delta_join(level->path, name);
    struct stat upper, lower = { 0 };
    struct level below = { .path = path };
    bool is_dir, stays = false;
    int r = path ? delta_stat(level->upper, name, &upper) : -ENOMEM;

    if (r)
        return r == -ENOENT ? 0 : r;
    (void)delta_stat(level->lower, name, &lower);
    is_dir = S_ISDIR(delta_is_whiteout(&upper) && lower.st_mode ? lower.st_mode : upper.st_mode);
    below.rules = delta_rule(c->delta, level->rules, name, is_dir);
    if (delta_is_hidden(below.rules))
        return 0;
    if (S_ISDIR(upper.st_mode))
        r = clear_dir(c, level, name, &below, &upper, &lower, &stays);
    if (r || stays || !delta_is_selected(c->paths, path))
        return r;
    r = c->may_go(c->delta, level, name, path, &upper, &lower);
    if (r <= 0)
        return r;
    if (unlinkat(level->upper, name, S_ISDIR(upper.st_mode) ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
}

static int clear_level(struct clearing *c, const struct level *level)
{
    struct delta_names names;
    int r = delta_names_read(level->upper, &names);

    for (size_t i = 0; !r && i < names.n; i++) {
        r = clear_entry(c, level, names.v[i]);
        if (r == -EACCES && c->keeps_deletions)
            r = 0; /* the sandbox has closed it to its owner: it stays the sandbox's own */
    }
    delta_names_free(&names);
    return r;
}

static int clear_all(struct clearing *c)
{
    const struct level top = {
        .path = "", .upper = c->delta->upper_fd, .lower = c->delta->lower_fd, .rules = rules_root(c->delta->rules)
    };

    return clear_level(c, &top);
}

/* ---- the log ---- */

/*
 * Whether the upper layer has something at or above the path that covers it: its own entry, a deletion, a file in a
 * directory's place, or a directory that hides the codebase's.
 */
static bool is_covered(struct delta *delta, const char *path)
{
    cleanup_fd int dir = delta_open_at(delta->upper_fd, ".", DELTA_OPEN_DIR);

    while (dir >= 0) {
        const char *slash = strchrnul(path, '/');
        cleanup_free char *name = strndup(path, (size_t)(slash - path));
        struct stat st;
        int next;

        if (delta_is_opaque(dir))
            return true;
        if (!name || delta_stat(dir, name, &st))
            return !name;
        if (!*slash || !S_ISDIR(st.st_mode))
            return true;
        next = delta_open_at(dir, name, DELTA_OPEN_DIR);
        close(dir);
        dir = next;
        path = slash + 1;
    }
    return false;
}

static int forget_uncovered(struct delta *delta, const char *path, void *user)
{
    (void)user;
    if (is_covered(delta, path))
        return 0;
    return delta_note_add(delta, &(struct delta_record){ .kind = DELTA_FORGOTTEN, .path = path });
}

/* ---- discarding ---- */

static int any_may_go(struct delta *delta, const struct level *level, const char *name, const char *path,
                      const struct stat *upper, const struct stat *lower)
{
    (void)delta, (void)level, (void)name, (void)path, (void)upper, (void)lower;
    return 1;
}

/* Whether the upper layer hides the codebase's directory at a path, whatever it has in its place. */
static bool hides(struct delta *delta, const char *path)
{
    const char *name;
    cleanup_fd int parent = delta_open_parent(delta->upper_fd, path, &name), dir = -1;
    struct stat st;

    if (parent < 0 || delta_stat(parent, name, &st))
        return false;
    if (!S_ISDIR(st.st_mode))
        return true;
    dir = delta_open_at(parent, name, DELTA_OPEN_DIR);
    return dir >= 0 && delta_is_opaque(dir);
}

static bool is_in_codebase(struct delta *delta, const char *path)
{
    const char *name;
    cleanup_fd int parent = delta_open_parent(delta->lower_fd, path, &name);
    struct stat st;

    return parent >= 0 && delta_stat(parent, name, &st) == 0;
}

/* What the codebase has at a path does not show as long as a directory above that was deleted, or made anew. */
static int32_t check_path(struct delta *delta, const char *given)
{
    size_t len;
    const char *path = delta_path_trim(given, &len);
    cleanup_free char *whole = strndup(path, len), *dir = strndup(path, len);

    for (char *slash = dir; whole && dir && (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (hides(delta, dir) && is_in_codebase(delta, whole))
            return op_fail(delta->op, RT_E_INVAL, 0,
                           "'%.200s': the sandbox has removed the directory '%.200s': discard that", whole, dir);
    }
    return whole && dir ? RT_OK : op_fail(delta->op, RT_E_NOMEM, 0, "discard");
}

int32_t delta_discard(struct delta *delta, const char *const *paths)
{
    struct clearing c = { .delta = delta, .paths = paths, .may_go = any_may_go };
    int32_t status = RT_OK;
    int r;

    if (delta->upper_fd < 0)
        return RT_OK;
    for (size_t i = 0; !status && paths && paths[i]; i++)
        status = check_path(delta, paths[i]);
    if (status)
        return status;
    r = clear_all(&c);
    if (!r)
        r = delta_notes_each(delta, forget_uncovered, NULL);
    return r ? op_fail(delta->op, error_status(-r), -r, "discard the changes") : RT_OK;
}

/* ---- pruning ---- */

/* A directory that hides the codebase's shows it again once nothing in that was deleted. */
static int dir_may_go(struct delta *delta, const struct level *level, const char *name, const char *path,
                      const struct stat *upper, const struct stat *lower)
{
    const struct delta_entry a = { level->upper, name, *upper }, b = { level->lower, name, *lower };
    int r;

    if (!S_ISDIR(lower->st_mode))
        return 0;
    if (!delta_note(delta, path) || delta_is_committed(delta, path, &a))
        return 1;
    r = delta_compare(&a, &b);
    return r < 0 ? r : r == DELTA_SAME;
}

static int committed_may_go(struct delta *delta, const struct level *level, const char *name, const char *path,
                            const struct stat *upper, const struct stat *lower)
{
    const struct delta_entry a = { level->upper, name, *upper }, b = { level->lower, name, *lower };
    int r;

    if (S_ISDIR(upper->st_mode))
        return dir_may_go(delta, level, name, path, upper, lower);
    if (delta_is_committed(delta, path, &a))
        return 1;
    if (delta_is_whiteout(upper) || !lower->st_mode)
        return delta_is_whiteout(upper) && !lower->st_mode;
    if ((upper->st_mode & S_IFMT) != (lower->st_mode & S_IFMT))
        return 0;
    r = delta_compare(&a, &b);
    return r < 0 ? r : r == DELTA_SAME;
}

/* Writes the log anew, of what counts. */
struct rewrite {
    int fd;
};

static int keep_note(struct delta *delta, const char *path, void *user)
{
    const struct rewrite *rewrite = user;

    return is_covered(delta, path) ? delta_log_append(rewrite->fd, delta_note(delta, path)) : 0;
}

static int log_shorten(struct delta *delta)
{
    struct rewrite rewrite = { .fd = openat(delta->dir_fd, DELTA_LOG ".new",
                                            O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) };
    int r = rewrite.fd < 0 ? -errno : delta_notes_each(delta, keep_note, &rewrite);

    if (!r && (fsync(rewrite.fd) < 0 || renameat(delta->dir_fd, DELTA_LOG ".new", delta->dir_fd, DELTA_LOG) < 0))
        r = -errno;
    if (r) {
        fd_closep(&rewrite.fd);
        return r;
    }
    close(delta->log_fd);
    delta->log_fd = rewrite.fd;
    return 0;
}

int delta_prune(struct delta *delta)
{
    struct clearing c = { .delta = delta, .may_go = committed_may_go, .keeps_deletions = true };
    int r = delta->upper_fd < 0 ? 0 : clear_all(&c);

    return r || delta->upper_fd < 0 ? r : log_shorten(delta);
}
