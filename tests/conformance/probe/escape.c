/*
 * What a hostile program tries. Each attempt gives a line "name RESULT", where the result is ok if it succeeded, an
 * errno's name if it was refused, or "empty" if there was nothing to be had. Attempts that would do harm if they
 * succeeded are made in a way that then fails with another errno (EINVAL, ENOENT) than a refusal's.
 */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Numbers that every architecture shares, for C libraries that are older. */
#define NR_OPEN_TREE     428
#define NR_MOVE_MOUNT    429
#define NR_FSOPEN        430
#define NR_PIDFD_OPEN    434
#define NR_CLONE3        435
#define NR_PIDFD_GETFD   438
#define NR_MOUNT_SETATTR 442
#define NR_IO_URING      425

#define EMPTY (-2)

struct attempt {
    const char *name;
    int (*run)(const char *arg); /* 0: it succeeded; -1 and errno; EMPTY */
    const char *arg;
};

static int fd_done(int fd)
{
    return fd < 0 ? -1 : close(fd);
}

#define ATTEMPT(function, expression)                                                                                  \
    static int function(const char *arg)                                                                               \
    {                                                                                                                  \
        (void)arg;                                                                                                     \
        return (int)(expression);                                                                                      \
    }

/* ---- files ---- */

ATTEMPT(to_write, fd_done(open(arg, O_WRONLY | O_NONBLOCK)))
ATTEMPT(to_create, fd_done(open(arg, O_WRONLY | O_CREAT | O_EXCL, 0644)))
ATTEMPT(to_unlink, unlink(arg))
ATTEMPT(to_rename, rename(arg, "/run/stockade/moved"))
ATTEMPT(to_mkdir, mkdir(arg, 0755))
ATTEMPT(to_link, link(arg, "hard-link"))
ATTEMPT(to_chmod, chmod(arg, 0777))
ATTEMPT(to_open, fd_done(open(arg, O_RDWR | O_NONBLOCK)))

static int to_read(const char *path)
{
    char text[64];
    int fd = open(path, O_RDONLY | O_NONBLOCK), failed;
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

    failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return n < 0 ? -1 : n ? 0 : EMPTY;
}

static int to_list(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int n = 0;

    if (!dir)
        return -1;
    while ((entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n ? 0 : EMPTY;
}

static int through_symlink(const char *path)
{
    int result;

    (void)unlink("soft-link");
    if (symlink(path, "soft-link") < 0)
        return -1;
    result = to_read("soft-link");
    unlink("soft-link");
    return result;
}

/* A device of our own, and then through it: where nodes can be made, they must lead nowhere. */
static int node_open(const char *path)
{
    int result;

    (void)unlink(path);
    if (mknod(path, S_IFCHR | 0666, (1 << 8) | 5) < 0) /* the zero device */
        return -1;
    result = to_read(path);
    unlink(path);
    return result;
}

static int block_node(const char *path)
{
    int result = mknod(path, S_IFBLK | 0666, (254 << 8));

    if (!result)
        unlink(path);
    return result;
}

/* Where set-uid bits have an effect; a process that may gain no privileges ignores them anywhere. */
static int suid_counts(const char *path)
{
    struct statvfs st;

    if (statvfs(path, &st) < 0)
        return -1;
    errno = EPERM;
    return (st.f_flag & ST_NOSUID) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -1 : 0;
}

static int by_handle(const char *path)
{
    struct {
        unsigned bytes;
        int type;
        unsigned char data[128];
    } handle = { .bytes = sizeof handle.data };
    int id, dir = open("/", O_RDONLY | O_DIRECTORY);

    if (syscall(SYS_name_to_handle_at, AT_FDCWD, path, &handle, &id, 0) < 0)
        handle.bytes = 8, handle.type = 1; /* a guess: inode 2 of the filesystem */
    return fd_done((int)syscall(SYS_open_by_handle_at, dir, &handle, O_RDONLY));
}

/* ---- namespaces and mounts ---- */

static int cloned(unsigned long flags)
{
    pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0ul);

    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0) < 0;
}

static int cloned3(unsigned long long flags)
{
    unsigned long long args[8] = { flags, 0, 0, 0, SIGCHLD, 0, 0, 0 };
    pid_t pid = (pid_t)syscall(NR_CLONE3, args, sizeof args);

    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0) < 0;
}

