#include "node.h"

#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS_MIN 1024

/* All entries are told again once the kernel has asked for one in so many. */
#define ASKED_SHARE 4

/* A change within one tick of the clock of the filesystem below leaves mtime and ctime as they were. */
#define SETTLE_NS INT64_C(100000000)

static uint64_t hash_name(const struct node *parent, const char *name, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ ((uint64_t)(uintptr_t)parent >> 4); /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return h ^ (h >> 29);
}

static struct node **bucket_of(struct node_table *t, uint64_t hash)
{
    return &t->buckets[hash & (t->n_buckets - 1)];
}

static struct node *find(struct node_table *t, const struct node *parent, const char *name, size_t len)
{
    const uint64_t hash = hash_name(parent, name, len);
    struct node *n = *bucket_of(t, hash);

    while (n && (n->hash != hash || n->parent != parent || n->name_len != len || memcmp(n->name, name, len) != 0))
        n = n->next;
    return n;
}

/* Without memory for more buckets the chains grow longer: slower, never wrong. */
static void grow(struct node_table *t)
{
    size_t n = t->n_buckets * 2;
    struct node **buckets = calloc(n, sizeof *buckets);

    if (!buckets)
        return;
    for (size_t i = 0; i < t->n_buckets; i++)
        for (struct node *node = t->buckets[i], *next; node; node = next) {
            struct node **b = &buckets[node->hash & (n - 1)];

            next = node->next;
            node->next = *b;
            *b = node;
        }
    free(t->buckets);
    t->buckets = buckets;
    t->n_buckets = n;
}

static void hash_insert(struct node_table *t, struct node *node)
{
    struct node **b;

    if (t->n_nodes >= t->n_buckets)
        grow(t);
    node->hash = hash_name(node->parent, node->name, node->name_len);
    b = bucket_of(t, node->hash);
    node->next = *b;
    *b = node;
    node->hashed = true;
    t->n_nodes++;
}

static void hash_remove(struct node_table *t, struct node *node)
{
    struct node **p = bucket_of(t, node->hash);

    if (!node->hashed)
        return;
    node_unkeep_locked(t, node);
    while (*p != node)
        p = &(*p)->next;
    *p = node->next;
    node->hashed = false;
    t->n_nodes--;
}

static struct node *alloc_node(struct node_table *t)
{
    struct node *node;

    if (!t->n_spare)
        return calloc(1, sizeof *node);
    node = t->spare[--t->n_spare];
    ASAN_UNPOISON_MEMORY_REGION(node, sizeof *node);
    memset(node, 0, sizeof *node);
    return node;
}

static void spare_node(struct node_table *t, struct node *node)
{
    if (t->n_spare == SPARE_MAX) {
        free(node);
        return;
    }
    ASAN_POISON_MEMORY_REGION(node, sizeof *node);
    t->spare[t->n_spare++] = node;
}

static void free_name(struct node *node)
{
    if (node->name != node->name_room)
        free(node->name);
}

static void free_node(struct node_table *t, struct node *node)
{
    LIST_REMOVE(node, all);
    if (!S_ISDIR(node->kind))
        node_names_remove_locked(t, node);
    free_name(node);
    spare_node(t, node);
}

/* Frees the node if nothing holds it, then its parent if that was the last to hold it, and so on. */
void node_put_locked(struct node_table *t, struct node *node)
{
    while (node && node->parent && --node->refs == 0) {
        struct node *parent = node->parent;

        hash_remove(t, node);
        node_unwatch_locked(t, node);
        if (node->fd >= 0) {
            TAILQ_REMOVE(&t->fd_lru, node, fd_lru);
            t->n_fds--;
            close(node->fd);
        }
        free_node(t, node);
        node = parent;
    }
}

int node_table_init(struct node_table *t, int root_fd, struct rules *rules, size_t max_fds, int64_t fd_trust_ns)
{
    struct stat st;

    *t = (struct node_table){
        .epoch = 1, .max_fds = max_fds, .fd_trust_ns = fd_trust_ns, .inotify = -1, .kept_wake = -1
    };
    if (fstat(root_fd, &st) < 0)
        return -errno;
    t->buckets = calloc(BUCKETS_MIN, sizeof(*t->buckets));
    if (!t->buckets || node_names_init(t))
        return -ENOMEM;
    t->n_buckets = BUCKETS_MIN;
    pthread_mutex_init(&t->lock, NULL);
    TAILQ_INIT(&t->fd_lru);
    LIST_INIT(&t->all);
    LIST_INIT(&t->kept);
    t->rules = rules_ref(rules);
    t->root.dev = st.st_dev;
    t->root.ino = st.st_ino;
    t->root.kind = st.st_mode & S_IFMT;
    t->root.fd = root_fd;
    t->root.refs = 1;
    t->root.name = strdup("");
    LIST_INIT(&t->root.handles);
    return t->root.name ? 0 : -ENOMEM;
}

