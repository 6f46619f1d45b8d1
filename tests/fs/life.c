/* The daemon's life and its protocol: it starts, answers, ends in every case, and leaves no mount. */
#include "permfs_harness.h"

#include "permfs_proto.h"
#include "proc.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct harness h;

static void setup(void)
{
    harness_init(&h);
}

static void teardown(void)
{
    harness_release(&h);
}

TestSuite(life, .init = setup, .fini = teardown, .timeout = 300);

Test(life, ping_and_quit)
{
    cr_assert(harness_start_open(&h), "%s", h.why);
    cr_expect(harness_request(&h, PERMFS_PING, NULL, 0) == PERMFS_OK);
    harness_stop(&h); /* checks the answer, the mount and the process */
    cr_assert(harness_start_open(&h), "a second start on the same mount point: %s", h.why);
}

Test(life, the_owners_end_ends_a_leased_daemon)
{
    cr_assert(harness_start_open(&h));
    close(h.owner);
    h.owner = -1;
    cr_expect(harness_await_end(&h));
}

Test(life, sigterm_ends_it_and_the_terminals_signals_do_not)
{
    cr_assert(harness_start_open(&h));
    kill(h.pid, SIGINT);
    kill(h.pid, SIGHUP);
    kill(h.pid, SIGPIPE);
    cr_expect(harness_request(&h, PERMFS_PING, NULL, 0) == PERMFS_OK);
    cr_expect(getsid(h.pid) == h.pid);
    kill(h.pid, SIGTERM);
    cr_expect(harness_await_end(&h));
}

Test(life, it_ends_while_the_mount_is_in_use)
{
    char path[256], buf[4];
    int fd, cwd;

    harness_flags = PERMFS_NO_PASSTHROUGH; /* the kernel goes on with what it passes through */
    cr_assert(tree_put(h.base, "f", "text") && harness_start_open(&h));
    snprintf(path, sizeof path, "%s/f", h.mnt);
    fd = open(path, O_RDWR);
    cwd = open(h.mnt, O_PATH | O_DIRECTORY);
    harness_stop(&h);
    cr_expect(pread(fd, buf, 4, 0) < 0, "an open file answers after the end");
    cr_expect(openat(cwd, "f", O_RDONLY) < 0, "a file is opened after the end");
    close(fd);
    close(cwd);
}

Test(life, an_unmount_by_somebody_else_ends_it)
{
    if (geteuid() != 0)
        harness_skip(&h, "unmounting takes root");
    cr_assert(harness_start_open(&h));
    cr_assert(umount2(h.mnt, 0) == 0);
    cr_expect(harness_await_end(&h));
}

Test(life, malformed_requests_are_refused)
{
    static const unsigned char junk[] = { 1, 2, 3, 255, 255, 255, 255, 0, 0, 0 };
    char buf[HARNESS_BUF];
    struct msg msg;
    struct wire_in w;
    int sock;

    cr_assert(harness_start_open(&h));
    sock = harness_connect(&h);
    for (uint32_t type = 0; type < 12; type++) {
        if (type == PERMFS_RULES)
            continue;
        cr_assert(harness_ask(sock, type, junk, sizeof junk, buf, &msg) == 0, "type %u", type);
        cr_expect(msg.type == PERMFS_FAILED, "type %u", type);
        w = wire_in_over(msg.body, msg.len);
        cr_expect(wire_get_u32(&w) == EPROTO);
    }
    for (size_t len = 0; len <= sizeof junk; len++)
        cr_expect(harness_request(&h, PERMFS_RULES, junk, len) == PERMFS_FAILED, "%zu", len);
    cr_assert(send(sock, junk, sizeof junk, 0) == sizeof junk); /* not even a header */
    cr_assert(harness_ask(sock, PERMFS_PING, NULL, 0, buf, &msg) == 0 && msg.type == PERMFS_FAILED);
    cr_expect(tree_put(h.mnt, "f", "still works"));
    close(sock);
    cr_expect(harness_request(&h, PERMFS_PING, NULL, 0) == PERMFS_OK);
}

/* A child that stands for the sandbox's init, and what PERMFS_GUARD is made of. */
struct guarded {
    pid_t init;
    int pidfd, notes[2], ended;
};