static int ns_join(const char *path)
{
    int fd = open(path, O_RDONLY), result, failed;

    if (fd < 0)
        return -1;
    result = setns(fd, 0);
    failed = errno;
    close(fd);
    errno = failed;
    return result;
}

ATTEMPT(mount_tmpfs, mount("none", "/tmp", "tmpfs", 0, NULL))
ATTEMPT(mount_bind, mount("/usr", "/tmp", NULL, MS_BIND, NULL))
ATTEMPT(mount_writable, mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL))
ATTEMPT(unmount, umount2("/proc", MNT_DETACH))
ATTEMPT(pivot, syscall(SYS_pivot_root, "/tmp", "/tmp"))
ATTEMPT(change_root, chroot("/tmp"))
ATTEMPT(tree_clone, fd_done((int)syscall(NR_OPEN_TREE, AT_FDCWD, "/", 1)))
ATTEMPT(fs_open, fd_done((int)syscall(NR_FSOPEN, "tmpfs", 0)))
ATTEMPT(tree_move, syscall(NR_MOVE_MOUNT, AT_FDCWD, "/tmp", AT_FDCWD, "/usr", 0))
ATTEMPT(mount_attr, syscall(NR_MOUNT_SETATTR, AT_FDCWD, "/usr", 0, (uint64_t[4]){ 0 }, 32))
ATTEMPT(unshare_user, unshare(CLONE_NEWUSER))
ATTEMPT(unshare_mounts, unshare(CLONE_NEWNS))
ATTEMPT(unshare_pids, unshare(CLONE_NEWPID))
ATTEMPT(unshare_net, unshare(CLONE_NEWNET))
ATTEMPT(clone_user, cloned(CLONE_NEWUSER))
ATTEMPT(clone_mounts, cloned(CLONE_NEWNS))
ATTEMPT(clone_high_bits, cloned(CLONE_NEWUSER | (UINT64_C(1) << 33)))
ATTEMPT(clone3_user, cloned3(CLONE_NEWUSER))
ATTEMPT(host_name, sethostname("escaped", 7))
ATTEMPT(domain_name, setdomainname("escaped", 7))

static const struct attempt namespaces[] = {
    { "mount_tmpfs", mount_tmpfs, NULL },
    { "mount_bind", mount_bind, NULL },
    { "mount_writable", mount_writable, NULL },
    { "unmount", unmount, NULL },
    { "pivot_root", pivot, NULL },
    { "chroot", change_root, NULL },
    { "open_tree", tree_clone, NULL },
    { "fsopen", fs_open, NULL },
    { "move_mount", tree_move, NULL },
    { "mount_setattr", mount_attr, NULL },
    { "unshare_user", unshare_user, NULL },
    { "unshare_mounts", unshare_mounts, NULL },
    { "unshare_pids", unshare_pids, NULL },
    { "unshare_net", unshare_net, NULL },
    { "clone_user", clone_user, NULL },
    { "clone_mounts", clone_mounts, NULL },
    { "clone_high_bits", clone_high_bits, NULL },
    { "clone3_user", clone3_user, NULL },
    { "setns_mnt", ns_join, "/proc/1/ns/mnt" },
    { "setns_user", ns_join, "/proc/1/ns/user" },
    { "setns_own_net", ns_join, "/proc/self/ns/net" },
    { "sethostname", host_name, NULL },
    { "setdomainname", domain_name, NULL },
};

/* ---- the kernel's interfaces ---- */

static int clock_set(const char *arg)
{
    struct timespec now;

    (void)arg;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int)syscall(SYS_clock_settime, CLOCK_REALTIME, &now);
}

static int day_set(const char *arg)
{
    struct timeval now;

    (void)arg;
    gettimeofday(&now, NULL);
    return (int)syscall(SYS_settimeofday, &now, NULL);
}

