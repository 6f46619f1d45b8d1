#include "watch.h"

#include "backing.h"
#include "below.h"
#include "clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Events are taken in batches: equal ones that follow each other are one then, and writing does not wake us each time.
 */
#define BATCH_MS 5

/*
 * Copy-on-write: so long after events the overlay is refreshed once more, for an operation that went on during the
 * first time has held what it saw before.
 */
#define AGAIN_MS 100

/* Others of the user's programs watch too. */
#define SHARE_OF_WATCHES 8
#define WATCHES_MAX      65536

#define EVENTS_SIZE ((size_t)64 << 10)
#define SAME_MAX    8 /* nodes of one directory: the host may have mounted or moved it about */

/* An entry of which the kernel was told something that had changed already. */
struct late {
    struct late *next;
    struct node *dir; /* counted */
    char name[];      /* "" for all in it */
};

/* ---- what is watched ---- */

static size_t watches_share(void)
{
    FILE *file = fopen("/proc/sys/fs/inotify/max_user_watches", "re");
    size_t most = 0;

    if (file && fscanf(file, "%zu", &most) != 1)
        most = 0;
    if (file)
        fclose(file);
    most /= SHARE_OF_WATCHES;
    return most < WATCHES_MAX ? most : WATCHES_MAX;
}

void watch_init(struct fs *fs)
{
    struct watch *w = &fs->watch;

    *w = (struct watch){ .wake = -1 };
    pthread_mutex_init(&w->lock, NULL);
    if (!fs->settings->watch || !fs->settings->cache_ms || !below_is_local(fs->settings->root_fd))
        return;
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake >= 0)
        node_watches_init(&fs->nodes, inotify_init1(IN_CLOEXEC | IN_NONBLOCK), watches_share());
}

