#include "delta_commit.h"

#include "delta_file.h"
#include "delta_journal.h"
#include "error.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define COPY_TRIES 4

enum outcome { NOT_SELECTED, SELECTED, BLOCKED, APPLIED, LATE_CONFLICT, BUSY, GONE, FAILED };

struct commit {
    struct delta *delta;
    struct delta_changes *all;
    enum outcome *outcomes; /* of all->v */
    int32_t policy;
    struct delta_journal journal;
};

/* ---- which ---- */

static bool is_applicable(const struct commit *c, const struct delta_change *change)
{
    return change->kind >= 0 && !change->is_blocked && (!change->conflict || c->policy == RT_CONFLICT_OURS);
}

static bool is_new_dir(const struct delta_change *change)
{
    return S_ISDIR(change->upper.st_mode) && (change->kind == RT_CHANGE_ADDED || change->kind == RT_CHANGE_TYPE);
}

/* New directories on the way to what is selected come along. In byte order they stand before it. */
static void select_parents(struct commit *c, size_t i)
{
    for (size_t k = i; k-- > 0;)
        if (c->outcomes[k] == NOT_SELECTED && is_new_dir(&c->all->v[k]) &&
            path_is_below(c->all->v[i].path, c->all->v[k].path) && is_applicable(c, &c->all->v[k]))
            c->outcomes[k] = SELECTED;
}

/* Returns whether a conflict stands in the way of it all. */
static bool select_all(struct commit *c, const char *const *paths)
{
    bool conflicts = false;

    for (size_t i = 0; i < c->all->n; i++) {
        if (c->all->v[i].kind < 0 || !delta_is_selected(paths, c->all->v[i].path))
            continue;
        conflicts |= c->all->v[i].conflict && c->policy == RT_CONFLICT_FAIL;
        if (is_applicable(c, &c->all->v[i])) {
            c->outcomes[i] = SELECTED;
            if (paths)
                select_parents(c, i);
        } else if (c->all->v[i].is_blocked) {
            c->outcomes[i] = BLOCKED;
        }
    }
    return conflicts;
}

/* ---- applying one ---- */

/* A change's place in both layers while it is applied. */
struct site {
    struct delta_change *change;
    struct delta_entry upper;
    int dir; /* in the codebase */
    const char *name;
    char temp[DELTA_TEMP_MAX];
};

/* Whether the codebase's entry is still what the comparison found. -ESTALE if not. */
static int check_lower(const struct commit *c, const struct site *site)
{
    struct stat now = { 0 };
    struct delta_stamp was = { 0 }, is = { 0 };
    int r = delta_stat(site->dir, site->name, &now);

    if (r && r != -ENOENT)
        return r;
    if (c->policy == RT_CONFLICT_OURS)
        return (now.st_mode & S_IFMT) == (site->change->lower.st_mode & S_IFMT) ? 0 : -ESTALE;
    if (site->change->lower.st_mode)
        was = delta_stamp_of(&site->change->lower);
    if (!r)
        is = delta_stamp_of(&now);
    return delta_stamp_same(&was, &is) ? 0 : -ESTALE;
}