ATTEMPT(clock_adjust, adjtimex(&(struct timex){ .modes = ADJ_TICK, .tick = 10000 }) < 0 ? -1 : 0)
ATTEMPT(bpf_map, fd_done((int)syscall(SYS_bpf, 0, (uint32_t[16]){ 2, 4, 4, 1 }, 64)))
ATTEMPT(bpf_program, fd_done((int)syscall(SYS_bpf, 5, (uint64_t[16]){ 1 }, 64)))
ATTEMPT(perf, fd_done((int)syscall(SYS_perf_event_open, (uint32_t[32]){ 1, 128 }, 0, -1, -1, 0)))
ATTEMPT(io_uring, fd_done((int)syscall(NR_IO_URING, 4, (uint32_t[32]){ 0 })))
ATTEMPT(user_fault, fd_done((int)syscall(SYS_userfaultfd, 0)))
ATTEMPT(key_session, syscall(SYS_keyctl, 1, "escape") < 0 ? -1 : 0)
ATTEMPT(key_add, syscall(SYS_add_key, "user", "escape", "x", 1, -3) < 0 ? -1 : 0)
ATTEMPT(key_request, syscall(SYS_request_key, "user", "escape", NULL, -3) < 0 ? -1 : 0)
ATTEMPT(kexec, syscall(SYS_kexec_load, 0, 1000000, NULL, 0))
ATTEMPT(module_load, syscall(SYS_init_module, NULL, 0, ""))
ATTEMPT(module_file, syscall(SYS_finit_module, -1, "", 0))
ATTEMPT(module_remove, syscall(SYS_delete_module, "no-such-module", O_NONBLOCK))
ATTEMPT(swap_on, swapon("/no/such/file", 0))
ATTEMPT(swap_off, swapoff("/no/such/file"))
ATTEMPT(boot_again, syscall(SYS_reboot, 1, 2, 3, NULL))
ATTEMPT(accounting, acct("/no/such/file"))
ATTEMPT(quota, syscall(SYS_quotactl, 0x800002 << 8, "/no/such/device", 0, NULL))
ATTEMPT(log_read, syscall(SYS_syslog, 3, (char[64]){ 0 }, 64) < 0 ? -1 : 0)
ATTEMPT(fanotify, fd_done((int)syscall(SYS_fanotify_init, 0, O_RDONLY)))
ATTEMPT(no_randomization, personality(ADDR_NO_RANDOMIZE) < 0 ? -1 : 0)
ATTEMPT(read_is_exec, personality(READ_IMPLIES_EXEC) < 0 ? -1 : 0)
ATTEMPT(hang_up, vhangup())
ATTEMPT(unknown_call, syscall(9999))
#ifdef SYS_ioperm
ATTEMPT(io_ports, syscall(SYS_ioperm, 0x80, 1, 1))
ATTEMPT(io_level, syscall(SYS_iopl, 3))
#endif
#ifdef __x86_64__
ATTEMPT(x32_getpid, syscall(0x40000000 + SYS_getpid) < 0 ? -1 : 0)
#endif

static const struct attempt interfaces[] = {
    { "clock_settime", clock_set, NULL },
    { "settimeofday", day_set, NULL },
    { "adjtimex", clock_adjust, NULL },
    { "bpf_map", bpf_map, NULL },
    { "bpf_program", bpf_program, NULL },
    { "perf_event_open", perf, NULL },
    { "io_uring_setup", io_uring, NULL },
    { "userfaultfd", user_fault, NULL },
    { "keyctl", key_session, NULL },
    { "add_key", key_add, NULL },
    { "request_key", key_request, NULL },
    { "kexec_load", kexec, NULL },
    { "init_module", module_load, NULL },
    { "finit_module", module_file, NULL },
    { "delete_module", module_remove, NULL },
    { "swapon", swap_on, NULL },
    { "swapoff", swap_off, NULL },
    { "reboot", boot_again, NULL },
    { "acct", accounting, NULL },
    { "quotactl", quota, NULL },
    { "syslog", log_read, NULL },
    { "fanotify_init", fanotify, NULL },
    { "personality_no_randomization", no_randomization, NULL },
    { "personality_read_is_exec", read_is_exec, NULL },
    { "vhangup", hang_up, NULL },
    { "unknown_call", unknown_call, NULL },
#ifdef SYS_ioperm
    { "ioperm", io_ports, NULL },
    { "iopl", io_level, NULL },
#endif
#ifdef __x86_64__
    { "x32", x32_getpid, NULL },
#endif
};

/* ---- calls of 32-bit x86, which have numbers of their own ---- */

