#include "procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct proc *procs;
size_t n_procs;
static size_t cap_procs;
static int proc_fd = -1;

int procs_init(void)
{
    proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return proc_fd < 0 ? -errno : 0;
}

void *grow(void *array, size_t *cap, size_t n, size_t size)
{
    void *bigger;

    if (n < *cap)
        return array;
    bigger = realloc(array, (*cap ? *cap * 2 : 64) * size);
    if (bigger)
        *cap = *cap ? *cap * 2 : 64;
    return bigger;
}

/* Field `number` (from 4 on) of the text behind "pid (name) S": proc(5), /proc/pid/stat. */
static uint64_t stat_field(const char *rest, int number)
{
    for (int field = 3; field < number && rest; field++) {
        rest = strchr(rest, ' ');
        rest += rest != NULL;
    }
    return rest ? strtoull(rest, NULL, 10) : 0;
}

static bool proc_read(const char *pid, struct proc *ret)
{
    char path[32], text[512], *p;
    ssize_t n;
    int fd;

    strcpy(path, pid);
    strcat(path, "/stat");
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p || p[1] != ' ' || !p[2])
        return false;
    p += 2;
    *ret = (struct proc){ .pid = atoi(pid),
                          .zombie = *p == 'Z' || *p == 'X',
                          .ppid = (pid_t)stat_field(p, 4),
                          .started = stat_field(p, 22) };
    return true;
}

bool proc_of(pid_t pid, struct proc *ret)
{
    char number[16];

    snprintf(number, sizeof number, "%d", (int)pid);
    return proc_read(number, ret);
}

static int proc_order(const void *a, const void *b)
{
    const struct proc *pa = a, *pb = b;

    return (pa->pid > pb->pid) - (pa->pid < pb->pid);
}

struct proc *procs_find(pid_t pid)
{
    struct proc key = { .pid = pid };

    return n_procs ? bsearch(&key, procs, n_procs, sizeof *procs, proc_order) : NULL;
}

bool procs_scan(void)
{
    int fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    n_procs = 0;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((entry = readdir(dir))) {
        struct proc *bigger;

        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || strlen(entry->d_name) > 10)
            continue;
        bigger = grow(procs, &cap_procs, n_procs, sizeof *procs);
        if (!bigger)
            break; /* out of memory: end what is known, the next pass finds the rest */
        procs = bigger;
        if (proc_read(entry->d_name, &procs[n_procs]))
            n_procs++;
    }
    closedir(dir);
    qsort(procs, n_procs, sizeof *procs, proc_order);
    return true;
}

void procs_inherit(pid_t root)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t i = 0; i < n_procs; i++) {
            struct proc *parent;

            if (procs[i].owner || procs[i].ppid <= 0 || procs[i].ppid == root)
                continue;
            parent = procs_find(procs[i].ppid);
            if (parent && parent->owner) {
                procs[i].owner = parent->owner;
                changed = true;
            }
        }
    }
}
