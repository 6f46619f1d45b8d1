/*
 * The states of paths. A child's state follows from its parent's by what its name hits; states are interned, and
 * which hits led from where to where is remembered, so that a step is a few hash look-ups whatever the rules. What is
 * remembered grows with the sets of rules that names hit, not with the names.
 */
#include "rules_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDS_ON_STACK 64

static uint32_t rank_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- making states --------------------------------------------------------------------------------------------- */

/* The best that anything below may have: of what covers it, what waits, and what of the core is not covered. */
static enum perm best_below(const struct rules *rules, const struct rule_state *state)
{
    uint32_t covered = rank_max(state->below, state->files_below);
    enum perm best[] = {
        rules->rule[state->below].perm,
        rules->rule[state->files_below].perm,
        state->set->best,
        (enum perm)rules->core_best[0][state->below],
        (enum perm)rules->core_best[1][covered],
    };
    enum perm ret = PERM_NONE;

    for (size_t i = 0; i < sizeof(best) / sizeof(best[0]); i++) {
        if (best[i] > ret)
            ret = best[i];
    }
    return ret;
}

/* Hits of `*`, which every name is. */
static void any_raise(struct hits *hits, const struct pos_set *set)
{
    if (set->any)
        hits_raise(hits, &set->groups[set->any - 1].hits);
}

static void always_init(const struct rules *rules, struct rule_state *state)
{
    struct hits *always = &state->always;

    always->dir = always->below = state->below;
    always->file = rank_max(state->below, state->files_below);
    always->files_below = state->files_below;
    any_raise(always, state->set);
    if (state->core)
        any_raise(always, rules->core);
}

static void own_init(const struct rules *rules, struct rule_state *state, uint32_t rank)
{
    state->own = rank;
    state->rule = rules->rule[rank].source;
    state->own_perm = state->perm = rules->rule[rank].perm;
}

/* What a directory's state is made of. */
struct state_key {
    const struct pos_set *set;
    uint32_t own, below, files_below;
};

static bool state_equal(const void *entry, const void *key)
{
    const struct rule_state *state = entry;
    const struct state_key *k = key;

    return state->set == k->set && state->own == k->own && state->below == k->below &&
           state->files_below == k->files_below;
}

static uint64_t state_hash(const struct state_key *key)
{
    uint64_t words[] = { key->set->entry.hash, key->own, (uint64_t)key->below << 32 | key->files_below };

    return rules_hash(1, words, sizeof(words));
}

/* Needs the lock. Returns NULL if memory runs out. */
static struct rule_state *state_new(struct rules *rules, const struct state_key *key)
{
    struct rule_state *state = rules_arena_alloc(&rules->arena, 1, sizeof(*state));

    if (!state)
        return NULL;
    state->entry.hash = state_hash(key);
    state->set = key->set;
    state->below = key->below;
    state->files_below = key->files_below;
    state->core = rules->core_top > key->below;
    own_init(rules, state, key->own);
    state->best_below = best_below(rules, state);
    if (state->perm < PERM_VIEW && state->best_below >= PERM_VIEW)
        state->perm = PERM_VIEW;
    always_init(rules, state);
    return state;
}

/* The directory state of this key, interned. Needs the lock. Returns NULL if memory runs out. */
static const struct rule_state *state_get(struct rules *rules, const struct state_key *key)
{
    struct rule_state *state = rules_table_find(&rules->states, state_hash(key), state_equal, key);

    if (state)
        return state;
    state = state_new(rules, key);
    if (!state || rules_table_add(&rules->states, &rules->arena, &state->entry) < 0)
        return NULL;
    return state;
}

/* ---- the child's positions ------------------------------------------------------------------------------------- */

struct pos_buf {
    uint32_t *pos;
    uint32_t n;
};

static void group_advance(struct pos_buf *out, const struct pos_set *set, uint32_t id)
{
    const struct group *group = &set->groups[id];

    if (group->n)
        memcpy(out->pos + out->n, set->advance + group->first, group->n * sizeof(*out->pos));
    out->n += group->n;
}

/* All positions that wait in the child beside the core's, unsorted, some perhaps twice or of no use. */
static void child_collect(const struct rules *rules, const struct rule_state *parent, const struct match *m,
                          struct pos_buf *out)
{
    const struct pos_set *set = parent->set, *core = rules->core;