#ifdef __x86_64__
/* In a child, for a kernel without them kills who tries. The arguments lie below 4 GiB: the probe is static. */
static int compat(int nr, uint32_t a, uint32_t b, uint32_t c)
{
    int status, result;
    pid_t pid = fork();

    if (pid == 0) {
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(nr), "b"(a), "c"(b), "d"(c)
                         : "memory", "r8", "r9", "r10", "r11");
        _exit(result < 0 ? -result & 255 : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ENOSYS;
    return errno ? -1 : 0;
}

static uint32_t low_args[3];

static int compat_socket(uint32_t domain)
{
    low_args[0] = domain;
    low_args[1] = SOCK_STREAM;
    return compat(102, 1, (uint32_t)(uintptr_t)low_args, 0);
}

ATTEMPT(compat_unshare, compat(310, CLONE_NEWUSER, 0, 0))
ATTEMPT(compat_mount, compat(21, 0, 0, 0))
ATTEMPT(compat_keyctl, compat(288, 0, (uint32_t)-3, 1))
ATTEMPT(compat_vsock, compat_socket(AF_VSOCK))
ATTEMPT(compat_prlimit, compat(340, 1, RLIMIT_NOFILE, 0))
#endif

static const struct attempt compat_calls[] = {
#ifdef __x86_64__
    { "compat_unshare", compat_unshare, NULL },   { "compat_mount", compat_mount, NULL },
    { "compat_keyctl", compat_keyctl, NULL },     { "compat_vsock", compat_vsock, NULL },
    { "compat_prlimit", compat_prlimit, NULL },
#endif
    { "unknown_call_again", unknown_call, NULL },
};

/* ---- PID 1 ---- */

static int memory_read(const char *arg)
{
    char here[8];
    struct iovec mine = { here, sizeof here }, theirs = { (void *)0x400000, sizeof here };

    (void)arg;
    return process_vm_readv(1, &mine, 1, &theirs, 1, 0) < 0 ? -1 : 0;
}

static int fd_steal(const char *arg)
{
    int pidfd = (int)syscall(NR_PIDFD_OPEN, 1, 0), fd = -1, failed;

    (void)arg;
    if (pidfd < 0)
        return -1;
    for (int i = 0; i < 16 && fd < 0; i++)
        fd = (int)syscall(NR_PIDFD_GETFD, pidfd, i, 0);
    failed = errno;
    close(pidfd);
    errno = failed;
    return fd_done(fd);
}

ATTEMPT(attach, ptrace(PTRACE_ATTACH, 1, 0, 0) < 0 ? -1 : 0)
ATTEMPT(seize, ptrace(PTRACE_SEIZE, 1, 0, 0) < 0 ? -1 : 0)
ATTEMPT(limit_fds, prlimit(1, RLIMIT_NOFILE, &(struct rlimit){ 3, 3 }, NULL))
ATTEMPT(limit_high_bits, syscall(SYS_prlimit64, (UINT64_C(1) << 32) + 1, RLIMIT_NOFILE, &(uint64_t[2]){ 3, 3 }, NULL))
ATTEMPT(compare, syscall(SYS_kcmp, getpid(), 1, 1, 0, 0))
ATTEMPT(leave_tree, prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0))
ATTEMPT(leave_high_bits, syscall(SYS_prctl, (UINT64_C(1) << 32) + PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0))

static const struct attempt init[] = {
    { "ptrace_attach", attach, NULL },
    { "ptrace_seize", seize, NULL },
    { "process_vm_readv", memory_read, NULL },
    { "pidfd_getfd", fd_steal, NULL },
    { "kcmp", compare, NULL },
    { "prlimit", limit_fds, NULL },
    { "prlimit_high_bits", limit_high_bits, NULL },
    { "subreaper", leave_tree, NULL },
    { "subreaper_high_bits", leave_high_bits, NULL },
    { "init_mem", to_open, "/proc/1/mem" },
    { "init_environ", to_read, "/proc/1/environ" },
    { "init_maps", to_read, "/proc/1/maps" },
    { "init_auxv", to_read, "/proc/1/auxv" },
    { "init_root", to_list, "/proc/1/root" },
    { "init_cwd", to_list, "/proc/1/cwd" },
    { "init_fd", to_open, "/proc/1/fd/3" },
    { "init_exe", to_write, "/proc/1/exe" },
    { "init_syscall", to_read, "/proc/1/syscall" },
    { "init_stack", to_read, "/proc/1/stack" },
    { "agent_write", to_write, "/run/stockade/agent" },
    { "agent_unlink", to_unlink, "/run/stockade/agent" },
    { "boot_create", to_create, "/run/stockade/boot/x" },
    { "boot_rename", to_rename, "/run/stockade/boot" },
    { "boot_list", to_list, "/run/stockade/boot" },
};

