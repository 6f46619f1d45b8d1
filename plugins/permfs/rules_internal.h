/*
 * Inside the rule engine. Rules are numbered by rank: 1 for the rule that loses against all others, n for the one that
 * wins against all others (contract W3), 0 for "no rule"; so the rule that decides is a plain maximum.
 *
 * A pattern is a row of components without its `**`s: a component that follows `**` has `skips` set, and a pattern
 * that ends in `**` is a rule with `tail` set. A position is a component that waits to be matched. What the rules say
 * of a directory is a state: the positions that wait in it, and the best rank that covers all below it for good.
 *
 * Positions that start with `**` wait in every directory. They are in one set, the core, shared by all states, so
 * that a state holds only what came since; the ones of lower rank than the cover are passed over in matching.
 */
#ifndef STOCKADE_PERMFS_RULES_INTERNAL_H
#define STOCKADE_PERMFS_RULES_INTERNAL_H

#include "rules.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- memory ---------------------------------------------------------------------------------------------------- */

struct rules_chunk;

/* Everything of a snapshot; grows until the snapshot goes. Not thread-safe: under rules.lock after compiling. */
struct rules_arena {
    struct rules_chunk *chunks;
    char *at, *end;
    size_t used, limit; /* bytes */
};

/* Zeroed, aligned for anything. Returns NULL if memory runs out or the limit is reached. */
void *rules_arena_alloc(struct rules_arena *arena, size_t n, size_t size);
void *rules_arena_copy(struct rules_arena *arena, const void *data, size_t len);
void rules_arena_release(struct rules_arena *arena);

/* A hash set that only grows. Reading takes no lock; adding needs one. What is in it starts with a table_entry. */
struct table_entry {
    uint64_t hash;
};
struct table_slots;
struct rules_table {
    _Atomic(struct table_slots *) slots;
    size_t n;
};
typedef bool table_equal_fn(const void *entry, const void *key);

void *rules_table_find(const struct rules_table *table, uint64_t hash, table_equal_fn *equal, const void *key);
int rules_table_add(struct rules_table *table, struct rules_arena *arena, struct table_entry *entry); /* 0 or -ENOMEM */
uint64_t rules_hash(uint64_t seed, const void *data, size_t len);

/* ---- patterns -------------------------------------------------------------------------------------------------- */

enum atom_kind { ATOM_BYTE, ATOM_ONE, ATOM_STAR, ATOM_SET };

/* The smallest part of a component: a literal byte, `?`, `*` or `[...]`. */
struct atom {
    enum atom_kind kind;
    unsigned char byte;
    bool negated;
    const char *set, *set_end; /* what is between the brackets, without the negation */
};

/* Reads the atom at `at`, before `end`. Returns where the next one starts, or NULL with *why if it is malformed. */
const char *atom_parse(const char *at, const char *end, struct atom *ret, const char **why);

/* Whether the component pattern matches all of name. Takes at most (bytes of pattern) * (bytes of name) steps. */
bool component_match(const char *pattern, size_t pattern_len, const char *name, size_t len);

/* Steps through the components of a pattern that was checked. *at starts at pattern_start(pattern). */
const char *pattern_start(const char *pattern);
bool pattern_next(const char **at, const char **ret_component, size_t *ret_len);
bool component_is_any_depth(const char *component, size_t len); /* it is `**` */

/* What W3 compares. */
struct pattern_weight {
    bool wildcard;
    uint32_t prefix;   /* bytes before the first wildcard, slashes included but for the leading one */
    uint32_t literals; /* literal bytes in all, slashes left out */
    uint32_t depths;   /* number of `**` */
};
struct pattern_weight pattern_weigh(const char *pattern);

/* How a component is looked up by a name. */
enum anchor {
    ANCHOR_WHOLE,  /* a literal: the name itself */
    ANCHOR_PREFIX, /* a literal prefix */
    ANCHOR_SUFFIX, /* a literal suffix */
    ANCHOR_NONE,   /* has to be tried */
    ANCHOR_ANY     /* `*` */
};

/* A component pattern; equal ones in many rules are one. */
struct component {
    struct table_entry entry;
    uint32_t id;
    enum anchor anchor;
    bool exact;       /* the anchor alone decides */
    size_t least;     /* bytes of the shortest name that it matches */
    const char *text; /* as in the pattern; "*" for any number of stars */
    size_t len;
    const char *key; /* the anchor's bytes */
    size_t key_len;
    uint64_t key_hash;       /* by anchor_hash_step() and anchor_hash_end() */
    const struct edge *edge; /* NULL: it says nothing, or the anchor alone decides */
};

/* The bytes that a name which matches may end with; where the component ends in a wildcard, may begin with. */
struct edge {
    bool is_first;
    uint64_t bytes[256 / 64];
};
static inline bool edge_admits(const struct edge *edge, const char *name, size_t len)
{
    const unsigned char byte = (unsigned char)name[edge->is_first ? 0 : len - 1];

    return edge->bytes[byte / 64] >> byte % 64 & 1;
}

/* Fills in a component from the text of a well-formed one; its bytes are copied to the arena. 0 or -ENOMEM. */
int component_init(struct component *c, struct rules_arena *arena, const char *text, size_t len);

/*
 * The hash of anchors, a byte at a time, so that one pass over a name gives those of all its prefixes; suffixes are
 * hashed from their last byte. Starts at 0 and is finished with the kind.
 */
