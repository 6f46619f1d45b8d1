/* From rules to positions: ranking by W3, laying out, and the life of a snapshot. */
#include "rules_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranking --------------------------------------------------------------------------------------------------- */

struct ranked {
    const struct rule_source *source;
    struct pattern_weight weight;
};

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

/* Contract W3, the loser first. Sources are one array, so that the later one has the higher address. */
static int ranked_compare(const void *va, const void *vb)
{
    const struct ranked *a = va, *b = vb;
    int by[] = {
        COMPARE(a->source->priority, b->source->priority), COMPARE(a->source->type, b->source->type),
        COMPARE(b->weight.wildcard, a->weight.wildcard),   COMPARE(a->weight.prefix, b->weight.prefix),
        COMPARE(a->weight.literals, b->weight.literals),   COMPARE(b->weight.depths, a->weight.depths),
    };

    for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
        if (by[i])
            return by[i];
    }
    return COMPARE(a->source, b->source);
}

/* ---- laying out ------------------------------------------------------------------------------------------------ */

struct text {
    const char *at;
    size_t len;
};

static bool component_equal(const void *entry, const void *key)
{
    const struct component *c = entry;
    const struct text *text = key;

    return c->len == text->len && !memcmp(c->text, text->at, text->len);
}

/* The component of this text, a new one if it is the first. Returns NULL if memory runs out. */
static const struct component *component_get(struct rules *rules, struct text text)
{
    struct component *c;
    uint64_t hash;

    while (text.len > 1 && text.at[0] == '*' && text.at[1] == '*') {
        text.at++;
        text.len--;
    }
    hash = rules_hash(0, text.at, text.len);
    c = rules_table_find(&rules->components, hash, component_equal, &text);
    if (c)
        return c;
    c = rules_arena_alloc(&rules->arena, 1, sizeof(*c));
    if (!c || component_init(c, &rules->arena, text.at, text.len) < 0)
        return NULL;
    c->entry.hash = hash;
    c->id = rules->n_components++;
    return rules_table_add(&rules->components, &rules->arena, &c->entry) < 0 ? NULL : c;
}

static int rule_lay_out(struct rules *rules, uint32_t rank, const char *pattern)
{
    struct rule *rule = &rules->rule[rank];
    const char *at = pattern_start(pattern);
    struct text text;
    bool skips = false;

    rule->first = rules->n_pos;
    while (pattern_next(&at, &text.at, &text.len)) {
        struct position *pos = &rules->pos[rules->n_pos];

        if (component_is_any_depth(text.at, text.len)) {
            skips = true;
            continue;
        }
        *pos = (struct position){ rank, skips, component_get(rules, text) };
        if (!pos->component)
            return -ENOMEM;
        rules->n_pos++;
        skips = false;
    }
    rule->n = rules->n_pos - rule->first;
    rule->tail = skips;
    return 0;
}

/* `**` and then `*` at the end of a pattern: all that is strictly below. */
static bool is_universal(const struct rules *rules, const struct rule *rule, uint32_t done)
{
    const struct position *pos = &rules->pos[rule->first + done];

    return done + 1 == rule->n && pos->skips && pos->component->anchor == ANCHOR_ANY && rule->type != RULE_DIRECTORY;
}

bool rule_advance(const struct rules *rules, uint32_t rank, uint32_t done, struct hits *hits)
{
    const struct rule *rule = &rules->rule[rank];
    bool all = done == rule->n, below;

    if (!all && !is_universal(rules, rule, done))
        return true;
    below = !all || rule->tail || rule->type == RULE_DIRECTORY;
    if (all && rule->type != RULE_FILE)
        rank_raise(&hits->dir, rank);
    if (all && rule->type != RULE_DIRECTORY)
        rank_raise(&hits->file, rank);
    if (below)
        rank_raise(rule->type == RULE_FILE ? &hits->files_below : &hits->below, rank);
    return false;
}

/* ---- the core -------------------------------------------------------------------------------------------------- */

/* core_best[is file rule][rank]: the best that the core can still give where `rank` covers all. */
static int core_measure(struct rules *rules)
{
    for (int file = 0; file < 2; file++) {
        uint8_t *best = rules_arena_alloc(&rules->arena, (size_t)rules->n + 1, sizeof(*best));

        if (!best)
            return -ENOMEM;
        rules->core_best[file] = best;
        for (uint32_t i = 0; i < rules->core->n; i++) {
            uint32_t rank = rules->pos[rules->core->pos[i]].rank;
            const struct rule *rule = &rules->rule[rank];

            rank_raise(&rules->core_top, rank);
            if ((rule->type == RULE_FILE) == file)
                best[rank - 1] = (uint8_t)rule->perm;
        }
        for (uint32_t rank = rules->n; rank > 0; rank--) {
            if (best[rank] > best[rank - 1])
                best[rank - 1] = best[rank];
        }
    }
    return 0;
}