void watch_release(struct fs *fs)
{
    struct watch *w = &fs->watch;

    for (struct late *l = w->late, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    if (w->wake >= 0)
        close(w->wake);
    pthread_mutex_destroy(&w->lock);
}

/* Copy-on-write: what the host changes is below the overlay, whose own directories would not tell of it. */
static void watch_dir(struct fs *fs, struct node *dir, int fd)
{
    char room[BELOW_FD_PATH_MAX];
    int lower = fs->delta.on ? delta_lower_dir(fs, dir) : -1;

    node_watch(&fs->nodes, dir, fs->delta.on && lower < 0 ? "" : below_fd_path(fs->delta.on ? lower : fd, room));
    if (fs->delta.on && lower != -ENOENT && atomic_load(&dir->wd) < 0)
        atomic_store(&fs->delta.unwatched, true);
    if (lower >= 0)
        close(lower);
}

uint32_t watch_enter(struct fs *fs, struct node *dir, int fd)
{
    if (atomic_load_explicit(&dir->wd, memory_order_acquire) == 0 && fs->watch.running)
        watch_dir(fs, dir, fd);
    return atomic_load(&dir->changes);
}

void watch_told(struct fs *fs, struct node *dir, const char *name, uint32_t count)
{
    struct watch *w = &fs->watch;
    size_t len = name ? strlen(name) + 1 : 1;
    struct late *late;

    if (atomic_load(&dir->changes) == count)
        return;
    late = malloc(sizeof *late + len);
    if (!late)
        return; /* it expires */
    memcpy(late->name, name ? name : "", len);
    late->dir = dir;
    node_get(&fs->nodes, dir);
    pthread_mutex_lock(&w->lock);
    late->next = w->late;
    w->late = late;
    pthread_mutex_unlock(&w->lock);
    (void)eventfd_write(w->wake, 1);
}

/* ---- what is taken back ---- */

static void forget_entry(struct fs *fs, struct node *dir, const char *name)
{
    (void)fuse_lowlevel_notify_inval_entry(fs->watch.session, fs_ino(fs, dir), name, strlen(name));
}

static void forget_children(struct fs *fs, struct node *dir)
{
    struct nodes known;

    fs_forget_attr(fs, dir);
    if (nodes_collect(&fs->nodes, &known))
        return;
    for (size_t i = 0; i < known.n; i++)
        if (node_is_in(&fs->nodes, known.v[i], dir))
            (void)fs_forget_entries(fs, fs->watch.session, known.v[i]);
    nodes_release(&fs->nodes, &known);
}

/* Names that are hidden whatever they are: that they come and go is not for the sandbox to notice. */
static bool is_hidden(struct fs *fs, struct node *dir, const char *name)
{
    return node_child_perm(&fs->nodes, dir, name, false) == PERM_NONE &&
           node_child_perm(&fs->nodes, dir, name, true) == PERM_NONE;
}

/*
 * Whether the kernel has nothing wrong of the name, without a look at what is under it now: if that is another thing
 * than the event was of, another event follows. A name that went without leaving a node was known to be there to
 * nobody; one that came is known from the reply to whoever made it, if that was the sandbox.
 */
static bool is_told_already(uint32_t mask, struct node *child)
{
    const bool made = child && atomic_exchange(&child->made, false);

    if (mask & (IN_DELETE | IN_MOVED_FROM))
        return !child;
    return (mask & IN_CREATE) && made;
}

/* Whether the table and the codebase agree on what is under the name: then the sandbox's own doing made the event. */
static bool is_known(struct fs *fs, struct node *dir, const char *name, uint32_t mask, struct node *child)
{
    struct place place;
    struct stat st;
    int r;

    if (is_told_already(mask, child))
        return true;
    r = place_of_name(&fs->nodes, dir, name, &place);
    if (r)
        return false;
    r = below_stat(place.fd, name, &st);
    place_release(&fs->nodes, &place);
    if (r || !child)
        return r == -ENOENT && !child;
    return below_same(&st, child->dev, child->ino, child->kind);
}

/* Returns whether the directory's own attributes have changed with it. */
static bool on_name(struct fs *fs, struct node *dir, const struct inotify_event *e)
{
    const bool is_entry = e->mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
    struct node *child;
    bool known;

    if (is_hidden(fs, dir, e->name))
        return false;
    child = node_find(&fs->nodes, dir, e->name);
    known = is_entry && is_known(fs, dir, e->name, e->mask, child) && !node_was_missed(&fs->nodes, dir, e->name);
    if (is_entry && !known)
        forget_entry(fs, dir, e->name);
    if (child) {
        if (!known)
            fs_forget_attr(fs, child);
        node_put(&fs->nodes, child);
    }
    return is_entry;
}

/* Whether the directory is where the table has it. */
static bool is_in_place(struct fs *fs, struct node *dir)
{
    struct stat st;

    return fs_stat(fs, dir, &st) == 0;
}

static void on_self(struct fs *fs, struct node *dir, uint32_t mask)
{
    if (mask & IN_IGNORED) {
        node_unwatched(&fs->nodes, dir);
        forget_children(fs, dir);
    } else if ((mask & IN_MOVE_SELF) && !is_in_place(fs, dir)) {
        dirs_drop_all(&fs->nodes); /* before the notice: they are not trusted for what is asked then */
        fs_forget_all(fs, fs->watch.session);
    } else {
        fs_forget_attr(fs, dir);
    }
}

/* As on_name. */
static bool on_event(struct fs *fs, const struct inotify_event *e)
{
    struct node *dirs[SAME_MAX];
    bool changed = false;
    size_t n;

    if (e->mask & IN_Q_OVERFLOW) {
        fs_forget_all(fs, fs->watch.session);
        return false;
    }
    n = nodes_watched_by(&fs->nodes, e->wd, dirs, SAME_MAX);
    for (size_t i = 0; i < n; i++) {
        atomic_fetch_add(&dirs[i]->changes, 1); /* before the notice: see watch_told */
        if (e->len)
            changed |= on_name(fs, dirs[i], e);
        else
            on_self(fs, dirs[i], e->mask);
        node_put(&fs->nodes, dirs[i]);
    }
    return changed;
}

/* The attributes of the directories with that descriptor; 0 = of none. */
static void forget_watched(struct fs *fs, int wd)
{
    struct node *dirs[SAME_MAX];
    size_t n = nodes_watched_by(&fs->nodes, wd, dirs, SAME_MAX);

    for (size_t i = 0; i < n; i++) {
        fs_forget_attr(fs, dirs[i]);
        node_put(&fs->nodes, dirs[i]);
    }
}

/* ---- the thread ---- */

static bool is_again(const struct inotify_event *e, const struct inotify_event *last)
{
    return last && e->wd == last->wd && e->mask == last->mask && e->len && last->len && !strcmp(e->name, last->name);
}

static void take_events(struct fs *fs, char *buf)
{
    ssize_t n;

    while ((n = read(fs->nodes.inotify, buf, EVENTS_SIZE)) > 0) {
        const struct inotify_event *last = NULL, *e;
        int changed = 0; /* directory: its attributes are taken back once for all events in it that are in a row */

        for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof *e + e->len)) {
            e = (const void *)(buf + at);
            if (e->wd != changed) {
                forget_watched(fs, changed);
                changed = 0;
            }
            if (!is_again(e, last) && on_event(fs, e))
                changed = e->wd;
            last = e;
        }
        forget_watched(fs, changed);
    }
}

