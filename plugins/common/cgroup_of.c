#include "cgroup_of.h"

#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TABLE_MAX 8192 /* of /proc/PID/cgroup: a line of at most a path a hierarchy */

/* Lines of "NUMBER:CONTROLLERS:PATH"; v2's has no controllers. */
const char *cgroup_of_path(const char *text, uint32_t controller, size_t *ret_len, bool *ret_is_v1)
{
    const char *found = NULL;

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        bool is_v1;

        if (!path || path > line + strcspn(line, "\n") || strcspn(path + 1, "\n") < 2)
            continue;
        is_v1 = cgroup_controllers_parse(names + 1, (size_t)(path - names - 1)) & controller;
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

/* Where the hierarchy is mounted that has it. */
static const char *hierarchy(uint32_t controller, bool is_v1)
{
    const struct cgroup_tree *tree = cgroup_tree_get();
    const struct cgroup_v1 *v1 = cgroup_tree_v1(tree, controller);

    if (is_v1)
        return v1 ? v1->mount : NULL;
    return tree->v2_mount[0] ? tree->v2_mount : NULL;
}

int cgroup_of(pid_t pid, uint32_t controller, bool *ret_is_v1)
{
    char name[40], text[TABLE_MAX];
    cleanup_free char *path = NULL;
    cleanup_fd int fd = -1;
    const char *cgroup, *mount;
    size_t len;
    ssize_t n;

    snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    cgroup = cgroup_of_path(text, controller, &len, ret_is_v1);
    mount = cgroup ? hierarchy(controller, *ret_is_v1) : NULL;
    if (!mount || asprintf(&path, "%s%.*s", mount, (int)len, cgroup) < 0) {
        path = NULL;
        return -1;
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