static void guarded_make(struct guarded *ret)
{
    ret->init = fork();
    if (ret->init == 0)
        for (;;)
            pause();
    ret->pidfd = (int)syscall(SYS_pidfd_open, ret->init, 0);
    ret->ended = memfd_create("ended", MFD_CLOEXEC);
    cr_assert(ret->pidfd >= 0 && ret->ended >= 0 && write(ret->ended, "-", 1) == 1);
    cr_assert(pipe2(ret->notes, O_CLOEXEC | O_NONBLOCK) == 0);
}

static uint32_t guarded_send(int sock, const struct guarded *guarded, size_t n_fds)
{
    const int fds[] = { guarded->pidfd, guarded->notes[0], guarded->ended, guarded->pidfd, guarded->pidfd };
    char buf[HARNESS_BUF];
    uint32_t type;
    struct msg msg;

    cr_assert(msg_send(sock, PERMFS_GUARD, NULL, 0, fds, n_fds) == 0 && msg_recv(sock, buf, sizeof buf, &msg) == 0);
    type = msg.type;
    msg_release(&msg);
    return type;
}

static void guarded_release(struct guarded *guarded)
{
    kill(guarded->init, SIGKILL);
    waitpid(guarded->init, NULL, 0);
    close(guarded->pidfd);
    close(guarded->ended);
    close(guarded->notes[0]);
    if (guarded->notes[1] >= 0)
        close(guarded->notes[1]);
}

static void start_flags(uint32_t flags, int lock)
{
    const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    struct harness_options options = harness_options();

    options.flags = flags;
    options.lock = lock;
    cr_assert(harness_start(&h, &all, 1, &options), "%s", h.why);
}

static void owner_leave(void)
{
    close(h.owner);
    h.owner = -1;
}

Test(life, without_a_lease_a_guarded_one_outlives_its_owner)
{
    struct guarded guarded;
    char buf[HARNESS_BUF];
    struct msg msg;
    int sock;

    start_flags(0, -1);
    guarded_make(&guarded);
    cr_expect(guarded_send(h.owner, &guarded, 3) == PERMFS_OK);
    owner_leave();
    sleep_ms(100);
    sock = harness_connect(&h);
    cr_assert(harness_ask(sock, PERMFS_PING, NULL, 0, buf, &msg) == 0 && msg.type == PERMFS_OK);
    cr_assert(harness_ask(sock, PERMFS_QUIT, NULL, 0, buf, &msg) == 0 && msg.type == PERMFS_OK);
    cr_expect(harness_await_end(&h));
    close(sock);
    guarded_release(&guarded);
}

/* A host that dies in the middle of a start has nowhere written that there is a daemon. */
Test(life, until_it_is_guarded_its_owners_end_is_its_own)
{
    start_flags(0, -1);
    owner_leave();
    cr_expect(harness_await_end(&h));
}

static int lock_make(void)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "%s/lock", h.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0);
    return fd;
}

/* Whether the lock of the daemon that was given it is to be had by others. */
static bool lock_is_free(void)
{
    int fd = lock_make();
    bool is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;

    cr_expect(is_free || errno == EWOULDBLOCK);
    close(fd);
    return is_free;
}

static void start_locked(void)
{
    int lock = lock_make();

    cr_assert(flock(lock, LOCK_EX | LOCK_NB) == 0);
    start_flags(PERMFS_LOCK, lock);
    close(lock);
    cr_expect(!lock_is_free(), "on its way up it has let go of the lock");
}

/* Who cleans behind a host that died meanwhile is to find all of the daemon or nothing. */
Test(life, the_lock_is_kept_until_the_guard_or_the_end)
{
    struct guarded guarded;

    start_locked();
    guarded_make(&guarded);
    cr_expect(guarded_send(h.owner, &guarded, 3) == PERMFS_OK);
    cr_expect(lock_is_free());
    harness_stop(&h);
    guarded_release(&guarded);

    start_locked();
    owner_leave();
    cr_expect(AWAIT(lock_is_free()));
    cr_expect(!proc_is_mounted_below(h.mnt), "the lock is free, and it is mounted");
    cr_expect(harness_await_end(&h));
}

