/* How the files of two directories differ, by diff(1). */
#ifndef STOCKADE_CLI_DIFF_H
#define STOCKADE_CLI_DIFF_H

#include "cli.h"

/*
 * Prints the differences of all regular files among the changes. Both directories are others' to write in: no symlink
 * in them is followed, for what that leads to is not theirs. Returns an exit code.
 */
int diff_print(const char *codebase, const char *workspace, const rt_changes *changes);

#endif
