/*
 * The rule engine against a reference that is slow and plain: whole paths, naive recursion, nothing precomputed.
 * Random rules over a small alphabet, so that they collide often.
 */
#include "permfs/rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MOST 12
#define DEPTH_MOST 6
#define TEXT_MOST  128

/* ---- the reference --------------------------------------------------------------------------------------------- */

struct path {
    char names[DEPTH_MOST][16];
    size_t depth;
    bool is_dir; /* its last component; the ones before are directories */
};

struct parts {
    char text[24][TEXT_MOST];
    size_t n;
};

static struct parts parts_of(const char *pattern)
{
    struct parts parts = { .n = 0 };
    const char *at = pattern + (*pattern == '/');

    while (*at) {
        size_t len = strcspn(at, "/");

        memcpy(parts.text[parts.n], at, len);
        parts.text[parts.n++][len] = '\0';
        at += len + (at[len] == '/');
    }
    return parts;
}

/* After the `[`: where the set's `]` is, and whether c is in it. */
static const char *set_scan(const char *at, char c, bool *ret_in)
{
    bool negated = *at == '!' || *at == '^', in = false, first = true;

    at += negated;
    for (; first || *at != ']'; first = false) {
        unsigned char low, high;

        at += *at == '\\';
        low = high = (unsigned char)*at++;
        if (at[0] == '-' && at[1] != ']') {
            at++;
            at += *at == '\\';
            high = (unsigned char)*at++;
        }
        in = in || (low <= (unsigned char)c && (unsigned char)c <= high);
    }
    *ret_in = in != negated;
    return at;
}

static bool name_matches(const char *pattern, const char *name)
{
    bool in;

    if (!*pattern)
        return !*name;
    if (*pattern == '*')
        return name_matches(pattern + 1, name) || (*name && name_matches(pattern, name + 1));
    if (!*name)
        return false;
    if (*pattern == '?')
        return name_matches(pattern + 1, name + 1);
    if (*pattern == '[') {
        const char *close = set_scan(pattern + 1, *name, &in);

        return in && name_matches(close + 1, name + 1);
    }
    pattern += *pattern == '\\';
    return *pattern == *name && name_matches(pattern + 1, name + 1);
}

/* Whether the parts from p match the first `depth` names of the path, from name i. */
static bool parts_match(const struct parts *parts, size_t p, const struct path *path, size_t i, size_t depth)
{
    if (p == parts->n)
        return i == depth;
    if (!strcmp(parts->text[p], "**"))
        return parts_match(parts, p + 1, path, i, depth) || (i < depth && parts_match(parts, p, path, i + 1, depth));
    return i < depth && name_matches(parts->text[p], path->names[i]) && parts_match(parts, p + 1, path, i + 1, depth);
}

static bool rule_covers(const struct rule_source *rule, const struct path *path)
{
    struct parts parts = parts_of(rule->pattern);

    if (rule->type == RULE_GLOB)
        return parts_match(&parts, 0, path, 0, path->depth);
    if (rule->type == RULE_FILE)
        return !path->is_dir && parts_match(&parts, 0, path, 0, path->depth);
    for (size_t depth = 0; depth <= path->depth; depth++) {
        bool is_dir = depth < path->depth || path->is_dir;

        if (is_dir && parts_match(&parts, 0, path, 0, depth))
            return true;
    }
    return false;
}

/* Whether the rule covers all that can ever be below the directory, by the end of its pattern or its type. */
static bool rule_covers_below(const struct rule_source *rule, const struct path *dir)
{
    struct parts parts = parts_of(rule->pattern);

    if (rule->type == RULE_DIRECTORY)
        return rule_covers(rule, dir);
    return rule->type == RULE_GLOB && parts.n && !strcmp(parts.text[parts.n - 1], "**") &&
           parts_match(&parts, 0, dir, 0, dir->depth);
}

/* Whether something below the directory could match: the path is used up while parts are left. */
static bool parts_live(const struct parts *parts, size_t p, const struct path *dir, size_t i)
{
    if (p == parts->n)
        return false;
    if (i == dir->depth)
        return true;
    if (!strcmp(parts->text[p], "**"))
        return parts_live(parts, p + 1, dir, i) || parts_live(parts, p, dir, i + 1);
    return name_matches(parts->text[p], dir->names[i]) && parts_live(parts, p + 1, dir, i + 1);
}

static bool rule_live(const struct rule_source *rule, const struct path *dir)
{
    struct parts parts = parts_of(rule->pattern);

    return parts_live(&parts, 0, dir, 0) || rule_covers_below(rule, dir);
}

/* Contract W3, a line for each clause. Positive if a, of index ia, wins. */
struct weight {
    bool wildcard;
    int prefix, literals, depths;
};

static struct weight weight_of(const char *pattern)
{
    struct weight w = { 0 };
    bool in;

