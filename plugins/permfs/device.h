/*
 * The FUSE device as this kernel and this libfuse need it: what libfuse's own API lacks is put into its replies as
 * they pass. The one place that knows of libfuse's age.
 *
 * Passthrough: the kernel reads, writes and maps a backing file without asking the daemon. A backing file is
 * registered by an ioctl that takes CAP_SYS_ADMIN in the initial user namespace; where that, or the kernel's
 * support, is missing, device_passes() is false or device_backing_open() fails, and data goes through the daemon.
 */
#ifndef STOCKADE_PERMFS_DEVICE_H
#define STOCKADE_PERMFS_DEVICE_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct device {
    bool passthrough; /* wanted; constant */
    int fd;           /* -1 until device_attach; the session's */
    uint64_t init_unique;
    atomic_bool init_done, passes;
};

/*
 * Makes the session speak over fd, which is its from then on. The device must outlive the session.
 * `device` is reached from the session's userdata by device_of_userdata, which the filesystem defines.
 * Returns 0 or -errno.
 */
int device_attach(struct device *device, struct fuse_session *session, int fd);
struct device *device_of_userdata(void *userdata);
void device_init(struct device *device, struct fuse_conn_info *conn); /* from the init operation */

/* The request that this thread serves; all 0 where libfuse does not show it. */
struct device_request {
    uint32_t opcode; /* FUSE_OPEN */
    uint32_t pid;    /* as the host counts it */
};
const struct device_request *device_request(void);

/* Whether the kernel has agreed to passthrough. */
bool device_passes(const struct device *device);
/*
 * Registers the file of fd, which stays the caller's. Returns an id > 0 or -errno; after -EPERM device_passes is
 * false. Closes others first, which is cheaper along with it, and makes room where the disk is full. Thread-safe.
 */
int32_t device_backing_open(struct device *device, int fd, const int32_t *closed, size_t n_closed);
void device_backing_close(struct device *device, const int32_t *ids, size_t n); /* open files of them live on */

/* As fuse_reply_open and fuse_reply_create, for a file to be passed through to the backing file `id`, 0 for none. */
int device_reply_open(fuse_req_t req, struct fuse_file_info *fi, int32_t id);
int device_reply_create(fuse_req_t req, const struct fuse_entry_param *entry, struct fuse_file_info *fi, int32_t id);

#endif
