#include "fs_mount.h"

#include "msg.h"
#include "permfs_proto.h"
#include "runtime_api.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void dirs_make(struct fs_mount *m, const char *work, const char *name)
{
    *m = (struct fs_mount){ .owner = -1 };
    snprintf(m->base, sizeof m->base, "%s/%s", work, name);
    snprintf(m->dir, sizeof m->dir, "%s/%s.mnt", work, name);
    if (mkdir(m->base, 0755) < 0 || mkdir(m->dir, 0755) < 0)
        fail(m->base);
}

void fs_mount_native(struct fs_mount *m, const char *work, const char *name)
{
    dirs_make(m, work, name);
    strcpy(m->dir, m->base);
}

static pid_t spawn(const char *file, char *const *argv, const posix_spawn_file_actions_t *actions)
{
    pid_t pid;

    errno = posix_spawn(&pid, file, actions, NULL, argv, environ);
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

static void configure(const struct fs_mount *m, uint32_t flags)
{
    struct wire_out w = { 0 };
    char path[160];
    int fds[2];

    snprintf(path, sizeof path, "%s.sock", m->base);
    fds[0] = open(m->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fds[1] = listen_at(path);
    wire_put_str(&w, "bench");
    wire_put_str(&w, m->dir);
    wire_put_u32(&w, PERMFS_LEASE | flags);
    wire_put_u32(&w, 1000);
    for (int i = 0; i < 2; i++) {
        wire_put_u32(&w, geteuid());
        wire_put_u32(&w, getegid());
    }
    wire_put_u32(&w, 1);
    wire_put_str(&w, "/**");
    wire_put_u32(&w, RT_RULE_GLOB);
    wire_put_u32(&w, RT_PERM_WRITE);
    wire_put_u32(&w, 0);
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

void fs_mount_permfs(struct fs_mount *m, const char *work, const char *name, uint32_t flags)
{
    char path[PATH_MAX], packet[4096], program[] = "permfs", *argv[] = { program, NULL };
    posix_spawn_file_actions_t actions;
    struct msg msg;
    int pair[2], theirs, err;

    dirs_make(m, work, name);
    daemon_path(path);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        fail("socketpair");
    theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, PERMFS_OWNER_FD + 1); /* dup2 onto itself would leave it close-on-exec */
    close(pair[1]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs, PERMFS_OWNER_FD);
    m->pid = spawn(path, argv, &actions);
    posix_spawn_file_actions_destroy(&actions);
    close(theirs);
    m->owner = pair[0];
    configure(m, flags);
    err = msg_recv(m->owner, packet, sizeof packet, &msg);
    if (err || msg.type != PERMFS_READY) {
        fprintf(stderr, "bench: permfs does not start on %s\n", m->dir);
        exit(1);
    }
    msg_release(&msg);
}

bool fs_mount_bindfs(struct fs_mount *m, const char *work, const char *name)
{
    char program[] = "bindfs", foreground[] = "-f";
    char *argv[] = { program, foreground, m->base, m->dir, NULL };
    struct stat above, st;

    if (access("/usr/bin/bindfs", X_OK) < 0)
        return false;
    dirs_make(m, work, name);
    if (stat(work, &above) < 0)
        fail(work);
    m->pid = spawn("/usr/bin/bindfs", argv, NULL);
    for (int i = 0; i < 500; i++, usleep(10000))
        if (stat(m->dir, &st) == 0 && st.st_dev != above.st_dev)
            return true;
    fprintf(stderr, "bench: bindfs does not start on %s\n", m->dir);
    exit(1);
}

void fs_mount_end(struct fs_mount *m)
{
    if (m->pid)
        (void)umount2(m->dir, MNT_DETACH);
    if (m->owner >= 0)
        close(m->owner);
    if (m->pid)
        waitpid(m->pid, NULL, 0);
}
