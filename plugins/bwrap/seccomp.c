/*
 * What the filter adds to bubblewrap's namespaces: PID 1's own limits and the commands' place in the process tree are
 * not for code inside to change, and no terminal input can be faked.
 */
#include "bwrap.h"

#include "util.h"

#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static int rules_add(scmp_filter_ctx ctx)
{
    int err;

    if ((err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 1))) ||
        (err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 2,
                                SCMP_A0(SCMP_CMP_EQ, PR_SET_CHILD_SUBREAPER), SCMP_A1(SCMP_CMP_EQ, 0))))
        return err;
    /* The kernel looks at 32 bits of the request only. */
    if ((err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                                SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI))))
        return err;
    return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX));
}

int seccomp_filter_fd(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    cleanup_fd int fd = memfd_create("stockade-seccomp", MFD_CLOEXEC);
    int err = ctx ? 0 : -ENOMEM;

    if (!err && fd < 0)
        err = -errno;
    if (!err)
        err = rules_add(ctx);
    if (!err)
        err = seccomp_export_bpf(ctx, fd);
    if (!err && lseek(fd, 0, SEEK_SET) < 0)
        err = -errno;
    if (ctx)
        seccomp_release(ctx);
    return err ? err : take_fd(&fd);
}
