/*
 * The names that a file's node has beyond its own. All are in the table with the node that they stand for; the node's
 * own is the one that was used last, and is what operations on the node go by.
 */
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64

struct link {
    struct node *node;
    struct node *dir; /* counted */
    char *name;
    size_t len;
    uint64_t hash;
    bool missed;
    struct link *next; /* in its hash bucket */
    TAILQ_ENTRY(link) other;
};

struct links {
    TAILQ_HEAD(link_queue, link) all;
    size_t n;
    uint64_t epoch;    /* of the table, when the next two were found; 0 = they are to be found again */
    enum perm least;   /* of what any of the node's names allows */
    bool differ;       /* they do not allow the same */
    enum perm allowed; /* by each, when they last did */
};

static struct link **bucket_of(const struct node_table *t, uint64_t hash)
{
    return &t->links[hash & (t->n_link_buckets - 1)];
}

int node_links_init(struct node_table *t)
{
    t->links = calloc(BUCKETS_MIN, sizeof(*t->links));
    t->n_link_buckets = BUCKETS_MIN;
    return t->links ? 0 : -ENOMEM;
}

static void insert(struct node_table *t, struct link *link)
{
    struct link **b;

    link->hash = node_hash(link->dir, link->name, link->len);
    b = bucket_of(t, link->hash);
    link->next = *b;
    *b = link;
}

static void take_out(struct node_table *t, struct link *link)
{
    struct link **p = bucket_of(t, link->hash);

    while (*p != link)
        p = &(*p)->next;
    *p = link->next;
}

/* Without memory for more buckets the lists grow longer: slower, never wrong. */
static void grow(struct node_table *t)
{
    struct link **more = calloc(t->n_link_buckets * 2, sizeof(*more)), **old = t->links, *link, *next;
    const size_t n = t->n_link_buckets;

    if (!more)
        return;
    t->links = more;
    t->n_link_buckets = n * 2;
    for (size_t i = 0; i < n; i++)
        for (link = old[i]; link; link = next) {
            next = link->next;
            insert(t, link);
        }
    free(old);
}

struct link *node_link_find_locked(const struct node_table *t, const struct node *dir, const char *name, size_t len)
{
    struct link *link = t->n_links ? *bucket_of(t, node_hash(dir, name, len)) : NULL;

    while (link && (link->dir != dir || link->len != len || memcmp(link->name, name, len) != 0))
        link = link->next;
    return link;
}

struct node *node_of_link(const struct link *link)
{
    return link->node;
}

bool *node_link_missed_locked(struct link *link)
{
    return &link->missed;
}

size_t node_n_links(const struct node *node)
{
    return node->links ? node->links->n : 0;
}

struct link *node_first_link(const struct node *node)
{
    return node->links ? TAILQ_FIRST(&node->links->all) : NULL;
}

static struct links *links_of(struct node *file)
{
    if (!file->links) {
        file->links = calloc(1, sizeof(*file->links));
        if (file->links)
            TAILQ_INIT(&file->links->all);
    }
    return file->links;
}

/* Makes the node's own name one of the heap, to be given to a link. */
static bool own_name_movable(struct node *file)
{
    char *name = file->name == file->name_room ? strdup(file->name) : file->name;

    if (name)
        file->name = name;
    return name;
}

struct link *node_link_add_locked(struct node_table *t, struct node *file, struct node *dir, const char *name,
                                  size_t len)
{
    struct links *links = links_of(file);
    struct link *link = links ? malloc(sizeof *link) : NULL;

    if (!link)
        return NULL;
    *link = (struct link){ .node = file, .dir = dir, .name = strndup(name, len), .len = len };
    if (!link->name || !own_name_movable(file)) {
        free(link->name);
        free(link);
        return NULL;
    }
    if (t->n_links >= t->n_link_buckets)
        grow(t);
    dir->refs++;
    insert(t, link);
    TAILQ_INSERT_TAIL(&links->all, link, other);
    links->n++;
    t->n_links++;
    return link;
}

