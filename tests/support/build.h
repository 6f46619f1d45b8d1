/* Where the programs and plugins under test are. */
#ifndef STOCKADE_TEST_BUILD_H
#define STOCKADE_TEST_BUILD_H

/* Path of what the build made: $STOCKADE_BUILD (default "build") and name, absolute; to be freed. */
char *build_path(const char *name);

#endif
