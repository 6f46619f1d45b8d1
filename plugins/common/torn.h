/* What stands where a sandbox's record should and is none: torn, truncated, foreign, oversized (contract R2). */
#ifndef STOCKADE_TORN_H
#define STOCKADE_TORN_H

#include "op.h"

/*
 * Ends what the directory's own sockets lead to, unmounts its workspace and renames it to boxes/.torn-ID-XXXXXX, where
 * nobody looks at it again; says so in the log. Nothing is read from what is broken. A directory that somebody has
 * locked, one that has gone, and one whose record is whole after all are left alone.
 */
void torn_set_aside(struct op *op, const char *id);

#endif
