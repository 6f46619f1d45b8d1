#include "node.h"

#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS_MIN 1024

/*
 * Names of a node that the host may have taken from the file without the kernel's asking for them again: past these, a
 * further name is a node of its own, which is forgotten when the kernel forgets the name.
 */
#define LOST_MAX 1000

uint64_t node_hash(const struct node *parent, const char *name, size_t len)
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

/* By its own name. */
static struct node *find_own(struct node_table *t, const struct node *parent, const char *name, size_t len)
{
    const uint64_t hash = node_hash(parent, name, len);
    struct node *n = *bucket_of(t, hash);

    while (n && (n->hash != hash || n->parent != parent || n->name_len != len || memcmp(n->name, name, len) != 0))
        n = n->next;
    return n;
}

/* By any of its names; ret_link: NULL if that is its own. */
static struct node *find_name(struct node_table *t, const struct node *parent, const char *name, size_t len,
                              struct link **ret_link)
{
    struct node *node = find_own(t, parent, name, len);

    *ret_link = node ? NULL : node_link_find_locked(t, parent, name, len);
    return *ret_link ? node_of_link(*ret_link) : node;
}

static struct node *find(struct node_table *t, const struct node *parent, const char *name, size_t len)
{
    struct link *link;

    return find_name(t, parent, name, len, &link);
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
    node->hash = node_hash(node->parent, node->name, node->name_len);
    b = bucket_of(t, node->hash);
    node->next = *b;
    *b = node;
    node->hashed = true;
    t->n_nodes++;
}

static void take_out(struct node_table *t, struct node *node)
{
    struct node **p = bucket_of(t, node->hash);

    while (*p != node)
        p = &(*p)->next;
    *p = node->next;
    node->hashed = false;
    t->n_nodes--;
}

static void hash_remove(struct node_table *t, struct node *node)
{
    if (!node->hashed)
        return;
    node_unkeep_locked(t, node);
    take_out(t, node);
}

/* Makes the link the node's own name; what was that becomes a link, unless it is no name of the node's any more. */
static void put_first(struct node_table *t, struct link *link)
{
    struct node *node = node_of_link(link);
    const bool had = node->hashed;

    if (had)
        take_out(t, node);
    node_link_swap_locked(t, link);
    hash_insert(t, node);
    node->state_epoch = 0;
    if (!had)
        node_put_locked(t, node_link_remove_locked(t, link));
}

/* The node that is under the name, which becomes its own. */
static struct node *find_first(struct node_table *t, const struct node *parent, const char *name, size_t len)
{
    struct link *link;
    struct node *node = find_name(t, parent, name, len, &link);

    if (link)
        put_first(t, link);
    return node;
}

void node_lose_name_locked(struct node_table *t, struct node *node)
{
    struct link *link = node_first_link(node);

    if (!link) {
        hash_remove(t, node);
        return;
    }
    put_first(t, link);
    node_put_locked(t, node_link_remove_locked(t, link));
}

bool node_put_next_first(struct node_table *t, struct node *node, size_t tried)
{
    bool another;

    pthread_mutex_lock(&t->lock);
    another = tried < node_n_links(node);
    if (another)
        put_first(t, node_first_link(node));
    pthread_mutex_unlock(&t->lock);
    return another;
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
        node_twins_remove_locked(t, node);
    node_links_free(node);
    free_name(node);
    spare_node(t, node);
}