static inline uint64_t anchor_hash_step(uint64_t h, unsigned char byte)
{
    return (h ^ byte) * UINT64_C(0x100000001b3);
}
static inline uint64_t anchor_hash_end(uint64_t h, enum anchor kind)
{
    h = (h ^ h >> 32 ^ (uint64_t)kind << 60) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

/* ---- rules and positions --------------------------------------------------------------------------------------- */

struct rule {
    size_t source;     /* index in what was compiled */
    uint32_t first, n; /* positions */
    enum rule_type type;
    enum perm perm;
    bool tail;
};

struct position {
    uint32_t rank;
    bool skips;
    const struct component *component;
};

/* Best ranks found: at the entry if it is a directory, if it is none, on all below it, on all non-directories below. */
struct hits {
    uint32_t dir, file, below, files_below;
};

static inline void rank_raise(uint32_t *rank, uint32_t other)
{
    if (other > *rank)
        *rank = other;
}
static inline void hits_raise(struct hits *hits, const struct hits *other)
{
    rank_raise(&hits->dir, other->dir);
    rank_raise(&hits->file, other->file);
    rank_raise(&hits->below, other->below);
    rank_raise(&hits->files_below, other->files_below);
}

/* The positions of a set that wait for the same component. */
struct group {
    const struct component *component;
    uint32_t next;     /* group with the same anchor, + 1 */
    uint32_t top;      /* highest rank in it */
    uint32_t first, n; /* in pos_set.advance: positions that come to wait when it matches */
    struct hits hits;  /* what a match gives at once */
};

struct anchor_slot {
    uint32_t tag, group; /* group + 1; 0 = free */
};

/* Positions, indexed by what they wait for. Immutable. */
struct pos_set {
    struct table_entry entry;
    const uint32_t *pos; /* sorted, so by rank too */
    uint32_t n;
    enum perm best; /* highest permission of their rules */
    struct group *groups;
    uint32_t n_groups;
    uint32_t *advance;
    uint32_t any, unanchored; /* groups + 1: of `*`; the first of those that have to be tried */
    bool whole;               /* there are literals */
    struct anchor_slot *slots;
    size_t mask;
    const uint32_t *prefixes, *suffixes; /* lengths of the anchors, ascending */
    uint32_t n_prefixes, n_suffixes;
};

/* What a name hits in a directory. */
struct match {
    struct hits hits;
    uint32_t *ids; /* groups that advance; the first `cap` are kept */
    uint32_t n, cap;
};
#define MATCH_CORE UINT32_C(0x80000000) /* in ids: a group of the core */

/*
 * The set of these sorted positions, interned. Needs rules->lock or a snapshot that nobody else knows.
 * Returns NULL if memory runs out.
 */
const struct pos_set *pos_set_get(struct rules *rules, const uint32_t *pos, uint32_t n);

/* Adds to *m what name hits. Groups with no rank above `floor` are passed over. flag is set in the ids. */
void pos_set_match(const struct pos_set *set, const char *name, size_t len, uint32_t floor, uint32_t flag,
                   struct match *m);

/* ---- states ---------------------------------------------------------------------------------------------------- */

struct rule_state {
    struct table_entry entry;
    const struct pos_set *set;   /* NULL for a non-directory */
    uint32_t own;                /* rank that decides here */
    uint32_t below, files_below; /* ranks that cover what is below for good */
    bool core;                   /* the core can still win below */
    enum perm own_perm, perm, best_below;
    size_t rule;
    struct hits always;                       /* what every name in it hits: the covers, and `*` */
    _Atomic(const struct rule_state *) plain; /* child directory of a name that hits no more than that */
};

struct rules {
    _Atomic unsigned refs;
    uint32_t n;            /* rules */
    struct rule *rule;     /* by rank; rule[0] is "no rule" */
    const char **patterns; /* by index, as they were given */
    struct position *pos;
    uint32_t n_pos, n_components;
    const struct pos_set *core;
    uint32_t core_top;        /* highest rank in the core */
    uint8_t *core_best[2];    /* by rank: best permission in the core above it; [1] of file rules, [0] of others */
    struct rule_state *files; /* by rank: the states of non-directories */
    const struct rule_state *root;
    struct rules_table components;
    struct rules_table memo; /* transitions; read without the lock */
    size_t memo_limit;       /* arena.used from which none is added */
    pthread_mutex_t lock;    /* guards all below; no other lock is taken under it */
    struct rules_table sets, states;
    struct rules_arena arena;
    uint32_t *scratch;  /* n + 2 * n_pos, what can come to wait in a child */
    uint32_t *group_of; /* by component: group + 1 while a set is made, else 0 */
};

/* Bytes that a snapshot may grow by in use, for states and transitions; beyond it rules_child() answers NULL. */
#define RULES_GROWTH_MAX ((size_t)256 << 20)

/*
 * What it means that the first `done` components of a rule are matched: raises hits if that decides something.
 * Returns whether the position after them has to wait for more.
 */
bool rule_advance(const struct rules *rules, uint32_t rank, uint32_t done, struct hits *hits);

/* Sets up files and root. waiting: n positions that wait at the root beside the core's; reordered. 0 or -ENOMEM. */
int states_init(struct rules *rules, const struct hits *hits, uint32_t *waiting, uint32_t n);

#endif
