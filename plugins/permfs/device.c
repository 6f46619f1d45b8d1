#include "device.h"

#include "privilege.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* libfuse has all this in its own API since 3.17. */
#define LIBFUSE_KNOWS (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

/* linux/fuse.h has these since Linux 6.9. */
struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* A codebase on overlayfs is itself a filesystem stacked once; the kernel's limit is two. */
#define STACK_DEPTH 2

static _Thread_local struct device_request request_now;

const struct device_request *device_request(void)
{
    return &request_now;
}

/* With the privilege raised. */
static void close_all(struct device *device, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)ioctl(device->fd, BACKING_CLOSE, &(uint32_t){ (uint32_t)ids[i] });
}

int32_t device_backing_open(struct device *device, int fd, const int32_t *closed, size_t n_closed)
{
    struct backing_map map = { .fd = fd };
    int32_t id = privilege_raise();

    if (!id) {
        close_all(device, closed, n_closed);
        id = ioctl(device->fd, BACKING_OPEN, &map);
        if (id < 0)
            id = -errno;
        privilege_lower();
    }
    if (id == -EPERM) /* root of a container, say: it will not be otherwise the next time */
        atomic_store(&device->passes, false);
    return id;
}

void device_backing_close(struct device *device, const int32_t *ids, size_t n)
{
    if (!n || privilege_raise())
        return;
    close_all(device, ids, n);
    privilege_lower();
}

bool device_passes(const struct device *device)
{
    return atomic_load_explicit(&device->passes, memory_order_relaxed);
}

#if LIBFUSE_KNOWS

int device_attach(struct device *device, struct fuse_session *session, int fd)
{
    char path[32];

    device->fd = fd;
    if (fuse_session_fd(session) == fd)
        return 0;
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    return fuse_session_mount(session, path) == 0 ? 0 : -EIO; /* only tells libfuse of the fd */
}

void device_init(struct device *device, struct fuse_conn_info *conn)
{
    fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
    if (device->passthrough && fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH)) {
        conn->max_backing_stack_depth = STACK_DEPTH;
        atomic_store(&device->passes, true);
    }
}

int device_reply_open(fuse_req_t req, struct fuse_file_info *fi, int32_t id)
{
    fi->backing_id = id;
    return fuse_reply_open(req, fi);
}

int device_reply_create(fuse_req_t req, const struct fuse_entry_param *entry, struct fuse_file_info *fi, int32_t id)
{
    fi->backing_id = id;
    return fuse_reply_create(req, entry, fi);
}

#else

#define PROTOCOL_MINOR   40        /* the first with passthrough */
#define INIT_PASSTHROUGH (1u << 5) /* in flags2: FUSE_PASSTHROUGH is bit 37 */
#define OPEN_PASSTHROUGH (1u << 7) /* FOPEN_PASSTHROUGH */

/* struct fuse_init_out up to what is needed, and struct fuse_open_out, as Linux has them since 6.9. */
struct init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth;
};
struct open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

_Static_assert(offsetof(struct init_out, flags2) == 32, "struct init_out is the kernel's");
_Static_assert(sizeof(struct open_out) == sizeof(struct fuse_open_out), "struct open_out is the kernel's");

/* What the kernel offers, from its INIT request; its reply takes it up. Used by the thread that answers INIT alone. */
static uint32_t offered, offered2;

/* The backing file of the reply that this thread is about to send. */
static _Thread_local int32_t reply_backing;

static void see_request(struct device *device, const char *buf, size_t len)
{
    struct fuse_in_header head;
    uint32_t init[5]; /* major, minor, max_readahead, flags, flags2 */

    memcpy(&head, buf, sizeof head);
    if (head.opcode != FUSE_INIT || len < sizeof head + sizeof init)
        return;
    memcpy(init, buf + sizeof head, sizeof init);
    offered = init[3];
    offered2 = offered & FUSE_INIT_EXT ? init[4] : 0;
    device->init_unique = head.unique;
}

static ssize_t device_read(int fd, void *buf, size_t size, void *userdata)
{
    struct device *device = device_of_userdata(userdata);
    ssize_t n = read(fd, buf, size);

    if (n < (ssize_t)sizeof(struct fuse_in_header))
        return n;
    request_now.opcode = ((const struct fuse_in_header *)buf)->opcode;
    request_now.pid = ((const struct fuse_in_header *)buf)->pid;
    if (!atomic_load_explicit(&device->init_done, memory_order_relaxed))
        see_request(device, buf, (size_t)n);
    return n;
}

static void patch_init(struct device *device, void *reply, size_t len)
{
    struct init_out out;

    if (len < sizeof out)
        return;
    memcpy(&out, reply, sizeof out);
    /* The daemon's writes have no CAP_FSETID: they clear setuid bits and file capabilities by themselves. */
    out.flags |= offered & FUSE_HANDLE_KILLPRIV_V2;
    if (device->passthrough && (offered2 & INIT_PASSTHROUGH)) {
        out.flags |= FUSE_INIT_EXT;
        out.flags2 |= INIT_PASSTHROUGH;
        out.max_stack_depth = STACK_DEPTH;
        if (out.minor < PROTOCOL_MINOR)
            out.minor = PROTOCOL_MINOR;
        atomic_store(&device->passes, true);
    }
    memcpy(reply, &out, sizeof out);
}

/* The end of an OPEN's and of a CREATE's reply. */
static void patch_open(void *reply, size_t len)
{
    struct open_out out;

    if (len < sizeof out)
        return;
    reply = (char *)reply + len - sizeof out;
    memcpy(&out, reply, sizeof out);
    out.open_flags |= OPEN_PASSTHROUGH;
    out.backing_id = reply_backing;
    memcpy(reply, &out, sizeof out);
}

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct device *device = device_of_userdata(userdata);
    const struct fuse_out_header *head = iov[0].iov_base;

    if (count > 1 && !head->error) {
        if (reply_backing) {
            patch_open(iov[count - 1].iov_base, iov[count - 1].iov_len);
        } else if (!atomic_load_explicit(&device->init_done, memory_order_relaxed) &&
                   head->unique == device->init_unique) {
            patch_init(device, iov[1].iov_base, iov[1].iov_len);
            atomic_store(&device->init_done, true);
        }
    }
    return writev(fd, iov, count);
}

int device_attach(struct device *device, struct fuse_session *session, int fd)
{
    const struct fuse_custom_io io = { .read = device_read, .writev = device_writev };

    device->fd = fd;
    return fuse_session_custom_io(session, &io, fd);
}

void device_init(struct device *device, struct fuse_conn_info *conn)
{
    (void)device;
    (void)conn;
}

int device_reply_open(fuse_req_t req, struct fuse_file_info *fi, int32_t id)
{
    int r;

    reply_backing = id;
    r = fuse_reply_open(req, fi);
    reply_backing = 0;
    return r;
}

int device_reply_create(fuse_req_t req, const struct fuse_entry_param *entry, struct fuse_file_info *fi, int32_t id)
{
    int r;

    reply_backing = id;
    r = fuse_reply_create(req, entry, fi);
    reply_backing = 0;
    return r;
}

#endif
