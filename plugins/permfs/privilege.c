#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP(name) (UINT64_C(1) << (name))

/* What root needs to work on a codebase that is root's. */
#define WORK_CAPS (CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER))

/* Of the calling thread. */
static int caps_set(uint64_t permitted, uint64_t effective)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0 } };

    for (int i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].effective = (uint32_t)(effective >> (32 * i));
    }
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Of the calling thread; zeros if they cannot be read. */
static void caps_get(uint64_t *ret_permitted, uint64_t *ret_effective)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0 } };

    if (syscall(SYS_capget, &head, data) < 0)
        memset(data, 0, sizeof data);
    *ret_permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    *ret_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
}

static uint64_t caps_permitted(void)
{
    uint64_t permitted, effective;

    caps_get(&permitted, &effective);
    return permitted;
}

int privilege_drop(uid_t owner_uid, gid_t owner_gid)
{
    /* Unmounting takes the first; the path to the mount point may be closed to the owner and takes the second. */
    uint64_t keep = CAP(CAP_SYS_ADMIN) | CAP(CAP_DAC_READ_SEARCH);
    int r;

    if (geteuid() == 0) {
        if (owner_uid == 0)
            keep |= WORK_CAPS;
        if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 || setresgid(owner_gid, owner_gid, owner_gid) < 0 ||
            setresuid(owner_uid, owner_uid, owner_uid) < 0)
            return -errno;
        keep &= caps_permitted();
        r = caps_set(keep, keep);
        if (r)
            return r;
    }
    return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

/* What workers may have; constant once there are any. */
static uint64_t worker_caps;

int privilege_drop_worker(bool may_raise)
{
    worker_caps = caps_permitted() & (may_raise ? WORK_CAPS | CAP(CAP_SYS_ADMIN) : WORK_CAPS);
    return caps_set(worker_caps, worker_caps & WORK_CAPS);
}

int privilege_drop_all(void)
{
    return caps_set(0, 0);
}

bool privilege_can_raise(void)
{
    return caps_permitted() & CAP(CAP_SYS_ADMIN);
}

bool privilege_is_raised(void)
{
    uint64_t permitted, effective;

    caps_get(&permitted, &effective);
    return effective & CAP(CAP_SYS_ADMIN);
}

int privilege_raise(void)
{
    return worker_caps & CAP(CAP_SYS_ADMIN) ? caps_set(worker_caps, worker_caps) : -EPERM;
}

void privilege_lower(void)
{
    (void)caps_set(worker_caps, worker_caps & WORK_CAPS);
}
