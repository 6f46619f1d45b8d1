#include "oom.h"

#include "util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TABLE_MAX 8192 /* of /proc/PID/cgroup: a line of at most a path a hierarchy */

/* "memory" as one of the names between commas. */
static bool has_memory(const char *names, size_t len)
{
    while (len) {
        const char *comma = memchr(names, ',', len);
        size_t part = comma ? (size_t)(comma - names) : len;

        if (part == 6 && !memcmp(names, "memory", 6))
            return true;
        part += comma != NULL;
        names += part;
        len -= part;
    }
    return false;
}

/* Lines of "NUMBER:CONTROLLERS:PATH"; v2's has no controllers. cgroups(7). */
const char *oom_cgroup_path(const char *text, size_t *ret_len, int *ret_is_v1)
{
    const char *found = NULL;

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        bool is_v1;

        if (!path || path > line + strcspn(line, "\n"))
            continue;
        is_v1 = has_memory(names + 1, (size_t)(path - names - 1));
        if (!is_v1 && (found || path != names + 1))
            continue;
        found = path + 1;
        *ret_len = strcspn(found, "\n");
        *ret_is_v1 = is_v1;
        if (is_v1)
            break;
    }
    return found;
}

/* Where the hierarchy is mounted: v2's, or the one of v1 that has the memory controller. */
static bool hierarchy_find(bool is_v1, char *ret, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    size_t cap = 0;
    bool found = false;

    while (file && !found && getline(&line, &cap, file) > 0) {
        char *dash = strstr(line, " - "), *options = dash ? strrchr(dash, ' ') : NULL, point[PATH_MAX];

        if (!options || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
            continue;
        options[strcspn(options, "\n")] = '\0';
        found = is_v1 ? !strncmp(dash + 3, "cgroup ", 7) && has_memory(options + 1, strlen(options + 1))
                      : !strncmp(dash + 3, "cgroup2 ", 8);
        if (found)
            snprintf(ret, size, "%s", point);
    }
    if (file)
        fclose(file);
    return found;
}

int oom_open(pid_t pid)
{
    char name[40], mount[PATH_MAX], text[TABLE_MAX];
    cleanup_free char *path = NULL;
    cleanup_fd int fd = -1;
    const char *cgroup;
    size_t len;
    ssize_t n;
    int is_v1;

    snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    cgroup = oom_cgroup_path(text, &len, &is_v1);
    if (!cgroup || !hierarchy_find(is_v1, mount, sizeof mount) ||
        asprintf(&path, "%s%.*s/%s", mount, (int)len, cgroup, is_v1 ? "memory.oom_control" : "memory.events") < 0) {
        path = NULL;
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC);
}

uint64_t oom_kills(int fd)
{
    char text[512], *at;
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strstr(text, "oom_kill ");
    return at ? strtoull(at + 9, NULL, 10) : 0;
}
