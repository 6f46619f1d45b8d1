/* Copy-on-write sandboxes, and what is expected of their changes. */
#ifndef STOCKADE_CONFORMANCE_DELTA_OPS_H
#define STOCKADE_CONFORMANCE_DELTA_OPS_H

#include "runtime_api.h"

#include <stdbool.h>

/* Everything is writable, and what is called "secret" hidden. */
extern const rt_rule delta_rules[2];

/* Makes and starts a sandbox with these rules; the test ends here for a plugin that has no delta. */
void delta_up(const char *id);
void delta_up_policy(const char *id, int32_t policy); /* enum rt_commit_policy */

/* Changes are given as "K path" and a newline each, K of A, M, D, T and m, with ! behind the path for a conflict. */
void expect_changes(const char *id, const char *want);
/* Commits and expects the status and what is told. paths NULL: all. */
void expect_commit(int32_t status, const char *id, int32_t conflicts, const char *const *paths, const char *want);

/* The same for any thread, whatever comes of it: the error is the call's own. */
int32_t commit(const char *id, int32_t conflicts, rt_call *call, rt_changes **ret);

/* Whether the codebase has something under a name that a commit uses for a while. */
bool has_leftovers(void);

const char *path_of(const char *dir, const char *name); /* dir/name; static storage, of the last two calls */

#define COMMIT(want) expect_commit(RT_OK, "box", RT_CONFLICT_FAIL, NULL, want)

#endif
