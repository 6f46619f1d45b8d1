/* What the host sees of a sandbox's cgroups, whoever made them and of whichever version. */
#ifndef STOCKADE_CONFORMANCE_CGROUPS_H
#define STOCKADE_CONFORMANCE_CGROUPS_H

#include <stdbool.h>
#include <sys/types.h>

/* The cgroup directories of a process that are not this process's own, one a line; to be freed. */
char *cgroups_of(pid_t pid);
bool cgroup_exists(const char *path);

/*
 * The first word of a file of the cgroup that limits a process: of v1's controller if that is mounted, else of v2's,
 * of the nearest cgroup upwards that sets it. To be freed; NULL if there is no such file.
 */
char *cgroup_value(pid_t pid, const char *controller, const char *v1_file, const char *v2_file);

#endif