Test(life, the_guarded_inits_end_ends_it)
{
    struct guarded guarded;
    char byte = 0;

    cr_assert(harness_start_open(&h));
    guarded_make(&guarded);
    cr_expect(guarded_send(h.owner, &guarded, 3) == PERMFS_OK);
    close(guarded.notes[1]); /* the agent's end alone is nobody's end */
    guarded.notes[1] = -1;
    sleep_ms(50);
    cr_expect(harness_request(&h, PERMFS_PING, NULL, 0) == PERMFS_OK);
    kill(guarded.init, SIGKILL);
    cr_expect(harness_await_end(&h));
    cr_expect(pread(guarded.ended, &byte, 1, 0) == 1 && byte == '-');
    guarded_release(&guarded);
}

Test(life, what_the_agent_notes_is_written_before_it_is_answered)
{
    static const struct {
        char note, want;
    } cases[] = { { PERMFS_ENDED_LIFETIME, 'l' }, { PERMFS_ENDED_IDLE, 'i' }, { 'x', '-' }, { 0, '-' } };

    for (size_t i = 0; i < N(cases); i++) {
        struct guarded guarded;
        struct pollfd answer = { .fd = -1 };
        char byte = 0;

        cr_assert(harness_start_open(&h));
        guarded_make(&guarded);
        answer.fd = guarded.notes[1];
        cr_expect(guarded_send(h.owner, &guarded, 3) == PERMFS_OK);
        cr_expect(write(guarded.notes[1], &cases[i].note, 1) == 1);
        close(guarded.notes[0]);
        guarded.notes[0] = -1;
        cr_expect(poll(&answer, 1, HANG_MS) == 1 && (answer.revents & POLLERR), "%zu: no answer", i);
        cr_expect(pread(guarded.ended, &byte, 1, 0) == 1 && byte == cases[i].want, "%zu: %c", i, byte);
        guarded_release(&guarded);
        cr_expect(harness_await_end(&h));
        close(h.owner);
        h.owner = -1;
    }
}

Test(life, the_guard_is_the_owners_to_set_and_once)
{
    struct guarded guarded;
    int sock;

    cr_assert(harness_start_open(&h));
    guarded_make(&guarded);
    sock = harness_connect(&h);
    cr_expect(guarded_send(sock, &guarded, 3) == PERMFS_FAILED);
    cr_expect(guarded_send(h.owner, &guarded, 2) == PERMFS_FAILED);
    cr_expect(guarded_send(h.owner, &guarded, 5) == PERMFS_FAILED);
    cr_expect(guarded_send(h.owner, &guarded, 4) == PERMFS_OK);
    cr_expect(guarded_send(h.owner, &guarded, 4) == PERMFS_FAILED);
    close(sock);
    guarded_release(&guarded); /* the host, whose pidfd was the fourth */
    cr_expect(harness_await_end(&h));
}

Test(life, many_connections_do_not_shut_the_owner_out)
{
    int socks[40];

    cr_assert(harness_start_open(&h));
    for (int i = 0; i < 8; i++)
        socks[i] = harness_connect(&h);
    sleep_ms(20);
    for (int i = 8; i < 24; i++)
        socks[i] = harness_connect(&h);
    sleep_ms(20);
    cr_expect(harness_request(&h, PERMFS_PING, NULL, 0) == PERMFS_OK);
    for (int i = 0; i < 24; i++)
        close(socks[i]);
}

static bool fails_to_start(const struct rule *rules, size_t n, uint32_t error, const char *why)
{
    struct harness_options options = harness_options();
    bool failed = !harness_start(&h, rules, n, &options);

    cr_expect(h.error == error && strstr(h.why, why), "%u %s", h.error, h.why);
    cr_expect(!strchr(h.why, '\n'));
    close(h.owner);
    h.owner = -1;
    return failed;
}