/* ---- /proc and /sys ---- */

static int text_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY), failed;
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

    failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return n < 0 ? -1 : 0;
}

ATTEMPT(score_lower, text_put(arg, "-1000"))
ATTEMPT(ids_map, text_put(arg, "0 0 4294967295"))

static const struct attempt proc_sys[] = {
    { "core_pattern", to_write, "/proc/sys/kernel/core_pattern" },
    { "modprobe", to_write, "/proc/sys/kernel/modprobe" },
    { "sys_hostname", to_write, "/proc/sys/kernel/hostname" },
    { "sysrq", to_write, "/proc/sys/kernel/sysrq" },
    { "overcommit", to_write, "/proc/sys/vm/overcommit_memory" },
    { "drop_caches", to_write, "/proc/sys/vm/drop_caches" },
    { "ip_forward", to_write, "/proc/sys/net/ipv4/ip_forward" },
    { "msgmax", to_write, "/proc/sys/kernel/msgmax" },
    { "max_user_namespaces", to_write, "/proc/sys/user/max_user_namespaces" },
    { "binfmt", to_write, "/proc/sys/fs/binfmt_misc/register" },
    { "sysrq_trigger", to_write, "/proc/sysrq-trigger" },
    { "irq", to_write, "/proc/irq/default_smp_affinity" },
    { "mtrr", to_write, "/proc/mtrr" },
    { "kcore", to_read, "/proc/kcore" },
    { "kmsg", to_read, "/proc/kmsg" },
    { "keys", to_read, "/proc/keys" },
    { "timer_list", to_read, "/proc/timer_list" },
    { "sched_debug", to_read, "/proc/sched_debug" },
    { "latency_stats", to_read, "/proc/latency_stats" },
    { "kpagecount", to_read, "/proc/kpagecount" },
    { "acpi", to_list, "/proc/acpi" },
    { "scsi", to_list, "/proc/scsi" },
    { "oom_score_own", score_lower, "/proc/self/oom_score_adj" },
    { "oom_score_init", score_lower, "/proc/1/oom_score_adj" },
    { "uid_map", ids_map, "/proc/1/uid_map" },
    { "uid_map_own", ids_map, "/proc/self/uid_map" },
    { "uevent_helper", to_write, "/sys/kernel/uevent_helper" },
    { "power_state", to_write, "/sys/power/state" },
    { "firmware", to_list, "/sys/firmware" },
    { "debugfs", to_list, "/sys/kernel/debug" },
    { "security_fs", to_list, "/sys/kernel/security" },
    { "fuse_abort", to_list, "/sys/fs/fuse/connections" },
    { "cgroup_make", to_mkdir, "/sys/fs/cgroup/escape" },
    { "cgroup_make_v1", to_mkdir, "/sys/fs/cgroup/memory/escape" },
    { "cgroup_procs", to_write, "/sys/fs/cgroup/cgroup.procs" },
    { "cgroup_limit", to_write, "/sys/fs/cgroup/memory/memory.limit_in_bytes" },
    { "release_agent", to_write, "/sys/fs/cgroup/memory/release_agent" },
};

/* ---- devices, and files of the root ---- */

static const struct attempt devices[] = {
    { "mem", to_open, "/dev/mem" },
    { "port", to_open, "/dev/port" },
    { "kmsg_device", to_open, "/dev/kmsg" },
    { "sda", to_open, "/dev/sda" },
    { "vda", to_open, "/dev/vda" },
    { "nvme", to_open, "/dev/nvme0n1" },
    { "loop_control", to_open, "/dev/loop-control" },
    { "device_mapper", to_open, "/dev/mapper/control" },
    { "kvm", to_open, "/dev/kvm" },
    { "fuse", to_open, "/dev/fuse" },
    { "tun", to_open, "/dev/net/tun" },
    { "vsock_device", to_open, "/dev/vsock" },
    { "vhost", to_open, "/dev/vhost-net" },
    { "uinput", to_open, "/dev/uinput" },
    { "tty1", to_open, "/dev/tty1" },
    { "ttyS0", to_open, "/dev/ttyS0" },
    { "mknod_tmp", node_open, "/tmp/zero" },
    { "mknod_shm", node_open, "/dev/shm/zero" },
    { "mknod_workspace", node_open, "zero" },
    { "mknod_dev", node_open, "/dev/zero2" },
    { "mknod_block", block_node, "/tmp/disk" },
    { "mknod_block_workspace", block_node, "disk" },
};

