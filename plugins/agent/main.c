/* Boot, the event loop and an orderly end. */
#include "agent.h"
#include "inside.h"
#include "keeper_proto.h"
#include "procs.h"
#include "relay_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static uint32_t stop_grace_ms;
static struct watch listener, signals, lease, host;
static bool accept_paused;
bool listens_inside;

static void listener_events(uint32_t events)
{
    watch_change(&listener, events);
    accept_paused = !events;
}

void accept_resume(void)
{
    if (accept_paused)
        listener_events(EPOLLIN);
}

static void listener_ready(struct watch *watch, uint32_t events)
{
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd >= 0)
        conn_accept(fd);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        listener_events(0); /* it stays readable: spinning on it would help nobody */
}

/*
 * Of the lease, and of the process that holds it, whoever else has a copy. One that has released the sandbox may end
 * before that is read here.
 */
static void lease_ready(struct watch *watch, uint32_t events)
{
    char packet[64];
    struct msg msg;
    int err;

    (void)events;
    if (lease.fd < 0) /* released by the event before this one */
        return;
    err = msg_recv(lease.fd, packet, sizeof packet, &msg);
    if (err == -EAGAIN && watch == &lease)
        return;
    if (err || msg.type != AGENT_RELEASE)
        _exit(0); /* the kernel ends all others in the pid namespace with its init */
    msg_release(&msg);
    watch_close(&lease);
    watch_close(&host);
}

void agent_stop(void)
{
    struct timespec tick = { .tv_nsec = 2000000 };

    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    for (uint32_t waited = 0; waited < stop_grace_ms; waited += 2) {
        pid_t pid;

        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0)
            break;
        nanosleep(&tick, NULL);
    }
    _exit(0);
}

static void signals_ready(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        /* Pid 0 is a sender outside; the sandbox's own processes may not end their init. */
        if (info.ssi_signo == SIGTERM && info.ssi_pid == 0)
            agent_stop();
    }
    tree_reap();
}

static int signals_init(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&all);
    sigaddset(&all, SIGCHLD);
    sigaddset(&all, SIGTERM);
    signals = (struct watch){ .ready = signals_ready, .fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK) };
    return signals.fd < 0 ? -errno : watch_add(&signals, EPOLLIN);
}

static int boot_connect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof addr.sun_path)
        return -1;
    strcpy(addr.sun_path, path);
    return connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ? -1 : fd;
}

/* The lease's connection and the pidfd of who holds it. */
static int lease_take(int fd, int host_fd)
{
    int err = fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0;

    lease = (struct watch){ .ready = lease_ready, .fd = fd };
    host = (struct watch){ .ready = lease_ready, .fd = host_fd };
    if (!err)
        err = watch_add(&lease, EPOLLIN | EPOLLRDHUP);
    return err ? err : watch_add(&host, EPOLLIN);
}

static int boot(const char *path)
{
    static char packet[4096];
    struct wire_out ready = { 0 };
    struct wire_in in;
    struct msg msg;
    uint32_t version;
    uint64_t max_lifetime_ms, idle_timeout_ms;
    int fd = boot_connect(path), notes_fd, host_fd;

    if (fd < 0 || msg_recv(fd, packet, sizeof packet, &msg) < 0 || msg.type != AGENT_BOOT)
        return -1;
    in = wire_in_over(msg.body, msg.len);
    version = wire_get_u32(&in);
    stop_grace_ms = wire_get_u32(&in);
    max_lifetime_ms = wire_get_u64(&in);
    idle_timeout_ms = wire_get_u64(&in);
    listener = (struct watch){ .ready = listener_ready, .fd = msg_take_fd(&msg, 0) };
    notes_fd = msg_take_fd(&msg, 1);
    host_fd = msg_take_fd(&msg, 2);
    msg_release(&msg);
    if (!wire_in_done(&in) || version != AGENT_VERSION || listener.fd < 0)
        return -1;
    if (ttl_init(max_lifetime_ms, idle_timeout_ms, notes_fd) < 0)
        return -1;
    if (fcntl(listener.fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 || watch_add(&listener, EPOLLIN) < 0)
        return -1;
    wire_put_u32(&ready, AGENT_VERSION);
    if (msg_send(fd, AGENT_READY, ready.data, ready.len, NULL, 0) < 0)
        return -1;
    wire_out_release(&ready);
    return lease_take(fd, host_fd);
}

static int boot_inside(const char *name, char **numbers, const char *notes)
{
    uint64_t max_lifetime_ms = strtoull(numbers[1], NULL, 10), idle_timeout_ms = strtoull(numbers[2], NULL, 10);
    int notes_fd = -1;

    stop_grace_ms = (uint32_t)strtoul(numbers[0], NULL, 10);
    listens_inside = true;
    if (max_lifetime_ms || idle_timeout_ms) {
        notes_fd = open(notes, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (notes_fd < 0 || ttl_init(max_lifetime_ms, idle_timeout_ms, notes_fd) < 0)
            return -1;
    }
    listener = (struct watch){ .ready = listener_ready, .fd = inside_listen(name) };
    return listener.fd < 0 ? -1 : watch_add(&listener, EPOLLIN);
}

static int boot_any(int argc, char **argv)
{
    if (argc == 7 && !strcmp(argv[1], RELAY_INSIDE_ARG))
        return boot_inside(argv[2], argv + 3, argv[6]);
    return argc == 2 ? boot(argv[1]) : -1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], KEEPER_ARG))
        return keeper_main(argc, argv);
    if (argc > 1 && !strcmp(argv[1], RELAY_BRIDGE_ARG))
        return bridge_main(argc, argv);
    if (argc > 1 && !strcmp(argv[1], RELAY_LEASE_ARG))
        return lease_main();
    (void)syscall(SYS_close_range, 3u, ~0u, 0u); /* bubblewrap leaks its caller's fds */
    (void)prctl(PR_SET_DUMPABLE, 0);             /* no ptrace, no /proc/1/mem for code of the same uid */
    (void)umask(022);
    spawn_init();
    if (loop_init() < 0 || procs_init() < 0 || signals_init() < 0 || boot_any(argc, argv) < 0)
        return 125;
    for (;;) {
        loop_once(tree_tick());
        cmds_bury();
    }
}
