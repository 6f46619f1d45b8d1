/*
 * Applying a delta to the codebase (contract D3), and forgetting it (D4).
 *
 * Each file is copied under a temporary name beside its place, synced, and renamed: old or new at any moment. What was
 * applied counts as committed once the codebase's filesystem is synced, and is then logged; until then a commit that
 * was cut short finds it by comparing. The upper layer of a sandbox that runs is left alone: its files are known as
 * committed by their stamps, and go at the next start (delta_prune).
 */
#ifndef STOCKADE_DELTA_COMMIT_H
#define STOCKADE_DELTA_COMMIT_H

#include "delta_walk.h"

/*
 * Applies what is selected. On RT_OK *ret holds what was applied, on RT_E_CONFLICT what conflicts, or was left out
 * since it changed all through the commit, on either side; to be freed in any case. policy: enum rt_conflict_policy.
 */
int32_t delta_commit(struct delta *delta, const char *const *paths, int32_t policy, struct delta_changes *ret);

/* Removes what is selected from the upper layer; a running sandbox's filesystem must be told afterwards. */
int32_t delta_discard(struct delta *delta, const char *const *paths);

/* Of a sandbox that does not run: removes from the upper layer what is committed, and shortens the log. 0 or -errno. */
int delta_prune(struct delta *delta);

#endif