/* Frees the node if nothing holds it, then its parent if that was the last to hold it, and so on. */
void node_put_locked(struct node_table *t, struct node *node)
{
    while (node && node->parent && --node->refs == 0) {
        struct node *parent = node->parent;
        struct link *link;

        hash_remove(t, node);
        while ((link = node_first_link(node)))
            node_put_locked(t, node_link_remove_locked(t, link));
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
    if (!t->buckets || node_twins_init(t) || node_links_init(t))
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
    free(t->links);
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
        node_twins_add_locked(t, node);
    hash_insert(t, node);
    return node;
}

static bool is_same(const struct node *node, const struct stat *st)
{
    return node->dev == st->st_dev && node->ino == st->st_ino && node->kind == (st->st_mode & S_IFMT);
}

/* Those that are open have locks; and all names have to come to the same node, whichever is looked up first. */
static bool is_better(const struct node *node, const struct node *than)
{
    const bool open = !LIST_EMPTY(&node->handles);

    return open != !LIST_EMPTY(&than->handles) ? open : node->generation < than->generation;
}

/*
 * The node that the file has already, and that the name may become one of the names of. Without an open handle it may
 * be of a file that is gone, whose number another was given: one that has more links is told to be there still.
 */
static struct node *find_joinable(struct node_table *t, struct node *parent, const char *name, size_t len,
                                  const struct stat *st)
{
    struct node *node = S_ISDIR(st->st_mode) ? NULL : node_first_of_inode(t, st->st_ino), *best = NULL;
    enum perm perm;

    for (; node; node = LIST_NEXT(node, twin)) {
        if (!is_same(node, st) || (LIST_EMPTY(&node->handles) && (!node->hashed || st->st_nlink < 2)) ||
            node_n_links(node) >= st->st_nlink + LOST_MAX)
            continue;
        perm = node_child_perm_locked(t, parent, name, len, false);
        if (perm > PERM_NONE && perm == node_own_perm_locked(t, node) && !node_links_differ_locked(t, node, perm) &&
            (!best || is_better(node, best)))
            best = node;
    }
    return best;
}

/* Whether the name's node is no longer to be that, with `other` to be had. */
static bool is_to_leave(struct node_table *t, struct node *node, const struct stat *st, const struct node *other)
{
    if (!is_same(node, st) || node_links_differ_locked(t, node, node_own_perm_locked(t, node)))
        return true;
    return other && other != node && LIST_EMPTY(&node->handles);
}

struct node *node_joinable(struct node_table *t, struct node *parent, const char *name, const struct stat *st)
{
    const size_t len = strlen(name);
    struct node *node, *there;

    pthread_mutex_lock(&t->lock);
    there = find(t, parent, name, len);
    node = there && !is_to_leave(t, there, st, NULL) ? NULL : find_joinable(t, parent, name, len, st);
    if (node)
        node->refs++;
    pthread_mutex_unlock(&t->lock);
    return node;
}

static struct node *join(struct node_table *t, struct node *node, struct node *parent, const char *name, size_t len)
{
    struct link *link = node_link_add_locked(t, node, parent, name, len);

    if (!link)
        return NULL;
    put_first(t, link);
    (void)node_links_perm_locked(t, node, node_own_perm_locked(t, node)); /* which each of them allows now */
    return node;
}

static bool numbers_tell(const struct node_table *t, const struct stat *st)
{
    return t->numbers_tell && st->st_dev == t->root.dev;
}

int node_look_up(struct node_table *t, struct node *parent, const char *name, const struct stat *st,
                 const struct node *proven, struct node **ret, bool *ret_joins)
{
    const size_t len = strlen(name);
    struct node *node, *other;
    bool joins = false;

    pthread_mutex_lock(&t->lock);
    node = find_first(t, parent, name, len);
    other = node && is_same(node, st) && st->st_nlink < 2 ? NULL : find_joinable(t, parent, name, len, st);
    if (other && other != proven && !numbers_tell(t, st))
        other = NULL;
    if (node && is_to_leave(t, node, st, other)) {
        node_lose_name_locked(t, node);
        node = NULL;
    }
    if (!node) {
        node = other ? join(t, other, parent, name, len) : make(t, parent, name, len, st);
        joins = node && node_has_twin_locked(t, node);
    }
    if (node && node->lookups++ == 0)
        node->refs++;
    if (node)
        node->missed = false;
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
    is_in = node->parent == dir || node_is_linked_in_locked(node, dir);
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

/* What is recorded of the name that the node was found by. */
static bool *missed(struct node *node, struct link *link)
{
    return link ? node_link_missed_locked(link) : &node->missed;
}

void node_missed(struct node_table *t, struct node *parent, const char *name)
{
    struct node *node;
    struct link *link;

    pthread_mutex_lock(&t->lock);
    node = find_name(t, parent, name, strlen(name), &link);
    if (node) {
        atomic_store(&node->made, false);
        *missed(node, link) = true;
    }
    pthread_mutex_unlock(&t->lock);
}

bool node_was_missed(struct node_table *t, struct node *parent, const char *name)
{
    struct node *node;
    struct link *link;
    bool was;

    pthread_mutex_lock(&t->lock);
    node = find_name(t, parent, name, strlen(name), &link);
    was = node && *missed(node, link);
    pthread_mutex_unlock(&t->lock);
    return was;
}

void node_removed(struct node_table *t, struct node *parent, const char *name)
{
    struct node *node;

    pthread_mutex_lock(&t->lock);
    node = find_first(t, parent, name, strlen(name));
    if (node)
        node_lose_name_locked(t, node);
    pthread_mutex_unlock(&t->lock);
}

/* Takes the node's place in the table; the name's memory comes from the caller. Lock held. */
static void place(struct node_table *t, struct node *node, struct node *parent, char *name)
{
    const struct rule_state *before = S_ISDIR(node->kind) ? node_state_locked(t, node) : NULL;
    struct node *old_parent = node->parent;

    hash_remove(t, node);
    free_name(node);
    node->name = name;
    node->name_len = strlen(name);
    node->missed = false;
    node->parent = parent;
    parent->refs++;
    hash_insert(t, node);
    node->state_epoch = 0;
    node_links_changed_locked(node);
    if (S_ISDIR(node->kind) && (!before || node_state_locked(t, node) != before))
        t->epoch++;
    node_put_locked(t, old_parent);
}

bool node_moved(struct node_table *t, struct node *from, const char *name, struct node *to, const char *to_name,
                bool exchange)
{
    char *there = strdup(to_name), *back = strdup(name);
    struct node *node, *other;
    uint64_t epoch;

    pthread_mutex_lock(&t->lock);
    epoch = t->epoch;
    t->moves++;
    other = find(t, to, to_name, strlen(to_name));
    if (other && other == find(t, from, name, strlen(name))) { /* both are names of one file, and stay */
        pthread_mutex_unlock(&t->lock);
        free(there);
        free(back);
        return false;
    }
    other = find_first(t, to, to_name, strlen(to_name));
    node = find_first(t, from, name, strlen(name));
    if (other && !(exchange && back))
        node_lose_name_locked(t, other);
    else if (other)
        hash_remove(t, other);
    if (node && there) {
        place(t, node, to, there);
        there = NULL;
    } else if (node) { /* without memory for its new name it is found anew at the next look-up */
        node_lose_name_locked(t, node);
    }
    if (other && exchange && back) {
        place(t, other, from, back);
        back = NULL;
    }
    epoch -= t->epoch;
    pthread_mutex_unlock(&t->lock);
    free(there);
    free(back);
    return epoch;
}
