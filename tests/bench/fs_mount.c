#include "fs_mount.h"

#include "msg.h"
#include "permfs_proto.h"
#include "runtime_api.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void dir_make(const char *path, const struct fs_mount_options *options)
{
    if (mkdir(path, 0755) < 0 || chown(path, options->uid, options->gid) < 0)
        fail(path);
}

static void dirs_make(struct fs_mount *m, const char *work, const char *name, const struct fs_mount_options *options)
{
    *m = (struct fs_mount){ .owner = -1, .options = *options };
    if (options->base)
        snprintf(m->base, sizeof m->base, "%s", options->base);
    else
        snprintf(m->base, sizeof m->base, "%s/%s", work, name);
    snprintf(m->dir, sizeof m->dir, "%s/%s.mnt", work, name);
    if (!options->base)
        dir_make(m->base, options);
    dir_make(m->dir, options);
}

void fs_mount_native(struct fs_mount *m, const char *work, const char *name)
{
    dirs_make(m, work, name, &(struct fs_mount_options){ 0 });
    strcpy(m->dir, m->base);
}

/* In a session of its own, as permfs is, and bindfs if it is not in the foreground: the scheduler goes by sessions. */
static pid_t spawn_daemon(const char *file, char *const *argv)
{
    posix_spawnattr_t attr;
    pid_t pid;

    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    errno = posix_spawn(&pid, file, NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    if (errno)
        fail(file);
    return pid;
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (strlen(path) < sizeof addr.sun_path)
        strcpy(addr.sun_path, path);
    if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(sock, 1) < 0)
        fail(path);
    return sock;
}

static void put_rules(struct wire_out *w, const struct fs_mount_options *options)
{
    static const rt_rule all = { .pattern = "/**", .type = RT_RULE_GLOB, .permission = RT_PERM_WRITE };
    const rt_rule *rules = options->n_rules ? options->rules : &all;
    const size_t n = options->n_rules ? options->n_rules : 1;

    wire_put_u32(w, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        wire_put_str(w, rules[i].pattern);
        wire_put_u32(w, (uint32_t)rules[i].type);
        wire_put_u32(w, (uint32_t)rules[i].permission);
        wire_put_u32(w, (uint32_t)rules[i].priority);
    }
}

static void configure(const struct fs_mount *m)
{
    struct wire_out w = { 0 };
    char path[160];
    int fds[2];

    snprintf(path, sizeof path, "%s.sock", m->dir);
    (void)unlink(path);
    fds[0] = open(m->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fds[1] = listen_at(path);
    wire_put_str(&w, "bench");
    wire_put_str(&w, m->dir);
    wire_put_u32(&w, PERMFS_LEASE | m->options.flags);
    wire_put_u32(&w, 1000);
    for (int i = 0; i < 2; i++) {
        wire_put_u32(&w, m->options.uid);
        wire_put_u32(&w, m->options.gid);
    }
    put_rules(&w, &m->options);
    errno = -msg_send(m->owner, PERMFS_CONFIG, w.data, w.len, fds, 2);
    if (errno)
        fail("permfs");
    wire_out_release(&w);
    close(fds[0]);
    close(fds[1]);
}

/* The bench is $(BUILD)/tests/bench, the daemon $(BUILD)/libexec/stockade/permfs. */
static void daemon_path(char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 64);

    path[n < 0 ? 0 : n] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(path, '/') = 0;
    strcat(path, "/libexec/stockade/permfs");
}

/* In the child to be: an ordinary user, with a /dev/fuse that is open to everybody, as udev makes it. */
static bool become_user(const struct fs_mount_options *options, const char *node)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           (mknod(node, S_IFCHR, makedev(10, 229)) == 0 || errno == EEXIST) && chmod(node, 0666) == 0 &&
           mount(node, "/dev/fuse", NULL, MS_BIND, NULL) == 0 && setgroups(0, NULL) == 0 &&
           setresgid(options->gid, options->gid, options->gid) == 0 &&
           setresuid(options->uid, options->uid, options->uid) == 0;
}