static void take_late(struct fs *fs)
{
    struct late *late, *next;

    pthread_mutex_lock(&fs->watch.lock);
    late = fs->watch.late;
    fs->watch.late = NULL;
    pthread_mutex_unlock(&fs->watch.lock);
    if (late)
        delta_refresh(fs);
    for (; late; late = next) {
        next = late->next;
        if (*late->name)
            forget_entry(fs, late->dir, late->name);
        else
            forget_children(fs, late->dir);
        node_put(&fs->nodes, late->dir);
        free(late);
    }
}

/* Returns whether there are kept ones, to be aged later. */
static bool tend_backings(struct fs *fs, int64_t *aged_ms)
{
    const int64_t now = clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
    bool more = true;

    if (now - *aged_ms >= BACKING_KEPT_MS) {
        more = nodes_kept_age(&fs->nodes);
        *aged_ms = now;
    }
    backings_close_unkept(fs);
    return more;
}

static void *watch_run(void *arg)
{
    struct fs *fs = arg;
    struct pollfd v[2] = { { fs->nodes.inotify, POLLIN, 0 }, { fs->watch.wake, POLLIN, 0 } };
    char *buf = aligned_alloc(_Alignof(struct inotify_event), EVENTS_SIZE);
    int64_t aged_ms = 0;
    bool again = false, keeps = false;
    eventfd_t count;

    while (buf && !atomic_load(&fs->watch.stop)) {
        int n = poll(v, 2, again ? AGAIN_MS : keeps ? BACKING_KEPT_MS : -1);

        if (n < 0)
            continue;
        (void)eventfd_read(fs->watch.wake, &count);
        take_late(fs);
        if (atomic_load(&fs->watch.stop))
            break;
        if (n)
            usleep(BATCH_MS * 1000);
        if ((again && !n) || v[0].revents)
            delta_refresh(fs);
        again = (v[0].revents && fs->delta.on) || (again && n);
        if (v[0].revents)
            take_events(fs, buf);
        keeps = tend_backings(fs, &aged_ms);
    }
    free(buf);
    return NULL;
}

void watch_start(struct fs *fs, struct fuse_session *session)
{
    fs->watch.session = session;
    if (fs->nodes.inotify < 0)
        return;
    fs->watch.running = pthread_create(&fs->watch.thread, NULL, watch_run, fs) == 0;
    if (fs->watch.running && !fs->delta.on) /* a file that is held is not refreshed from the codebase */
        nodes_kept_init(&fs->nodes, fs->watch.wake);
}

void watch_stop(struct fs *fs)
{
    if (!fs->watch.running)
        return;
    atomic_store(&fs->watch.stop, true);
    (void)eventfd_write(fs->watch.wake, 1);
    pthread_join(fs->watch.thread, NULL);
}
