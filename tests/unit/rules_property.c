/* The rule engine against the reference (rules_reference.h): random rules over a small alphabet, to collide often. */
#include "permfs/rules.h"
#include "rules_reference.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MOST 12

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
    char text[RULES_MOST][REFERENCE_PATTERN + 1];
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

static void rules_print(const struct case_rules *c, const struct reference_path *path)
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
                            struct reference_path *path, size_t left)
{
    size_t winner = reference_winner(c->rules, c->n, path);
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
        EXPECT(!rule_state_may_below(state, p) || reference_may_below(c->rules, c->n, path, p));
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

Test(rules_property, whole_trees_agree_with_the_reference, .timeout = 300)
{
    struct case_rules c;
    struct reference_path path = { .is_dir = true };
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

static void path_random(struct reference_path *path)
{
    path->depth = (size_t)random() % REFERENCE_DEPTH + 1;
    path->is_dir = random() % 2;
    for (size_t i = 0; i < path->depth; i++)
        strcpy(path->names[i], PICK(names));
}

/* Walks to the path and compares there and at each directory on the way. */
static void path_check(const struct case_rules *c, struct rules *engine, const struct reference_path *whole)
{
    const struct rule_state *state = rules_root(engine);
    struct reference_path part = *whole, *path = &part;

    for (size_t depth = 1; depth <= whole->depth; depth++) {
        part.depth = depth;
        part.is_dir = depth < whole->depth || whole->is_dir;
        state = rules_child(engine, state, part.names[depth - 1], strlen(part.names[depth - 1]), part.is_dir);
        EXPECT(state);
        EXPECT(rule_state_rule(state) == reference_winner(c->rules, c->n, &part));
    }
}

Test(rules_property, deep_paths_agree_with_the_reference, .timeout = 300)
{
    struct case_rules c;
    struct reference_path path;
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

Test(rules_property, components_agree_with_the_reference, .timeout = 300)
{
    char pattern[REFERENCE_PATTERN + 1], name[REFERENCE_NAME + 1];
    struct rule_source source = { pattern, RULE_GLOB, PERM_READ, 0 };
    struct rules *engine;
    size_t bad, matched = 0, n = 200000;
    const char *why = NULL;

    seed_random();
    for (size_t i = 0; i < n; i++) {
        const struct rule_state *state;
        bool want;

        component_random(pattern, name);
        want = reference_name_matches(pattern, name);
        matched += want;
        cr_assert_eq(rules_compile(&source, 1, &engine, &bad, &why), 0, "%s: %s", pattern, why);
        state = rules_child(engine, rules_root(engine), name, strlen(name), false);
        cr_assert_eq(rule_state_perm(state), want ? PERM_READ : PERM_NONE, "'%s' on '%s'", pattern, name);
        rules_unref(engine);
    }
    cr_assert_gt(matched, n / 50); /* else the cases say little */
}
