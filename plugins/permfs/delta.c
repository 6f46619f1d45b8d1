#include "delta.h"

#include "below.h"
#include "clock.h"
#include "delta_log.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

/* A path that is in the log. */
struct touched {
    UT_hash_handle hh;
    char path[];
};

/* ---- the log ---- */

static bool is_touched(struct delta *d, const char *path)
{
    struct touched *found;

    HASH_FIND_STR(d->touched, path, found);
    return found;
}

static int remember(struct delta *d, const char *path)
{
    size_t len = strlen(path);
    struct touched *t = malloc(sizeof *t + len + 1);

    if (!t)
        return -ENOMEM;
    memcpy(t->path, path, len + 1);
    HASH_ADD_KEYPTR(hh, d->touched, t->path, len, t);
    return 0;
}

static void forget(struct delta *d, struct touched *t)
{
    HASH_DEL(d->touched, t);
    free(t);
}

static int on_record(void *user, const struct delta_record *record)
{
    struct delta *d = user;
    struct touched *found;

    HASH_FIND_STR(d->touched, record->path, found);
    if (record->kind != DELTA_FORGOTTEN)
        return found ? 0 : remember(d, record->path);
    if (found)
        forget(d, found);
    return 0;
}

static void forget_all(struct delta *d)
{
    while (d->touched)
        forget(d, d->touched);
}

int delta_reload(struct delta *d)
{
    int r = 0;

    if (!d->on)
        return 0;
    pthread_mutex_lock(&d->lock);
    forget_all(d);
    r = delta_log_read(d->log_fd, on_record, d);
    pthread_mutex_unlock(&d->lock);
    return r;
}

int delta_start(struct delta *d, const struct settings *settings, char why[WHY_MAX])
{
    int r;

    *d = (struct delta){
        .on = settings->delta_fd >= 0, .overlay = OVERLAY_INIT, .lower_fd = settings->root_fd, .log_fd = -1
    };
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->refresh_lock, NULL);
    if (!d->on)
        return 0;
    r = overlay_open(&d->overlay, settings->root_fd, settings->delta_fd, why);
    if (r)
        return r;
    d->log_fd = delta_log_open(settings->delta_fd);
    r = d->log_fd < 0 ? d->log_fd : delta_reload(d);
    if (r)
        snprintf(why, WHY_MAX, "copy-on-write: the log: %s", strerror(-r));
    return r;
}

void delta_release(struct delta *d)
{
    overlay_release(&d->overlay);
    if (d->log_fd >= 0)
        close(d->log_fd);
    forget_all(d);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->refresh_lock);
}

/* ---- paths in the codebase ---- */

/* Puts the name in front of what is at *at. */
static void prepend(char **at, const char *name, size_t len)
{
    *at -= len;
    memcpy(*at, name, len);
}

/* The path of a name in a directory, or of the directory (name NULL); "" is the root's. To be freed; NULL: no memory.
 */
static char *path_of(struct node_table *t, struct node *dir, const char *name)
{
    size_t size = name ? strlen(name) + 1 : 1;
    char *path, *at;

    pthread_mutex_lock(&t->lock);
    for (struct node *n = dir; n->parent; n = n->parent)
        size += n->name_len + 1;
    path = malloc(size);
    at = path ? path + size - 1 : NULL;
    if (at) {
        *at = '\0';
        if (name)
            prepend(&at, name, strlen(name));
        for (struct node *n = dir; n->parent; n = n->parent) {
            if (*at)
                prepend(&at, "/", 1);
            prepend(&at, n->name, n->name_len);
        }
        memmove(path, at, strlen(at) + 1);
    }
    pthread_mutex_unlock(&t->lock);
    return path;
}

/* Opens the directory of the path's last component; *ret_name is that, within path, whose slashes are cut out. */
static int open_parent(int root_fd, char *path, const char **ret_name)
{
    int dir = below_reopen(root_fd, O_PATH | O_DIRECTORY), next;
    char *slash;

    for (; dir >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        *slash = '\0';
        next = below_open(dir, path, O_PATH | O_DIRECTORY, 0);
        close(dir);
        dir = next;
    }
    *ret_name = path;
    return dir;
}

