#include "cgroup.h"

#include "cgroup_limits.h"
#include "error.h"
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
#define REMOVE_WAIT_MS 10000

struct cgroup_pool {
    int dir_fd;           /* the sandbox's cgroup */
    pthread_mutex_t lock; /* guards what follows; not held across I/O */
    struct exec_cgroup *idle;
    unsigned n_idle;
    atomic_uint serial;
};

/* ---- removing ---- */

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

static int cgroup_remove(const char *path)
{
    for (int waited = 0; waited < REMOVE_WAIT_MS; waited += 5) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
            return errno == ENOENT ? 0 : -errno;
        kill_below(fd);
        remove_below(fd);
        if (rmdir(path) == 0 || errno == ENOENT) {
            remove_parent(path);
            return 0;
        }
        usleep(5000); /* killed is not gone yet */
    }
    return -EBUSY;
}

/* ---- making ---- */

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

/* BASE/stockade/SANDBOX; false if that is too long. */
static bool path_make(const char *base, const char *box_path, char *ret, size_t size)
{
    int len = snprintf(ret, size, "%s/stockade/%.80s-%08x", base, strrchr(box_path, '/') + 1, (unsigned)hash(box_path));

    return len > 0 && (size_t)len < size;
}

/*
 * To be entered through this fd. Not counted in if it cannot be opened. By "tasks", a thread that moves itself needs to
 * wait for nobody (9a3284fad42f in Linux); by "cgroup.procs" it waits for a grace period of RCU.
 */
static bool tasks_add(struct cgroup_made *made, const char *path)
{
    char file[CGROUP_PATH_MAX * 2 + 8];
    int fd;

    snprintf(file, sizeof file, "%s/tasks", path);
    fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    made->tasks_fds[made->n_tasks++] = fd;
    return true;
}

static int32_t limits_write(struct op *op, const char *path, bool is_v1, uint32_t controllers, const rt_limits *limits)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *file = "";
    int err = fd < 0 ? errno : cgroup_limits_write(fd, is_v1, controllers, limits, CGROUP_OUTSIDE_PIDS, &file);

    return err ? op_fail(op, error_status(err), err, "limits: write %s/%s", path, file) : RT_OK;
}

/* Its own in v2, and init/ in it for what boots the sandbox: commands' cgroups lie beside that. */
static bool v2_make(struct cgroup_made *made)
{
    char init[sizeof made->path + 8];

    snprintf(init, sizeof init, "%s/init", made->path);
    if (mkdir(init, 0755) < 0 && errno != EEXIST)
        return false;
    made->init_fd = open(init, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return made->init_fd >= 0 && faccessat(made->init_fd, "cgroup.kill", W_OK, 0) == 0 &&
           faccessat(made->init_fd, "cgroup.procs", W_OK, 0) == 0;
}

/* Passes the controllers on from the base to the sandbox's cgroup, and says which of them came there. */
static uint32_t v2_enable(const struct cgroup_tree *tree, const char *path)
{
    cleanup_fd int base = open(tree->v2_base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ours = -1, box = -1;

    if (!tree->v2_controllers || base < 0)
        return 0;
    ours = openat(base, "stockade", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ours < 0)
        return 0;
    cgroup_enable_below(base, tree->v2_controllers);
    cgroup_enable_below(ours, tree->v2_controllers);
    box = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return cgroup_controllers_at(box);
}

static int32_t make_v2(struct op *op, const struct cgroup_tree *tree, const char *box_path, const rt_limits *limits,
                       struct cgroup_made *made)
{
    uint32_t got;

    if (!tree->v2_base[0] || !kernel_will_do() ||
        !path_make(tree->v2_base, box_path, made->path, sizeof made->path - 32) || !make_two(made->path)) {
        made->path[0] = '\0';
        return RT_OK;
    }
    if (!v2_make(made)) {
        fd_closep(&made->init_fd);
        cgroup_remove(made->path);
        made->path[0] = '\0';
        return RT_OK;
    }
    got = v2_enable(tree, made->path);
    made->controllers |= got;
    return limits_write(op, made->path, false, got, limits);
}

static int32_t make_v1(struct op *op, const struct cgroup_v1 *v1, const char *box_path, const rt_limits *limits,
                       struct cgroup_made *made)
{
    char path[CGROUP_PATH_MAX * 2];

    if (!path_make(v1->mount, box_path, path, sizeof path) || !make_two(path))
        return RT_OK;
    if (!tasks_add(made, path)) {
        cgroup_remove(path);
        return RT_OK;
    }
    made->controllers |= v1->controllers;
    return limits_write(op, path, true, v1->controllers, limits);
}

int32_t cgroup_make(struct op *op, const char *box_path, const rt_limits *limits, struct cgroup_made *ret)
{
    const struct cgroup_tree *tree = cgroup_tree_get();
    int32_t status = make_v2(op, tree, box_path, limits, ret);

    for (size_t i = 0; !status && i < tree->n_v1; i++)
        /* Entering one for the CPU's sake alone can take milliseconds. */
        if (tree->v1[i].is_ours && (tree->v1[i].controllers & (cgroup_limits_need(limits) | ~CGROUP_CPU)))
            status = make_v1(op, &tree->v1[i], box_path, limits, ret);
    return status;
}

void cgroup_made_release(struct cgroup_made *made)
{
    fd_closep(&made->init_fd);
    for (size_t i = 0; i < made->n_tasks; i++)
        fd_closep(&made->tasks_fds[i]);
    made->n_tasks = 0;
}

void cgroup_moves_prepare(int init_fd, pid_t pid)
{
    cleanup_fd int fd = init_fd < 0 ? -1 : openat(init_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)!dprintf(fd, "%d", (int)pid);
}

int cgroup_destroy(const char *box_path, const char *path)
{
    const struct cgroup_tree *tree = cgroup_tree_get();
    char v1_path[CGROUP_PATH_MAX * 2], v2_path[CGROUP_PATH_MAX * 2];
    int err = 0;

    if (path[0])
        err = cgroup_remove(path);
    else if (tree->v2_base[0] && path_make(tree->v2_base, box_path, v2_path, sizeof v2_path))
        err = cgroup_remove(v2_path);
    for (size_t i = 0; i < tree->n_v1; i++)
        if (tree->v1[i].is_ours && path_make(tree->v1[i].mount, box_path, v1_path, sizeof v1_path)) {
            int other = cgroup_remove(v1_path);

            err = err ? err : other;
        }
    return err;
}

int cgroup_open(const char *box_path, const char *path, uint32_t controller, bool *ret_is_v1)
{
    const struct cgroup_v1 *v1 = cgroup_tree_v1(cgroup_tree_get(), controller);
    char v1_path[CGROUP_PATH_MAX * 2];

    *ret_is_v1 = v1 != NULL;
    if (!v1)
        return path[0] ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (!path_make(v1->mount, box_path, v1_path, sizeof v1_path))
        return -1;
    return open(v1_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- commands ---- */

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
