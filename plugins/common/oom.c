#include "oom.h"

#include "cgroup_tree.h"
#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TABLE_MAX 8192 /* of /proc/PID/cgroup: a line of at most a path a hierarchy */

/* Lines of "NUMBER:CONTROLLERS:PATH"; v2's has no controllers. cgroups(7). */
const char *oom_cgroup_path(const char *text, size_t *ret_len, int *ret_is_v1)
{
    const char *found = NULL;

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        bool is_v1;

        if (!path || path > line + strcspn(line, "\n"))
            continue;
        is_v1 = cgroup_controllers_parse(names + 1, (size_t)(path - names - 1)) & CGROUP_MEMORY;
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

int oom_open_at(int dir_fd, int is_v1)
{
    return dir_fd < 0 ? -1 : openat(dir_fd, is_v1 ? "memory.oom_control" : "memory.events", O_RDONLY | O_CLOEXEC);
}

/* Where the hierarchy is mounted that has the memory controller. */
static const char *hierarchy(bool is_v1)
{
    const struct cgroup_tree *tree = cgroup_tree_get();
    const struct cgroup_v1 *v1 = cgroup_tree_v1(tree, CGROUP_MEMORY);

    if (is_v1)
        return v1 ? v1->mount : NULL;
    return tree->v2_mount[0] ? tree->v2_mount : NULL;
}

int oom_open(pid_t pid)
{
    char name[40], text[TABLE_MAX];
    cleanup_free char *path = NULL;
    cleanup_fd int fd = -1, dir_fd = -1;
    const char *cgroup, *mount;
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
    mount = cgroup ? hierarchy(is_v1) : NULL;
    if (!mount || asprintf(&path, "%s%.*s", mount, (int)len, cgroup) < 0) {
        path = NULL;
        return -1;
    }
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return oom_open_at(dir_fd, is_v1);
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