    for (uint32_t i = 0; i < set->n; i++) {
        if (rules->pos[set->pos[i]].skips)
            out->pos[out->n++] = set->pos[i];
    }
    if (set->any)
        group_advance(out, set, set->any - 1);
    if (parent->core && core->any)
        group_advance(out, core, core->any - 1);
    for (uint32_t i = 0; i < m->n; i++)
        group_advance(out, m->ids[i] & MATCH_CORE ? core : set, m->ids[i] & ~MATCH_CORE);
}

static int pos_compare(const void *va, const void *vb)
{
    uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

    return a < b ? -1 : a > b;
}

/*
 * Sorts, and drops what cannot matter: repetitions, ranks that a cover beats on all that is below, and positions
 * before one of the same rule that waits at any depth (whatever they lead to passes it).
 */
static void positions_reduce(const struct rules *rules, const struct state_key *key, struct pos_buf *buf)
{
    uint32_t kept = buf->n, skipping = 0, last = UINT32_MAX;

    qsort(buf->pos, buf->n, sizeof(*buf->pos), pos_compare);
    for (uint32_t i = buf->n; i-- > 0;) { /* from the end: kept ones are moved up */
        const struct position *pos = &rules->pos[buf->pos[i]];
        bool file = rules->rule[pos->rank].type == RULE_FILE;

        if (buf->pos[i] == last || pos->rank == skipping || pos->rank <= key->below ||
            (file && pos->rank <= key->files_below))
            continue;
        last = buf->pos[--kept] = buf->pos[i];
        if (pos->skips)
            skipping = pos->rank;
    }
    buf->pos += kept;
    buf->n -= kept;
}

/* The key of the state that hits and waiting positions make; the latter are reordered. set is NULL without memory. */
static struct state_key key_make(struct rules *rules, const struct hits *hits, struct pos_buf waiting)
{
    struct state_key key = { NULL, hits->dir, hits->below, hits->files_below };

    if (key.files_below < key.below)
        key.files_below = 0;
    positions_reduce(rules, &key, &waiting);
    key.set = pos_set_get(rules, waiting.pos, waiting.n);
    return key;
}

/* Makes the state that a match in parent leads to. Needs the lock. Returns NULL if memory runs out. */
static const struct rule_state *child_make(struct rules *rules, const struct rule_state *parent, const struct match *m)
{
    struct pos_buf waiting = { rules->scratch, 0 };
    struct state_key key;

    child_collect(rules, parent, m, &waiting);
    key = key_make(rules, &m->hits, waiting);
    return key.set ? state_get(rules, &key) : NULL;
}

/* ---- remembering ----------------------------------------------------------------------------------------------- */

struct transition {
    struct table_entry entry;
    const struct rule_state *parent, *child;
    struct hits hits; /* file is 0: of no interest here */
    uint32_t n;
    uint32_t ids[];
};

struct transition_key {
    const struct rule_state *parent;
    const struct match *match;
};

static bool transition_equal(const void *entry, const void *key)
{
    const struct transition *t = entry;
    const struct transition_key *k = key;
    const struct match *m = k->match;

    return t->parent == k->parent && t->n == m->n && !memcmp(&t->hits, &m->hits, sizeof(t->hits)) &&
           (!m->n || !memcmp(t->ids, m->ids, m->n * sizeof(*m->ids)));
}

static uint64_t transition_hash(const struct transition_key *key)
{
    const struct hits *hits = &key->match->hits;
    uint64_t words[] = { key->parent->entry.hash, (uint64_t)hits->dir << 32 | hits->below, hits->files_below };

    return rules_hash(rules_hash(2, words, sizeof(words)), key->match->ids, key->match->n * sizeof(uint32_t));
}

/* Not remembering costs time and nothing else, so that failing is no error. Needs the lock. */
static void transition_add(struct rules *rules, uint64_t hash, const struct transition_key *key,
                           const struct rule_state *child)
{
    const struct match *m = key->match;
    struct transition *t;

    if (rules->arena.used >= rules->memo_limit)
        return;
    t = rules_arena_alloc(&rules->arena, 1, sizeof(*t) + m->n * sizeof(*t->ids));
    if (!t)
        return;
    *t = (struct transition){ { hash }, key->parent, child, m->hits, m->n };
    if (m->n)
        memcpy(t->ids, m->ids, m->n * sizeof(*t->ids));
    rules_table_add(&rules->memo, &rules->arena, &t->entry);
}