Test(life, failures_say_which_step)
{
    static const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    static const struct rule bad[] = { { "a", 0, 3, 0 }, { "[", 0, 3, 0 } };
    static const struct rule type[] = { { "a", 7, 3, 0 } };

    cr_expect(fails_to_start(bad, N(bad), EINVAL, "rule 1"));
    cr_expect(fails_to_start(type, N(type), EINVAL, "rule 0"));
    cr_assert(rmdir(h.mnt) == 0);
    cr_expect(fails_to_start(&all, 1, ENOENT, "mount point"));
    cr_assert(tree_put(h.dir, "mnt", "a file"));
    cr_expect(fails_to_start(&all, 1, ENOTDIR, "mount point"));
    snprintf(h.mnt, sizeof h.mnt, "%s/in/side", h.base);
    cr_assert(tree_mkdir(h.base, "in/side"));
    cr_expect(fails_to_start(&all, 1, EINVAL, "inside of the codebase"));
}

Test(life, a_closed_device_is_explained)
{
    static const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };

    if (geteuid() != 0)
        harness_skip(&h, "becoming an ordinary user takes root");
    /* The child is the ordinary user; /dev/fuse may be open to everybody, and then this says nothing. */
    if (faccessat(AT_FDCWD, "/dev/fuse", R_OK, AT_EACCESS) == 0) {
        struct stat st;

        cr_assert(stat("/dev/fuse", &st) == 0);
        if (st.st_mode & 0006)
            harness_skip(&h, "/dev/fuse is open to everybody");
    }
    cr_assert(tree_chown(h.dir, 65534, 65534));
    cr_assert(setresgid(65534, 65534, 0) == 0 && setresuid(65534, 65534, 0) == 0);
    cr_expect(fails_to_start(&all, 1, EACCES, "/dev/fuse: permission denied"));
    cr_assert(setresuid(0, 0, 0) == 0 && setresgid(0, 0, 0) == 0);
}

Test(life, root_works_as_the_codebases_owner)
{
    static const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    struct harness_options options = harness_options();
    char path[256];
    struct stat st;
    char *status;

    if (geteuid() != 0)
        harness_skip(&h, "becoming the owner takes root");
    options.owner_uid = options.owner_gid = 1234;
    options.shown_uid = options.shown_gid = 4321;
    cr_assert(tree_put(h.base, "theirs", "x") && tree_chown(h.base, 1234, 1234));
    cr_assert(tree_put(h.base, "roots", "x"));
    cr_assert(chmod(h.dir, 0700) == 0, "the way to the mount point is closed to the owner");
    cr_assert(harness_start(&h, &all, 1, &options), "%s", h.why);
    snprintf(path, sizeof path, "%s/theirs", h.mnt);
    cr_expect(stat(path, &st) == 0 && st.st_uid == 4321 && st.st_gid == 4321);
    snprintf(path, sizeof path, "%s/roots", h.mnt);
    cr_expect(stat(path, &st) == 0 && st.st_uid == 65534 && st.st_gid == 65534);
    cr_expect(open(path, O_WRONLY) < 0 && errno == EACCES, "root's file is written with root's rights");
    cr_expect(tree_put(h.mnt, "made", "x"));
    snprintf(path, sizeof path, "%s/made", h.base);
    cr_expect(stat(path, &st) == 0 && st.st_uid == 1234 && st.st_gid == 1234);
    status = proc_read(h.pid, "status");
    cr_assert(status);
    cr_expect(strstr(status, "Uid:\t1234\t1234\t1234\t1234") != NULL);
    cr_expect(strstr(status, "CapEff:\t0000000000200004") != NULL, "%s", strstr(status, "CapInh"));
    free(status);
}

Test(life, it_keeps_nothing_of_the_hosts)
{
    char path[64], target[256];
    struct stat st;
    ssize_t n;
    int fd = open("/etc/passwd", O_RDONLY); /* not close-on-exec */

    cr_assert(harness_start_open(&h));
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", h.pid, i);
        n = readlink(path, target, sizeof target - 1);
        target[n < 0 ? 0 : n] = 0;
        cr_expect(!strstr(target, "passwd"), "%s -> %s", path, target);
        if (i < 3 && geteuid() == 0)
            cr_expect(strcmp(target, "/dev/null") == 0, "%s -> %s", path, target);
    }
    snprintf(path, sizeof path, "/proc/%d/cwd", h.pid);
    if (stat(path, &st) == 0) {
        n = readlink(path, target, sizeof target - 1);
        cr_expect(n == 1 && target[0] == '/');
    }
    close(fd);
}
