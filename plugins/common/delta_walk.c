#include "delta_walk.h"

#include "delta_file.h"
#include "error.h"

#include <fcntl.h>
#include <string.h>

/* A directory being walked, in both layers; an fd is -1 where it is not there. */
struct level {
    const char *path; /* "" for the top */
    int upper, lower;
    bool is_opaque; /* by its own mark, or because it lies in one that is */
    const struct rule_state *rules;
};

#define WALK_TRIES 8 /* where a name has become something else between two looks at it */

struct walk {
    struct delta *delta;
    struct delta_changes *found;
};

static int walk_level(struct walk *w, const struct level *level);
static int walk_deleted(struct walk *w, const struct level *level, bool *ret_blocked);

void delta_changes_free(struct delta_changes *changes)
{
    for (size_t i = 0; i < changes->n; i++)
        free(changes->v[i].path);
    free(changes->v);
    *changes = (struct delta_changes){ 0 };
}

/* Whether the codebase's entry is no longer what the sandbox found. Unknown: whatever is there came later. */
static bool has_conflict(struct walk *w, const char *path, const struct stat *lower)
{
    const struct delta_record *note = delta_note(w->delta, path);
    struct delta_stamp now = { 0 };

    if (lower->st_mode)
        now = delta_stamp_of(lower);
    if (!note)
        return lower->st_mode != 0;
    return !delta_stamp_same(&note->lower, &now);
}

static int emit(struct walk *w, const char *path, int32_t kind, const struct stat *upper, const struct stat *lower,
                bool is_blocked)
{
    struct delta_changes *found = w->found;
    struct delta_change *change;

    if (found->n == found->cap) {
        size_t cap = found->cap ? found->cap * 2 : 64;
        struct delta_change *bigger = realloc(found->v, cap * sizeof *bigger);

        if (!bigger)
            return -ENOMEM;
        found->v = bigger;
        found->cap = cap;
    }
    change = &found->v[found->n];
    *change = (struct delta_change){ .path = strdup(path),
                                     .kind = kind,
                                     .conflict = kind >= 0 && (is_blocked || has_conflict(w, path, lower)),
                                     .is_blocked = is_blocked,
                                     .upper = *upper,
                                     .lower = *lower };
    if (!change->path)
        return -ENOMEM;
    found->n++;
    return 0;
}

bool delta_is_committed(const struct delta *delta, const char *path, const struct delta_entry *upper)
{
    const struct delta_record *note = delta_note(delta, path);
    struct delta_stamp now;

    if (!note || note->kind != DELTA_COMMITTED)
        return false;
    now = delta_entry_stamp(upper);
    return delta_stamp_same(&note->upper, &now) && note->upper.size == now.size;
}

/* ---- deletions ---- */

/* Opens what is a directory in a layer; -1 is no error. */
static int dir_open(int dir, const char *name, const struct stat *st)
{
    return S_ISDIR(st->st_mode) ? delta_open_at(dir, name, DELTA_OPEN_DIR) : -1;
}

/* The codebase's entry `name`, which the sandbox has deleted, and all below it. mark: the deletion's own, or zeros. */
static int deleted_entry(struct walk *w, const struct level *level, const char *name, const struct stat *mark,
                         bool *ret_blocked)
{
    cleanup_free char *path = delta_join(level->path, name);
    struct stat lower = { 0 };
    struct level below = { .path = path, .upper = -1, .lower = -1 };
    bool is_blocked = false;
    int r = path ? delta_stat(level->lower, name, &lower) : -ENOMEM;

    if (r)
        return r == -ENOENT ? 0 : r;
    below.rules = delta_rule(w->delta, level->rules, name, S_ISDIR(lower.st_mode));
    if (delta_is_hidden(below.rules)) {
        *ret_blocked = true;
        return 0;
    }
    if (S_ISDIR(lower.st_mode)) {
        below.lower = dir_open(level->lower, name, &lower);
        r = below.lower < 0 ? below.lower : walk_deleted(w, &below, &is_blocked);
        fd_closep(&below.lower);
    }
    *ret_blocked |= is_blocked;
    return r ? r : emit(w, path, RT_CHANGE_DELETED, mark, &lower, is_blocked);
}

static int walk_deleted(struct walk *w, const struct level *level, bool *ret_blocked)
{
    static const struct stat none;
    struct delta_names names;
    int r = delta_names_read(level->lower, &names);

    for (size_t i = 0; !r && i < names.n; i++)
        r = deleted_entry(w, level, names.v[i], &none, ret_blocked);
    delta_names_free(&names);
    return r;
}

/* Below an opaque directory: what the sandbox knew is deleted; what the host has put there since is not. */
static int opaque_rest(struct walk *w, const struct level *level)
{
    static const struct stat none;
    struct delta_names names;
    struct stat st;
    bool is_blocked = false;
    int r = delta_names_read(level->lower, &names);

    for (size_t i = 0; !r && i < names.n; i++) {
        cleanup_free char *path = delta_join(level->path, names.v[i]);

        if (!path)
            r = -ENOMEM;
        else if (delta_stat(level->upper, names.v[i], &st) == -ENOENT && delta_has_deleted(w->delta, path))
            r = deleted_entry(w, level, names.v[i], &none, &is_blocked);
    }
    delta_names_free(&names);
    return r;
}

