#include "cgroup_tree.h"

#include "util.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t bit;
} controllers[] = {
    { "memory", CGROUP_MEMORY },   { "cpu", CGROUP_CPU },  { "pids", CGROUP_PIDS }, { "cpuacct", CGROUP_CPUACCT },
    { "freezer", CGROUP_FREEZER }, { "blkio", CGROUP_IO }, { "io", CGROUP_IO }
};

uint32_t cgroup_controllers_parse(const char *names, size_t len)
{
    uint32_t found = 0;

    while (len) {
        size_t part = 0;

        while (part < len && !strchr(" ,\n", names[part]))
            part++;
        for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
            if (strlen(controllers[i].name) == part && !memcmp(names, controllers[i].name, part))
                found |= controllers[i].bit;
        part += part < len;
        names += part;
        len -= part;
    }
    return found;
}

/* The whole of a file of the kernel's, whose size nobody knows before; NULL if it cannot be read. */
static char *text_read(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    char *text = NULL;
    size_t cap = 0;

    if (!file && fd >= 0)
        close(fd);
    if (!file)
        return NULL;
    if (getdelim(&text, &cap, '\0', file) < 0 && text)
        text[0] = '\0';
    fclose(file);
    return text;
}

/* ---- v2 ---- */

static uint32_t controllers_in(int dir_fd, const char *name)
{
    cleanup_free char *text = text_read(dir_fd, name);

    return text ? cgroup_controllers_parse(text, strlen(text)) : 0;
}

uint32_t cgroup_controllers_at(int dir_fd)
{
    return controllers_in(dir_fd, "cgroup.controllers");
}

/*
 * What cgroups made in a directory can have: what it passes on already, and what it could. A cgroup with processes of
 * its own can pass on nothing more, unless it is the hierarchy's root, which alone has no type.
 */
static uint32_t controllers_below(const char *path)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_free char *members = NULL;
    uint32_t found;
    bool is_top;

    if (fd < 0)
        return 0;
    found = controllers_in(fd, "cgroup.subtree_control");
    is_top = faccessat(fd, "cgroup.type", F_OK, 0) < 0;
    members = is_top ? NULL : text_read(fd, "cgroup.procs");
    if (faccessat(fd, "cgroup.subtree_control", W_OK, 0) == 0 && (is_top || (members && !members[0])))
        found |= cgroup_controllers_at(fd);
    return found;
}

/* Whether we may make cgroups there and move processes into them from below. */
static bool is_delegated(const char *path)
{
    char procs[CGROUP_PATH_MAX + 16];

    snprintf(procs, sizeof procs, "%s/cgroup.procs", path);
    return access(path, W_OK) == 0 && access(procs, W_OK) == 0;
}

/* The nearest directory from our own cgroup upwards that passes the controllers on, or else our own. */
static void base_climb(struct cgroup_tree *tree, const char *own)
{
    char path[CGROUP_PATH_MAX];

    if (snprintf(path, sizeof path, "%s%s", tree->v2_mount, own) >= (int)sizeof path)
        return;
    if (!strcmp(own, "/"))
        path[strlen(tree->v2_mount)] = '\0';
    while (strlen(path) >= strlen(tree->v2_mount) && is_delegated(path)) {
        uint32_t found = controllers_below(path);

        if (!tree->v2_base[0] || (found & (CGROUP_MEMORY | CGROUP_PIDS))) {
            strcpy(tree->v2_base, path);
            tree->v2_controllers = found;
        }
        if (found & (CGROUP_MEMORY | CGROUP_PIDS))
            return;
        *strrchr(path, '/') = '\0';
    }
}