/* The same, where a daemon's end of its connection will not be: dup2 onto itself would leave it close-on-exec. */
static int above_owner_fd(int fd)
{
    int above = fcntl(fd, F_DUPFD_CLOEXEC, PERMFS_OWNER_FD + 1);

    close(fd);
    return above;
}

/* `theirs` is the daemon's end. Its program may lie where the user may not go. */
static pid_t spawn_permfs(const struct fs_mount *m, int theirs)
{
    char path[PATH_MAX], node[160], program[] = "permfs", *argv[] = { program, NULL };
    int fd;
    pid_t pid;

    daemon_path(path);
    snprintf(node, sizeof node, "%s.fuse", m->dir);
    fd = above_owner_fd(open(path, O_PATH | O_CLOEXEC));
    pid = fd < 0 ? -1 : fork();
    if (pid == 0) {
        if ((m->options.uid == geteuid() || become_user(&m->options, node)) && dup2(theirs, PERMFS_OWNER_FD) >= 0)
            fexecve(fd, argv, environ);
        fail(path);
    }
    if (pid < 0)
        fail(path);
    close(fd);
    return pid;
}

static void start_permfs(struct fs_mount *m)
{
    char packet[4096];
    struct msg msg;
    int pair[2], theirs, err;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        fail("socketpair");
    theirs = above_owner_fd(pair[1]);
    m->owner = pair[0];
    m->pid = spawn_permfs(m, theirs);
    close(theirs);
    configure(m);
    err = msg_recv(m->owner, packet, sizeof packet, &msg);
    if (err || msg.type != PERMFS_READY) {
        fprintf(stderr, "bench: permfs does not start on %s\n", m->dir);
        exit(1);
    }
    msg_release(&msg);
}

void fs_mount_permfs(struct fs_mount *m, const char *work, const char *name, const struct fs_mount_options *options)
{
    dirs_make(m, work, name, options);
    start_permfs(m);
}

static void start_bindfs(struct fs_mount *m)
{
    char program[] = "bindfs", foreground[] = "-f";
    char *argv[] = { program, foreground, m->base, m->dir, NULL };
    struct stat before, st;

    if (stat(m->dir, &before) < 0)
        fail(m->dir);
    m->pid = spawn_daemon("/usr/bin/bindfs", argv);
    for (int i = 0; i < 5000; i++, usleep(1000))
        if (stat(m->dir, &st) == 0 && st.st_dev != before.st_dev)
            return;
    fprintf(stderr, "bench: bindfs does not start on %s\n", m->dir);
    exit(1);
}

bool fs_mount_bindfs(struct fs_mount *m, const char *work, const char *name)
{
    if (access("/usr/bin/bindfs", X_OK) < 0)
        return false;
    dirs_make(m, work, name, &(struct fs_mount_options){ 0 });
    start_bindfs(m);
    return true;
}

static void stop(struct fs_mount *m)
{
    if (!m->pid)
        return;
    if (m->owner >= 0) {
        (void)umount2(m->dir, MNT_DETACH);
        close(m->owner);
    } else {
        kill(m->pid, SIGTERM); /* bindfs unmounts by itself, and complains if it cannot */
    }
    waitpid(m->pid, NULL, 0);
}

void fs_mount_again(struct fs_mount *m)
{
    if (!m->pid)
        return;
    stop(m);
    if (m->owner >= 0)
        start_permfs(m);
    else
        start_bindfs(m);
}

void fs_mount_end(struct fs_mount *m)
{
    stop(m);
    m->pid = 0;
}

void fs_mount_become_user(const struct fs_mount *m)
{
    const struct fs_mount_options *o = &m->options;
    char path[64];
    int fd;

    if (!o->uid)
        return;
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)m->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNS) < 0 || setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
        setresuid(o->uid, o->uid, o->uid) < 0)
        fail(path);
    close(fd);
}