/* ---- what the sandbox has written ---- */

static int compared(struct walk *w, const char *path, const struct delta_entry *upper, const struct delta_entry *lower)
{
    int r;

    /* A directory that the sandbox has only put entries into: what differs there is the host's doing. */
    if (S_ISDIR(upper->st.st_mode) && !delta_note(w->delta, path))
        return 0;
    r = delta_compare(upper, lower);
    if (r == -EACCES && S_ISREG(upper->st.st_mode))
        r = DELTA_CONTENT; /* closed to its owner: who commits it is told */
    if (r < 0)
        return r;
    if (r == DELTA_SAME && S_ISDIR(upper->st.st_mode))
        return 0;
    return emit(w, path,
                r == DELTA_SAME      ? DELTA_CHANGE_NONE
                : r == DELTA_CONTENT ? RT_CHANGE_MODIFIED
                                     : RT_CHANGE_METADATA,
                &upper->st, &lower->st, false);
}

/* The entry itself: added, of another kind, or to be compared. */
static int written_self(struct walk *w, const char *path, const struct delta_entry *upper,
                        const struct delta_entry *lower, bool is_blocked)
{
    if (delta_is_committed(w->delta, path, upper))
        return 0;
    if (!lower->st.st_mode)
        return emit(w, path, RT_CHANGE_ADDED, &upper->st, &lower->st, false);
    if ((upper->st.st_mode & S_IFMT) != (lower->st.st_mode & S_IFMT))
        return emit(w, path, RT_CHANGE_TYPE, &upper->st, &lower->st, is_blocked);
    return compared(w, path, upper, lower);
}

static int written_entry(struct walk *w, const struct level *level, const char *name, const char *path,
                         const struct stat *upper, const struct stat *lower)
{
    const struct delta_entry a = { level->upper, name, *upper }, b = { level->lower, name, *lower };
    struct level below = { .path = path, .upper = -1, .lower = -1 };
    bool is_blocked = false;
    int r = 0;

    below.rules = delta_rule(w->delta, level->rules, name, S_ISDIR(upper->st_mode));
    if (delta_is_hidden(below.rules))
        return 0;
    if (S_ISDIR(lower->st_mode) && (below.lower = dir_open(level->lower, name, lower)) < 0)
        return below.lower;
    if (S_ISDIR(upper->st_mode)) {
        below.upper = dir_open(level->upper, name, upper);
        r = below.upper < 0 ? below.upper : written_self(w, path, &a, &b, false);
        below.is_opaque = level->is_opaque || (!r && delta_is_opaque(below.upper));
        if (!r)
            r = walk_level(w, &below);
    } else {
        below.rules = delta_rule(w->delta, level->rules, name, S_ISDIR(lower->st_mode)); /* of what is deleted */
        if (below.lower >= 0 && !delta_is_committed(w->delta, path, &a))
            r = walk_deleted(w, &below, &is_blocked);
        if (!r)
            r = written_self(w, path, &a, &b, is_blocked);
    }
    fd_closep(&below.upper);
    fd_closep(&below.lower);
    return r;
}

static int upper_entry(struct walk *w, const struct level *level, const char *name)
{
    cleanup_free char *path = delta_join(level->path, name);
    struct stat upper = { 0 }, lower = { 0 };
    bool is_blocked = false;
    int r = path ? delta_stat(level->upper, name, &upper) : -ENOMEM;

    if (r)
        return r == -ENOENT ? 0 : r; /* the sandbox is at work */
    r = delta_stat(level->lower, name, &lower);
    if (r && r != -ENOENT)
        return r;
    if (!delta_is_whiteout(&upper))
        return written_entry(w, level, name, path, &upper, &lower);
    if (delta_is_committed(w->delta, path, &(struct delta_entry){ level->upper, name, upper }))
        return 0;
    return deleted_entry(w, level, name, &upper, &is_blocked);
}

static int walk_level(struct walk *w, const struct level *level)
{
    struct delta_names names;
    int r = delta_names_read(level->upper, &names);

    for (size_t i = 0; !r && i < names.n; i++)
        r = upper_entry(w, level, names.v[i]);
    delta_names_free(&names);
    return r || !level->is_opaque || level->lower < 0 ? r : opaque_rest(w, level);
}

static int change_order(const void *a, const void *b)
{
    return strcmp(((const struct delta_change *)a)->path, ((const struct delta_change *)b)->path);
}

int32_t delta_walk(struct delta *delta, struct delta_changes *ret)
{
    struct walk w = { delta, ret };
    const struct level top = {
        .path = "", .upper = delta->upper_fd, .lower = delta->lower_fd, .rules = rules_root(delta->rules)
    };
    int r = -ENOENT;

    *ret = (struct delta_changes){ 0 };
    for (int i = 0; (r == -ENOENT || r == -ENOTDIR || r == -ELOOP) && i < WALK_TRIES; i++) {
        delta_changes_free(ret);
        r = walk_level(&w, &top);
    }
    if (r)
        return op_fail(delta->op, error_status(-r), -r, "compare the delta with the codebase");
    if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, change_order);
    return RT_OK;
}
