/*
 * Contract N1, N2, N4: what a hostile program tries from inside. The probe makes the attempts (probe/escape.c), a group
 * in one command; here stands how each must be refused, and what a backend is known to let through, and why.
 */
#include "fixture.h"

#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* An attempt whose refusal differs from its group's. wants: errnos' names between spaces. */
struct refusal {
    const char *attempt, *wants;
};

#define REFUSALS(...) ((const struct refusal[]){ __VA_ARGS__, { NULL, NULL } })

/* What a backend lets through that the others refuse. */
static const struct {
    const char *plugin, *attempt, *reason;
} allowances[] = {
    { "docker", "io_uring_setup", "Docker's default profile lets it through before version 25" },
    { "docker", "vsock", "Docker's default profile lets it through before version 23" },
    { "docker", "vsock_high_bits", "the profile compares 64 bits" },
    { "docker", "compat_vsock", "the profile cannot see what socketcall() is given" },
    { "docker", "prlimit", "the profile does not look at it; whoever does it spoils the own sandbox alone" },
    { "docker", "prlimit_high_bits", "as prlimit" },
    { "docker", "compat_prlimit", "as prlimit" },
    { "docker", "subreaper", "the profile does not look at it; what leaves its tree ends with the sandbox" },
    { "docker", "subreaper_high_bits", "as subreaper" },
    { "docker", "kpagecount", "root in a container is the machine's root to files of /proc" },
    { "docker", "cgroup_make", "a directory in a tmpfs of the container's own, no cgroup" },
};

static bool is_allowed(const char *attempt)
{
    for (size_t i = 0; i < sizeof allowances / sizeof *allowances; i++)
        if (!strcmp(allowances[i].plugin, fx.plugin.info->name) && !strcmp(allowances[i].attempt, attempt))
            return true;
    return false;
}

/* word stands in words, between spaces. */
static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = words; (at = strstr(at, word)); at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

/* Every line of a group's output, of which there are at least n. */
static void refused(const struct run *r, size_t n, const char *wants, const struct refusal *others)
{
    char *text = strdup(r->out), *save = NULL;
    size_t lines = 0;

    cr_assert(r->status == RT_OK && r->code == 0, "%s", run_describe(r));
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++) {
        char *result = strchr(line, ' ');
        const char *want = wants;

        cr_assert(result, "%s", line);
        *result++ = '\0';
        for (const struct refusal *other = others; other->attempt; other++)
            if (!strcmp(other->attempt, line))
                want = other->wants;
        if (strcmp(result, "ok") != 0 || !is_allowed(line))
            cr_expect(has_word(want, result), "%s: %s, wanted %s", line, result, want);
    }
    cr_expect(lines >= n, "%zu attempts, wanted %zu: %s", lines, n, r->out);
    free(text);
}

static bool as_own_root; /* attempts are made as root of a user namespace that the command has made */

static const struct run *attempts(const char *group, const char *arg)
{
    if (as_own_root)
        return run_argv("box", ARGV("unshare", "-Ur", PROBE, "escape", group, arg));
    return run_argv("box", ARGV(PROBE, "escape", group, arg));
}

static void box_up(void)
{
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
}

CONFORMANCE_TEST(escape, N2_namespaces_and_mounts)
{
    box_up();
    refused(attempts("namespaces", ""), 23, "EPERM",
            REFUSALS({ "clone3_user", "ENOSYS EPERM" }, { "setns_mnt", "EACCES" }, { "setns_user", "EACCES" }));
    EXPECT_RUN(sh("box", "ls -d /proc/self /tmp"), 0, "/proc/self\n/tmp\n");
}

static void interfaces_of_the_kernel_refused(void)
{
    refused(attempts("interfaces", ""), 26, "EPERM",
            REFUSALS({ "unknown_call", "ENOSYS" }, { "x32", "ENOSYS EPERM" },
                     { "personality_no_randomization", "EPERM ENOSYS" },
                     { "personality_read_is_exec", "EPERM ENOSYS" }));
}

CONFORMANCE_TEST(escape, N2_interfaces_of_the_kernel)
{
    box_up();
    interfaces_of_the_kernel_refused();
}

/* A kernel that has no 32-bit calls kills who tries: the probe says ENOSYS then. */
static void calls_of_32_bits_refused(void)
{
    refused(attempts("compat_calls", ""), 1, "EPERM ENOSYS",
            REFUSALS({ "compat_vsock", "EAFNOSUPPORT ENOSYS" },
                     { "compat_unshare", as_own_root ? "ok ENOSYS" : "EPERM ENOSYS" }));
}

CONFORMANCE_TEST(escape, N2_calls_of_32_bits)
{
    box_up();
    calls_of_32_bits_refused();
}

