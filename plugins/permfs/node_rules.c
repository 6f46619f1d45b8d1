/* What the rules say of nodes and names (contract W1-W7), and whom the audit is told of. */
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct rule_state *node_state_locked(struct node_table *t, struct node *node)
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

enum perm node_own_perm_locked(struct node_table *t, struct node *node)
{
    const struct rule_state *state = node_state_locked(t, node);

    return state ? rule_state_perm(state) : PERM_NONE;
}

enum perm node_perm(struct node_table *t, struct node *node)
{
    enum perm perm;

    pthread_mutex_lock(&t->lock);
    perm = node_own_perm_locked(t, node);
    if (node->links)
        perm = node_links_perm_locked(t, node, perm);
    pthread_mutex_unlock(&t->lock);
    return perm;
}

bool node_names_differ(struct node_table *t, struct node *node)
{
    bool differ;

    pthread_mutex_lock(&t->lock);
    differ = node_links_differ_locked(t, node, node_own_perm_locked(t, node));
    pthread_mutex_unlock(&t->lock);
    return differ;
}

/* Leaves those that allow what all did, or what its own name does if none does that any more. */
static void part(struct node_table *t, struct node *node)
{
    const enum perm own = node_own_perm_locked(t, node);
    enum perm kept;

    if (!node_links_differ_locked(t, node, own))
        return;
    kept = node_links_allowed_locked(node);
    if (own != kept && !node_links_allow_locked(t, node, kept))
        kept = own;
    node_links_keep_locked(t, node, kept);
    if (own != kept)
        node_lose_name_locked(t, node);
}

/* Those with several names; referenced. */
static int collect_linked(struct node_table *t, struct nodes *ret)
{
    struct node *node;

    ret->n = 0;
    ret->v = malloc((t->n_links + 1) * sizeof(*ret->v));
    if (!ret->v)
        return -ENOMEM;
    for (node = t->n_links ? LIST_FIRST(&t->all) : NULL; node; node = LIST_NEXT(node, all))
        if (node_n_links(node)) {
            node->refs++;
            ret->v[ret->n++] = node;
        }
    return 0;
}

void nodes_part(struct node_table *t)
{
    struct nodes linked;

    pthread_mutex_lock(&t->lock);
    if (!collect_linked(t, &linked)) {
        for (size_t i = 0; i < linked.n; i++) {
            part(t, linked.v[i]);
            node_put_locked(t, linked.v[i]);
        }
        free(linked.v);
    }
    pthread_mutex_unlock(&t->lock);
}

bool nodes_differ(struct node_table *t)
{
    bool differ = false;

    pthread_mutex_lock(&t->lock);
    for (struct node *node = t->n_links ? LIST_FIRST(&t->all) : NULL; node && !differ; node = LIST_NEXT(node, all))
        differ = node_n_links(node) && node_links_differ_locked(t, node, node_own_perm_locked(t, node));
    pthread_mutex_unlock(&t->lock);
    return differ;
}

enum perm node_child_perm_locked(struct node_table *t, struct node *dir, const char *name, size_t len, bool is_dir)
{
    const struct rule_state *state = node_state_locked(t, dir);

    state = state ? rules_child(t->rules, state, name, len, is_dir) : NULL;
    return state ? rule_state_perm(state) : PERM_NONE;
}

enum perm node_child_perm(struct node_table *t, struct node *dir, const char *name, bool is_dir)
{
    enum perm perm;

    pthread_mutex_lock(&t->lock);
    perm = node_child_perm_locked(t, dir, name, strlen(name), is_dir);
    pthread_mutex_unlock(&t->lock);
    return perm;
}

struct rules *node_rules(struct node_table *t, struct node *dir, const struct rule_state **ret_state)
{
    const struct rule_state *state;
    struct rules *rules = NULL;

    pthread_mutex_lock(&t->lock);
    state = node_state_locked(t, dir);
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
    state = node_state_locked(t, node);
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
