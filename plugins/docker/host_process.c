/*
 * A sandbox's processes as this machine's /proc shows them. The agent makes each command a subreaper: what it starts
 * stays below it while it lives, so it is killed last.
 */
#include "docker.h"
#include "relay.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define KILL_ROUNDS  1000 /* of KILL_TICK_US: after SIGKILL the kernel needs milliseconds */
#define KILL_TICK_US 2000

struct seen {
    pid_t pid, ppid;
    bool alive, below; /* of the command's descendants */
};

struct view {
    struct seen *seen;
    size_t n, cap;
};

static bool text_read(pid_t pid, const char *file, char *ret, size_t size)
{
    char path[48];
    cleanup_fd int fd = -1;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (n <= 0)
        return false;
    ret[n] = '\0';
    return true;
}

/* proc(5), /proc/pid/stat: the name before the last parenthesis may hold anything. */
static bool seen_read(pid_t pid, struct seen *ret)
{
    char text[512], state;
    const char *rest;
    int ppid;

    if (!text_read(pid, "stat", text, sizeof text))
        return false;
    rest = strrchr(text, ')');
    if (!rest || sscanf(rest, ") %c %d", &state, &ppid) != 2)
        return false;
    *ret = (struct seen){ .pid = pid, .ppid = ppid, .alive = state != 'Z' && state != 'X' };
    return true;
}

static bool view_add(struct view *view, const struct seen *seen)
{
    if (view->n == view->cap) {
        size_t cap = view->cap ? view->cap * 2 : 256;
        struct seen *bigger = realloc(view->seen, cap * sizeof *bigger);

        if (!bigger)
            return false;
        view->seen = bigger;
        view->cap = cap;
    }
    view->seen[view->n++] = *seen;
    return true;
}

static bool view_read(struct view *view)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    struct seen seen;
    bool ok = dir != NULL;

    view->n = 0;
    while (ok && (entry = readdir(dir)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && seen_read((pid_t)atoi(entry->d_name), &seen))
            ok = view_add(view, &seen);
    if (dir)
        closedir(dir);
    return ok;
}

static const struct seen *view_find(const struct view *view, pid_t pid)
{
    for (size_t i = 0; i < view->n; i++)
        if (view->seen[i].pid == pid)
            return &view->seen[i];
    return NULL;
}

static bool same_namespace(pid_t a, pid_t b)
{
    char path[48], to_a[64], to_b[64];
    ssize_t n, m;

    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)a);
    n = readlink(path, to_a, sizeof to_a);
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)b);
    m = readlink(path, to_b, sizeof to_b);
    return n > 0 && n == m && !memcmp(to_a, to_b, (size_t)n);
}

/* The last number of the line "NSpid:\t123\t4" is the pid in the innermost namespace. */
static bool is_known_as(pid_t host_pid, pid_t pid)
{
    char text[4096], *line, *end;

    if (!text_read(host_pid, "status", text, sizeof text))
        return false;
    line = strstr(text, "\nNSpid:");
    end = line ? strchr(line + 1, '\n') : NULL;
    if (!end)
        return false;
    *end = '\0';
    line = strrchr(line + 1, '\t');
    return line && atoi(line + 1) == pid;
}

static pid_t root_find(const struct view *view, pid_t init_pid, pid_t pid)
{
    for (size_t i = 0; i < view->n; i++)
        if (is_known_as(view->seen[i].pid, pid) && same_namespace(view->seen[i].pid, init_pid))
            return view->seen[i].pid;
    return 0;
}

static void descendants_mark(struct view *view, pid_t root)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t i = 0; i < view->n; i++) {
            const struct seen *parent;

            if (view->seen[i].below || view->seen[i].pid == root)
                continue;
            parent = view_find(view, view->seen[i].ppid);
            if (parent && (parent->pid == root || parent->below))
                changed = view->seen[i].below = true;
        }
    }
}

/* Returns whether any was alive. All are stopped first, so that none forks away. */
static bool descendants_kill(const struct view *view)
{
    static const int signals[] = { SIGSTOP, SIGKILL };
    bool alive = false;

    for (size_t s = 0; s < ARRAY_LEN(signals); s++)
        for (size_t i = 0; i < view->n; i++)
            if (view->seen[i].below && view->seen[i].alive) {
                alive = true;
                (void)kill(view->seen[i].pid, signals[s]);
            }
    return alive;
}

static bool tree_kill(struct view *view, const struct proc_id *root)
{
    cleanup_fd int root_fd = proc_id_open(root);

    for (int round = 0; round < KILL_ROUNDS; round++) {
        if (root_fd < 0 || pidfd_ended(root_fd))
            return true;
        if (!view_read(view))
            return false;
        descendants_mark(view, root->pid);
        (void)pidfd_signal(root_fd, descendants_kill(view) ? SIGSTOP : SIGKILL);
        usleep(KILL_TICK_US);
    }
    return false;
}

/* A bridge comes from outside: what runs inside has its parent there. */
void host_bridge_kill(pid_t init_pid, pid_t pid)
{
    struct view view = { 0 };
    pid_t root = view_read(&view) ? root_find(&view, init_pid, pid) : 0;
    const struct proc_id id = proc_id_of(root);
    cleanup_fd int fd = proc_id_open(&id);
    const struct seen *seen = view_find(&view, root);

    if (fd >= 0 && seen && !same_namespace(seen->ppid, init_pid) && is_known_as(root, pid))
        (void)pidfd_signal(fd, SIGKILL);
    free(view.seen);
}

bool host_process_kill(pid_t init_pid, pid_t pid)
{
    struct view view = { 0 };
    pid_t root = view_read(&view) ? root_find(&view, init_pid, pid) : 0;
    const struct proc_id id = proc_id_of(root);
    bool killed = root && is_known_as(root, pid) && tree_kill(&view, &id);

    free(view.seen);
    return killed;
}

/* Its cgroups bear its id, whoever made them: "/docker/ID", "/system.slice/docker-ID.scope",
 * "/libpod_parent/libpod-ID". */
static bool is_of_container(pid_t pid, const char *container)
{
    char text[8192];

    return text_read(pid, "cgroup", text, sizeof text) && strstr(text, container);
}

void host_container_kill(const char *container)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        const struct proc_id id = pid > 1 && is_of_container(pid, container) ? proc_id_of(pid) : (struct proc_id){ 0 };
        cleanup_fd int fd = proc_id_open(&id);

        if (fd >= 0 && is_of_container(pid, container)) /* still, and not another of that number */
            (void)pidfd_signal(fd, SIGKILL);
    }
    if (dir)
        closedir(dir);
}