    for (const char *at = pattern + (*pattern == '/'); *at; at++) {
        bool separator = *at == '/';

        if (separator && !at[1])
            break;
        if (strchr("*?[", *at))
            w.wildcard = true;
        if (*at == '[')
            at = set_scan(at + 1, 'x', &in);
        else if (!separator && *at != '*' && *at != '?')
            w.literals++;
        w.prefix += !w.wildcard;
        at += *at == '\\';
    }
    for (size_t i = 0, n = parts_of(pattern).n; i < n; i++)
        w.depths += !strcmp(parts_of(pattern).text[i], "**");
    return w;
}

static int rule_compare(const struct rule_source *a, size_t ia, const struct rule_source *b, size_t ib)
{
    struct weight wa = weight_of(a->pattern), wb = weight_of(b->pattern);

    if (a->priority != b->priority)
        return a->priority > b->priority ? 1 : -1;
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    if (wa.wildcard != wb.wildcard)
        return wa.wildcard ? -1 : 1;
    if (wa.prefix != wb.prefix)
        return wa.prefix - wb.prefix;
    if (wa.literals != wb.literals)
        return wa.literals - wb.literals;
    if (wa.depths != wb.depths)
        return wb.depths - wa.depths;
    return ia > ib ? 1 : -1;
}

static size_t winner_at(const struct rule_source *rules, size_t n, const struct path *path)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        if (rule_covers(&rules[i], path) && (best == SIZE_MAX || rule_compare(&rules[i], i, &rules[best], best) > 0))
            best = i;
    }
    return best;
}

/* Whether a live rule of the permission beats the best that covers all below without giving it. */
static bool may_below_at_most(const struct rule_source *rules, size_t n, const struct path *dir, enum perm p)
{
    size_t shadow = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        if (rules[i].permission < p && rule_covers_below(&rules[i], dir) &&
            (shadow == SIZE_MAX || rule_compare(&rules[i], i, &rules[shadow], shadow) > 0))
            shadow = i;
    }
    for (size_t i = 0; i < n; i++) {
        if (rules[i].permission >= p && rule_live(&rules[i], dir) &&
            (shadow == SIZE_MAX || rule_compare(&rules[i], i, &rules[shadow], shadow) > 0))
            return true;
    }
    return false;
}

/* ---- random cases ---------------------------------------------------------------------------------------------- */

static const char *const names[] = { "a", "b", "ab", "a.c", "b.c", ".x", "[", "abab" };
static const char *const pieces[] = { "a",     "b",    "ab",   "*",    "**",    "**",      "*.c",
                                      "a*",    "?",    "[ab]", "[!a]", "[^b]*", "*a*b",    "[a-c]?",
                                      "\\a.c", "a**b", "*b",   "\\[*", ".x",    "[]\\[x-]" };

#define PICK(array) ((array)[(size_t)random() % (sizeof(array) / sizeof((array)[0]))])

static void pattern_random(char *out)
{
    size_t n = (size_t)random() % 5;

    *out = '\0';
    if (random() % 2 || !n)
        strcat(out, "/");
    for (size_t i = 0; i < n; i++) {
        strcat(out, PICK(pieces));
        if (i + 1 < n || random() % 8 == 0)
            strcat(out, "/");
    }
}

struct case_rules {
    char text[RULES_MOST][TEXT_MOST];
    struct rule_source rules[RULES_MOST];
    size_t n;
};

static void rules_random(struct case_rules *c)
{
    bool flat = random() % 2; /* all of one priority, so that the later clauses of W3 decide */

    c->n = (size_t)random() % RULES_MOST + 1;
    for (size_t i = 0; i < c->n; i++) {
        pattern_random(c->text[i]);
        c->rules[i] = (struct rule_source){ c->text[i], (enum rule_type)(random() % 3), (enum perm)(random() % 4),
                                            flat ? 0 : (int32_t)(random() % 5) - 2 };
    }
}

static void rules_print(const struct case_rules *c, const struct path *path)
{
    for (size_t i = 0; i < c->n; i++)
        fprintf(stderr, "%zu: '%s' type %d permission %d priority %d\n", i, c->text[i], (int)c->rules[i].type,
                (int)c->rules[i].permission, (int)c->rules[i].priority);
    for (size_t i = 0; i < path->depth; i++)
        fprintf(stderr, "/%s", path->names[i]);
    fprintf(stderr, "%s\n", path->is_dir ? "/" : "");
}

#define EXPECT(cond)                                                                                                   \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            rules_print(c, path);                                                                                      \
            cr_assert_fail("%s", #cond);                                                                               \
        }                                                                                                              \
    } while (0)

/* Goes through all that may be below, as deep as `left` says. Returns the best permission that the reference finds. */
static enum perm tree_check(const struct case_rules *c, struct rules *engine, const struct rule_state *state,
                            struct path *path, size_t left)
{
    size_t winner = winner_at(c->rules, c->n, path);
    enum perm own = winner == SIZE_MAX ? PERM_NONE : c->rules[winner].permission, below = PERM_NONE, seen;

