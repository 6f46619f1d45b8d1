/* How the files of two directories differ, by diff(1). */
#ifndef STOCKADE_CLI_DIFF_H
#define STOCKADE_CLI_DIFF_H

#include "cli.h"

/*
 * Prints the differences of the regular files among the changes, and calls other for each of the rest. On a terminal
 * control characters are shown as '?': what the sandbox has written must not be able to steer it. Both directories are
 * others' to write in: no symlink in them is followed, for what that leads to is not theirs. Returns an exit code.
 */
int diff_print(const char *codebase, const char *workspace, const rt_changes *changes,
               void (*other)(const rt_change *change));

#endif
