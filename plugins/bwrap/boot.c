/* Starting bubblewrap and learning who the sandbox's init is. */
#include "bwrap.h"

#include "box_cgroup.h"
#include "cgroup.h"
#include "child.h"
#include "error.h"
#include "json.h"
#include "oom.h"
#include "runtime.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

int bwrap_open(const struct bwrap_settings *settings, char *ret_path, size_t size)
{
    static const char *const places[] = { "/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap" };
    int fd = -1;

    if (settings->bwrap_path[0]) {
        snprintf(ret_path, size, "%s", settings->bwrap_path);
        fd = open(ret_path, O_PATH | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    for (size_t i = 0; fd < 0 && i < ARRAY_LEN(places); i++) {
        snprintf(ret_path, size, "%s", places[i]);
        fd = open(ret_path, O_PATH | O_CLOEXEC);
    }
    return fd < 0 ? -ENOENT : fd;
}

static int text_memfd(char *text)
{
    cleanup_free char *owned = text;
    cleanup_fd int fd = memfd_create("stockade-etc", MFD_CLOEXEC);
    int err;

    if (!owned)
        return -ENOMEM;
    if (fd < 0)
        return -errno;
    err = write_all(fd, text, strlen(text));
    if (!err && lseek(fd, 0, SEEK_SET) < 0)
        err = -errno;
    return err ? err : take_fd(&fd);
}

/* bubblewrap writes {"child-pid": N, ...} and closes. */
static int32_t info_read(struct op *op, int fd, pid_t *ret)
{
    char text[1024];
    size_t len = 0;
    int64_t until = now_ns() + HANG_NS, pid;
    bool ok = true;
    cJSON *json;

    for (;;) {
        int32_t status = op_wait_readable(op, fd, until, "bubblewrap");
        ssize_t n;

        if (status)
            return status;
        n = read(fd, text + len, sizeof text - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len == sizeof text)
            break;
    }
    if (!len)
        return op_fail(op, RT_E_UNAVAILABLE, 0, "bubblewrap could not set the sandbox up");
    json = json_parse_object(text, len);
    pid = json ? json_int(json, "child-pid", 2, INT32_MAX, 0, &ok) : 0;
    cJSON_Delete(json);
    if (!pid)
        return op_fail(op, RT_E_PROTOCOL, 0, "bubblewrap's report is malformed");
    *ret = (pid_t)pid;
    return RT_OK;
}

/* All that is made for one start; closed and freed together. */
struct launch {
    const struct boot *boot;
    bool is_root;
    struct root_list host_root, root;
    struct argv argv;
    struct stage stage;
    int fds[BWRAP_FD_COUNT], n_fds;
    int exec_fd, info_fd, output_fd;
};

static void launch_release(struct launch *launch)
{
    root_list_release(&launch->host_root);
    root_list_release(&launch->root);
    argv_release(&launch->argv);
    stage_release(&launch->stage);
    for (size_t i = 0; i < BWRAP_FD_COUNT; i++)
        fd_closep(&launch->fds[i]);
    fd_closep(&launch->exec_fd);
    fd_closep(&launch->info_fd);
    fd_closep(&launch->output_fd);
}

/*
 * A pipe that never breaks for who writes to it, as that end reads, too. bubblewrap's report must not fail when the
 * host has died: its other process would then wait for ever to be told to go on.
 */
static int lasting_pipe(int *ret_read, int *ret_write)
{
    char path[32];
    int pair[2], err;

    if (pipe2(pair, O_CLOEXEC) < 0)
        return errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", pair[1]);
    *ret_write = open(path, O_RDWR | O_CLOEXEC);
    err = *ret_write < 0 ? errno : 0;
    close(pair[1]);
    *ret_read = pair[0];
    return err;
}

static int32_t launch_fds(struct op *op, struct launch *launch)
{
    const struct bwrap_settings *settings = (const struct bwrap_settings *)op->rt->settings;
    const struct identity *identity = launch->boot->identity;
    const char *id = launch->boot->spec->id;
    int output[2], err = lasting_pipe(&launch->info_fd, &launch->fds[BWRAP_INFO_FD]);

    if (err)
        return op_fail(op, error_status(err), err, "pipe");
    if (pipe2(output, O_CLOEXEC) < 0)
        return op_fail(op, error_status(errno), errno, "pipe");
    launch->output_fd = output[0];
    launch->fds[2] = output[1];
    launch->fds[BWRAP_PASSWD_FD] = text_memfd(passwd_text(identity));
    launch->fds[BWRAP_GROUP_FD] = text_memfd(group_text(identity));
    launch->fds[BWRAP_HOSTS_FD] = text_memfd(hosts_text(id));
    launch->fds[BWRAP_HOSTNAME_FD] = text_memfd(hostname_text(id));
    launch->fds[BWRAP_NSSWITCH_FD] = text_memfd(nsswitch_text());
    launch->fds[BWRAP_ARGUMENTS_FD] = seccomp_filter_fd(SECCOMP_ARGUMENTS, settings->user_namespaces);
    launch->n_fds = BWRAP_CALLS_FD;
    if (settings->seccomp)
        launch->fds[launch->n_fds++] = seccomp_filter_fd(SECCOMP_CALLS, settings->user_namespaces);
    for (int i = BWRAP_PASSWD_FD; i < launch->n_fds; i++)
        if (launch->fds[i] < 0)
            return op_fail(op, error_status(-launch->fds[i]), -launch->fds[i], "prepare bubblewrap's files");
    return RT_OK;
}

static int32_t launch_plan(struct op *op, struct launch *launch, const struct boot *boot)
{
    const struct bwrap_settings *settings = (const struct bwrap_settings *)op->rt->settings;
    struct argv_sources sources = { .root = settings->rootfs,
                                    .is_host_root = !settings->rootfs[0],
                                    .workspace = boot->workspace_source,
                                    .agent = boot->agent,
                                    .boot_dir = boot->boot_dir,
                                    .has_calls_filter = settings->seccomp,
                                    .has_userns = settings->user_namespaces };
    const char *root = settings->rootfs[0] ? settings->rootfs : "/";
    int err = root_list_read("/", true, &launch->host_root);

    if (!err)
        err = root_list_read(root, sources.is_host_root, &launch->root);
    if (err)
        return op_fail(op, error_status(-err), -err, "read %s", root);
    if (launch->is_root) {
        stage_plan(&launch->stage, settings, &launch->host_root, boot);
        sources.root = sources.is_host_root ? "" : STAGE_ROOTFS;
        sources.workspace = STAGE_WORKSPACE;
        sources.agent = STAGE_AGENT;
        sources.boot_dir = STAGE_BOOT_DIR;
    }
    argv_build(boot->spec, boot->identity, &launch->root, &sources, &launch->argv);
    if (launch->argv.failed || launch->stage.failed)
        return op_fail(op, RT_E_NOMEM, 0, "plan the sandbox");
    return RT_OK;
}

/* In the child. */
CHILD_CODE static int launch_prepare(void *arg)
{
    const struct launch *launch = arg;
    int err = limits_enter(&launch->boot->spec->limits, launch->boot->controllers);

    return err || !launch->is_root ? err : stage_enter(&launch->stage);
}

static int32_t launch_start(struct op *op, struct launch *launch, struct boot *boot)
{
    const struct bwrap_settings *settings = (const struct bwrap_settings *)op->rt->settings;
    char path[PATH_MAX], *env[] = { NULL };
    struct child_spec child = { .argv = launch->argv.items,
                                .env = env,
                                .fds = launch->fds,
                                .n_fds = launch->n_fds,
                                .cgroups = boot->cgroup_tasks_fds,
                                .n_cgroups = boot->n_cgroup_tasks,
                                .cgroup = boot->cgroup_init_fd < 0 ? NULL : &boot->cgroup_init_fd,
                                .prepare = launch_prepare,
                                .arg = launch };
    int32_t status;
    pid_t pid;

    launch->exec_fd = bwrap_open(settings, path, sizeof path);
    if (launch->exec_fd == -ENOENT)
        return op_fail(op, RT_E_UNAVAILABLE, 0, "bubblewrap is not installed (no bwrap found)");
    if (launch->exec_fd < 0)
        return op_fail(op, RT_E_UNAVAILABLE, -launch->exec_fd, "open %s", path);
    child.exec_fd = launch->exec_fd;
    pid = child_start(&child);
    if (pid < 0)
        return op_fail(op, RT_E_UNAVAILABLE, -pid, "start %s", path);
    for (size_t i = 0; i < BWRAP_FD_COUNT; i++)
        fd_closep(&launch->fds[i]); /* our copies of the pipes' ends would hide their end */
    boot->output_fd = take_fd(&launch->output_fd);
    cgroup_moves_prepare(boot->cgroup_init_fd, pid);
    status = info_read(op, launch->info_fd, &boot->init_pid);
    if (status) {
        /*
         * Until bubblewrap lets it run, its child waits for a word that a killed bubblewrap never says. Both are in the
         * process group that child_start() made; a child that has left it runs, and ends as its agent finds no host.
         */
        (void)kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return status;
    }
    boot->monitor_pid = pid;
    return RT_OK;
}

int32_t bwrap_boot(struct op *op, struct boot *boot)
{
    struct launch launch = { .boot = boot, .is_root = geteuid() == 0, .exec_fd = -1, .info_fd = -1, .output_fd = -1 };
    int32_t status =
        limits_check((const struct bwrap_settings *)op->rt->settings, &boot->spec->limits, boot->controllers, op->err);

    for (size_t i = 0; i < BWRAP_FD_COUNT; i++)
        launch.fds[i] = -1;
    if (!status)
        status = launch_plan(op, &launch, boot);
    if (!status)
        status = launch_fds(op, &launch);
    if (!status)
        status = launch_start(op, &launch, boot);
    launch_release(&launch);
    if (!status)
        snprintf(boot->backend_id, sizeof boot->backend_id, "%d", (int)boot->init_pid);
    return status;
}

bool bwrap_died_why(struct op *op, const struct record *record, char *why, size_t size)
{
    bool is_v1 = false;
    cleanup_fd int dir = -1, count = -1;
    enum oom_verdict verdict;

    if (proc_id_is_alive(&record->init)) /* it is something else that has died */
        return true;
    dir = box_cgroup_open(op, record, CGROUP_MEMORY, &is_v1);
    count = oom_open(dir, is_v1);
    verdict = oom_verdict(&record->init);
    if (verdict == OOM_KILLED)
        snprintf(why, size, "its init process was killed for want of memory");
    else if (verdict == OOM_UNKNOWN && oom_kills(count))
        snprintf(why, size, "its init process has died, where the kernel had killed for want of memory");
    return true;
}
