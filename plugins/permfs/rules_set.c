/*
 * Sets of positions, indexed by the components that they wait for, so that a name finds what it hits without asking
 * each: literals, prefixes and suffixes by hash, and only the rest one by one.
 */
#include "rules_internal.h"

#include <string.h>

/* ---- making ---------------------------------------------------------------------------------------------------- */

/* Numbers the components that occur in the set. */
static void groups_number(struct rules *rules, struct pos_set *set)
{
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t *group = &rules->group_of[rules->pos[set->pos[i]].component->id];

        if (!*group)
            *group = ++set->n_groups;
    }
}

static void numbers_clear(struct rules *rules, const struct pos_set *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        rules->group_of[rules->pos[set->pos[i]].component->id] = 0;
}

static void group_add(const struct rules *rules, struct pos_set *set, struct group *group, uint32_t id)
{
    const struct position *pos = &rules->pos[id];
    const struct rule *rule = &rules->rule[pos->rank];

    rank_raise(&group->top, pos->rank);
    if (rule->perm > set->best)
        set->best = rule->perm;
    if (rule_advance(rules, pos->rank, id + 1 - rule->first, &group->hits))
        set->advance[group->first + group->n++] = id + 1;
}

/* Sorts the positions by group, keeping of each group what a match gives at once and what has to wait on. */
static void groups_fill(const struct rules *rules, struct pos_set *set)
{
    uint32_t first = 0;

    for (uint32_t i = 0; i < set->n; i++) {
        const struct component *c = rules->pos[set->pos[i]].component;
        struct group *group = &set->groups[rules->group_of[c->id] - 1];

        group->component = c;
        group->n++;
    }
    for (uint32_t i = 0; i < set->n_groups; i++) {
        set->groups[i].first = first;
        first += set->groups[i].n;
        set->groups[i].n = 0;
    }
    for (uint32_t i = 0; i < set->n; i++)
        group_add(rules, set, &set->groups[rules->group_of[rules->pos[set->pos[i]].component->id] - 1], set->pos[i]);
}

static bool groups_make(struct rules *rules, struct pos_set *set)
{
    groups_number(rules, set);
    set->advance = rules_arena_alloc(&rules->arena, set->n, sizeof(*set->advance));
    set->groups = rules_arena_alloc(&rules->arena, set->n_groups, sizeof(*set->groups));
    if (set->advance && set->groups)
        groups_fill(rules, set);
    numbers_clear(rules, set);
    return set->advance && set->groups;
}

static bool same_key(const struct component *a, const struct component *b)
{
    return a->anchor == b->anchor && a->key_len == b->key_len && !memcmp(a->key, b->key, a->key_len);
}

static void anchor_put(struct pos_set *set, uint32_t id)
{
    struct group *group = &set->groups[id];
    const struct component *c = group->component;
    uint32_t tag = (uint32_t)(c->key_hash >> 32);
    size_t i = c->key_hash & set->mask;

    while (set->slots[i].group &&
           !(set->slots[i].tag == tag && same_key(set->groups[set->slots[i].group - 1].component, c)))
        i = (i + 1) & set->mask;
    group->next = set->slots[i].group;
    set->slots[i] = (struct anchor_slot){ tag, id + 1 };
}

/* Inserts len in an ascending array of distinct lengths. */
static void length_add(uint32_t *lengths, uint32_t *n, uint32_t len)
{
    uint32_t at = *n;

    while (at > 0 && lengths[at - 1] >= len)
        at--;
    if (at < *n && lengths[at] == len)
        return;
    memmove(&lengths[at + 1], &lengths[at], (*n - at) * sizeof(*lengths));
    lengths[at] = len;
    ++*n;
}

/* How many distinct lengths there can be at most: n groups, or all that a pattern has room for. */
static uint32_t lengths_most(uint32_t n)
{
    return n < RULE_PATTERN_MAX ? n : RULE_PATTERN_MAX;
}

static bool index_alloc(struct rules *rules, struct pos_set *set)
{
    size_t n_slots = 4;

    while (n_slots < (size_t)set->n_groups * 2)
        n_slots *= 2;
    set->mask = n_slots - 1;
    set->slots = rules_arena_alloc(&rules->arena, n_slots, sizeof(*set->slots));
    return set->slots;
}

static bool index_make(struct rules *rules, struct pos_set *set)
{
    uint32_t most = lengths_most(set->n_groups);
    uint32_t *prefixes = rules_arena_alloc(&rules->arena, most, sizeof(*prefixes));
    uint32_t *suffixes = rules_arena_alloc(&rules->arena, most, sizeof(*suffixes));

    if (!prefixes || !suffixes || !index_alloc(rules, set))
        return false;
    for (uint32_t i = 0; i < set->n_groups; i++) {
        struct group *group = &set->groups[i];
        const struct component *c = group->component;

        if (c->anchor == ANCHOR_ANY) {
            set->any = i + 1;
        } else if (c->anchor == ANCHOR_NONE) {
            group->next = set->unanchored;
            set->unanchored = i + 1;
        } else {
            anchor_put(set, i);
        }
        set->whole |= c->anchor == ANCHOR_WHOLE;
        if (c->anchor == ANCHOR_PREFIX)
            length_add(prefixes, &set->n_prefixes, (uint32_t)c->key_len);
        if (c->anchor == ANCHOR_SUFFIX)
            length_add(suffixes, &set->n_suffixes, (uint32_t)c->key_len);
    }
    set->prefixes = prefixes;
    set->suffixes = suffixes;
    return true;
}

