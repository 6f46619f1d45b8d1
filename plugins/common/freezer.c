#include "freezer.h"

#include "box_cgroup.h"
#include "error.h"
#include "util.h"

#include <fcntl.h>
#include <string.h>

#define SETTLE_S 5 /* a process in the middle of a system call that cannot be interrupted is waited for */

bool freezer_open(struct op *op, const struct record *record, struct freezer *ret)
{
    struct freezer freezer = { .dir_fd = box_cgroup_open(op, record, CGROUP_FREEZER, &freezer.is_v1) };

    if (freezer.dir_fd < 0)
        return false;
    if (faccessat(freezer.dir_fd, freezer.is_v1 ? "freezer.state" : "cgroup.freeze", F_OK, 0) < 0) {
        freezer_close(&freezer);
        return false;
    }
    *ret = freezer;
    return true;
}

void freezer_close(struct freezer *freezer)
{
    fd_closep(&freezer->dir_fd);
}

static int state_write(const struct freezer *freezer, const char *v1, const char *v2)
{
    const char *text = freezer->is_v1 ? v1 : v2;
    cleanup_fd int fd =
        openat(freezer->dir_fd, freezer->is_v1 ? "freezer.state" : "cgroup.freeze", O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : write_all(fd, text, strlen(text));
}

int freezer_thaw(const struct freezer *freezer)
{
    return state_write(freezer, "THAWED", "0");
}

bool freezer_is_frozen(const struct freezer *freezer)
{
    cleanup_fd int fd =
        openat(freezer->dir_fd, freezer->is_v1 ? "freezer.state" : "cgroup.events", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (n <= 0)
        return false;
    text[n] = '\0';
    return strstr(text, freezer->is_v1 ? "FROZEN" : "frozen 1") != NULL;
}

int32_t freezer_freeze(struct op *op, const struct freezer *freezer)
{
    int64_t until = now_ns() + SETTLE_S * NS_PER_S;
    int err = state_write(freezer, "FROZEN", "1");
    int32_t status = err ? op_fail(op, error_status(-err), -err, "freeze the sandbox's cgroup") : RT_OK;

    while (!status && !freezer_is_frozen(freezer))
        status = now_ns() < until ? op_sleep_ms(op, 1)
                                  : op_fail(op, RT_E_TIMEOUT, 0, "a process of the sandbox does not stand still");
    if (status)
        (void)freezer_thaw(freezer);
    return status;
}
