/*
 * stats: what a sandbox uses, as its cgroups count it, and where it has none of a kind as the sum of its processes.
 * Files: cgroup-v1/memory.rst, cpuacct.rst, pids.rst and blkio-controller.rst; cgroup-v2.rst.
 */
#include "box_cgroup.h"
#include "oom.h"
#include "ops.h"
#include "proc_tree.h"
#include "runtime.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN UINT64_MAX

/* ---- files ---- */

/* Opens one of a cgroup's files for reading; NULL if there is none. */
static FILE *file_open(int dir_fd, const char *name)
{
    int fd = dir_fd < 0 ? -1 : openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (!file && fd >= 0)
        close(fd);
    return file;
}

/* The number behind a key, or with a key of "" the number that the file begins with. */
static uint64_t number_read(int dir_fd, const char *name, const char *key)
{
    FILE *file = file_open(dir_fd, name);
    uint64_t found = UNKNOWN;
    char line[256];

    while (file && found == UNKNOWN && fgets(line, sizeof line, file)) {
        size_t len = strlen(key);
        char *end;

        if (strncmp(line, key, len) != 0)
            continue;
        found = strtoull(line + len, &end, 10);
        if (end == line + len)
            found = UNKNOWN;
    }
    if (file)
        fclose(file);
    return found;
}

/* The sum over all devices of the numbers behind a mark: " Read " in v1, "rbytes=" in v2. */
static uint64_t devices_sum(int dir_fd, const char *name, const char *mark)
{
    FILE *file = file_open(dir_fd, name);
    uint64_t sum = 0;
    char line[512];

    if (!file)
        return UNKNOWN;
    while (fgets(line, sizeof line, file)) {
        const char *at = strstr(line, mark);

        sum += at ? strtoull(at + strlen(mark), NULL, 10) : 0;
    }
    fclose(file);
    return sum;
}

/* ---- by cgroup ---- */

static void memory_read(int dir_fd, bool is_v1, rt_stats *stats)
{
    cleanup_fd int oom_fd = oom_open(dir_fd, is_v1);

    stats->memory_bytes = number_read(dir_fd, is_v1 ? "memory.usage_in_bytes" : "memory.current", "");
    stats->memory_peak_bytes = number_read(dir_fd, is_v1 ? "memory.max_usage_in_bytes" : "memory.peak", "");
    if (oom_fd >= 0)
        stats->oom_kills = oom_kills(oom_fd);
}

static void cpu_read(int dir_fd, bool is_v1, rt_stats *stats)
{
    stats->cpu_ns = is_v1 ? number_read(dir_fd, "cpuacct.usage", "") : number_read(dir_fd, "cpu.stat", "usage_usec ");
    if (!is_v1 && stats->cpu_ns != UNKNOWN)
        stats->cpu_ns *= 1000;
}

static void pids_read(int dir_fd, bool is_v1, rt_stats *stats)
{
    (void)is_v1;
    stats->pids = number_read(dir_fd, "pids.current", "");
}

static void io_read(int dir_fd, bool is_v1, rt_stats *stats)
{
    const char *file = is_v1 ? "blkio.throttle.io_service_bytes_recursive" : "io.stat";

    stats->io_read_bytes = devices_sum(dir_fd, file, is_v1 ? " Read " : "rbytes=");
    stats->io_write_bytes = devices_sum(dir_fd, file, is_v1 ? " Write " : "wbytes=");
}

static const struct {
    uint32_t controller;
    void (*read)(int dir_fd, bool is_v1, rt_stats *stats);
} readers[] = {
    { CGROUP_MEMORY, memory_read }, { CGROUP_CPUACCT, cpu_read }, { CGROUP_PIDS, pids_read }, { CGROUP_IO, io_read }
};

/* ---- by process ---- */

static uint64_t ticks_ns(uint64_t ticks)
{
    return ticks * (uint64_t)(NS_PER_S / sysconf(_SC_CLK_TCK));
}

/* What no cgroup has told. A page that several processes share counts for each. */
static int32_t processes_add(struct op *op, pid_t init, rt_stats *stats)
{
    uint64_t cpu = 0, memory = 0, threads = 0;
    struct proc_entry *tree;
    size_t n;
    int err = proc_tree_read(init, &tree, &n);

    if (err)
        return op_fail(op, RT_E_IO, -err, "look for the sandbox's processes");
    for (size_t i = 0; i < n; i++) {
        const struct proc_stat *stat = &tree[i].stat;

        cpu += stat->utime + stat->stime + stat->cutime + stat->cstime;
        memory += stat->rss_pages;
        threads += stat->threads;
    }
    free(tree);
    if (stats->cpu_ns == UNKNOWN)
        stats->cpu_ns = ticks_ns(cpu);
    if (stats->memory_bytes == UNKNOWN)
        stats->memory_bytes = memory * (uint64_t)sysconf(_SC_PAGESIZE);
    if (stats->pids == UNKNOWN)
        stats->pids = threads;
    return RT_OK;
}

static int32_t stats_fill(struct op *op, const struct record *record, rt_stats *stats)
{
    *stats = (rt_stats){ .size = sizeof *stats,
                         .memory_bytes = UNKNOWN,
                         .memory_peak_bytes = UNKNOWN,
                         .cpu_ns = UNKNOWN,
                         .pids = UNKNOWN,
                         .io_read_bytes = UNKNOWN,
                         .io_write_bytes = UNKNOWN,
                         .oom_kills = UNKNOWN };
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        bool is_v1 = false;
        cleanup_fd int fd = box_cgroup_open(op, record, readers[i].controller, &is_v1);

        if (fd >= 0)
            readers[i].read(fd, is_v1, stats);
    }
    if (stats->cpu_ns != UNKNOWN && stats->memory_bytes != UNKNOWN && stats->pids != UNKNOWN)
        return RT_OK;
    return processes_add(op, record->init.pid, stats);
}

static int32_t stats_get(struct op *op, const char *id, rt_stats **ret)
{
    struct record record;
    int32_t status = record_load(op, id, &record);
    rt_stats *stats;

    if (status)
        return status;
    status = record.status == RT_SANDBOX_PAUSED ? RT_OK : live_status_error(op, &record);
    stats = status ? NULL : malloc(sizeof *stats);
    if (!status && !stats)
        status = op_fail(op, RT_E_NOMEM, 0, "the figures of '%s'", id);
    if (!status)
        status = stats_fill(op, &record, stats);
    record_release(&record);
    if (status)
        free(stats);
    else
        *ret = stats;
    return status;
}

int32_t op_stats(rt_runtime *rt, const char *id, rt_call *call, rt_stats **ret)
{
    struct op op;
    int32_t status = op_begin(&op, rt, call, "stats");

    if (!status)
        status = stats_get(&op, id, ret);
    return op_end(&op, status);
}

void stats_free(rt_stats *stats)
{
    free(stats);
}
