/*
 * Workspace rules (contract W1-W5): compiled once, then matched a component at a time, a child's state from its
 * parent's. Pure: no I/O, no globals. A snapshot is immutable to its users; states are interned in it and live as
 * long as it does, so equal pointers mean equal behaviour below.
 */
#ifndef STOCKADE_PERMFS_RULES_H
#define STOCKADE_PERMFS_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rule_type { RULE_GLOB = 0, RULE_DIRECTORY = 1, RULE_FILE = 2 };       /* values of enum rt_rule_type */
enum perm { PERM_NONE = 0, PERM_VIEW = 1, PERM_READ = 2, PERM_WRITE = 3 }; /* values of enum rt_permission */

struct rule_source {
    const char *pattern; /* bytes, NUL-terminated */
    enum rule_type type;
    enum perm permission;
    int32_t priority;
};

struct rules;      /* a compiled, refcounted snapshot */
struct rule_state; /* what the rules say at one path; owned by its snapshot */

/*
 * Checks one pattern, as rules_compile does. Returns NULL if it is well formed, else a static text that says why not:
 * empty, a component ".." or ".", an empty component ("a//b"), an unclosed `[`, a range that runs backwards, a
 * trailing `\`, a character class such as `[[:alpha:]]` (it would silently mean something else), longer than
 * RULE_PATTERN_MAX.
 */
const char *rules_check_pattern(const char *pattern);
#define RULE_PATTERN_MAX 4096

/*
 * Compiles rules; the later of two otherwise equal ones wins, so their order counts. Patterns are copied.
 * ret_bad  on EINVAL the index of the rule that is malformed     ret_why  on EINVAL a static text saying why
 * W3's literal prefix is all bytes before the first wildcard, slashes but the leading one included; `**` and `[...]`
 * are wildcards.
 * Returns 0 with *ret owned by the caller (rules_unref), -EINVAL, or -ENOMEM.
 */
int rules_compile(const struct rule_source *src, size_t n, struct rules **ret, size_t *ret_bad, const char **ret_why);
struct rules *rules_ref(struct rules *rules);
void rules_unref(struct rules *rules); /* NULL is a no-op; the last one frees, states included */

/* The state of the workspace root, a directory. */
const struct rule_state *rules_root(struct rules *rules);

/*
 * The state of the entry `name` (len bytes, no slash, no NUL) of the directory whose state is `parent`. The same
 * arguments give the same pointer. Thread-safe, and concurrent calls do not wait for each other on a state that is
 * known already. Returns NULL if memory runs out, if the snapshot has grown by 256 MiB of states (which takes rules
 * that are hostile themselves), or if parent is no directory: deny then.
 */
const struct rule_state *rules_child(struct rules *rules, const struct rule_state *parent, const char *name, size_t len,
                                     bool is_dir);

/* The permission at the path itself, W5 applied: a directory on the way to something visible is PERM_VIEW at least. */
enum perm rule_state_perm(const struct rule_state *state);

/* The permission that the winning rule alone gives, PERM_NONE if none matches; for audit and explanations. */
enum perm rule_state_own_perm(const struct rule_state *state);

/* Index of the rule that decides at this path, SIZE_MAX if none matches. */
size_t rule_state_rule(const struct rule_state *state);

/* How many rules were compiled, and the pattern of one by its index; NULL if there is none. */
size_t rules_count(const struct rules *rules);
const char *rules_pattern(const struct rules *rules, size_t index);

/*
 * Whether anything below this directory, at any depth and whatever it is called, could have permission `at_least` or
 * more. Exact or, where that is expensive, true when unsure. false for a file.
 */
bool rule_state_may_below(const struct rule_state *state, enum perm at_least);

#endif
