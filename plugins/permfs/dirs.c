#include "dirs.h"
#include "below.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVICT_AT_EMFILE 64
#define MOVE_RETRIES    16
#define CHAIN_INLINE    32

/* The directories from one whose fd can be used (not included) down to the one wanted, v[0]; all referenced. */
struct chain {
    struct node **v, *room[CHAIN_INLINE];
    size_t n, cap;
};

static bool is_usable(const struct node_table *t, const struct node *dir, int64_t now)
{
    return !dir->parent || (dir->fd >= 0 && now - dir->fd_checked_ns < t->fd_trust_ns);
}

static void fd_close(struct node_table *t, struct node *dir)
{
    TAILQ_REMOVE(&t->fd_lru, dir, fd_lru);
    close(dir->fd);
    dir->fd = -1;
    t->n_fds--;
}

/* Closes up to n fds that nobody uses, the least recently used first. Lock held. */
static void evict(struct node_table *t, size_t n)
{
    struct node *dir = TAILQ_LAST(&t->fd_lru, fd_lru), *before;

    for (; dir && n; dir = before) {
        before = TAILQ_PREV(dir, fd_lru, fd_lru);
        if (!dir->fd_pins) {
            fd_close(t, dir);
            n--;
        }
    }
}

static void pin(struct node_table *t, struct node *dir)
{
    dir->refs++;
    dir->fd_pins++;
    if (dir->parent) {
        TAILQ_REMOVE(&t->fd_lru, dir, fd_lru);
        TAILQ_INSERT_HEAD(&t->fd_lru, dir, fd_lru);
    }
}

void dirs_unpin(struct node_table *t, struct node *dir)
{
    pthread_mutex_lock(&t->lock);
    dir->fd_pins--;
    node_put_locked(t, dir);
    pthread_mutex_unlock(&t->lock);
}

void dirs_drop_all(struct node_table *t)
{
    pthread_mutex_lock(&t->lock);
    evict(t, SIZE_MAX);
    for (struct node *dir = TAILQ_FIRST(&t->fd_lru); dir; dir = TAILQ_NEXT(dir, fd_lru))
        dir->fd_checked_ns = INT64_MIN / 2;
    pthread_mutex_unlock(&t->lock);
}

static int open_once(int dir, const char *name, int flags, mode_t mode)
{
    return *name ? below_open(dir, name, flags, mode) : below_reopen(dir, flags);
}

static int open_evicting(struct node_table *t, int dir, const char *name, int flags, mode_t mode)
{
    int fd = open_once(dir, name, flags, mode);

    for (int i = 0; (fd == -EMFILE || fd == -ENFILE) && i < 4; i++) {
        pthread_mutex_lock(&t->lock);
        evict(t, EVICT_AT_EMFILE);
        pthread_mutex_unlock(&t->lock);
        fd = open_once(dir, name, flags, mode);
    }
    return fd;
}

int place_open(struct node_table *t, const struct place *place, int flags, mode_t mode)
{
    return open_evicting(t, place->fd, place->name, flags, mode);
}

static int open_dir(struct node_table *t, int parent_fd, const char *name, const struct node *dir)
{
    int fd = open_evicting(t, parent_fd, name, O_PATH | O_DIRECTORY, 0);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == 0 && below_same(&st, dir->dev, dir->ino, dir->kind))
        return fd;
    close(fd);
    return -ESTALE;
}

static int check_dir(int parent_fd, const char *name, const struct node *dir)
{
    struct stat st;
    int r = below_stat(parent_fd, name, &st);

    if (r)
        return r;
    return below_same(&st, dir->dev, dir->ino, dir->kind) ? 0 : -ESTALE;
}

/* Gives dir an fd that is right as of now, and pins it. parent_fd is that of its parent, pinned. */
static int step_down(struct node_table *t, struct node *parent, int parent_fd, struct node *dir)
{
    char name[DIRS_NAME_MAX + 1];
    int fd = -1, r;
    bool have;

    pthread_mutex_lock(&t->lock);
    if (dir->parent != parent) {
        pthread_mutex_unlock(&t->lock);
        return -ESTALE;
    }
    memcpy(name, dir->name, dir->name_len + 1);
    have = dir->fd >= 0;
    if (have)
        pin(t, dir);
    pthread_mutex_unlock(&t->lock);

    r = have ? check_dir(parent_fd, name, dir) : (fd = open_dir(t, parent_fd, name, dir));
    if (r < 0) {
        if (have)
            dirs_unpin(t, dir);
        return r;
    }
    pthread_mutex_lock(&t->lock);
    if (!have && dir->fd < 0) {
        if (t->n_fds >= t->max_fds)
            evict(t, 1 + t->max_fds / 16);
        dir->fd = fd;
        fd = -1;
        TAILQ_INSERT_HEAD(&t->fd_lru, dir, fd_lru);
        t->n_fds++;
    }
    if (!have)
        pin(t, dir);
    dir->fd_checked_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    pthread_mutex_unlock(&t->lock);
    if (fd >= 0) /* another thread was faster */
        close(fd);
    return 0;
}