/* Where every rule stands at the root. */
static int root_init(struct rules *rules)
{
    uint32_t *core = rules->scratch, *waiting = rules->scratch + rules->n, n_core = 0, n_waiting = 0;
    struct hits hits = { 0 };

    for (uint32_t rank = 1; rank <= rules->n; rank++) {
        uint32_t first = rules->rule[rank].first;

        if (!rule_advance(rules, rank, 0, &hits))
            continue;
        if (rules->pos[first].skips)
            core[n_core++] = first;
        else
            waiting[n_waiting++] = first;
    }
    rules->core = pos_set_get(rules, core, n_core);
    if (!rules->core || core_measure(rules) < 0)
        return -ENOMEM;
    return states_init(rules, &hits, waiting, n_waiting);
}

/* ---- compiling ------------------------------------------------------------------------------------------------- */

static const char *source_check(const struct rule_source *source)
{
    if (!source->pattern)
        return "no pattern";
    if ((unsigned)source->type > RULE_FILE)
        return "an unknown type";
    if ((unsigned)source->permission > PERM_WRITE)
        return "an unknown permission";
    return rules_check_pattern(source->pattern);
}

/* No pattern has more components than this. */
static size_t component_bound(const char *pattern)
{
    size_t n = 1;

    for (; *pattern; pattern++)
        n += *pattern == '/';
    return n;
}

static struct ranked *sources_rank(const struct rule_source *src, uint32_t n)
{
    struct ranked *ranked = calloc((size_t)n + 1, sizeof(*ranked));

    if (!ranked)
        return NULL;
    for (uint32_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){ &src[i], pattern_weigh(src[i].pattern) };
    qsort(ranked, n, sizeof(*ranked), ranked_compare);
    return ranked;
}

static int rules_lay_out(struct rules *rules, const struct rule_source *src, const struct ranked *ranked)
{
    rules->rule = rules_arena_alloc(&rules->arena, (size_t)rules->n + 1, sizeof(*rules->rule));
    rules->patterns = rules_arena_alloc(&rules->arena, (size_t)rules->n + 1, sizeof(*rules->patterns));
    if (!rules->rule || !rules->patterns)
        return -ENOMEM;
    for (uint32_t i = 0; i < rules->n; i++) {
        rules->patterns[i] = rules_arena_copy(&rules->arena, src[i].pattern, strlen(src[i].pattern) + 1);
        if (!rules->patterns[i])
            return -ENOMEM;
    }
    rules->rule[0].source = SIZE_MAX;
    for (uint32_t rank = 1; rank <= rules->n; rank++) {
        const struct rule_source *source = ranked[rank - 1].source;
        struct rule *rule = &rules->rule[rank];

        rule->source = (size_t)(source - src);
        rule->type = source->type;
        rule->perm = source->permission;
        if (rule_lay_out(rules, rank, source->pattern) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int rules_fill(struct rules *rules, const struct rule_source *src, size_t n_pos)
{
    struct ranked *ranked = sources_rank(src, rules->n);
    int res = -ENOMEM;

    rules->pos = rules_arena_alloc(&rules->arena, n_pos, sizeof(*rules->pos));
    if (ranked && rules->pos)
        res = rules_lay_out(rules, src, ranked);
    free(ranked);
    if (res < 0)
        return res;
    rules->scratch =
        rules_arena_alloc(&rules->arena, (size_t)rules->n + 2 * (size_t)rules->n_pos, sizeof(*rules->scratch));
    rules->group_of = rules_arena_alloc(&rules->arena, rules->n_components, sizeof(*rules->group_of));
    if (!rules->scratch || !rules->group_of)
        return -ENOMEM;
    return root_init(rules);
}

int rules_compile(const struct rule_source *src, size_t n, struct rules **ret, size_t *ret_bad, const char **ret_why)
{
    struct rules *rules;
    size_t n_pos = 0;

    for (size_t i = 0; i < n; i++) {
        const char *why = source_check(&src[i]);

        if (why) {
            *ret_bad = i;
            *ret_why = why;
            return -EINVAL;
        }
        n_pos += component_bound(src[i].pattern);
    }
    if (n_pos >= MATCH_CORE) /* positions and groups are numbered in 31 bits */
        return -ENOMEM;
    rules = calloc(1, sizeof(*rules));
    if (!rules)
        return -ENOMEM;
    atomic_init(&rules->refs, 1);
    pthread_mutex_init(&rules->lock, NULL);
    rules->n = (uint32_t)n;
    rules->arena.limit = SIZE_MAX;
    if (rules_fill(rules, src, n_pos) < 0) {
        rules_unref(rules);
        return -ENOMEM;
    }
    rules->memo_limit = rules->arena.used + RULES_GROWTH_MAX / 2;
    rules->arena.limit = rules->arena.used + RULES_GROWTH_MAX;
    *ret = rules;
    return 0;
}

size_t rules_count(const struct rules *rules)
{
    return rules->n;
}

const char *rules_pattern(const struct rules *rules, size_t index)
{
    return index < rules->n ? rules->patterns[index] : NULL;
}

struct rules *rules_ref(struct rules *rules)
{
    atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

void rules_unref(struct rules *rules)
{
    if (!rules || atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&rules->lock);
    rules_arena_release(&rules->arena);
    free(rules);
}