void node_link_swap_locked(struct node_table *t, struct link *link)
{
    struct node *node = link->node;
    const struct link before = *link;

    take_out(t, link);
    link->dir = node->parent;
    link->name = node->name;
    link->len = node->name_len;
    link->missed = node->missed;
    insert(t, link);
    TAILQ_REMOVE(&node->links->all, link, other);
    TAILQ_INSERT_TAIL(&node->links->all, link, other);
    node->parent = before.dir;
    node->name = before.name;
    node->name_len = before.len;
    node->missed = before.missed;
}

struct node *node_link_remove_locked(struct node_table *t, struct link *link)
{
    struct links *links = link->node->links;
    struct node *dir = link->dir;

    take_out(t, link);
    TAILQ_REMOVE(&links->all, link, other);
    links->n--;
    if (links->differ) /* without it they may not */
        links->epoch = 0;
    t->n_links--;
    free(link->name);
    free(link);
    return dir;
}

void node_links_free(struct node *node)
{
    struct link *link;

    while ((link = node_first_link(node))) {
        TAILQ_REMOVE(&node->links->all, link, other);
        free(link->name);
        free(link);
    }
    free(node->links);
}

bool node_is_linked_in_locked(const struct node *node, const struct node *dir)
{
    const struct link *link = node_first_link(node);

    while (link && link->dir != dir)
        link = TAILQ_NEXT(link, other);
    return link;
}

/* ---- what they allow ---- */

void node_links_changed_locked(struct node *node)
{
    if (node->links)
        node->links->epoch = 0;
}

static enum perm perm_of(struct node_table *t, struct link *link)
{
    return node_child_perm_locked(t, link->dir, link->name, link->len, false);
}

/* own: what the node's own name allows. */
static void compare(struct node_table *t, struct node *node, enum perm own)
{
    struct links *links = node->links;
    struct link *link;
    enum perm perm;

    links->least = own;
    links->differ = false;
    for (link = TAILQ_FIRST(&links->all); link; link = TAILQ_NEXT(link, other)) {
        perm = perm_of(t, link);
        links->differ = links->differ || perm != own;
        if (perm < links->least)
            links->least = perm;
    }
    if (!links->differ)
        links->allowed = own;
    links->epoch = t->epoch;
}

enum perm node_links_perm_locked(struct node_table *t, struct node *node, enum perm own)
{
    if (node->links->epoch != t->epoch)
        compare(t, node, own);
    return node->links->least;
}

bool node_links_differ_locked(struct node_table *t, struct node *node, enum perm own)
{
    if (!node_n_links(node))
        return false;
    if (node->links->epoch != t->epoch)
        compare(t, node, own);
    return node->links->differ;
}

enum perm node_links_allowed_locked(const struct node *node)
{
    return node->links->allowed;
}

bool node_links_allow_locked(struct node_table *t, struct node *node, enum perm perm)
{
    struct link *link = node_first_link(node);

    while (link && perm_of(t, link) != perm)
        link = TAILQ_NEXT(link, other);
    return link;
}

void node_links_keep_locked(struct node_table *t, struct node *node, enum perm perm)
{
    struct link *next;

    for (struct link *link = node_first_link(node); link; link = next) {
        next = TAILQ_NEXT(link, other);
        if (perm_of(t, link) != perm)
            node_put_locked(t, node_link_remove_locked(t, link));
    }
}

/* ---- all of a node's names ---- */

int node_names(struct node_table *t, struct node *node, struct node_names *ret)
{
    const struct link *link;
    size_t size;
    char *at;

    pthread_mutex_lock(&t->lock);
    size = node->name_len + 1;
    for (link = node_first_link(node); link; link = TAILQ_NEXT(link, other))
        size += link->len + 1;
    ret->n = 0;
    ret->v = malloc((1 + node_n_links(node)) * sizeof(*ret->v) + size);
    if (ret->v) {
        at = (char *)(ret->v + 1 + node_n_links(node));
        ret->v[ret->n++] = (struct node_name){ node->parent, at, node->name_len };
        at = (char *)memcpy(at, node->name, node->name_len + 1) + node->name_len + 1;
        for (link = node_first_link(node); link; link = TAILQ_NEXT(link, other)) {
            ret->v[ret->n++] = (struct node_name){ link->dir, at, link->len };
            at = (char *)memcpy(at, link->name, link->len + 1) + link->len + 1;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return ret->v ? 0 : -ENOMEM;
}