static int chain_grow(struct chain *c)
{
    size_t cap = c->cap * 4;
    struct node **v = realloc(c->v == c->room ? NULL : c->v, cap * sizeof(*v));

    if (!v)
        return -ENOMEM;
    c->v = v;
    c->cap = cap;
    return 0;
}

/* Collects the chain and pins the directory above it, which becomes *ret_top. */
static int chain_collect(struct node_table *t, struct node *dir, struct chain *c, struct node **ret_top, int *ret_fd)
{
    for (;;) {
        int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);
        struct node *n = dir;

        pthread_mutex_lock(&t->lock);
        for (c->n = 0; !is_usable(t, n, now) && c->n < c->cap; n = n->parent)
            c->v[c->n++] = n;
        if (is_usable(t, n, now)) {
            for (size_t i = 0; i < c->n; i++)
                c->v[i]->refs++;
            pin(t, n);
            *ret_top = n;
            *ret_fd = n->fd;
            pthread_mutex_unlock(&t->lock);
            return 0;
        }
        pthread_mutex_unlock(&t->lock);
        if (chain_grow(c)) {
            c->n = 0;
            return -ENOMEM;
        }
    }
}

static int pin_once(struct node_table *t, struct node *dir, int *ret_fd)
{
    struct chain c = { .v = c.room, .cap = CHAIN_INLINE };
    struct node *top;
    int fd, r = chain_collect(t, dir, &c, &top, &fd);

    for (size_t i = c.n; !r && i-- > 0;) {
        r = step_down(t, top, fd, c.v[i]);
        dirs_unpin(t, top);
        top = c.v[i];
        if (!r)
            fd = top->fd; /* constant while pinned */
    }
    for (size_t i = 0; i < c.n; i++)
        node_put(t, c.v[i]);
    if (c.v != c.room)
        free(c.v);
    if (!r)
        *ret_fd = fd;
    return r;
}

static bool is_gone(int r)
{
    return r == -ESTALE || r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* Lock held. */
static bool pin_usable(struct node_table *t, struct node *dir, int64_t now, int *ret_fd)
{
    if (!is_usable(t, dir, now))
        return false;
    pin(t, dir);
    *ret_fd = dir->fd;
    return true;
}

bool dirs_pin_usable(struct node_table *t, struct node *dir, int *ret_fd)
{
    const int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);
    bool usable;

    pthread_mutex_lock(&t->lock);
    usable = pin_usable(t, dir, now, ret_fd);
    pthread_mutex_unlock(&t->lock);
    return usable;
}

int dirs_pin(struct node_table *t, struct node *dir, int *ret_fd)
{
    if (!S_ISDIR(dir->kind))
        return -ENOTDIR;
    if (dirs_pin_usable(t, dir, ret_fd))
        return 0;
    for (int i = 0;; i++) {
        uint64_t moves = atomic_load(&t->moves);
        int r = pin_once(t, dir, ret_fd);

        if (!is_gone(r))
            return r;
        if (i == MOVE_RETRIES || moves == atomic_load(&t->moves))
            return -ESTALE;
    }
}

int place_of_name(struct node_table *t, struct node *dir, const char *name, struct place *ret)
{
    int r;

    if (!below_name_ok(name))
        return -EINVAL;
    if (strlen(name) > DIRS_NAME_MAX)
        return -ENAMETOOLONG;
    r = dirs_pin(t, dir, &ret->fd);
    if (r)
        return r;
    ret->dir = dir;
    ret->name = name;
    return 0;
}

void place_release(struct node_table *t, struct place *place)
{
    if (place->dir)
        dirs_unpin(t, place->dir);
}

static int place_of_node(struct node_table *t, struct node *node, struct place *ret)
{
    const int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);
    struct node *dir;
    bool pinned;
    int r = 0;

    ret->name = ret->room;
    ret->room[0] = 0;
    if (node == &t->root) { /* the root's, which has none, and which is never moved */
        ret->dir = NULL;
        ret->fd = node->fd;
        return 0;
    }
    pthread_mutex_lock(&t->lock);
    dir = node->parent;
    memcpy(ret->room, node->name, node->name_len + 1);
    pinned = pin_usable(t, dir, now, &ret->fd);
    if (!pinned)
        dir->refs++;
    pthread_mutex_unlock(&t->lock);
    ret->dir = dir;
    if (!pinned) {
        r = dirs_pin(t, dir, &ret->fd);
        node_put(t, dir);
    }
    return r;
}

int place_run(struct node_table *t, struct node *node, place_fn *fn, void *arg)
{
    struct place place;

    for (size_t i = 0, others = 0;; i++) {
        uint64_t moves = atomic_load(&t->moves);
        int r = place_of_node(t, node, &place);

        if (!r) {
            r = fn(t, &place, node, arg);
            place_release(t, &place);
        }
        if (!is_gone(r))
            return r;
        if (i < MOVE_RETRIES && moves != atomic_load(&t->moves))
            continue;
        if (!node_put_next_first(t, node, others++)) /* another of the file's names may be there still */
            return -ESTALE;
    }
}
