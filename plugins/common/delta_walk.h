/* Finding the changes of a delta (contract D2): every path where the sandbox's workspace and the codebase differ. */
#ifndef STOCKADE_DELTA_WALK_H
#define STOCKADE_DELTA_WALK_H

#include "delta.h"

struct delta_change {
    char *path;
    int32_t kind; /* enum rt_change_kind, or DELTA_CHANGE_NONE */
    bool conflict;
    bool is_blocked;          /* a directory that cannot go, for what rules hide is in it: no policy applies it */
    struct stat upper, lower; /* st_mode 0: nothing; a deletion's upper is its own mark, or nothing */
    /* Of what a commit has applied: the codebase's entry as it left it, and a directory's of the sandbox as it was. */
    struct delta_stamp put, dir;
};

struct delta_entry;

/* The layers agree, which the log does not know: of a commit that was cut short, or by chance. */
#define DELTA_CHANGE_NONE (-1)

struct delta_changes {
    struct delta_change *v; /* in byte order of the paths */
    size_t n, cap;
};

/* Returns RT_OK, or fails the delta's op; *ret is to be freed in any case. */
int32_t delta_walk(struct delta *delta, struct delta_changes *ret);
void delta_changes_free(struct delta_changes *changes);

/* Whether the sandbox's entry is as a commit left it. */
bool delta_is_committed(const struct delta *delta, const char *path, const struct delta_entry *upper);

#endif