static struct pos_set *pos_set_make(struct rules *rules, const uint32_t *pos, uint32_t n)
{
    struct pos_set *set = rules_arena_alloc(&rules->arena, 1, sizeof(*set));
    uint32_t *copy = rules_arena_alloc(&rules->arena, n, sizeof(*copy));

    if (!set || !copy)
        return NULL;
    if (n)
        memcpy(copy, pos, n * sizeof(*copy));
    set->pos = copy;
    set->n = n;
    return groups_make(rules, set) && index_make(rules, set) ? set : NULL;
}

struct pos_list {
    const uint32_t *pos;
    uint32_t n;
};

static bool set_equal(const void *entry, const void *key)
{
    const struct pos_set *set = entry;
    const struct pos_list *list = key;

    return set->n == list->n && (!list->n || !memcmp(set->pos, list->pos, list->n * sizeof(*list->pos)));
}

const struct pos_set *pos_set_get(struct rules *rules, const uint32_t *pos, uint32_t n)
{
    uint64_t hash = rules_hash(0, pos, n * sizeof(*pos));
    struct pos_set *set = rules_table_find(&rules->sets, hash, set_equal, &(struct pos_list){ pos, n });

    if (set)
        return set;
    set = pos_set_make(rules, pos, n);
    if (!set)
        return NULL;
    set->entry.hash = hash;
    return rules_table_add(&rules->sets, &rules->arena, &set->entry) < 0 ? NULL : set;
}

/* ---- matching -------------------------------------------------------------------------------------------------- */

/* A name looked up in a set. */
struct lookup {
    const struct pos_set *set;
    const char *name;
    size_t len;
    uint32_t floor, flag;
    struct match *match;
};

/* Tries the groups of a chain, which share an anchor that was found already. */
static void chain_match(const struct lookup *l, uint32_t id)
{
    struct match *m = l->match;

    for (; id; id = l->set->groups[id - 1].next) {
        const struct group *group = &l->set->groups[id - 1];
        const struct component *c = group->component;

        if (group->top <= l->floor || c->least > l->len)
            continue;
        if (c->edge && !edge_admits(c->edge, l->name, l->len))
            continue;
        if (!c->exact && !component_match(c->text, c->len, l->name, l->len))
            continue;
        hits_raise(&m->hits, &group->hits);
        if (!group->n)
            continue;
        if (m->n < m->cap)
            m->ids[m->n] = (id - 1) | l->flag;
        m->n++;
    }
}

static void anchor_find(const struct lookup *l, enum anchor kind, uint64_t h, const char *key, size_t len)
{
    const struct pos_set *set = l->set;
    uint32_t tag;

    h = anchor_hash_end(h, kind);
    tag = (uint32_t)(h >> 32);
    for (size_t i = h & set->mask; set->slots[i].group; i = (i + 1) & set->mask) {
        const struct component *c = set->groups[set->slots[i].group - 1].component;

        if (set->slots[i].tag != tag || c->anchor != kind || c->key_len != len || memcmp(c->key, key, len) != 0)
            continue;
        chain_match(l, set->slots[i].group);
        return;
    }
}

static void forward_match(const struct lookup *l)
{
    const struct pos_set *set = l->set;
    uint64_t h = 0;
    size_t at = 0;

    for (uint32_t i = 0; i < set->n_prefixes && set->prefixes[i] <= l->len; i++) {
        while (at < set->prefixes[i])
            h = anchor_hash_step(h, (unsigned char)l->name[at++]);
        anchor_find(l, ANCHOR_PREFIX, h, l->name, at);
    }
    if (!set->whole)
        return;
    while (at < l->len)
        h = anchor_hash_step(h, (unsigned char)l->name[at++]);
    anchor_find(l, ANCHOR_WHOLE, h, l->name, at);
}

static void backward_match(const struct lookup *l)
{
    const struct pos_set *set = l->set;
    uint64_t h = 0;
    size_t n = 0;

    for (uint32_t i = 0; i < set->n_suffixes && set->suffixes[i] <= l->len; i++) {
        while (n < set->suffixes[i])
            h = anchor_hash_step(h, (unsigned char)l->name[l->len - ++n]);
        anchor_find(l, ANCHOR_SUFFIX, h, l->name + l->len - n, n);
    }
}

void pos_set_match(const struct pos_set *set, const char *name, size_t len, uint32_t floor, uint32_t flag,
                   struct match *m)
{
    const struct lookup l = { set, name, len, floor, flag, m };

    forward_match(&l);
    backward_match(&l);
    chain_match(&l, set->unanchored);
}