static const struct rule_state *child_find(struct rules *rules, const struct rule_state *parent, const struct match *m)
{
    const struct transition_key key = { parent, m };
    uint64_t hash = transition_hash(&key);
    const struct transition *t = rules_table_find(&rules->memo, hash, transition_equal, &key);
    const struct rule_state *child;

    if (t)
        return t->child;
    pthread_mutex_lock(&rules->lock);
    t = rules_table_find(&rules->memo, hash, transition_equal, &key);
    child = t ? t->child : child_make(rules, parent, m);
    if (!t && child)
        transition_add(rules, hash, &key, child);
    pthread_mutex_unlock(&rules->lock);
    return child;
}

/* The child of a name that hits nothing of its own, which most do; kept where no look-up is needed. */
static const struct rule_state *child_plain(struct rules *rules, const struct rule_state *parent, const struct match *m)
{
    const struct rule_state *child = atomic_load_explicit(&parent->plain, memory_order_acquire);

    if (child)
        return child;
    child = child_find(rules, parent, m);
    if (child) /* states are const to callers only */
        atomic_store_explicit(&((struct rule_state *)parent)->plain, child, memory_order_release);
    return child;
}

/* ---- the interface --------------------------------------------------------------------------------------------- */

int states_init(struct rules *rules, const struct hits *hits, uint32_t *waiting, uint32_t n)
{
    struct state_key key = key_make(rules, hits, (struct pos_buf){ waiting, n });
    struct rule_state *root;

    rules->files = rules_arena_alloc(&rules->arena, (size_t)rules->n + 1, sizeof(*rules->files));
    if (!key.set || !rules->files)
        return -ENOMEM;
    for (uint32_t rank = 0; rank <= rules->n; rank++)
        own_init(rules, &rules->files[rank], rank);
    root = state_new(rules, &key); /* not interned: the workspace itself is there whatever the rules say */
    if (!root)
        return -ENOMEM;
    if (root->perm < PERM_VIEW)
        root->perm = PERM_VIEW;
    rules->root = root;
    return 0;
}

const struct rule_state *rules_root(struct rules *rules)
{
    return rules->root;
}

static void name_match(const struct rules *rules, const struct rule_state *parent, const char *name, size_t len,
                       struct match *m)
{
    m->hits = parent->always;
    m->n = 0;
    if (parent->core)
        pos_set_match(rules->core, name, len, parent->below, MATCH_CORE, m);
    if (parent->set->n)
        pos_set_match(parent->set, name, len, 0, 0, m);
}

static const struct rule_state *child_dir(struct rules *rules, const struct rule_state *parent, struct match *m)
{
    const struct hits *always = &parent->always;

    m->hits.file = 0;
    if (!m->n && m->hits.dir == always->dir && m->hits.below == always->below &&
        m->hits.files_below == always->files_below)
        return child_plain(rules, parent, m);
    return child_find(rules, parent, m);
}

const struct rule_state *rules_child(struct rules *rules, const struct rule_state *parent, const char *name, size_t len,
                                     bool is_dir)
{
    uint32_t ids[IDS_ON_STACK], *more;
    struct match m = { .ids = ids, .cap = IDS_ON_STACK };
    const struct rule_state *child;

    if (!parent->set)
        return NULL;
    name_match(rules, parent, name, len, &m);
    if (!is_dir)
        return &rules->files[m.hits.file];
    if (m.n <= m.cap)
        return child_dir(rules, parent, &m);
    more = malloc(m.n * sizeof(*more));
    if (!more)
        return NULL;
    m.ids = more;
    m.cap = m.n;
    name_match(rules, parent, name, len, &m);
    child = child_dir(rules, parent, &m);
    free(more);
    return child;
}

enum perm rule_state_perm(const struct rule_state *state)
{
    return state->perm;
}

enum perm rule_state_own_perm(const struct rule_state *state)
{
    return state->own_perm;
}

size_t rule_state_rule(const struct rule_state *state)
{
    return state->rule;
}

bool rule_state_may_below(const struct rule_state *state, enum perm at_least)
{
    return state->set && state->best_below >= at_least;
}
