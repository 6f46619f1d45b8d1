#include "footprint.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_LEN_MIN 12 /* of a container's; shorter ones could be part of anything */

static bool pids_add(struct pids *pids, pid_t pid)
{
    pid_t *items = reallocarray(pids->items, pids->n + 1, sizeof *items);

    if (!items)
        return false;
    items[pids->n++] = pid;
    pids->items = items;
    return true;
}

void pids_take(struct pids *pids)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;

    *pids = (struct pids){ 0 };
    while (dir && (entry = readdir(dir)))
        if (isdigit((unsigned char)*entry->d_name) && !pids_add(pids, (pid_t)atoi(entry->d_name)))
            break;
    if (dir)
        (void)closedir(dir);
}

void pids_release(struct pids *pids)
{
    free(pids->items);
    *pids = (struct pids){ 0 };
}

static bool pids_have(const struct pids *pids, pid_t pid)
{
    for (size_t i = 0; i < pids->n; i++)
        if (pids->items[i] == pid)
            return true;
    return false;
}

/* Reads the beginning of a file of /proc/PID; NULs between arguments become spaces. "" if it is gone. */
static void proc_read(pid_t pid, const char *name, char *text, size_t cap)
{
    char path[64];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, cap - 1);
        (void)close(fd);
    }
    text[n < 0 ? 0 : n] = '\0';
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = ' ';
}

static pid_t parent_of(pid_t pid)
{
    char text[512], *at;
    int parent = 0;

    proc_read(pid, "stat", text, sizeof text);
    at = strrchr(text, ')'); /* a name may hold anything */
    if (at)
        (void)sscanf(at + 1, " %*c %d", &parent);
    return parent;
}

static bool descends(pid_t pid, pid_t from)
{
    for (int depth = 0; pid > 1 && depth < 64; depth++, pid = parent_of(pid))
        if (pid == from)
            return true;
    return false;
}

static bool belongs(pid_t pid, const char *backend_id)
{
    char text[4096];

    if (descends(pid, getpid()))
        return true;
    if (strlen(backend_id) < ID_LEN_MIN)
        return *backend_id && descends(pid, (pid_t)atoi(backend_id));
    proc_read(pid, "cgroup", text, sizeof text);
    if (strstr(text, backend_id))
        return true;
    proc_read(pid, "cmdline", text, sizeof text);
    return strstr(text, backend_id) != NULL;
}

static uint64_t pss_of(pid_t pid)
{
    unsigned long kib = 0;
    char text[2048], *line;

    proc_read(pid, "smaps_rollup", text, sizeof text);
    line = strstr(text, "\nPss:");
    if (line)
        (void)sscanf(line, " Pss: %lu", &kib);
    return (uint64_t)kib << 10;
}

uint64_t footprint_of(const struct pids *before, const char *backend_id)
{
    struct pids now;
    uint64_t total = 0;

    pids_take(&now);
    for (size_t i = 0; i < now.n; i++)
        if (now.items[i] != getpid() && !pids_have(before, now.items[i]) && belongs(now.items[i], backend_id))
            total += pss_of(now.items[i]);
    pids_release(&now);
    return total;
}
