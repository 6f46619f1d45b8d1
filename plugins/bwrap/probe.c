/* Whether sandboxes can be started here, and what to do if not. */
#include "bwrap.h"

#include "cgroup.h"
#include "child.h"
#include "info.h"
#include "runtime.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Runs bubblewrap with arguments, collects what it says; returns its exit status, -1 if it could not be run. */
static int bwrap_run(int exec_fd, char *const *argv, char *ret, size_t size)
{
    char *env[] = { NULL };
    int output[2], status = -1;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    ret[0] = '\0';
    if (pipe2(output, O_CLOEXEC) < 0)
        return -1;
    pid = child_start(&(struct child_spec){
        .exec_fd = exec_fd, .argv = argv, .env = env, .fds = (int[]){ -1, output[1], output[1] }, .n_fds = 3 });
    close(output[1]);
    while (pid > 0 && len < size - 1 && (n = read(output[0], ret + len, size - 1 - len)) != 0)
        len += n > 0 ? (size_t)n : 0;
    close(output[0]);
    ret[len] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    if (pid < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Not with the whole root: bubblewrap fails where a mount below it goes meanwhile, such as a container's. */
static bool namespaces_work(int fd, char *why, size_t size)
{
    struct argv argv = { 0 };
    bool work;

    argv_add(&argv, "bwrap", "--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-net", NULL);
    argv_add(&argv, "--ro-bind", "/usr", "/usr", "--ro-bind-try", "/bin", "/bin", "--ro-bind-try", "/lib", "/lib",
             NULL);
    argv_add(&argv, "--ro-bind-try", "/lib64", "/lib64", "--proc", "/proc", "--", "/bin/true", NULL);
    why[0] = '\0';
    work = !argv.failed && bwrap_run(fd, argv.items, why, size) == 0;
    argv_release(&argv);
    return work;
}

static void probe_program(const struct bwrap_settings *settings, struct probe_list *list)
{
    char path[PATH_MAX], text[256];
    cleanup_fd int fd = bwrap_open(settings, path, sizeof path);

    if (fd < 0) {
        probe_list_add(list, RT_CHECK_FAIL, "bubblewrap", "no bwrap found", "apt-get install bubblewrap");
        return;
    }
    if (bwrap_run(fd, (char *[]){ (char *)"bwrap", (char *)"--version", NULL }, text, sizeof text) != 0) {
        probe_list_add(list, RT_CHECK_FAIL, "bubblewrap", text, "reinstall bubblewrap");
        return;
    }
    probe_list_version(list, text);
    probe_list_add(list, RT_CHECK_OK, "bubblewrap", path, "");
    if (namespaces_work(fd, text, sizeof text))
        probe_list_add(list, RT_CHECK_OK, "namespaces", "user, pid and network namespaces can be made", "");
    else
        probe_list_add(list, RT_CHECK_FAIL, "namespaces", text[0] ? text : "bubblewrap failed",
                       "allow user namespaces: sysctl user.max_user_namespaces (> 0), "
                       "kernel.unprivileged_userns_clone=1 (Debian), "
                       "kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile for bwrap (Ubuntu); "
                       "bubblewrap must be 0.8 or newer");
}

static void probe_fusermount(struct probe_list *list)
{
    if (geteuid() == 0)
        return;
    if (access("/usr/bin/fusermount3", X_OK) == 0 || access("/bin/fusermount3", X_OK) == 0)
        probe_list_add(list, RT_CHECK_OK, "fusermount3", "found", "");
    else
        probe_list_add(list, RT_CHECK_FAIL, "fusermount3", "not found", "apt-get install fuse3");
}

static void probe_cgroup(struct op *op, struct probe_list *list)
{
    const rt_limits none = { .size = sizeof none };
    struct cgroup_made made = CGROUP_MADE_INIT;
    char box[PATH_MAX];

    snprintf(box, sizeof box, "%s/probe-%d", op->rt->dir, (int)getpid());
    (void)cgroup_make(op, box, &none, &made);
    cgroup_made_release(&made);
    (void)cgroup_destroy(box, made.path);
    if (made.path[0]) {
        probe_list_add(list, RT_CHECK_OK, "cgroup", "processes are ended by cgroup.kill", "");
    } else {
        probe_list_add(list, RT_CHECK_WARN, "cgroup",
                       "no writable cgroup v2 tree: processes are ended by walking /proc",
                       "run as root, or in a delegated cgroup: systemd-run --user --scope -p Delegate=yes");
    }
}

static void probe_limits(struct probe_list *list)
{
    uint32_t missing = (CGROUP_MEMORY | CGROUP_CPU | CGROUP_PIDS) & ~cgroup_tree_controllers(cgroup_tree_get());

    if (!missing)
        probe_list_add(list, RT_CHECK_OK, "limits", "memory, CPU and pids are limited by cgroups", "");
    else
        probe_list_add(list, RT_CHECK_WARN, "limits",
                       missing & CGROUP_MEMORY ? "no cgroup can limit memory here"
                                               : "no cgroup can limit CPU or pids here",
                       "run as root, or in a delegated cgroup of v2: systemd-run --user --scope -p Delegate=yes");
}

void bwrap_probe(struct op *op, struct probe_list *list)
{
    probe_program((const struct bwrap_settings *)op->rt->settings, list);
    probe_fuse(list);
    probe_fusermount(list);
    probe_helpers(op->rt, list);
    probe_cgroup(op, list);
    probe_limits(list);
}
