/*
 * Fuzzes the rule engine: any patterns, any paths. Built with clang -fsanitize=fuzzer,address,undefined and the
 * rules*.c of plugins/permfs.
 *
 * Input: records of one line each. "R" and a byte of type, permission and priority, then a pattern; anything else is
 * a path. Rules come first: a rule after a path starts over.
 */
#include "permfs/rules.h"

#include <stdlib.h>
#include <string.h>

#define RULES_MOST 64

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

/* What is below must not have more than the directory says that it may. */
static void path_walk(struct rules *rules, size_t n_rules, const char *path)
{
    const struct rule_state *state = rules_root(rules);

    while (*path) {
        size_t len = strcspn(path, "/");
        const struct rule_state *child;

        if (len) {
            child = rules_child(rules, state, path, len, path[len] == '/');
            if (!child || child != rules_child(rules, state, path, len, path[len] == '/'))
                abort();
            state_check(child, n_rules);
            if (!rule_state_may_below(state, rule_state_perm(child)))
                abort();
            state = child;
        }
        path += len + (path[len] == '/');
    }
}

static size_t rule_add(struct rule_source *rules, size_t n, const char *line)
{
    unsigned char bits = (unsigned char)line[1];
    const char *pattern = bits ? line + 2 : line + 1;

    if (n == RULES_MOST || rules_check_pattern(pattern))
        return n;
    rules[n] = (struct rule_source){ pattern, (enum rule_type)(bits % 3), (enum perm)(bits / 3 % 4), bits / 12 % 4 };
    return n + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_source src[RULES_MOST];
    char *text = malloc(size + 1), *rest = text, *line;
    struct rules *rules = NULL;
    const char *why;
    size_t n = 0, bad;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        if (*line == 'R') {
            n = rules ? 0 : n;
            rules_unref(rules);
            rules = NULL;
            n = rule_add(src, n, line);
            continue;
        }
        if (!rules && rules_compile(src, n, &rules, &bad, &why) < 0)
            abort();
        path_walk(rules, n, line);
    }
    rules_unref(rules);
    free(text);
    return 0;
}