static void base_find(struct cgroup_tree *tree, const char *self, bool is_root)
{
    const char *own = !strncmp(self, "0::", 3) ? self : strstr(self, "\n0::");
    char path[CGROUP_PATH_MAX];
    size_t len;

    if (!tree->v2_mount[0] || !own)
        return;
    if (is_root) {
        strcpy(tree->v2_base, tree->v2_mount);
        tree->v2_controllers = controllers_below(tree->v2_base);
        return;
    }
    own = strchr(own, '/');
    len = own ? strcspn(own, "\n") : 0;
    if (!len || len >= sizeof path)
        return;
    memcpy(path, own, len);
    path[len] = '\0';
    base_climb(tree, path);
}

/* ---- mounts ---- */

/* "ID PARENT DEV ROOT POINT OPTIONS TAGS... - TYPE SOURCE SUPEROPTIONS" */
static void mount_take(struct cgroup_tree *tree, char *line, bool is_root)
{
    char *dash = strstr(line, " - "), *options = strrchr(line, ' '), point[CGROUP_PATH_MAX];
    struct cgroup_v1 *v1 = &tree->v1[tree->n_v1];

    if (!dash || strncmp(dash + 3, "cgroup", 6) != 0 || sscanf(line, "%*s %*s %*s %*s %255s", point) != 1)
        return;
    if (!strncmp(dash + 3, "cgroup2 ", 8)) {
        if (!tree->v2_mount[0])
            strcpy(tree->v2_mount, point);
        return;
    }
    if (dash[9] != ' ' || tree->n_v1 == CGROUP_V1_MAX)
        return;
    *v1 = (struct cgroup_v1){ .controllers = cgroup_controllers_parse(options + 1, strlen(options + 1)) };
    if (!v1->controllers || (cgroup_tree_v1(tree, v1->controllers)))
        return;
    strcpy(v1->mount, point);
    v1->is_ours = is_root && access(point, W_OK) == 0;
    tree->n_v1++;
}

void cgroup_tree_read(const char *mountinfo, const char *self, bool is_root, struct cgroup_tree *ret)
{
    *ret = (struct cgroup_tree){ 0 };
    for (const char *line = mountinfo; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char *copy;

        /* There may be thousands of mounts: the others are not worth a copy. */
        if (!memmem(line, strcspn(line, "\n"), " - cgroup", 9))
            continue;
        copy = strndup(line, strcspn(line, "\n"));
        if (copy)
            mount_take(ret, copy, is_root);
        free(copy);
    }
    base_find(ret, self, is_root);
}

static bool own_read(struct cgroup_tree *ret)
{
    cleanup_free char *mountinfo = text_read(AT_FDCWD, "/proc/self/mountinfo"),
                      *self = text_read(AT_FDCWD, "/proc/self/cgroup");

    if (!mountinfo || !self)
        return false;
    cgroup_tree_read(mountinfo, self, geteuid() == 0, ret);
    return true;
}

const struct cgroup_tree *cgroup_tree_get(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct cgroup_tree own;
    static const struct cgroup_tree none;
    static bool is_known;
    const struct cgroup_tree *tree;

    pthread_mutex_lock(&lock);
    if (!is_known)
        is_known = own_read(&own); /* for want of fds, say: the next look may do better */
    tree = is_known ? &own : &none;
    pthread_mutex_unlock(&lock);
    return tree;
}

uint32_t cgroup_tree_controllers(const struct cgroup_tree *tree)
{
    uint32_t found = tree->v2_controllers;

    for (size_t i = 0; i < tree->n_v1; i++)
        found |= tree->v1[i].is_ours ? tree->v1[i].controllers : 0;
    return found;
}

const struct cgroup_v1 *cgroup_tree_v1(const struct cgroup_tree *tree, uint32_t controller)
{
    for (size_t i = 0; i < tree->n_v1; i++)
        if (tree->v1[i].controllers & controller)
            return &tree->v1[i];
    return NULL;
}

void cgroup_enable_below(int dir_fd, uint32_t wanted)
{
    cleanup_fd int fd = openat(dir_fd, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);

    /* One at a time: of several, one that is not there spoils all. */
    for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(controllers); i++)
        if (controllers[i].bit & wanted)
            (void)!dprintf(fd, "+%s", controllers[i].name);
}
