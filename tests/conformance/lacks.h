/*
 * What a backend declares not to offer: a file with a line for each such test, "SUITE/NAME reason". Blank lines and
 * those that begin with # do not count. These tests are not run, and are listed with their reasons.
 */
#ifndef STOCKADE_CONFORMANCE_LACKS_H
#define STOCKADE_CONFORMANCE_LACKS_H

#include <criterion/types.h>
#include <stdbool.h>

/* Disables what path declares. False, with the reason on stderr, if it cannot be read or names a test that is none. */
bool lacks_apply(const char *path, struct criterion_test_set *tests);
void lacks_report(void); /* to stderr: the list of the files applied */

#endif