    EXPECT(state);
    EXPECT(rule_state_rule(state) == winner);
    EXPECT(rule_state_own_perm(state) == own);
    if (!path->is_dir) {
        EXPECT(rule_state_perm(state) == own && !rule_state_may_below(state, PERM_NONE));
        return own;
    }
    for (size_t i = 0; left && i < 2 * sizeof(names) / sizeof(names[0]); i++) {
        const char *name = names[i / 2];

        strcpy(path->names[path->depth++], name);
        path->is_dir = i % 2;
        seen = tree_check(c, engine, rules_child(engine, state, name, strlen(name), path->is_dir), path, left - 1);
        path->depth--;
        path->is_dir = true;
        below = seen > below ? seen : below;
    }
    for (enum perm p = PERM_VIEW; p <= PERM_WRITE; p++) {
        EXPECT(rule_state_may_below(state, p) || below < p);
        EXPECT(!rule_state_may_below(state, p) || may_below_at_most(c->rules, c->n, path, p));
    }
    if (own == PERM_NONE && (!path->depth || rule_state_may_below(state, PERM_VIEW)))
        EXPECT(rule_state_perm(state) == PERM_VIEW);
    else
        EXPECT(rule_state_perm(state) == own);
    return own > below ? own : below;
}

static void seed_random(void)
{
    const char *seed = getenv("STOCKADE_TEST_SEED");

    srandom(seed ? (unsigned)strtoul(seed, NULL, 10) : 20240611);
}

Test(rules_property, whole_trees_agree_with_the_reference, .timeout = 60)
{
    struct case_rules c;
    struct path path = { .is_dir = true };
    struct rules *engine;
    size_t bad;
    const char *why = NULL;

    seed_random();
    for (int i = 0; i < 400; i++) {
        rules_random(&c);
        cr_assert_eq(rules_compile(c.rules, c.n, &engine, &bad, &why), 0, "%s", why);
        tree_check(&c, engine, rules_root(engine), &path, 3);
        rules_unref(engine);
    }
}

static void path_random(struct path *path)
{
    path->depth = (size_t)random() % DEPTH_MOST + 1;
    path->is_dir = random() % 2;
    for (size_t i = 0; i < path->depth; i++)
        strcpy(path->names[i], PICK(names));
}

/* Walks to the path and compares there and at each directory on the way. */
static void path_check(const struct case_rules *c, struct rules *engine, const struct path *whole)
{
    const struct rule_state *state = rules_root(engine);
    struct path part = *whole, *path = &part;

    for (size_t depth = 1; depth <= whole->depth; depth++) {
        part.depth = depth;
        part.is_dir = depth < whole->depth || whole->is_dir;
        state = rules_child(engine, state, part.names[depth - 1], strlen(part.names[depth - 1]), part.is_dir);
        EXPECT(state);
        EXPECT(rule_state_rule(state) == winner_at(c->rules, c->n, &part));
    }
}

Test(rules_property, deep_paths_agree_with_the_reference, .timeout = 60)
{
    struct case_rules c;
    struct path path;
    struct rules *engine;
    size_t bad;
    const char *why = NULL;

    seed_random();
    for (int i = 0; i < 10000; i++) {
        rules_random(&c);
        cr_assert_eq(rules_compile(c.rules, c.n, &engine, &bad, &why), 0, "%s", why);
        for (int j = 0; j < 20; j++) {
            path_random(&path);
            path_check(&c, engine, &path);
        }
        rules_unref(engine);
    }
}

/* A component of random atoms and a name of random bytes, both of few kinds, so that they often match. */
static void component_random(char *pattern, char *name)
{
    static const char *const atoms[] = { "a",   "b",    "c",    "a",     "b",      "*",      "*",   "?",
                                         "\\a", "[ab]", "[!a]", "[a-b]", "[^b-c]", "[]\\-]", "[*]", "\\*" };
    size_t n = (size_t)random() % 7 + 1, len = (size_t)random() % 12 + 1;

    do {
        *pattern = '\0';
        for (size_t i = 0; i < n; i++)
            strcat(pattern, PICK(atoms));
    } while (!strcmp(pattern, "**"));
    for (size_t i = 0; i < len; i++)
        name[i] = "aaabbbc*]-"[random() % 10];
    name[len] = '\0';
}

Test(rules_property, components_agree_with_the_reference, .timeout = 60)
{
    char pattern[TEXT_MOST], name[16];
    struct rule_source source = { pattern, RULE_GLOB, PERM_READ, 0 };
    struct rules *engine;
    size_t bad, matched = 0, n = 200000;
    const char *why = NULL;

    seed_random();
    for (size_t i = 0; i < n; i++) {
        const struct rule_state *state;
        bool want;

        component_random(pattern, name);
        want = name_matches(pattern, name);
        matched += want;
        cr_assert_eq(rules_compile(&source, 1, &engine, &bad, &why), 0, "%s: %s", pattern, why);
        state = rules_child(engine, rules_root(engine), name, strlen(name), false);
        cr_assert_eq(rule_state_perm(state), want ? PERM_READ : PERM_NONE, "'%s' on '%s'", pattern, name);
        rules_unref(engine);
    }
    cr_assert_gt(matched, n / 50); /* else the cases say little */
}
