#include "halt.h"

#include "error.h"
#include "proc_tree.h"
#include "util.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SETTLE_S 5 /* as a freezer's */

static int32_t halt_one(struct op *op, const struct proc_entry *entry, int list_fd)
{
    const struct proc_id id = { entry->pid, entry->stat.start };
    cleanup_fd int fd = proc_id_open(&id);

    if (fd < 0)
        return RT_OK; /* it has ended */
    if (dprintf(list_fd, "%d %llu\n", (int)id.pid, (unsigned long long)id.start) < 0)
        return op_fail(op, error_status(errno), errno, "note what is stopped");
    (void)pidfd_signal(fd, SIGSTOP);
    return RT_OK;
}

/* Stopped, traced (its tracer is inside, and stopped), or no more. */
static bool stands_still(char state)
{
    return strchr("TtZX", state) != NULL;
}

/* One look at everything; ret_moving is how many were not still. */
static int32_t halt_round(struct op *op, pid_t init, int list_fd, size_t *ret_moving)
{
    struct proc_entry *tree;
    size_t n;
    int err = proc_tree_read(init, &tree, &n);
    int32_t status = err ? op_fail(op, error_status(-err), -err, "look for the sandbox's processes") : RT_OK;

    if (status)
        return status;
    *ret_moving = 0;
    for (size_t i = 0; !status && i < n; i++)
        if (!stands_still(tree[i].stat.state)) {
            ++*ret_moving;
            status = halt_one(op, &tree[i], list_fd);
        }
    free(tree);
    return status;
}

int32_t halt_all(struct op *op, const struct record *record, int list_fd)
{
    int64_t until = now_ns() + SETTLE_S * NS_PER_S;

    for (;;) {
        size_t moving;
        int32_t status = halt_round(op, record->init.pid, list_fd, &moving);

        if (status || !moving)
            return status;
        if (now_ns() >= until)
            return op_fail(op, RT_E_TIMEOUT, 0, "%zu processes of the sandbox do not stand still", moving);
        status = op_sleep_ms(op, 2); /* a signal takes effect when its process runs next */
        if (status)
            return status;
    }
}

static void continue_one(const char *line)
{
    unsigned long long start;
    struct proc_id id;
    cleanup_fd int fd = -1;

    if (sscanf(line, "%d %llu", &id.pid, &start) != 2)
        return;
    id.start = start;
    fd = proc_id_open(&id);
    if (fd >= 0)
        (void)pidfd_signal(fd, SIGCONT);
}

void halt_end(const char *list)
{
    const char *at = list ? list + strlen(list) : NULL;

    while (at && at > list) {
        const char *line = at - 1; /* the newline, or a line that was cut short */

        while (line > list && line[-1] != '\n')
            line--;
        continue_one(line);
        at = line;
    }
}
