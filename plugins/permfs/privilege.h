/*
 * Giving up root. permfs mounts as root and then works as the codebase's owner, so that everything in the codebase
 * is done with the owner's rights and made with the owner's identity (contract W9).
 */
#ifndef STOCKADE_PERMFS_PRIVILEGE_H
#define STOCKADE_PERMFS_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * To be called before there are threads. Started as root, the process takes the owner's ids; the calling thread
 * keeps what unmounting takes and privilege_drop_worker needs, and serves no request of the sandbox. Started as
 * anybody else, it stays what it is. Nobody may trace the process afterwards. Returns 0 or -errno.
 */
int privilege_drop(uid_t owner_uid, gid_t owner_gid);
/*
 * For the thread that starts those which work for the sandbox; they inherit it. What is in effect is nothing, or for
 * a root-owned codebase what root needs to work on it: CAP_DAC_OVERRIDE and CAP_FOWNER, and not CAP_FSETID, so that
 * writing to a setuid file clears the bit. With may_raise, CAP_SYS_ADMIN can be put into effect by privilege_raise.
 * Returns 0 or -errno.
 */
int privilege_drop_worker(bool may_raise);
int privilege_drop_all(void); /* For a thread that has no use for any. Returns 0 or -errno. */
bool privilege_can_raise(void);
/*
 * CAP_SYS_ADMIN, for the calling thread, from a worker's privilege_raise to its privilege_lower: for the one ioctl
 * that takes it (device.c). A thread of its own would not guard it better, for threads share their memory, and would
 * cost two switches for each file that is opened. privilege_raise returns 0 or -EPERM.
 */
int privilege_raise(void);
bool privilege_is_raised(void); /* whether the calling thread has it in effect */
void privilege_lower(void);

#endif
