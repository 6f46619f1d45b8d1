#include "box.h"

#include "agent_client.h"
#include "cgroup.h"
#include "changes.h"
#include "children.h"
#include "error.h"
#include "mounts.h"
#include "pause.h"
#include "permfs_client.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define KILL_WAIT_MS 5000
#define FALL_NS      (5 * NS_PER_S) /* for undoing a start at the least */

/* Where things of a sandbox lie on the host. */
struct paths {
    char *box, *mnt, *boot, *agent;
};

static void paths_release(struct paths *paths)
{
    free(paths->box);
    free(paths->mnt);
    free(paths->boot);
    free(paths->agent);
}

static char *join(const char *a, const char *b, const char *c)
{
    char *path;

    return asprintf(&path, "%s%s%s", a, b, c) < 0 ? NULL : path;
}

static int32_t paths_make(struct op *op, const char *id, struct paths *ret)
{
    ret->box = join(op->rt->dir, "/boxes/", id);
    ret->mnt = runtime_mount_point(op->rt, id);
    ret->boot = ret->box ? join(ret->box, "/boot", "") : NULL;
    ret->agent = join(op->rt->libexec, "/agent", "");
    return ret->box && ret->mnt && ret->boot && ret->agent ? RT_OK : op_fail(op, RT_E_NOMEM, 0, "paths");
}

/* ---- up ---- */

/* What box_up() has made so far and a failure must undo, beside what the record knows. */
struct rise {
    struct locked *locked;
    struct paths paths;
    struct permfs permfs;
    struct boot boot;
    struct cgroup_made cgroups;
    int boot_dir_fd, boot_fd, listen_fd, init_fd, lease_fd;
    int host_fd;                /* pidfd of this process */
    int notes_fds[2], ended_fd; /* pipe from the agent to permfs, and where permfs writes what it says to */
};

/* As many as a start and its undoing need at once. */
#define FDS_NEEDED 32

static int32_t step_fds(struct op *op, struct rise *rise)
{
    (void)rise;
    return op_need_fds(op, FDS_NEEDED, "a start");
}

static int32_t step_identity(struct op *op, struct rise *rise)
{
    struct record *record = &rise->locked->record;
    struct stat st;

    if (stat(record->spec.codebase, &st) < 0)
        return op_fail(op, error_status(errno), errno, "codebase '%s'", record->spec.codebase);
    if (!S_ISDIR(st.st_mode))
        return op_fail(op, RT_E_IO, ENOTDIR, "codebase '%s'", record->spec.codebase);
    return op->rt->backend->identify(op->rt->settings, &record->spec, &st, &record->identity, op->err);
}

