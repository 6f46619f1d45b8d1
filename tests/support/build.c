#include "build.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

char *build_path(const char *name)
{
    const char *build = getenv("STOCKADE_BUILD");
    char dir[PATH_MAX], *path;

    if (!realpath(build && *build ? build : "build", dir) || asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    return path;
}
