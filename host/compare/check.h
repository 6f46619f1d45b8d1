/* Whether runtimes behave the same: one command in each, and everything that can be seen of it compared. */
#ifndef STOCKADE_COMPARE_CHECK_H
#define STOCKADE_COMPARE_CHECK_H

#include "subject.h"

#define CHECK_TEXT 1024

enum check_outcome { CHECK_SAME, CHECK_DIFFERS, CHECK_FAILED };

struct check {
    struct subject *subjects; /* runtimes only; those with an error are named and left out */
    size_t n;
    const char *dir;                 /* private; what is compared lies below it, and stays for the caller to remove */
    const char *workspace;           /* copied for each; NULL = an empty one */
    const char *const *argv, *shell; /* one of them */
    int signal_fd;
};

/*
 * Runs the command once in each and compares with the first: how it ended, stdout, stderr, and the workspace after it
 * (names, types, modes, link targets, contents; no times), byte by byte. The outcome goes to stdout, differences as
 * diff -u has them. CHECK_DIFFERS also where one could not be used. CHECK_FAILED: message says why, or is "" after a
 * signal.
 */
enum check_outcome check_run(struct check *check, char message[CHECK_TEXT]);

#endif
