#include "mounts.h"

#include "child.h"
#include "error.h"
#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* Turns the octal escapes of mountinfo (proc_pid_mountinfo(5)) back into bytes, in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* The mount point that a line of mountinfo names, in the line itself, and its device's minor number; NULL if none. */
static char *line_parse(char *line, unsigned *ret_minor)
{
    char *fields[5];
    int n = 0;

    while (n < 5 && (fields[n] = strsep(&line, " ")))
        n++;
    if (n < 5 || sscanf(fields[2], "%*u:%u", ret_minor) != 1)
        return NULL;
    unescape(fields[4]);
    return fields[4];
}

static bool mount_find_in(const char *table, const char *path, unsigned *ret_minor)
{
    FILE *file = fopen(table, "re");
    cleanup_free char *line = NULL;
    size_t cap = 0;
    bool found = false;

    while (file && getline(&line, &cap, file) > 0) {
        unsigned minor;
        const char *point = line_parse(line, &minor);

        if (!point || strcmp(point, path))
            continue;
        found = true;
        *ret_minor = minor;
    }
    if (file)
        fclose(file);
    return found;
}

char *mount_below_of(pid_t pid, const char *dir)
{
    cleanup_free char *line = NULL;
    char table[40], *found = NULL;
    size_t cap = 0;
    FILE *file;

    snprintf(table, sizeof table, "/proc/%d/mountinfo", (int)pid);
    file = fopen(table, "re");
    while (file && !found && getline(&line, &cap, file) > 0) {
        unsigned minor;
        const char *point = line_parse(line, &minor);

        if (point && path_is_below(point, dir))
            found = strdup(point);
    }
    if (file)
        fclose(file);
    return found;
}

/* The line's mount options come sixth, the type behind the dash that ends the optional fields. */
static bool line_is_writable(const char *line, const char *type)
{
    const char *dash = strstr(line, " - ");
    char options[256];

    return dash && !strncmp(dash + 3, type, strlen(type)) && sscanf(line, "%*s %*s %*s %*s %*s %255s", options) == 1 &&
           !strncmp(options, "rw", 2);
}

int mount_is_writable_of(pid_t pid, const char *type)
{
    cleanup_free char *line = NULL;
    char table[40];
    size_t cap = 0;
    bool writable = false;
    FILE *file;
    int err;

    snprintf(table, sizeof table, "/proc/%d/mountinfo", (int)pid);
    file = fopen(table, "re");
    if (!file)
        return -errno;
    errno = 0;
    while (!writable && getline(&line, &cap, file) > 0)
        writable = line_is_writable(line, type);
    err = errno;
    fclose(file);
    return writable || !err ? writable : -err;
}

static int point_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool table_append(struct mount_table *table, size_t *cap, const char *point)
{
    if (table->n == *cap) {
        size_t more = *cap ? *cap * 2 : 64;
        char **bigger = realloc(table->points, more * sizeof *bigger);

        if (!bigger)
            return false;
        table->points = bigger;
        *cap = more;
    }
    table->points[table->n] = strdup(point);
    return table->points[table->n] && ++table->n;
}

bool mount_table_read(struct mount_table *ret)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    size_t cap = 0, points_cap = 0;
    bool ok = file != NULL;

    *ret = (struct mount_table){ 0 };
    while (ok && getline(&line, &cap, file) > 0) {
        unsigned minor;
        const char *point = line_parse(line, &minor);

        ok = !point || table_append(ret, &points_cap, point);
    }
    if (file)
        fclose(file);
    if (ret->n)
        qsort(ret->points, ret->n, sizeof *ret->points, point_order);
    return ok;
}

bool mount_table_has(const struct mount_table *table, const char *path)
{
    return table->n && bsearch(&path, table->points, table->n, sizeof *table->points, point_order);
}

void mount_table_release(struct mount_table *table)
{
    for (size_t i = 0; i < table->n; i++)
        free(table->points[i]);
    free(table->points);
    *table = (struct mount_table){ 0 };
}

bool mount_find(const char *path, unsigned *ret_minor)
{
    return mount_find_in("/proc/self/mountinfo", path, ret_minor);
}

bool mount_find_of(pid_t pid, const char *path, unsigned *ret_minor)
{
    char table[40];

    snprintf(table, sizeof table, "/proc/%d/mountinfo", (int)pid);
    return mount_find_in(table, path, ret_minor);
}

bool mount_abort(const char *path)
{
    char control[64];
    cleanup_fd int fd = -1;
    unsigned minor;

    if (!mount_find(path, &minor))
        return true;
    snprintf(control, sizeof control, "/sys/fs/fuse/connections/%u/abort", minor);
    fd = open(control, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        return write(fd, "1", 1) == 1;
    /* No fusectl is mounted: root has this, which cuts the connection although the mount is busy and stays. */
    return umount2(path, MNT_FORCE | UMOUNT_NOFOLLOW) == 0 || errno == EBUSY;
}

/* The way of an ordinary user. */
static void fusermount_unmount(const char *path)
{
    static const char *const files[] = { "/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3" };
    char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-z", (char *)(uintptr_t)path, NULL };
    char *env[] = { NULL };
    int fds[] = { -1, -1, -1 };

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct child_spec spec = { .file = files[i], .exec_fd = -1, .argv = argv, .env = env, .fds = fds, .n_fds = 3 };
        pid_t pid = child_start(&spec);

        if (pid < 0)
            continue;
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return;
    }
}

int32_t mount_remove(struct op *op, const char *path)
{
    cleanup_fd int table = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    unsigned minor;

    if (table < 0) /* what cannot be looked for is not gone */
        return op_fail(op, error_status(errno), errno, "read the mount table");
    fd_closep(&table);
    for (int tries = 0; mount_find(path, &minor); tries++) {
        if (tries == 8)
            return op_fail(op, RT_E_IO, EBUSY, "unmount %s", path);
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno == EPERM)
            fusermount_unmount(path);
    }
    return RT_OK;
}