static const struct attempt root_files[] = {
    { "usr_create", to_create, "/usr/bin/planted" },
    { "bin_create", to_create, "/bin/planted" },
    { "lib_create", to_create, "/lib/planted" },
    { "root_create", to_create, "/planted" },
    { "etc_create", to_create, "/etc/ld.so.preload" },
    { "passwd_write", to_write, "/etc/passwd" },
    { "shell_write", to_write, "/bin/sh" },
    { "shell_unlink", to_unlink, "/bin/sh" },
    { "shell_chmod", to_chmod, "/bin/sh" },
    { "ssl_keys", to_list, "/etc/ssl/private" },
    { "suid_workspace", suid_counts, "." },
    { "suid_tmp", suid_counts, "/tmp" },
    { "suid_shm", suid_counts, "/dev/shm" },
    { "suid_root", suid_counts, "/" },
    { "link_agent", to_link, "/run/stockade/agent" },
    { "link_passwd", to_link, "/etc/passwd" },
    { "link_exe", to_link, "/proc/self/exe" },
    { "handle_root", by_handle, "/" },
    { "handle_workspace", by_handle, "." },
    { "handle_guess", by_handle, "/no/such/file" },
};

/* ---- terminals ---- */

static int on_terminal(unsigned long request)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), slave, unlocked = 0, result, failed;

    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return -1;
    slave = ioctl(master, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NOCTTY);
    result = slave < 0 ? -1 : (int)syscall(SYS_ioctl, slave, request, "\3");
    failed = errno;
    close(slave);
    close(master);
    errno = failed;
    return result;
}

ATTEMPT(fake_input, on_terminal(TIOCSTI))
ATTEMPT(fake_high_bits, on_terminal(TIOCSTI | (UINT64_C(1) << 33)))
ATTEMPT(console_select, on_terminal(TIOCLINUX))

static const struct attempt terminals[] = {
    { "tiocsti", fake_input, NULL },         { "tiocsti_high_bits", fake_high_bits, NULL },
    { "tioclinux", console_select, NULL },   { "console", to_open, "/dev/console" },
    { "own_terminal", to_open, "/dev/tty" },
};

/* ---- sockets and what the host has: arg says where ---- */

static int family(int domain, int type, int protocol)
{
    return fd_done(socket(domain, type, protocol));
}

static int unix_connect(const struct sockaddr_un *address, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), result = connect(fd, (const struct sockaddr *)address, len),
        failed = errno;

    close(fd);
    errno = failed;
    return result;
}

static int path_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return unix_connect(&address, sizeof address);
}

