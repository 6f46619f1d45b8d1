/*
 * Runs when the bwrap plugin is built: prints its two seccomp filters of what lists.h lists as C, so that a start costs
 * no compiling and the plugin needs no libseccomp. Both are installed, and the kernel takes the stricter answer of the
 * two. Each is there a second time for sandboxes that may make user namespaces; there unshare() is let through with
 * that flag alone.
 *
 * The first lets through what Docker's default profile lets through without capabilities (moby, profiles/seccomp/
 * default.json), less io_uring, and says EPERM to what is known and dangerous. Whatever it has no name for is ENOSYS:
 * newer than the list, and a libc then does without. The second looks at arguments, which may differ from what is
 * refused in bits that the kernel does not look at: hence all the masks.
 *
 * Filters are for the machine's own architecture and its 32-bit one. x32's numbers are refused.
 */
#include "lists.h"

#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LOW 0xffffffffu /* the kernel takes these arguments as 32 bits */

static void must(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "filter: %s: error %d\n", what, -err);
        exit(1);
    }
}

/* Names that this libseccomp does not know cannot be let through: they stay ENOSYS. */
static void names_add(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);

        if (nr != __NR_SCMP_ERROR)
            must(seccomp_rule_add(ctx, action, nr, 0), names[i]);
    }
}

static scmp_filter_ctx filter_new(uint32_t otherwise)
{
    scmp_filter_ctx ctx = seccomp_init(otherwise);

    if (!ctx)
        must(-ENOMEM, "seccomp_init");
    must(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), "bad architecture");
    if (seccomp_arch_native() == SCMP_ARCH_X86_64)
        must(seccomp_arch_add(ctx, SCMP_ARCH_X86), "x86");
    if (seccomp_arch_native() == SCMP_ARCH_AARCH64)
        must(seccomp_arch_add(ctx, SCMP_ARCH_ARM), "arm");
    return ctx;
}

static scmp_filter_ctx calls_filter(bool has_userns)
{
    scmp_filter_ctx ctx = filter_new(SCMP_ACT_ERRNO(ENOSYS));

    names_add(ctx, SCMP_ACT_ALLOW, allowed, LEN(allowed));
    names_add(ctx, SCMP_ACT_ERRNO(EPERM), refused, LEN(refused));
    must(seccomp_rule_add(ctx, has_userns ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0), "unshare");
    for (size_t i = 0; i < LEN(personalities); i++)
        must(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_EQ, personalities[i])),
             "personality");
    return ctx;
}

static void argument_refuse(scmp_filter_ctx ctx, int err, int nr, unsigned arg, uint32_t mask, uint32_t value)
{
    must(seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)err), nr, 1, SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value)),
         "argument");
}

static scmp_filter_ctx arguments_filter(bool has_userns)
{
    scmp_filter_ctx ctx = filter_new(SCMP_ACT_ALLOW);

    for (size_t i = 0; i < LEN(namespaces); i++) {
        argument_refuse(ctx, EPERM, SCMP_SYS(clone), 0, namespaces[i], namespaces[i]);
        argument_refuse(ctx, EPERM, SCMP_SYS(unshare), 0, namespaces[i], namespaces[i]);
    }
    argument_refuse(ctx, EPERM, SCMP_SYS(unshare), 0, CLONE_NEWTIME, CLONE_NEWTIME);
    if (!has_userns) {
        argument_refuse(ctx, EPERM, SCMP_SYS(clone), 0, CLONE_NEWUSER, CLONE_NEWUSER);
        argument_refuse(ctx, EPERM, SCMP_SYS(unshare), 0, CLONE_NEWUSER, CLONE_NEWUSER);
    }
    /* 32-bit x86's socketcall is refused as a whole for socket(): the filter cannot see the family. */
    for (size_t i = 0; i < LEN(families); i++)
        argument_refuse(ctx, EAFNOSUPPORT, SCMP_SYS(socket), 0, LOW, families[i]);
    /* No terminal input can be faked. */
    argument_refuse(ctx, EPERM, SCMP_SYS(ioctl), 1, LOW, TIOCSTI);
    argument_refuse(ctx, EPERM, SCMP_SYS(ioctl), 1, LOW, TIOCLINUX);
    /* PID 1's limits, and the commands' place in the process tree, are not for code inside to change. */
    argument_refuse(ctx, EPERM, SCMP_SYS(prlimit64), 0, LOW, 1);
    must(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 2,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, LOW, PR_SET_CHILD_SUBREAPER), SCMP_A1(SCMP_CMP_EQ, 0)),
         "subreaper");
    return ctx;
}

static void filter_print(const char *name, scmp_filter_ctx ctx)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    struct sock_filter op;

    must(fd, "memfd_create");
    must(seccomp_export_bpf(ctx, fd), "export");
    must(lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0, "rewind");
    printf("static const struct sock_filter %s[] = {\n", name);
    while (read(fd, &op, sizeof op) == (ssize_t)sizeof op)
        printf("    { %#x, %u, %u, %#x },\n", op.code, op.jt, op.jf, op.k);
    printf("};\n");
    close(fd);
    seccomp_release(ctx);
}

int main(void)
{
    printf("/* Written by plugins/syscalls/filters.c. */\n");
    filter_print("calls_filter", calls_filter(false));
    filter_print("arguments_filter", arguments_filter(false));
    filter_print("calls_userns_filter", calls_filter(true));
    filter_print("arguments_userns_filter", arguments_filter(true));
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
