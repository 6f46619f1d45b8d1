/*
 * Whether a directory's move would raise the permission of anything below it, or bring something that the sandbox may
 * have written to where it may not write: that would be a way around the rules that guard a name (contract W6).
 */
#include "below.h"
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 200000 /* a larger tree is not renamed but copied, by whoever wants that */
#define DEPTH_MAX   128

struct level {
    DIR *dir;
    const struct rule_state *from, *to;
};

struct walk {
    struct rules *rules;
    struct level levels[DEPTH_MAX];
    size_t depth;
    size_t seen;
};

/* A subtree needs no walk if both say the same of it, or if the new place shows nothing and the old one wrote nothing.
 */
static bool is_settled(const struct rule_state *from, const struct rule_state *to)
{
    return from == to || (!rule_state_may_below(to, PERM_VIEW) && !rule_state_may_below(from, PERM_WRITE));
}

/* The new place may not give more; and what could be written must be so there too. */
static bool may_move(enum perm from, enum perm to)
{
    return to <= from && (from < PERM_WRITE || to == PERM_WRITE);
}

static int enter(struct walk *w, int dir, const char *name, const struct rule_state *from, const struct rule_state *to)
{
    int fd, err;

    if (w->depth == DEPTH_MAX)
        return -EXDEV;
    fd = below_open(dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0) /* what cannot be read cannot be judged */
        return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : -EXDEV;
    w->levels[w->depth] = (struct level){ fdopendir(fd), from, to };
    if (!w->levels[w->depth].dir) {
        err = -errno;
        close(fd);
        return err;
    }
    w->depth++;
    return 0;
}

static int visit(struct walk *w, const struct level *level, const struct dirent *d)
{
    const struct rule_state *from, *to;
    size_t len = strlen(d->d_name);
    bool is_dir = d->d_type == DT_DIR;
    struct stat st;

    if (++w->seen > ENTRIES_MAX)
        return -EXDEV;
    if (d->d_type == DT_UNKNOWN) {
        int r = below_stat(dirfd(level->dir), d->d_name, &st);

        if (r)
            return r == -ENOENT ? 0 : r;
        is_dir = S_ISDIR(st.st_mode);
    }
    from = rules_child(w->rules, level->from, d->d_name, len, is_dir);
    to = rules_child(w->rules, level->to, d->d_name, len, is_dir);
    if (!from || !to)
        return -ENOMEM;
    if (!may_move(rule_state_perm(from), rule_state_perm(to)))
        return -EXDEV;
    return is_dir && !is_settled(from, to) ? enter(w, dirfd(level->dir), d->d_name, from, to) : 0;
}

static int walk_on(struct walk *w)
{
    int r = 0;

    while (w->depth && !r) {
        struct level *level = &w->levels[w->depth - 1];
        const struct dirent *d;

        errno = 0;
        d = readdir(level->dir);
        if (!d) {
            r = -errno;
            closedir(level->dir);
            w->depth--;
        } else if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
            r = visit(w, level, d);
        }
    }
    return r;
}

int raise_check(struct rules *rules, int dir, const char *name, const struct rule_state *from,
                const struct rule_state *to)
{
    struct walk w;
    int r;

    if (is_settled(from, to))
        return 0;
    w.rules = rules;
    w.depth = 0;
    w.seen = 0;
    r = enter(&w, dir, name, from, to);
    if (!r)
        r = walk_on(&w);
    while (w.depth)
        closedir(w.levels[--w.depth].dir);
    return r;
}