static bool is_gone(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* What a layer has; all zeros if there is nothing. */
static int layer_stamp(int layer_fd, const char *path, struct delta_stamp *ret)
{
    char *copy = strdup(path);
    const char *name;
    struct stat st;
    int dir = copy ? open_parent(layer_fd, copy, &name) : -ENOMEM, r = dir < 0 ? dir : 0;

    if (!r)
        r = below_stat(dir, name, &st);
    if (dir >= 0)
        close(dir);
    free(copy);
    *ret = (struct delta_stamp){ 0 };
    if (!r)
        *ret = delta_stamp_of(&st);
    return is_gone(r) ? 0 : r;
}

/*
 * Whether the sandbox's own entry is in the upper layer although nothing was logged: the codebase had none when it was
 * made, and what the codebase has now came later. A directory may be there for the sake of what is in it alone.
 */
static int is_newer_below(struct delta *d, const char *path, const struct delta_stamp *lower)
{
    struct delta_stamp upper;
    int r = layer_stamp(d->overlay.upper_fd, path, &upper);

    return r ? r : delta_stamp_there(&upper) && !(S_ISDIR(upper.mode) && S_ISDIR(lower->mode));
}

static int touch_first(struct delta *d, const char *path)
{
    struct delta_record record = { .kind = DELTA_TOUCHED, .path = path };
    int r = layer_stamp(d->lower_fd, path, &record.lower);

    if (r || !delta_stamp_there(&record.lower))
        return r;
    r = is_newer_below(d, path, &record.lower);
    if (r)
        return r < 0 ? r : 0;
    r = delta_log_append(d->log_fd, &record);
    return r ? r : remember(d, path);
}

static int touch_path(struct delta *d, const char *path)
{
    int r;

    pthread_mutex_lock(&d->lock);
    r = is_touched(d, path) ? 0 : touch_first(d, path);
    pthread_mutex_unlock(&d->lock);
    return r;
}

int delta_touch(struct fs *fs, struct node *dir, const char *name)
{
    char *path;
    int r;

    if (!fs->delta.on)
        return 0;
    path = path_of(&fs->nodes, dir, name);
    r = path ? touch_path(&fs->delta, path) : -ENOMEM;
    free(path);
    return r;
}

int delta_touch_node(struct fs *fs, struct node *node)
{
    return delta_touch(fs, node, NULL);
}

int delta_lower_dir(struct fs *fs, struct node *dir)
{
    char *path = path_of(&fs->nodes, dir, NULL);
    const char *name;
    int parent, fd;

    if (!path)
        return -ENOMEM;
    parent = open_parent(fs->delta.lower_fd, path, &name);
    if (parent < 0 || !*name) {
        free(path);
        return parent;
    }
    fd = below_open(parent, name, O_PATH | O_DIRECTORY, 0);
    close(parent);
    free(path);
    return is_gone(fd) ? -ENOENT : fd;
}

/* ---- what the host changes ---- */

void delta_refresh(struct fs *fs)
{
    struct delta *d = &fs->delta;

    if (!d->on)
        return;
    pthread_mutex_lock(&d->refresh_lock);
    atomic_store(&d->refreshed_ns, clock_ns(CLOCK_MONOTONIC));
    dirs_drop_all(&fs->nodes); /* what is open stays in the kernel's cache */
    overlay_refresh(&d->overlay);
    pthread_mutex_unlock(&d->refresh_lock);
}

void delta_freshen(struct fs *fs)
{
    struct delta *d = &fs->delta;
    const int64_t most = (int64_t)fs->settings->cache_ms * 1000000 / 2;

    if (!d->on || (fs->watch.running && !atomic_load_explicit(&d->unwatched, memory_order_relaxed)))
        return;
    if (clock_ns(CLOCK_MONOTONIC) - atomic_load_explicit(&d->refreshed_ns, memory_order_relaxed) >= most)
        delta_refresh(fs);
}

void delta_stamp_listing(struct fs *fs, struct stat *st)
{
    const int64_t ns = atomic_load(&fs->delta.refreshed_ns);

    if (fs->delta.on)
        st->st_ctim = (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}