/* What is still open when the mount is gone is never released by the kernel. */
static void close_handles(struct node *node)
{
    struct handle *handle;

    while ((handle = LIST_FIRST(&node->handles))) {
        LIST_REMOVE(handle, link);
        close(handle->fd);
        free(handle);
    }
}

void node_table_release(struct node_table *t)
{
    struct node *node;

    while ((node = LIST_FIRST(&t->all))) {
        close_handles(node);
        if (node->fd >= 0)
            close(node->fd);
        free_node(t, node);
    }
    while (t->n_spare)
        free(alloc_node(t));
    close_handles(&t->root);
    if (t->inotify >= 0)
        close(t->inotify);
    free(t->buckets);
    free(t->inodes);
    free(t->root.name);
    rules_unref(t->rules);
    pthread_mutex_destroy(&t->lock);
}

static struct node *make(struct node_table *t, struct node *parent, const char *name, size_t len, const struct stat *st)
{
    struct node *node = alloc_node(t);

    if (!node)
        return NULL;
    node->name = len < sizeof node->name_room ? memcpy(node->name_room, name, len) : strndup(name, len);
    if (!node->name) {
        spare_node(t, node);
        return NULL;
    }
    node->name_len = len;
    node->parent = parent;
    parent->refs++;
    node->dev = st->st_dev;
    node->ino = st->st_ino;
    node->kind = st->st_mode & S_IFMT;
    node->generation = ++t->generation;
    node->fd = -1;
    LIST_INIT(&node->handles);
    LIST_INSERT_HEAD(&t->all, node, all);
    if (!S_ISDIR(node->kind))
        node_names_add_locked(t, node);
    hash_insert(t, node);
    return node;
}

static bool is_same(const struct node *node, const struct stat *st)
{
    return node->dev == st->st_dev && node->ino == st->st_ino && node->kind == (st->st_mode & S_IFMT);
}

int node_look_up(struct node_table *t, struct node *parent, const char *name, const struct stat *st, struct node **ret,
                 bool *ret_joins)
{
    size_t len = strlen(name);
    bool joins = false;
    struct node *node;

    pthread_mutex_lock(&t->lock);
    node = find(t, parent, name, len);
    if (node && !is_same(node, st)) {
        hash_remove(t, node);
        node = NULL;
    }
    if (!node) {
        node = make(t, parent, name, len, st);
        joins = node && node_has_twin_locked(t, node);
    }
    if (node && node->lookups++ == 0)
        node->refs++;
    pthread_mutex_unlock(&t->lock);
    if (!node)
        return -ENOMEM;
    *ret = node;
    *ret_joins = joins;
    return 0;
}

bool node_differs(struct node_table *t, struct node *parent, const char *name, const struct stat *st)
{
    struct node *node;
    bool differs;

    pthread_mutex_lock(&t->lock);
    node = find(t, parent, name, strlen(name));
    differs = node && !is_same(node, st);
    pthread_mutex_unlock(&t->lock);
    return differs;
}

void node_forget(struct node_table *t, struct node *node, uint64_t lookups)
{
    pthread_mutex_lock(&t->lock);
    if (node->parent && lookups && node->lookups) {
        node->lookups -= lookups < node->lookups ? lookups : node->lookups;
        if (!node->lookups)
            node_put_locked(t, node);
    }
    pthread_mutex_unlock(&t->lock);
}

void node_put(struct node_table *t, struct node *node)
{
    pthread_mutex_lock(&t->lock);
    node_put_locked(t, node);
    pthread_mutex_unlock(&t->lock);
}

void node_get(struct node_table *t, struct node *node)
{
    pthread_mutex_lock(&t->lock);
    node->refs++;
    pthread_mutex_unlock(&t->lock);
}

struct node *node_find(struct node_table *t, struct node *dir, const char *name)
{
    struct node *node;

    pthread_mutex_lock(&t->lock);
    node = find(t, dir, name, strlen(name));
    if (node)
        node->refs++;
    pthread_mutex_unlock(&t->lock);
    return node;
}