static int remove_lower(const struct site *site)
{
    const bool is_dir = S_ISDIR(site->change->lower.st_mode);

    if (unlinkat(site->dir, site->name, is_dir ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST ? -ESTALE : -errno;
}

/* Swaps the copy with what is there, which is then empty or a file, and removes that. */
static int exchange(const struct site *site)
{
    const bool was_dir = S_ISDIR(site->change->lower.st_mode);

    if (renameat2(site->dir, site->temp, site->dir, site->name, RENAME_EXCHANGE) < 0)
        return -errno;
    if (unlinkat(site->dir, site->temp, was_dir ? AT_REMOVEDIR : 0) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    /* Something has come into the directory: it comes back. */
    return renameat2(site->dir, site->temp, site->dir, site->name, RENAME_EXCHANGE) < 0 ? -errno : -ESTALE;
}

static int put_in_place(const struct commit *c, const struct site *site)
{
    const mode_t was = site->change->lower.st_mode, is = site->change->upper.st_mode;
    int r = check_lower(c, site);

    if (r)
        return r;
    if (was && S_ISDIR(was) != S_ISDIR(is))
        return exchange(site);
    if (renameat2(site->dir, site->temp, site->dir, site->name, was ? 0 : RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EEXIST || errno == EISDIR || errno == ENOTDIR)
        return -ESTALE;
    if (!was && errno == EINVAL) /* a filesystem that has no such flag */
        return renameat(site->dir, site->temp, site->dir, site->name) < 0 ? -errno : 0;
    return -errno;
}

static int copy_upper(const struct commit *c, struct site *site)
{
    int r = -EAGAIN;

    if (S_ISDIR(site->upper.st.st_mode))
        return delta_copy_dir(c->delta, site->dir, site->temp);
    for (int i = 0; r == -EAGAIN && i < COPY_TRIES; i++) {
        if (i)
            (void)usleep(DELTA_SETTLE_US);
        r = delta_stat(site->upper.dir, site->upper.name, &site->upper.st);
        if (!r && (site->upper.st.st_mode & S_IFMT) != (site->change->upper.st_mode & S_IFMT))
            return -EAGAIN;
        if (!r)
            r = delta_copy(c->delta, &site->upper, site->dir, site->temp);
    }
    site->change->upper = site->upper.st;
    return r == -ENOENT ? -ENODATA : r;
}

/* What the host writes there from now on is to be told from what was put there: that is taken from the copy itself. */
static int write_lower(const struct commit *c, struct site *site)
{
    cleanup_fd int copy = -1;
    struct stat st;
    int r = copy_upper(c, site);

    if (r)
        return r;
    copy = delta_open_at(site->dir, site->temp, O_PATH);
    r = copy < 0 ? copy : put_in_place(c, site);
    if (!r && fstat(copy, &st) < 0)
        return -errno;
    if (r)
        (void)unlinkat(site->dir, site->temp, S_ISDIR(site->upper.st.st_mode) ? AT_REMOVEDIR : 0);
    else
        site->change->put = delta_stamp_of(&st);
    return r;
}

static int apply_at(const struct commit *c, struct site *site)
{
    int r;

    if (site->change->kind == RT_CHANGE_DELETED) {
        r = check_lower(c, site);
        return r ? r : remove_lower(site);
    }
    if (site->change->kind == RT_CHANGE_METADATA && S_ISDIR(site->upper.st.st_mode)) {
        site->change->put = delta_stamp_of(&site->change->lower);
        return check_lower(c, site); /* finish_dirs does it */
    }
    return write_lower(c, site);
}

static bool is_gone(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EXDEV;
}

/* Opens both places. -ESTALE: the codebase's directory is no more; -ENODATA: the sandbox's. */
static int site_open(const struct commit *c, size_t i, struct site *ret)
{
    struct delta_change *change = &c->all->v[i];

    *ret = (struct site){ .change = change, .upper = { .dir = -1, .st = change->upper } };
    ret->dir = delta_open_parent(c->delta->lower_fd, change->path, &ret->name);
    if (ret->dir < 0)
        return is_gone(ret->dir) ? -ESTALE : ret->dir;
    delta_journal_temp(&c->journal, i, ret->temp);
    if (change->kind == RT_CHANGE_DELETED)
        return 0;
    ret->upper.dir = delta_open_parent(c->delta->upper_fd, change->path, &ret->upper.name);
    if (ret->upper.dir < 0)
        return is_gone(ret->upper.dir) ? -ENODATA : ret->upper.dir;
    return 0;
}

static void site_close(struct site *site)
{
    fd_closep(&site->dir);
    fd_closep(&site->upper.dir);
}

static int32_t fail_at(const struct commit *c, size_t i, int r)
{
    return op_fail(c->delta->op, error_status(-r), -r, "commit '%.200s'", c->all->v[i].path);
}

static enum outcome outcome_of(int r)
{
    switch (r) {
    case 0:
        return APPLIED;
    case -ESTALE:
        return LATE_CONFLICT;
    case -EAGAIN:
        return BUSY;
    case -ENODATA:
        return GONE; /* the sandbox has just removed it: it is no change any more, or another one */
    default:
        return FAILED;
    }
}

static int32_t apply(struct commit *c, size_t i)
{
    struct site site;
    int32_t status = op_check(c->delta->op);
    int r;

    if (status)
        return status;
    r = site_open(c, i, &site);
    if (!r)
        r = apply_at(c, &site);
    site_close(&site);
    c->outcomes[i] = outcome_of(r);
    return c->outcomes[i] == FAILED ? fail_at(c, i, r) : RT_OK;
}

/* ---- applying all ---- */

/* Once they are filled: a mode may close them, and filling changes their times. Children first. */
static int32_t finish_dirs(struct commit *c)
{
    for (size_t i = c->all->n; i-- > 0;) {
        struct delta_change *change = &c->all->v[i];
        struct stat st;
        struct site site;
        int r;

        if (c->outcomes[i] != APPLIED || !S_ISDIR(change->upper.st_mode))
            continue;
        r = site_open(c, i, &site);
        if (!r) {
            change->dir = delta_entry_stamp(&site.upper);
            r = delta_dir_finish(&site.upper, site.dir, site.name, change->kind != RT_CHANGE_METADATA);
            if (!r && delta_stat(site.dir, site.name, &st) == 0)
                change->put = delta_stamp_of(&st);
        }
        site_close(&site);
        if (r && r != -ESTALE && r != -ENODATA && !is_gone(r))
            return fail_at(c, i, r);
    }
    return RT_OK;
}

static int32_t apply_all(struct commit *c)
{
    int32_t status = RT_OK;

    for (size_t i = c->all->n; !status && i-- > 0;)
        if (c->outcomes[i] == SELECTED && c->all->v[i].kind == RT_CHANGE_DELETED)
            status = apply(c, i);
    for (size_t i = 0; !status && i < c->all->n; i++)
        if (c->outcomes[i] == SELECTED)
            status = apply(c, i);
    return status ? status : finish_dirs(c);
}

/* Logs as committed what was applied, and what was found to be. */
static int log_one(struct commit *c, size_t i)
{
    const struct delta_change *change = &c->all->v[i];
    struct delta_record record = { .kind = DELTA_COMMITTED, .path = change->path, .lower = change->put };

    if (c->outcomes[i] != APPLIED && change->kind != DELTA_CHANGE_NONE)
        return 0;
    if (change->kind == DELTA_CHANGE_NONE)
        record.lower = delta_stamp_of(&change->lower);
    if (change->upper.st_mode)
        record.upper = S_ISDIR(change->upper.st_mode) ? change->dir : delta_stamp_of(&change->upper);
    return delta_note_add(c->delta, &record);
}

static int32_t log_all(struct commit *c)
{
    int r = syncfs(c->delta->lower_fd) < 0 ? -errno : 0;

    for (size_t i = 0; !r && i < c->all->n; i++)
        r = log_one(c, i);
    return r ? op_fail(c->delta->op, error_status(-r), -r, "log the commit") : RT_OK;
}

static int32_t begin(struct commit *c)
{
    const char **paths = calloc(c->all->n + 1, sizeof *paths);
    int r = paths ? c->delta->unlogged : -ENOMEM;

    for (size_t i = 0; !r && i < c->all->n; i++)
        paths[i] = c->outcomes[i] == SELECTED ? c->all->v[i].path : "";
    if (!r)
        r = delta_journal_begin(c->delta, paths, c->all->n, &c->journal);
    free(paths);
    return r ? op_fail(c->delta->op, error_status(-r), -r, "write the commit's journal") : RT_OK;
}

/* Keeps the changes for which keep is true. */
static void filter(struct commit *c, bool (*keep)(const struct commit *c, size_t i))
{
    size_t n = 0;

    for (size_t i = 0; i < c->all->n; i++)
        if (keep(c, i))
            c->all->v[n++] = c->all->v[i];
        else
            free(c->all->v[i].path);
    c->all->n = n;
}

static bool was_applied(const struct commit *c, size_t i)
{
    return c->outcomes[i] == APPLIED;
}

/*
 * Not applied, and to be told: what the sandbox went on writing, and, unless the codebase's is to win, what the host
 * changed, and directories that cannot go for what is hidden in them.
 */
static bool is_left(const struct commit *c, size_t i)
{
    const enum outcome o = c->outcomes[i];

    return o == BUSY || ((o == LATE_CONFLICT || o == BLOCKED) && c->policy != RT_CONFLICT_THEIRS);
}

static int32_t left_tell(struct commit *c)
{
    bool is_busy = false, is_late = false;

    for (size_t i = 0; i < c->all->n; i++) {
        is_busy |= c->outcomes[i] == BUSY;
        is_late |= c->outcomes[i] == LATE_CONFLICT;
        c->all->v[i].conflict |= is_left(c, i);
    }
    filter(c, is_left);
    return op_fail(c->delta->op, RT_E_CONFLICT, 0, "%zu of the changes were left out, first '%.200s': %s", c->all->n,
                   c->all->v[0].path,
                   is_busy   ? "files changed during the commit, in the sandbox or in the codebase"
                   : is_late ? "files changed in the codebase during the commit"
                             : "something that the rules hide is in the way");
}

static int32_t commit_selected(struct commit *c)
{
    int32_t status = begin(c);
    bool has_left = false;

    if (status)
        return status;
    status = apply_all(c);
    if (!status) /* otherwise the next commit finds what was applied */
        status = log_all(c);
    if (status) {
        (void)delta_journal_undo(c->delta); /* or the next to open it does */
        return status;
    }
    delta_journal_end(c->delta);
    for (size_t i = 0; i < c->all->n; i++)
        has_left |= is_left(c, i);
    if (has_left)
        return left_tell(c);
    filter(c, was_applied);
    return RT_OK;
}

static bool is_conflict(const struct commit *c, size_t i)
{
    return c->all->v[i].conflict && c->outcomes[i] != NOT_SELECTED;
}

static int32_t refuse(struct commit *c, const char *const *paths)
{
    for (size_t i = 0; i < c->all->n; i++)
        c->outcomes[i] = delta_is_selected(paths, c->all->v[i].path) ? SELECTED : NOT_SELECTED;
    filter(c, is_conflict);
    return op_fail(c->delta->op, RT_E_CONFLICT, 0,
                   "%zu of the files changed in the codebase since the sandbox first touched them, first '%.200s'",
                   c->all->n, c->all->v[0].path);
}

int32_t delta_commit(struct delta *delta, const char *const *paths, int32_t policy, struct delta_changes *ret)
{
    struct commit c = { .delta = delta, .all = ret, .policy = policy };
    int32_t status = record_flock(delta->op, delta->lower_fd); /* one at a time on a codebase */

    *ret = (struct delta_changes){ 0 };
    if (status || delta->upper_fd < 0)
        return status;
    (void)usleep(DELTA_SETTLE_US);
    status = delta_walk(delta, ret);
    if (status)
        return status;
    c.outcomes = calloc(ret->n + 1, sizeof *c.outcomes);
    if (!c.outcomes)
        return op_fail(delta->op, RT_E_NOMEM, 0, "the commit");
    status = select_all(&c, paths) ? refuse(&c, paths) : commit_selected(&c);
    free(c.outcomes);
    return status;
}
