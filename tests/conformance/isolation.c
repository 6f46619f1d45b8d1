/* Contract N1, N2 and N4: what of the host a sandbox can see. Limits are in exec_tree.c. */
#include "fixture.h"

#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

static void invisible(const char *path)
{
    EXPECT_RUN(run_argv("box", ARGV("sh", "-c", "cat \"$1\" 2>/dev/null || ls -d \"$1\" 2>/dev/null || echo absent",
                                    "sh", path)),
               0, "absent\n");
}

CONFORMANCE_TEST(isolation, N4_the_hosts_files)
{
    const struct passwd *user = getpwuid(getuid());
    const char *homes[] = { getenv("HOME"), user ? user->pw_dir : NULL };
    char name[64], path[4096];

    snprintf(name, sizeof name, "stockade-planted-%d", (int)getpid());
    BOX_UP("box", WRITE_ALL);
    invisible(fx.state);
    invisible(fx.dir);
    invisible(fx.codebase);
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        if (!homes[i] || !strcmp(homes[i], "/") || !tree_put(homes[i], name, "S3CRET"))
            continue;
        snprintf(path, sizeof path, "%s/%s", homes[i], name);
        invisible(path);
        unlink(path);
    }
    HOST_MUST(tree_put("/tmp", name, "S3CRET"));
    snprintf(path, sizeof path, "/tmp/%s", name);
    invisible(path);
    unlink(path);
    EXPECT_RUN(sh("box", "ls -A /tmp; echo end"), 0, "end\n");
    invisible("/var/run/docker.sock");
    invisible("/run/docker.sock");
    invisible("/run/containerd/containerd.sock");
    invisible("/run/podman/podman.sock");
    invisible("/run/dbus/system_bus_socket");
}

CONFORMANCE_TEST(isolation, N4_the_hosts_environment)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = sh("box", "cat /proc/[0-9]*/environ 2>/dev/null; cat /proc/1/environ; env; set");
    cr_expect(!memmem(r->out, r->out_len, fx.secret, strlen(fx.secret)), "the host's environment is inside");
    cr_expect(!memmem(r->out, r->out_len, "STOCKADE_TEST", 13));
}

CONFORMANCE_TEST(isolation, N4_the_hosts_processes)
{
    const char *marker = marker_new(), *processes;
    const struct run *r;
    pid_t pid;
    int n = 0;

    HOST_MUST(posix_spawnp(&pid, "sleep", NULL, NULL, (char *const[]){ "sleep", (char *)marker, NULL }, environ) == 0);
    BOX_UP("box", WRITE_ALL);
    processes = box_processes("box");
    cr_expect(!strstr(processes, marker), "%s", processes);
    cr_expect(!strstr(processes, fx.state) && !strstr(processes, fx.codebase), "%s", processes);
    r = sh("box", "ls -d /proc/[0-9]* | wc -l");
    cr_expect(r->status == RT_OK && sscanf(r->out, "%d", &n) == 1 && n >= 2 && n < 10, "%s", run_describe(r));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Mount tables name what a mount comes from: nothing of the host's state may be read out of them. */
CONFORMANCE_TEST(isolation, N4_mount_tables)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = sh("box", "cat /proc/self/mountinfo /proc/self/mounts /proc/1/mountinfo 2>/dev/null");
    cr_expect(r->status == RT_OK && strstr(r->out, " /workspace "), "%s", run_describe(r));
    cr_expect(!strstr(r->out, fx.codebase), "the codebase's path on the host is inside: %s", r->out);
}

CONFORMANCE_TEST(isolation, N1_no_network_by_default)
{
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '"), 0, "lo\n");
}

CONFORMANCE_TEST(isolation, N1_networks_that_a_backend_lacks)
{
    static const struct {
        const char *network;
        uint64_t capability;
    } cases[] = { { "host", RT_CAP_NETWORK_HOST }, { "bridge", RT_CAP_NETWORK_BRIDGE }, { "no-such-network", 0 } };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_sandbox_spec spec = box_spec("box");

        if (fx.plugin.info->capabilities & (cases[i].capability ? cases[i].capability : RT_CAP_NETWORK_BRIDGE))
            continue;
        spec.network = cases[i].network;
        EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->create(fx.rt, &spec, CALL, NULL));
        EXPECT_NAMES(cases[i].network);
        cr_expect(box_status("box") == -1);
    }
}

CONFORMANCE_TEST(isolation, N1_host_network)
{
    rt_sandbox_spec spec = box_spec("box");
    char *mine = proc_read(getpid(), "net/dev");
    const struct run *r;

    NEED(RT_CAP_NETWORK_HOST);
    spec.network = "host";
    box_up_spec(&spec);
    r = sh("box", "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '");
    cr_expect(r->status == RT_OK && r->out_len > 0, "%s", run_describe(r));
    for (char *save = NULL, *name = strtok_r((char *)r->out, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
        cr_expect(mine && strstr(mine, name), "%s is not the host's", name);
    free(mine);
}

CONFORMANCE_TEST(isolation, N2_privileges)
{
    const struct run *r;

    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
    EXPECT_RUN(sh("box", "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'"), 0,
               "NoNewPrivs:1\nSeccomp:2\n");
    r = sh("box", "mount -t tmpfs none /mnt 2>&1; mount -o remount,rw / 2>&1; unshare -m true 2>&1; "
                  "echo x 2>&1 > /proc/sys/kernel/hostname; echo x 2>&1 > /sys/power/state; hostname hacked 2>&1; "
                  "chroot / true 2>&1 && echo chrooted; mount | grep -c ' on /mnt '");
    cr_expect(r->status == RT_OK && !strstr(r->out, "chrooted"), "%s", run_describe(r));
    cr_expect(r->out_len >= 2 && !strcmp(r->out + r->out_len - 2, "0\n"), "%s", run_describe(r));
    EXPECT_RUN(sh("box", "echo x 2>/dev/null > /usr/planted || echo read-only; echo fine > /tmp/x && cat /tmp/x"), 0,
               "read-only\nfine\n");
}

CONFORMANCE_TEST(isolation, N2_tmp_is_private_to_each_sandbox)
{
    BOX_UP("a", WRITE_ALL);
    BOX_UP("b", WRITE_ALL);
    EXPECT_RUN(sh("a", "echo of a > /tmp/mine; cat /tmp/mine"), 0, "of a\n");
    EXPECT_RUN(sh("b", "cat /tmp/mine 2>/dev/null || echo absent"), 0, "absent\n");
    cr_expect(!tree_exists("/tmp", "mine"));
}
