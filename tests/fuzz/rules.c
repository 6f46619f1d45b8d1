/*
 * Fuzzes the rule engine: any patterns, any paths. What it says must be consistent, and, where patterns and path are
 * of a size that the reference bears, what the reference says. Built with clang -fsanitize=fuzzer,address,undefined
 * and the rules*.c of plugins/permfs.
 *
 * Input: records of one line each. "R" and a byte of type, permission and priority, then a pattern; anything else is
 * a path. Rules come first: a rule after a path starts over.
 */
#include "permfs/rules.h"
#include "rules_reference.h"

#include <stdlib.h>
#include <string.h>

#define RULES_MOST 64
#define STARS_MOST 8 /* in a pattern: each multiplies what the reference tries */

struct rule_set {
    struct rule_source rules[RULES_MOST];
    size_t n;
    bool is_small; /* the reference bears it */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts unless what a state says is consistent in itself. */
static void state_check(const struct rule_state *state, size_t n_rules)
{
    enum perm perm = rule_state_perm(state), own = rule_state_own_perm(state);

    if (perm > PERM_WRITE || own > perm || (own < perm && perm != PERM_VIEW))
        abort();
    if (rule_state_rule(state) != SIZE_MAX && rule_state_rule(state) >= n_rules)
        abort();
    if (rule_state_rule(state) == SIZE_MAX && own != PERM_NONE)
        abort();
}

/* The next component of a path goes into the reference's. Returns whether that has room for it. */
static bool reference_enter(struct reference_path *path, const char *name, size_t len, bool is_dir)
{
    if (path->depth == REFERENCE_DEPTH || len > REFERENCE_NAME)
        return false;
    memcpy(path->names[path->depth], name, len);
    path->names[path->depth++][len] = '\0';
    path->is_dir = is_dir;
    return true;
}

static void reference_check(const struct rule_set *set, const struct reference_path *path,
                            const struct rule_state *state)
{
    if (rule_state_rule(state) != reference_winner(set->rules, set->n, path))
        abort();
    for (enum perm p = PERM_VIEW; path->is_dir && p <= PERM_WRITE; p++) {
        if (rule_state_may_below(state, p) && !reference_may_below(set->rules, set->n, path, p))
            abort();
    }
}

/* What is below must not have more than the directory says that it may. */
static void path_walk(struct rules *rules, const struct rule_set *set, const char *path)
{
    const struct rule_state *state = rules_root(rules);
    struct reference_path walked = { .depth = 0, .is_dir = true };
    bool is_small = set->is_small;

    while (*path) {
        size_t len = strcspn(path, "/");
        const bool is_dir = path[len] == '/';
        const struct rule_state *child;

        if (len) {
            child = rules_child(rules, state, path, len, is_dir);
            if (!child || child != rules_child(rules, state, path, len, is_dir))
                abort();
            state_check(child, set->n);
            if (!rule_state_may_below(state, rule_state_perm(child)))
                abort();
            state = child;
            is_small = is_small && reference_enter(&walked, path, len, is_dir);
            if (is_small)
                reference_check(set, &walked, state);
        }
        path += len + is_dir;
    }
}

static bool pattern_is_small(const char *pattern)
{
    size_t stars = 0;

    for (const char *at = pattern; *at; at++)
        stars += *at == '*';
    return stars <= STARS_MOST && strlen(pattern) <= REFERENCE_PATTERN;
}

static void rule_add(struct rule_set *set, const char *line)
{
    unsigned char bits = (unsigned char)line[1];
    const char *pattern = bits ? line + 2 : line + 1;

    if (set->n == RULES_MOST || rules_check_pattern(pattern))
        return;
    set->rules[set->n++] =
        (struct rule_source){ pattern, (enum rule_type)(bits % 3), (enum perm)(bits / 3 % 4), bits / 12 % 4 };
    set->is_small = set->is_small && pattern_is_small(pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_set set = { .is_small = true };
    char *text = malloc(size + 1), *rest = text, *line;
    struct rules *rules = NULL;
    const char *why;
    size_t bad;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        if (*line == 'R') {
            if (rules)
                set = (struct rule_set){ .is_small = true };
            rules_unref(rules);
            rules = NULL;
            rule_add(&set, line);
            continue;
        }
        if (!rules && rules_compile(set.rules, set.n, &rules, &bad, &why) < 0)
            abort();
        path_walk(rules, &set, line);
    }
    rules_unref(rules);
    free(text);
    return 0;
}
