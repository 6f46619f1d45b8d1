/*
 * The journal of a commit, DIR/boxes/ID/delta/journal: under which names it makes its copies in the codebase. It is
 * there before the first of them and until the last is gone, so that those of a commit that was cut short are found.
 * Whether a file was applied is not in it: that shows by comparing.
 */
#ifndef STOCKADE_DELTA_JOURNAL_H
#define STOCKADE_DELTA_JOURNAL_H

#include "delta.h"

#define DELTA_TOKEN_LEN 12
#define DELTA_TEMP_MAX  64

struct delta_journal {
    char token[DELTA_TOKEN_LEN + 1];
};

/* Writes one for changes at these paths. Returns 0 or -errno. */
int delta_journal_begin(struct delta *delta, const char *const *paths, size_t n, struct delta_journal *ret);
/* The temporary name for the i-th path's entry, in the same directory. */
void delta_journal_temp(const struct delta_journal *journal, size_t i, char ret[DELTA_TEMP_MAX]);
void delta_journal_end(struct delta *delta);
/*
 * Ends a commit that a journal tells of: removes its copies, notes what it left unfinished, and removes the journal.
 * Returns 0, or -errno and the journal stays: then what could not be logged is known for now alone.
 */
int delta_journal_undo(struct delta *delta);

#endif