static int abstract_connect(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
    return unix_connect(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static int tcp_connect(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(port)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), result = connect(fd, (struct sockaddr *)&address, sizeof address),
        failed = errno;

    close(fd);
    errno = failed;
    return result;
}

static int link_down(const char *name)
{
    struct ifreq request = { .ifr_flags = 0 };
    int fd = socket(AF_INET, SOCK_DGRAM, 0), result, failed;

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    result = ioctl(fd, SIOCSIFFLAGS, &request);
    failed = errno;
    close(fd);
    errno = failed;
    return result;
}

ATTEMPT(raw_socket, family(AF_INET, SOCK_RAW, IPPROTO_ICMP))
ATTEMPT(raw6_socket, family(AF_INET6, SOCK_RAW, 58))
ATTEMPT(packet_socket, family(AF_PACKET, SOCK_RAW, 0))
ATTEMPT(vsock_socket, family(AF_VSOCK, SOCK_STREAM, 0))
ATTEMPT(alg_socket, family(AF_ALG, SOCK_SEQPACKET, 0))
ATTEMPT(bluetooth_socket, family(AF_BLUETOOTH, SOCK_RAW, 1))
ATTEMPT(rds_socket, family(AF_RDS, SOCK_SEQPACKET, 0))
ATTEMPT(tipc_socket, family(AF_TIPC, SOCK_RDM, 0))
ATTEMPT(vsock_high_bits, fd_done((int)syscall(SYS_socket, (UINT64_C(1) << 32) + AF_VSOCK, SOCK_STREAM, 0)))

static const struct attempt sockets[] = {
    { "raw", raw_socket, NULL },
    { "raw6", raw6_socket, NULL },
    { "packet", packet_socket, NULL },
    { "vsock", vsock_socket, NULL },
    { "vsock_high_bits", vsock_high_bits, NULL },
    { "alg", alg_socket, NULL },
    { "bluetooth", bluetooth_socket, NULL },
    { "rds", rds_socket, NULL },
    { "tipc", tipc_socket, NULL },
    { "link_down", link_down, "lo" },
    { "engine", path_connect, "/var/run/docker.sock" },
    { "containerd", path_connect, "/run/containerd/containerd.sock" },
    { "dbus", path_connect, "/run/dbus/system_bus_socket" },
    { "systemd", path_connect, "/run/systemd/private" },
};

static int shared_memory(const char *key)
{
    return shmget((key_t)atoi(key), 1, 0) < 0 ? -1 : 0;
}

static int queue(const char *name)
{
    mqd_t mq = mq_open(name, O_RDONLY | O_NONBLOCK);

    return mq == (mqd_t)-1 ? -1 : mq_close(mq);
}

/* One thing of the host, by every way that may lead there. */
static const struct attempt host_file[] = {
    { "by_path", to_read, "%s" },
    { "by_root", to_read, "/proc/self/root%s" },
    { "by_init_root", to_read, "/proc/1/root%s" },
    { "by_init_cwd", to_read, "/proc/1/cwd/../../../../../..%s" },
    { "by_dots", to_read, "../../../../../../../../../..%s" },
    { "by_root_dots", to_read, "/../../../../../../../../../..%s" },
    { "by_task", to_read, "/proc/thread-self/root/..%s" },
    { "by_symlink", through_symlink, "%s" },
    { "by_symlink_dots", through_symlink, "../../../../../../../../../..%s" },
    { "by_magic_symlink", through_symlink, "/proc/1/root%s" },
    { "by_socket", path_connect, "%s" },
};

static const struct attempt host_abstract[] = { { "abstract", abstract_connect, "%s" } };
static const struct attempt host_tcp[] = { { "tcp", tcp_connect, "%s" } };
static const struct attempt host_shm[] = { { "sysv_shm", shared_memory, "%s" } };
static const struct attempt host_queue[] = { { "queue", queue, "%s" } };

static const struct {
    const char *name;
    const struct attempt *attempts;
    size_t n;
} groups[] = {
#define GROUP(name)                                                                                                    \
    {                                                                                                                  \
#name, name, sizeof name / sizeof *name                                                                        \
    }
    GROUP(namespaces), GROUP(interfaces), GROUP(init),       GROUP(proc_sys),    GROUP(devices),
    GROUP(root_files), GROUP(terminals),  GROUP(sockets),    GROUP(host_file),   GROUP(host_abstract),
    GROUP(host_tcp),   GROUP(host_shm),   GROUP(host_queue), GROUP(compat_calls)
};

/* arg stands for "%s" in an attempt's own; it holds no other '%'. */
static void attempt_run(const struct attempt *attempt, const char *arg)
{
    const char *place = attempt->arg ? strstr(attempt->arg, "%s") : NULL;
    char text[4096];
    int result;

    if (place)
        snprintf(text, sizeof text, "%.*s%s", (int)(place - attempt->arg), attempt->arg, arg);
    errno = 0;
    result = attempt->run(place ? text : attempt->arg);
    printf("%s %s\n", attempt->name, result == EMPTY ? "empty" : result < 0 ? errno_name(errno) : "ok");
    fflush(stdout);
}

int probe_escape(const char *group, const char *arg)
{
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (strcmp(groups[i].name, group))
            continue;
        for (size_t k = 0; k < groups[i].n; k++)
            attempt_run(&groups[i].attempts[k], arg);
        return 0;
    }
    return 2;
}