static int32_t step_directory(struct op *op, struct rise *rise)
{
    int box_fd = rise->locked->box_fd;
    int err = dir_make(AT_FDCWD, rise->paths.mnt, 0700);

    if (!err)
        err = dir_make(box_fd, "boot", 0755);
    if (err)
        return op_fail(op, error_status(-err), -err, "%s", rise->paths.box);
    rise->boot_dir_fd = openat(box_fd, "boot", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (rise->boot_dir_fd < 0)
        return op_fail(op, error_status(errno), errno, "%s", rise->paths.boot);
    return RT_OK;
}

static int32_t step_cgroups(struct op *op, struct rise *rise)
{
    struct record *record = &rise->locked->record;
    int32_t status = RT_OK;

    if (!op->rt->backend->own_cgroup)
        status = cgroup_make(op, rise->paths.box, &record->spec.limits, &rise->cgroups);
    strcpy(record->cgroup, rise->cgroups.path);
    record->controllers = rise->cgroups.controllers;
    return status;
}

static int32_t step_workspace(struct op *op, struct rise *rise)
{
    struct record *record = &rise->locked->record;
    int32_t status = changes_before_start(op, record, rise->locked->box_fd);

    if (!status)
        status = permfs_start(op, rise->locked, rise->paths.mnt, &rise->permfs);

    if (status)
        return status;
    record->permfs = proc_id_of(rise->permfs.pid);
    /* On disk before anything else starts: should this process die now, the daemon will be found. */
    return record_save(op, rise->locked->box_fd, record);
}

static int32_t step_sockets(struct op *op, struct rise *rise)
{
    const struct backend *backend = op->rt->backend;

    rise->locked->record.relayed = backend->relays && backend->relays(op->rt->settings);
    if (rise->locked->record.relayed)
        return RT_OK;
    /* Whoever the sandbox runs as must be able to connect, once; the agent's socket is only for us. */
    rise->boot_fd = socket_listen(rise->boot_dir_fd, BOOT_SOCKET, 0666);
    if (rise->boot_fd < 0)
        return op_fail(op, error_status(-rise->boot_fd), -rise->boot_fd, "boot socket");
    rise->listen_fd = socket_listen(rise->locked->box_fd, "agent.sock", 0600);
    if (rise->listen_fd < 0)
        return op_fail(op, error_status(-rise->listen_fd), -rise->listen_fd, "agent socket");
    return RT_OK;
}

/*
 * By which the agent tells permfs why the sandbox's time is over. An agent that is sent nothing opens it by its name,
 * which is gone before anything else runs inside.
 */
static int32_t step_notes(struct op *op, struct rise *rise)
{
    int err = 0;

    if (rise->locked->record.relayed)
        rise->notes_fds[0] = err = fifo_open(rise->boot_dir_fd, BOOT_NOTES, 0622);
    else if (pipe2(rise->notes_fds, O_CLOEXEC | O_NONBLOCK) < 0)
        err = -errno;
    return err < 0 ? op_fail(op, error_status(-err), -err, "a pipe") : RT_OK;
}

static int32_t step_boot(struct op *op, struct rise *rise)
{
    struct record *record = &rise->locked->record;
    int32_t status;

    rise->boot.spec = &record->spec;
    rise->boot.identity = &record->identity;
    rise->boot.workspace_source = rise->paths.mnt;
    rise->boot.agent = rise->paths.agent;
    rise->boot.boot_dir = rise->paths.boot;
    rise->boot.cgroup_init_fd = rise->cgroups.init_fd;
    rise->boot.cgroup_tasks_fds = rise->cgroups.tasks_fds;
    rise->boot.n_cgroup_tasks = rise->cgroups.n_tasks;
    rise->boot.controllers = rise->cgroups.controllers;
    status = op->rt->backend->boot(op, &rise->boot);
    if (status)
        return status;
    strcpy(record->backend_id, rise->boot.backend_id);
    record->monitor = proc_id_of(rise->boot.monitor_pid);
    children_add(rise->boot.monitor_pid);
    errno = 0;
    record->init = proc_id_of(rise->boot.init_pid);
    rise->init_fd = record->init.pid ? proc_id_open(&record->init) : -(errno ? errno : ESRCH);
    if (error_status(-rise->init_fd) == RT_E_RESOURCE)
        return op_fail(op, RT_E_RESOURCE, -rise->init_fd, "look at the sandbox's init");
    if (rise->init_fd < 0)
        return op_fail(op, RT_E_UNAVAILABLE, 0, "the sandbox's init ended at once");
    return RT_OK;
}

static int32_t step_guard(struct op *op, struct rise *rise)
{
    bool is_hosts = rise->locked->record.spec.lifetime == RT_LIFETIME_HOST;

    rise->ended_fd = record_ended_make(rise->locked->box_fd);
    if (rise->ended_fd < 0)
        return op_fail(op, error_status(-rise->ended_fd), -rise->ended_fd, "%s/ended", rise->paths.box);
    rise->host_fd = proc_self_open();
    if (rise->host_fd < 0)
        return op_fail(op, error_status(-rise->host_fd), -rise->host_fd, "pidfd of this process");
    return permfs_guard(op, rise->permfs.fd, rise->init_fd, rise->notes_fds[0], rise->ended_fd,
                        is_hosts ? rise->host_fd : -1);
}

static int32_t step_agent(struct op *op, struct rise *rise)
{
    const struct record *record = &rise->locked->record;
    const struct agent_terms terms = {
        .stop_grace_ms = (uint32_t)op->rt->settings->stop_grace_ms,
        .max_lifetime_ms = record->spec.max_lifetime_ms,
        .idle_timeout_ms = record->spec.idle_timeout_ms,
        .listen_fd = rise->listen_fd,
        .notes_fd = rise->notes_fds[1],
        .host_fd = rise->host_fd,
    };

    if (record->relayed) { /* boot() has reached it */
        rise->lease_fd = take_fd(&rise->boot.lease_fd);
        return RT_OK;
    }
    return agent_boot(op, rise->boot_fd, record->init.pid, rise->init_fd, &terms, now_ns() + HANG_NS, &rise->lease_fd);
}

static int32_t step_record(struct op *op, struct rise *rise)
{
    struct record *record = &rise->locked->record;
    struct live *live;
    int32_t status;

    (void)unlinkat(rise->boot_dir_fd, BOOT_SOCKET, 0);
    (void)unlinkat(rise->boot_dir_fd, BOOT_NOTES, 0);
    record->status = RT_SANDBOX_RUNNING;
    record->started_us = now_real_us();
    record->last_error[0] = '\0';
    record->generation++;
    status = live_from_record(op, record, &live);
    if (status)
        return status;
    status = record_save(op, rise->locked->box_fd, record);
    if (status) {
        live_unref(live);
        return status;
    }
    if (record->spec.lifetime == RT_LIFETIME_HOST) {
        live->lease_fd = take_fd(&rise->lease_fd);
        live->permfs_fd = take_fd(&rise->permfs.fd);
    }
    live_publish(op->rt, live);
    return RT_OK;
}

/* Now that any process can find it, a persistent one no longer needs this one. */
static int32_t step_release(struct op *op, struct rise *rise)
{
    return rise->lease_fd < 0 ? RT_OK : agent_release(op, rise->lease_fd);
}

static const struct {
    const char *name;
    int32_t (*run)(struct op *op, struct rise *rise);
} steps[] = {
    { "count the free fds", step_fds },
    { "check the codebase", step_identity },
    { "prepare the sandbox's directory", step_directory },
    { "make the cgroups", step_cgroups },
    { "mount the workspace", step_workspace },
    { "make the sockets", step_sockets },
    { "make the agent's way to permfs", step_notes },
    { "boot the sandbox", step_boot },
    { "guard the sandbox", step_guard },
    { "reach the agent", step_agent },
    { "record the start", step_record },
    { "release the agent", step_release },
};

/* What the backend said before it failed, behind the message. */
static void add_output(struct op *op, struct rise *rise, int32_t status)
{
    char text[200], why[sizeof op->err->message];
    ssize_t n;

    if (rise->boot.output_fd < 0 || fcntl(rise->boot.output_fd, F_SETFL, O_NONBLOCK) < 0)
        return;
    n = read(rise->boot.output_fd, text, sizeof text - 1);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    if (n > 0) {
        text[n] = '\0';
        snprintf(why, sizeof why, "%s", op->err->message);
        op_fail(op, status, 0, "%.250s (%s)", why, text);
    }
}

/* A caller who has no time left is not kept much longer by a backend that stands still: what that leaves, a later open
 * finds. */
static int64_t fall_deadline(struct op *op)
{
    int64_t least = now_ns() + FALL_NS;
    struct op aside; /* op's own error is why it falls */

    if (op->deadline_ns)
        return op->deadline_ns > least ? op->deadline_ns : least;
    op_init_aside(&aside, op);
    return op_check(&aside) ? least : 0;
}

static int32_t box_fall(struct op *op, struct rise *rise, int32_t status, const char *step)
{
    struct record *record = &rise->locked->record;
    struct op quiet;

    add_output(op, rise, status);
    op_wrap(op, status, "%s", step);
    op_init_quiet(&quiet, op->rt);
    quiet.deadline_ns = fall_deadline(op);
    record->monitor.pid = record->monitor.pid ? record->monitor.pid : rise->boot.monitor_pid;
    if (box_down(&quiet, rise->locked, false))
        runtime_log(op->rt, RT_LOG_WARN, "undoing the start of '%s': %s", record->spec.id, quiet.err->message);
    record->status = RT_SANDBOX_ERROR;
    snprintf(record->last_error, sizeof record->last_error, "%s", op->err->message);
    (void)record_save(&quiet, rise->locked->box_fd, record);
    return status;
}

int32_t box_up(struct op *op, struct locked *locked)
{
    struct rise rise = { .locked = locked,
                         .permfs = { .fd = -1 },
                         .boot = { .lease_fd = -1, .output_fd = -1 },
                         .cgroups = CGROUP_MADE_INIT,
                         .boot_dir_fd = -1,
                         .boot_fd = -1,
                         .listen_fd = -1,
                         .init_fd = -1,
                         .lease_fd = -1,
                         .host_fd = -1,
                         .notes_fds = { -1, -1 },
                         .ended_fd = -1 };
    int32_t status = paths_make(op, locked->record.spec.id, &rise.paths);

    for (size_t i = 0; !status && i < ARRAY_LEN(steps); i++) {
        status = steps[i].run(op, &rise);
        if (status)
            status = box_fall(op, &rise, status, steps[i].name);
    }
    fd_closep(&rise.permfs.fd);
    fd_closep(&rise.boot.output_fd);
    fd_closep(&rise.boot.lease_fd);
    fd_closep(&rise.boot_dir_fd);
    fd_closep(&rise.boot_fd);
    fd_closep(&rise.listen_fd);
    fd_closep(&rise.init_fd);
    fd_closep(&rise.lease_fd);
    fd_closep(&rise.host_fd);
    fd_closep(&rise.notes_fds[0]);
    fd_closep(&rise.notes_fds[1]);
    fd_closep(&rise.ended_fd);
    cgroup_made_release(&rise.cgroups);
    paths_release(&rise.paths);
    return status;
}

/* ---- down ---- */

/* How long after SIGKILL an init takes to be gone at most, unless something in it waits for a filesystem that hangs. */
#define HUNG_AFTER_MS 300

static int32_t init_end(struct op *op, const struct record *record, const char *mnt, bool grace)
{
    cleanup_fd int fd = proc_id_open(&record->init);
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    int grace_ms = (int)op->rt->settings->stop_grace_ms + 500; /* the agent keeps to its grace time itself */

    if (fd == -ESRCH)
        return RT_OK;
    if (fd < 0)
        return op_fail(op, error_status(-fd), -fd, "end the sandbox's init");
    if (grace && pidfd_signal(fd, SIGTERM) == 0 && poll(&pfd, 1, grace_ms) > 0)
        return RT_OK;
    /* The kernel ends all others in its pid namespace before it ends the init. */
    (void)pidfd_signal(fd, SIGKILL);
    if (poll(&pfd, 1, HUNG_AFTER_MS) > 0)
        return RT_OK;
    if (!mount_abort(mnt)) /* nothing but that and the daemon's end ends who waits for an answer */
        permfs_kill(&record->permfs);
    (void)poll(&pfd, 1, KILL_WAIT_MS);
    return RT_OK;
}

/* The backend's process outside ends by itself once the init has; reaped if it is our child. */
static void monitor_end(const struct proc_id *id)
{
    cleanup_fd int fd = proc_id_open(id);
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    if (fd >= 0 && poll(&pfd, 1, 1000) <= 0) {
        (void)pidfd_signal(fd, SIGKILL);
        (void)poll(&pfd, 1, KILL_WAIT_MS);
    }
    (void)child_reap(id);
}

static int32_t cgroups_end(struct op *op, const struct record *record, const char *box)
{
    int err = op->rt->backend->own_cgroup ? 0 : cgroup_destroy(box, record->cgroup);

    return err ? op_fail(op, error_status(-err), -err, "remove the sandbox's cgroups") : RT_OK;
}

/* All of it, in the order in which one thing stands on the other. */
static int32_t parts_end(struct op *op, struct locked *locked, const struct live *live, const struct paths *paths,
                         bool grace)
{
    struct record *record = &locked->record;
    int32_t status, ended = RT_OK;

    pause_lift(op, record, locked->box_fd);
    status = init_end(op, record, paths->mnt, grace);
    if (status)
        return status;
    if (op->rt->backend->end)
        ended = op->rt->backend->end(op, record);
    if (!ended)
        record->backend_id[0] = '\0';
    monitor_end(&record->monitor);
    status = cgroups_end(op, record, paths->box);
    if (!status)
        status = permfs_end(op, &record->permfs, live ? live->permfs_fd : -1, locked->box_fd, paths->mnt);
    if (!status && op->rt->mount_base)
        (void)rmdir(paths->mnt);
    return ended ? ended : status;
}

int32_t box_down(struct op *op, struct locked *locked, bool grace)
{
    struct record *record = &locked->record;
    struct live *live = live_withdraw(op->rt, record->spec.id);
    struct paths paths = { 0 };
    int32_t status = paths_make(op, record->spec.id, &paths);

    children_reap();
    if (!status)
        status = parts_end(op, locked, live, &paths, grace);
    live_unref(live);
    paths_release(&paths);
    if (status) /* the record goes on telling what may be left */
        return status;
    (void)unlinkat(locked->box_fd, "agent.sock", 0);
    (void)unlinkat(locked->box_fd, "boot/" BOOT_SOCKET, 0);
    (void)unlinkat(locked->box_fd, "boot/" BOOT_NOTES, 0);
    record->init = record->monitor = record->permfs = (struct proc_id){ 0 };
    record->cgroup[0] = '\0';
    record->controllers = 0;
    return RT_OK;
}