static void the_agent_refused(void)
{
    refused(attempts("init", ""), 24, "EPERM EACCES",
            REFUSALS({ "agent_write", "EACCES EROFS ETXTBSY" }, { "agent_unlink", "EROFS EBUSY" },
                     { "boot_create", "EROFS" }, { "boot_rename", "EROFS EXDEV EBUSY" }, { "boot_list", "empty" },
                     { "init_fd", "EACCES ENOENT EPERM" }));
}

CONFORMANCE_TEST(escape, N2_the_agent)
{
    box_up();
    the_agent_refused();
}

static void proc_and_sys_refused(void)
{
    refused(attempts("proc_sys", ""), 37, "EACCES EROFS ENOENT EPERM empty",
            REFUSALS({ "core_pattern", "EACCES EROFS" }, { "sys_hostname", "EACCES EROFS" },
                     { "ip_forward", "EACCES EROFS" }, { "oom_score_own", "EACCES" }, { "oom_score_init", "EACCES" },
                     { "uid_map_own", "EPERM EACCES" }));
}

CONFORMANCE_TEST(escape, N2_proc_and_sys)
{
    box_up();
    proc_and_sys_refused();
}

static void devices_refused(void)
{
    refused(attempts("devices", ""), 22, "ENOENT",
            REFUSALS({ "mknod_tmp", "EPERM" }, { "mknod_shm", "EPERM" }, { "mknod_workspace", "EPERM" },
                     { "mknod_dev", "EPERM EACCES EROFS" }, { "mknod_block", "EPERM" },
                     { "mknod_block_workspace", "EPERM" }));
    EXPECT_RUN(sh("box", "echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c"), 0,
               "3\n3\n");
}

CONFORMANCE_TEST(escape, N2_devices)
{
    box_up();
    devices_refused();
}

static void files_of_the_root_refused(void)
{
    refused(attempts("root_files", ""), 20, "EROFS EACCES",
            REFUSALS({ "ssl_keys", "ENOENT empty" }, { "lib_create", "EROFS EACCES ENOENT" },
                     { "shell_write", "EROFS EACCES ETXTBSY" }, { "suid_workspace", "EPERM" }, { "suid_tmp", "EPERM" },
                     { "suid_shm", "EPERM" }, { "suid_root", "EPERM" }, { "link_agent", "EXDEV" },
                     { "link_passwd", "EXDEV" }, { "link_exe", "EXDEV EPERM" }, { "handle_root", "EPERM" },
                     { "handle_workspace", "EPERM" }, { "handle_guess", "EPERM" }));
}

CONFORMANCE_TEST(escape, N2_files_of_the_root)
{
    box_up();
    files_of_the_root_refused();
}

static void terminals_refused(void)
{
    refused(
        attempts("terminals", ""), 5, "EPERM",
        REFUSALS({ "tioclinux", "EPERM ENOTTY" }, { "console", "ENOENT ENXIO EACCES" }, { "own_terminal", "ENXIO" }));
}

CONFORMANCE_TEST(escape, N2_terminals)
{
    box_up();
    terminals_refused();
}

static void sockets_refused(void)
{
    refused(attempts("sockets", ""), 14, "EPERM",
            REFUSALS({ "vsock", "EAFNOSUPPORT EPERM" }, { "vsock_high_bits", "EAFNOSUPPORT EPERM" },
                     { "alg", "EAFNOSUPPORT EPERM" }, { "bluetooth", "EAFNOSUPPORT EPERM" },
                     { "rds", "EAFNOSUPPORT EPERM" }, { "tipc", "EAFNOSUPPORT EPERM" }, { "engine", "ENOENT" },
                     { "containerd", "ENOENT" }, { "dbus", "ENOENT" }, { "systemd", "ENOENT" }));
}

CONFORMANCE_TEST(escape, N2_sockets)
{
    box_up();
    sockets_refused();
}

/* ---- what the host has ---- */

static void unreachable(const char *group, const char *arg, size_t n, const char *wants)
{
    refused(attempts(group, arg), n, wants, REFUSALS({ NULL, NULL }));
}

CONFORMANCE_TEST(escape, N4_files_of_the_host)
{
    char path[4096];

    box_up();
    HOST_MUST(tree_put(fx.dir, "secret", "S3CRET"));
    snprintf(path, sizeof path, "%s/secret", fx.dir);
    HOST_MUST(chmod(path, 0644) == 0);
    unreachable("host_file", path, 11, "ENOENT EACCES");
    snprintf(path, sizeof path, "%s/%s/boxes/box/box.json", fx.state, fx.plugin.info->name);
    unreachable("host_file", path, 11, "ENOENT EACCES");
    snprintf(path, sizeof path, "%s/%s/boxes/box/agent.sock", fx.state, fx.plugin.info->name);
    unreachable("host_file", path, 11, "ENOENT EACCES");
}

