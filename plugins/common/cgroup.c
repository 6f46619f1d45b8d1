#include "cgroup.h"

#include "proc_id.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define POOL_KEEP      64 /* empty cgroups kept at hand; each holds four fds */
#define REMOVE_WAIT_MS 2000

struct cgroup_pool {
    int dir_fd;           /* the sandbox's cgroup */
    pthread_mutex_t lock; /* guards what follows; not held across I/O */
    struct exec_cgroup *idle;
    unsigned n_idle;
    atomic_uint serial;
};

/* Mount point of the v2 hierarchy: the first one that mountinfo names. */
static bool hierarchy_find(char *ret, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    size_t cap = 0;
    bool found = false;

    while (file && !found && getline(&line, &cap, file) > 0) {
        char *dash = strstr(line, " - ");
        char point[PATH_MAX];

        if (dash && !strncmp(dash + 3, "cgroup2 ", 8) && sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1 &&
            strlen(point) < size) {
            strcpy(ret, point);
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

/* This process's own cgroup below the mount point: where an ordinary user's delegated tree begins. */
static bool own_cgroup(char *ret, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX];
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!strncmp(line, "0::", 3) && strlen(line + 3) < size) {
            strcpy(ret, line + 3);
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

/* The last two levels of path. Whoever destroys the last sandbox removes the upper one: then once more. */
static bool make_two(char *path)
{
    char *slash = strrchr(path, '/');

    for (int tries = 0; tries < 100; tries++) {
        bool made;

        *slash = '\0';
        made = mkdir(path, 0755) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
        if (mkdir(path, 0755) == 0 || errno == EEXIST)
            return true;
        if (errno != ENOENT)
            return false;
    }
    return false;
}

static bool make_below(const char *base, const char *name, char *ret_path, size_t size, int *ret_procs_fd)
{
    char path[PATH_MAX];
    int len, fd;

    len = snprintf(path, sizeof path, "%s/stockade/%s", base, name);
    if (len < 0 || (size_t)len >= size || (size_t)len + 32 >= sizeof path || !make_two(path))
        return false;
    strcpy(path + len, "/init");
    if (mkdir(path, 0755) == 0 || errno == EEXIST) {
        strcpy(path + len, "/init/cgroup.procs");
        fd = open(path, O_WRONLY | O_CLOEXEC);
        strcpy(path + len, "/init/cgroup.kill");
        if (fd >= 0 && access(path, W_OK) == 0) {
            path[len] = '\0';
            strcpy(ret_path, path);
            *ret_procs_fd = fd;
            return true;
        }
        if (fd >= 0)
            close(fd);
    }
    path[len] = '\0';
    cgroup_destroy(path);
    return false;
}

/* FNV-1a: tells two state directories' sandboxes of one id apart. */
static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261u;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

/*
 * Since 5.16 a write to cgroup.procs is judged by who opened it (e57457641613 in Linux); before, by who writes, and
 * that is a process inside without rights here.
 */
static bool kernel_will_do(void)
{
    struct utsname name;
    unsigned major, minor;

    return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 16));
}

bool cgroup_make(const char *box_path, char *ret_path, size_t size, int *ret_procs_fd)
{
    char mount[PATH_MAX], own[PATH_MAX], base[PATH_MAX], name[128];

    if (!kernel_will_do() || !hierarchy_find(mount, sizeof mount) || !own_cgroup(own, sizeof own))
        return false;
    snprintf(name, sizeof name, "%.80s-%08x", strrchr(box_path, '/') + 1, hash(box_path));
    if (geteuid() != 0) {
        if (snprintf(base, sizeof base, "%s%s", mount, own) >= (int)sizeof base)
            return false;
        return make_below(base, name, ret_path, size, ret_procs_fd);
    }
    return make_below(mount, name, ret_path, size, ret_procs_fd);
}

static void kill_below(int dir_fd)
{
    cleanup_fd int fd = openat(dir_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)!write(fd, "1", 1);
}

/* Removes the cgroups below fd, which it owns, deepest first. */
static void remove_below(int fd)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        close(fd);
        return;
    }
    while ((entry = readdir(dir))) {
        int sub;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        sub = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            remove_below(sub);
        (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

static void remove_parent(const char *path)
{
    char parent[PATH_MAX];

    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    (void)rmdir(parent); /* not empty while there are other sandboxes */
}

void cgroup_destroy(const char *path)
{
    for (int waited = 0; waited < REMOVE_WAIT_MS; waited += 5) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
            return;
        kill_below(fd);
        remove_below(fd);
        if (rmdir(path) == 0 || errno == ENOENT) {
            remove_parent(path);
            return;
        }
        usleep(5000); /* killed is not gone yet */
    }
}

struct cgroup_pool *cgroup_pool_new(const char *path)
{
    struct cgroup_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pool->dir_fd < 0) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

static void exec_cgroup_free(struct exec_cgroup *cgroup)
{
    fd_closep(&cgroup->dir_fd);
    fd_closep(&cgroup->procs_fd);
    fd_closep(&cgroup->kill_fd);
    fd_closep(&cgroup->events_fd);
    free(cgroup);
}

void cgroup_pool_free(struct cgroup_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle) {
        struct exec_cgroup *cgroup = pool->idle;

        pool->idle = cgroup->next;
        exec_cgroup_free(cgroup);
    }
    close(pool->dir_fd);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static struct exec_cgroup *exec_cgroup_new(struct cgroup_pool *pool)
{
    struct exec_cgroup *cgroup = malloc(sizeof *cgroup);
    char name[48];

    if (!cgroup)
        return NULL;
    *cgroup = (struct exec_cgroup){ .dir_fd = -1, .procs_fd = -1, .kill_fd = -1, .events_fd = -1 };
    snprintf(name, sizeof name, "e%d-%u", (int)getpid(), atomic_fetch_add(&pool->serial, 1));
    if (mkdirat(pool->dir_fd, name, 0755) == 0 || errno == EEXIST) {
        cgroup->dir_fd = openat(pool->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cgroup->procs_fd = openat(cgroup->dir_fd, "cgroup.procs", O_RDWR | O_CLOEXEC);
        cgroup->kill_fd = openat(cgroup->dir_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
        cgroup->events_fd = openat(cgroup->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    }
    if (cgroup->events_fd >= 0 && cgroup->kill_fd >= 0 && cgroup->procs_fd >= 0 && cgroup_is_empty(cgroup))
        return cgroup;
    exec_cgroup_free(cgroup);
    return NULL;
}

struct exec_cgroup *cgroup_get(struct cgroup_pool *pool)
{
    struct exec_cgroup *cgroup;

    pthread_mutex_lock(&pool->lock);
    cgroup = pool->idle;
    if (cgroup) {
        pool->idle = cgroup->next;
        pool->n_idle--;
    }
    pthread_mutex_unlock(&pool->lock);
    return cgroup ? cgroup : exec_cgroup_new(pool);
}

void cgroup_put(struct cgroup_pool *pool, struct exec_cgroup *cgroup)
{
    if (!cgroup)
        return;
    if (cgroup_is_empty(cgroup)) {
        pthread_mutex_lock(&pool->lock);
        if (pool->n_idle < POOL_KEEP) {
            cgroup->next = pool->idle;
            pool->idle = cgroup;
            pool->n_idle++;
            cgroup = NULL;
        }
        pthread_mutex_unlock(&pool->lock);
    }
    if (cgroup)
        exec_cgroup_free(cgroup);
}

bool cgroup_is_empty(const struct exec_cgroup *cgroup)
{
    char text[128];
    ssize_t n = pread(cgroup->events_fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return n < 0 && errno == ENODEV; /* the cgroup was removed: the sandbox is gone */
    text[n] = '\0';
    return strstr(text, "populated 0") != NULL;
}

static size_t members_read(const struct exec_cgroup *cgroup, pid_t **ret)
{
    int fd = openat(cgroup->dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    pid_t *pids = NULL;
    size_t n = 0;
    int pid;

    if (!file && fd >= 0)
        close(fd);
    while (file && fscanf(file, "%d", &pid) == 1) {
        pid_t *bigger = n % 64 ? pids : realloc(pids, (n + 64) * sizeof *pids);

        if (!bigger)
            break;
        pids = bigger;
        pids[n++] = pid;
    }
    if (file)
        fclose(file);
    *ret = pids;
    return n;
}

static bool is_member(const struct exec_cgroup *cgroup, pid_t pid)
{
    cleanup_free pid_t *pids = NULL;
    size_t n = members_read(cgroup, &pids);

    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

void cgroup_signal(const struct exec_cgroup *cgroup, int sig)
{
    cleanup_free pid_t *pids = NULL;
    size_t n = members_read(cgroup, &pids);

    for (size_t i = 0; i < n; i++) {
        /* The pidfd comes before the second look at the list, so that a reused pid is not hit. */
        cleanup_fd int fd = pids[i] > 0 ? (int)syscall(SYS_pidfd_open, pids[i], 0) : -1;

        if (fd < 0 || !is_member(cgroup, pids[i]))
            continue;
        (void)pidfd_signal(fd, sig);
        (void)pidfd_signal(fd, SIGCONT); /* a stopped process acts on no signal but SIGKILL and this one */
    }
}

void cgroup_kill(const struct exec_cgroup *cgroup)
{
    (void)!write(cgroup->kill_fd, "1", 1);
}