bool node_is_in(struct node_table *t, struct node *node, const struct node *dir)
{
    bool is_in;

    pthread_mutex_lock(&t->lock);
    is_in = node->parent == dir;
    pthread_mutex_unlock(&t->lock);
    return is_in;
}

int nodes_collect(struct node_table *t, struct nodes *ret)
{
    pthread_mutex_lock(&t->lock);
    ret->n = 0;
    ret->v = malloc((t->n_nodes + 1) * sizeof(*ret->v));
    for (size_t i = 0; ret->v && i < t->n_buckets; i++)
        for (struct node *node = t->buckets[i]; node; node = node->next) {
            node->refs++;
            ret->v[ret->n++] = node;
        }
    pthread_mutex_unlock(&t->lock);
    return ret->v ? 0 : -ENOMEM;
}

void nodes_release(struct node_table *t, struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++)
        node_put(t, nodes->v[i]);
    free(nodes->v);
}

void node_missed(struct node_table *t, struct node *parent, const char *name)
{
    struct node *node;

    pthread_mutex_lock(&t->lock);
    node = find(t, parent, name, strlen(name));
    if (node)
        atomic_store(&node->made, false);
    pthread_mutex_unlock(&t->lock);
}

void node_removed(struct node_table *t, struct node *parent, const char *name)
{
    struct node *node;

    pthread_mutex_lock(&t->lock);
    node = find(t, parent, name, strlen(name));
    if (node)
        hash_remove(t, node);
    pthread_mutex_unlock(&t->lock);
}

static const struct rule_state *state_of(struct node_table *t, struct node *node)
{
    struct node *todo = NULL;

    for (struct node *n = node; n && n->state_epoch != t->epoch; n = n->parent) {
        n->scratch = todo;
        todo = n;
    }
    for (; todo; todo = todo->scratch) {
        const struct rule_state *up = todo->parent ? todo->parent->state : NULL;

        if (!todo->parent)
            todo->state = rules_root(t->rules);
        else
            todo->state = rules_child(t->rules, up, todo->name, todo->name_len, S_ISDIR(todo->kind));
        if (!todo->state) /* out of memory: nothing is allowed below, and the next call tries again */
            return NULL;
        todo->state_epoch = t->epoch;
    }
    return node->state;
}

/* Takes the node's place in the table; the name's memory comes from the caller. Lock held. */
static void place(struct node_table *t, struct node *node, struct node *parent, char *name)
{
    const struct rule_state *before = S_ISDIR(node->kind) ? state_of(t, node) : NULL;
    struct node *old_parent = node->parent;

    hash_remove(t, node);
    free_name(node);
    node->name = name;
    node->name_len = strlen(name);
    node->parent = parent;
    parent->refs++;
    hash_insert(t, node);
    node->state_epoch = 0;
    if (S_ISDIR(node->kind) && (!before || state_of(t, node) != before))
        t->epoch++;
    node_put_locked(t, old_parent);
}