CONFORMANCE_TEST(escape, N1_sockets_of_the_host)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[64];

    box_up();
    snprintf(text, sizeof text, "stockade-escape-%d", (int)getpid());
    memcpy(name.sun_path + 1, text, strlen(text));
    HOST_MUST(bind(local, (struct sockaddr *)&name,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text))) == 0 &&
              listen(local, 4) == 0);
    unreachable("host_abstract", text, 1, "ECONNREFUSED");
    HOST_MUST(bind(tcp, (struct sockaddr *)&address, sizeof address) == 0 && listen(tcp, 4) == 0 &&
              getsockname(tcp, (struct sockaddr *)&address, &len) == 0);
    snprintf(text, sizeof text, "%d", ntohs(address.sin_port));
    unreachable("host_tcp", text, 1, "ECONNREFUSED ENETUNREACH");
    close(local);
    close(tcp);
}

CONFORMANCE_TEST(escape, N2_ipc_of_the_host)
{
    key_t key = 0x57000000 + getpid();
    int shm = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0666);
    char text[64];
    mqd_t mq;

    box_up();
    HOST_MUST(shm >= 0);
    snprintf(text, sizeof text, "%d", (int)key);
    unreachable("host_shm", text, 1, "ENOENT");
    HOST_MUST(shmctl(shm, IPC_RMID, NULL) == 0);
    snprintf(text, sizeof text, "/stockade-escape-%d", (int)getpid());
    mq = mq_open(text, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666, NULL);
    HOST_MUST(mq != (mqd_t)-1);
    unreachable("host_queue", text, 1, "ENOENT EACCES");
    mq_close(mq);
    HOST_MUST(mq_unlink(text) == 0);
}

/* Two sandboxes share nothing but the codebase. */
CONFORMANCE_TEST(escape, N4_other_sandboxes)
{
    const char *marker = marker_new();

    BOX_UP("other", WRITE_ALL);
    box_up();
    EXPECT_RUN(
        sh("other", "sleep %s >/dev/null 2>&1 & for d in /tmp /dev/shm; do echo S3CRET >$d/secret; done", marker), 0,
        "");
    cr_assert(AWAIT(strstr(box_processes("other"), marker)));
    cr_expect(!strstr(box_processes("box"), marker));
    EXPECT_RUN(sh("box", "cat /tmp/secret /dev/shm/secret 2>/dev/null; echo alone"), 0, "alone\n");
    (void)sh("box", "kill -9 -1"); /* what that does to itself is L4's */
    cr_expect(strstr(box_processes("other"), marker), "another sandbox's process was killed");
}

/* ---- what the config relaxes ---- */

CONFORMANCE_TEST(escape, N2_without_the_list_of_calls)
{
    const struct run *r;

    if (!fixture_has_key("seccomp"))
        cr_skip_test("the plugin has no such key");
    fixture_reopen_with("seccomp", "false");
    box_up();
    r = attempts("interfaces", "");
    cr_expect(!strcmp(ops_result(r, "personality_no_randomization"), "ok"), "%s", run_describe(r));
    cr_expect(!strcmp(ops_result(r, "reboot"), "EPERM"), "%s", run_describe(r));
    r = attempts("init", "");
    cr_expect(!strcmp(ops_result(r, "prlimit_high_bits"), "EPERM"), "%s", run_describe(r));
    r = attempts("terminals", "");
    cr_expect(!strcmp(ops_result(r, "tiocsti_high_bits"), "EPERM"), "%s", run_describe(r));
    fixture_reopen();
}

/* Where commands may make user namespaces they can do that, and whoever is root in one can do no more than others. */
CONFORMANCE_TEST(escape, N2_with_user_namespaces)
{
    const rt_rule rules[] = { WRITE_ALL, PROBE_RULE };
    rt_sandbox_spec spec = box_spec("box");
    char path[4096];

    if (!fixture_has_key("user_namespaces"))
        cr_skip_test("the plugin has no such key");
    fixture_reopen_with("user_namespaces", "true");
    probe_install();
    spec.rules = rules;
    spec.n_rules = sizeof rules / sizeof *rules;
    spec.user = "1000"; /* root without capabilities may not hand its id on, see user_namespaces(7) */
    box_up_spec(&spec);
    EXPECT_RUN(sh("box", "unshare -Ur sh -c 'id -u; cat /proc/self/uid_map' | tr -s ' '"), 0, "0\n 0 1000 1\n");
    as_own_root = true;
    refused(attempts("namespaces", ""), 23, "EPERM",
            REFUSALS({ "unshare_user", "ok" }, { "clone3_user", "ENOSYS" }, { "setns_mnt", "EACCES" },
                     { "setns_user", "EACCES" }));
    interfaces_of_the_kernel_refused();
    calls_of_32_bits_refused();
    the_agent_refused();
    proc_and_sys_refused();
    devices_refused();
    files_of_the_root_refused();
    terminals_refused();
    sockets_refused();
    HOST_MUST(tree_put(fx.dir, "secret", "S3CRET"));
    snprintf(path, sizeof path, "%s/secret", fx.dir);
    unreachable("host_file", path, 11, "ENOENT EACCES");
    as_own_root = false;
    fixture_reopen();
}
