/* Who ends a `host` sandbox with its host where its agent cannot be told: a process beside it, on the host. */
#include "relay.h"

#include "child.h"
#include "error.h"
#include "relay_proto.h"

#include <string.h>
#include <sys/socket.h>

int32_t lease_start(struct op *op, const char *agent, pid_t init_pid, pid_t *ret_pid, int *ret_lease)
{
    const struct proc_id init = proc_id_of(init_pid);
    char *argv[] = { "agent", RELAY_LEASE_ARG, NULL }, *env[] = { NULL };
    cleanup_fd int init_fd = proc_id_open(&init), host_fd = proc_self_open(), ours = -1, theirs = -1;
    int pair[2], fds[3];
    struct child_spec spec = { .file = agent, .exec_fd = -1, .argv = argv, .env = env, .fds = fds, .n_fds = 3 };
    pid_t pid;

    if (init_fd < 0)
        return op_fail(op, RT_E_UNAVAILABLE, -init_fd, "the container ended at once");
    if (host_fd < 0)
        return op_fail(op, error_status(-host_fd), -host_fd, "pidfd of this process");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return op_fail(op, error_status(errno), errno, "the sandbox's lease");
    ours = pair[0];
    theirs = pair[1];
    fds[0] = theirs;
    fds[1] = init_fd;
    fds[2] = host_fd;
    pid = child_start(&spec);
    if (pid < 0)
        return op_fail(op, error_status(-pid), -pid, "start %s for the sandbox's lease", agent);
    *ret_pid = pid;
    *ret_lease = take_fd(&ours);
    return RT_OK;
}