void node_moved(struct node_table *t, struct node *from, const char *name, struct node *to, const char *to_name,
                bool exchange)
{
    char *there = strdup(to_name), *back = strdup(name);
    struct node *node, *other;

    pthread_mutex_lock(&t->lock);
    t->moves++;
    node = find(t, from, name, strlen(name));
    other = find(t, to, to_name, strlen(to_name));
    if (other)
        hash_remove(t, other);
    if (node && there) {
        place(t, node, to, there);
        there = NULL;
    } else if (node) { /* without memory for its new name it is found anew at the next look-up */
        hash_remove(t, node);
    }
    if (other && exchange && back) {
        place(t, other, from, back);
        back = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    free(there);
    free(back);
}

enum perm node_perm(struct node_table *t, struct node *node)
{
    const struct rule_state *state;
    enum perm perm;

    pthread_mutex_lock(&t->lock);
    state = state_of(t, node);
    perm = state ? rule_state_perm(state) : PERM_NONE;
    pthread_mutex_unlock(&t->lock);
    return perm;
}

enum perm node_child_perm(struct node_table *t, struct node *dir, const char *name, bool is_dir)
{
    const struct rule_state *state;
    enum perm perm;

    pthread_mutex_lock(&t->lock);
    state = state_of(t, dir);
    state = state ? rules_child(t->rules, state, name, strlen(name), is_dir) : NULL;
    perm = state ? rule_state_perm(state) : PERM_NONE;
    pthread_mutex_unlock(&t->lock);
    return perm;
}

struct rules *node_rules(struct node_table *t, struct node *dir, const struct rule_state **ret_state)
{
    const struct rule_state *state;
    struct rules *rules = NULL;

    pthread_mutex_lock(&t->lock);
    state = state_of(t, dir);
    if (state)
        rules = rules_ref(t->rules);
    pthread_mutex_unlock(&t->lock);
    if (rules)
        *ret_state = state;
    return rules;
}

/* Puts a component before what is there. */
static void told_prepend(struct told *told, const char *name, size_t len)
{
    const bool follows = told->at < sizeof told->path;

    told->is_cut = told->is_cut || told->at < len + follows;
    if (told->is_cut)
        return;
    if (follows)
        told->path[--told->at] = '/';
    told->at -= len;
    memcpy(told->path + told->at, name, len);
}

void node_tell(struct node_table *t, struct node *node, const char *name, bool is_dir, struct told *ret)
{
    const struct rule_state *state;

    ret->at = sizeof ret->path;
    ret->is_cut = false;
    pthread_mutex_lock(&t->lock);
    state = state_of(t, node);
    if (state && name)
        state = rules_child(t->rules, state, name, strlen(name), is_dir);
    if (name)
        told_prepend(ret, name, strlen(name));
    for (const struct node *n = node; n->parent; n = n->parent)
        told_prepend(ret, n->name, n->name_len);
    ret->rules = rules_ref(t->rules);
    pthread_mutex_unlock(&t->lock);
    ret->perm = state ? rule_state_perm(state) : PERM_NONE;
    ret->rule = state ? rule_state_rule(state) : SIZE_MAX;
    ret->pattern = rules_pattern(ret->rules, ret->rule);
}

void node_set_rules(struct node_table *t, struct rules *rules)
{
    struct rules *old;

    pthread_mutex_lock(&t->lock);
    old = t->rules;
    t->rules = rules_ref(rules);
    t->epoch++;
    pthread_mutex_unlock(&t->lock);
    rules_unref(old);
}

void node_add_handle(struct node_table *t, struct node *node, struct handle *handle, int fd)
{
    handle->node = node;
    handle->fd = fd;
    handle->refs = 1;
    pthread_mutex_lock(&t->lock);
    LIST_INSERT_HEAD(&node->handles, handle, link);
    pthread_mutex_unlock(&t->lock);
}

struct handle *node_some_handle(struct node_table *t, struct node *node)
{
    struct handle *handle;

    pthread_mutex_lock(&t->lock);
    handle = LIST_FIRST(&node->handles);
    if (handle)
        handle->refs++;
    pthread_mutex_unlock(&t->lock);
    return handle;
}

bool node_drop_handle(struct node_table *t, struct handle *handle)
{
    bool last;

    pthread_mutex_lock(&t->lock);
    last = --handle->refs == 0;
    if (last)
        LIST_REMOVE(handle, link);
    pthread_mutex_unlock(&t->lock);
    return last;
}

static bool is_settled(const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* as files get their times */
    return (int64_t)(now.tv_sec - st->st_ctim.tv_sec) * 1000000000 + now.tv_nsec - st->st_ctim.tv_nsec > SETTLE_NS;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool node_content_kept(struct node_table *t, struct node *node, const struct stat *st)
{
    struct stamp now = { st->st_mtim, st->st_ctim, st->st_size, 0, is_settled(st) };
    bool kept;

    pthread_mutex_lock(&t->lock);
    now.epoch = t->epoch;
    kept = node->seen.settled && node->seen.epoch == now.epoch && node->seen.size == now.size &&
           same_time(node->seen.mtime, now.mtime) && same_time(node->seen.ctime, now.ctime);
    node->seen = now;
    pthread_mutex_unlock(&t->lock);
    return kept;
}

void node_asked(struct node_table *t, struct node *file)
{
    pthread_mutex_lock(&t->lock);
    if (file->parent)
        file->parent->n_asked++;
    pthread_mutex_unlock(&t->lock);
}

void node_listed(struct node_table *t, struct node *dir, uint32_t n)
{
    pthread_mutex_lock(&t->lock);
    dir->n_listed += n;
    pthread_mutex_unlock(&t->lock);
}

bool node_listing_kept(struct node_table *t, struct node *dir, const struct stat *st)
{
    bool kept = node_content_kept(t, dir, st);

    pthread_mutex_lock(&t->lock);
    if (dir->n_listed && (uint64_t)dir->n_asked * ASKED_SHARE >= dir->n_listed)
        kept = false;
    if (!kept)
        dir->n_listed = dir->n_asked = 0;
    pthread_mutex_unlock(&t->lock);
    return kept;
}
