/*
 * What the rule engine must say, by a reference that is slow and plain: whole paths, naive recursion, nothing
 * precomputed. Of rules whose patterns are well formed (rules_check_pattern) and no longer than REFERENCE_PATTERN.
 */
#ifndef STOCKADE_TEST_RULES_REFERENCE_H
#define STOCKADE_TEST_RULES_REFERENCE_H

#include "permfs/rules.h"

#define REFERENCE_DEPTH   6  /* components of a path, at most */
#define REFERENCE_NAME    15 /* bytes of a component, at most */
#define REFERENCE_PATTERN 63 /* bytes of a pattern, at most */

struct reference_path {
    char names[REFERENCE_DEPTH][REFERENCE_NAME + 1];
    size_t depth; /* 0 = the workspace root */
    bool is_dir;  /* its last component; the ones before are directories */
};

/* Whether a component of a pattern, not `**`, matches a name. */
bool reference_name_matches(const char *pattern, const char *name);

/* The index of the rule that decides at the path, SIZE_MAX if none matches. */
size_t reference_winner(const struct rule_source *rules, size_t n, const struct reference_path *path);

/*
 * Whether something below the directory may have the permission, at most: a rule of that permission is live there and
 * beats the best rule that covers all below without giving it. The engine may not say yes where this says no.
 */
bool reference_may_below(const struct rule_source *rules, size_t n, const struct reference_path *dir, enum perm p);

#endif
