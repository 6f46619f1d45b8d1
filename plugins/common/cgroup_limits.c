#include "cgroup_limits.h"

#include "util.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PERIOD_US UINT64_C(100000) /* the kernel's default, and Docker's */

uint32_t cgroup_limits_need(const rt_limits *limits)
{
    return (limits->memory_bytes ? CGROUP_MEMORY : 0) | (limits->cpu_millis || limits->cpu_shares ? CGROUP_CPU : 0) |
           (limits->pids ? CGROUP_PIDS : 0);
}

uint32_t cgroup_weight(uint32_t shares)
{
    return (uint32_t)(1 + (uint64_t)(shares - 2) * 9999 / 262142);
}

/* The writes so far: the first that fails ends them. */
struct writer {
    int dir_fd, err;
    const char *file;
};

/* optional: a kernel may have been built or booted without the file. */
__attribute__((format(printf, 4, 5))) static void put(struct writer *writer, bool optional, const char *file,
                                                      const char *format, ...)
{
    cleanup_fd int fd = -1;
    char text[64];
    va_list args;

    if (writer->err)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fd = openat(writer->dir_fd, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && optional)
        return;
    writer->err = fd < 0 ? errno : -write_all(fd, text, strlen(text));
    if (writer->err)
        writer->file = file;
}

static void memory_put(struct writer *writer, bool is_v1, uint64_t bytes)
{
    if (is_v1) {
        put(writer, false, "memory.limit_in_bytes", "%" PRIu64, bytes);
        put(writer, true, "memory.memsw.limit_in_bytes", "%" PRIu64, bytes);
    } else {
        put(writer, false, "memory.max", "%" PRIu64, bytes);
        put(writer, true, "memory.swap.max", "0");
    }
}

static void cpu_put(struct writer *writer, bool is_v1, const rt_limits *limits)
{
    uint64_t quota = limits->cpu_millis * (PERIOD_US / 1000);

    if (limits->cpu_millis && is_v1) {
        put(writer, false, "cpu.cfs_period_us", "%" PRIu64, PERIOD_US);
        put(writer, false, "cpu.cfs_quota_us", "%" PRIu64, quota);
    } else if (limits->cpu_millis) {
        put(writer, false, "cpu.max", "%" PRIu64 " %" PRIu64, quota, PERIOD_US);
    }
    if (limits->cpu_shares)
        put(writer, false, is_v1 ? "cpu.shares" : "cpu.weight", "%" PRIu32,
            is_v1 ? limits->cpu_shares : cgroup_weight(limits->cpu_shares));
}

int cgroup_limits_write(int dir_fd, bool is_v1, uint32_t controllers, const rt_limits *limits, unsigned extra_pids,
                        const char **ret_file)
{
    struct writer writer = { .dir_fd = dir_fd };

    if (limits->memory_bytes && (controllers & CGROUP_MEMORY))
        memory_put(&writer, is_v1, limits->memory_bytes);
    if (controllers & CGROUP_CPU)
        cpu_put(&writer, is_v1, limits);
    if (limits->pids && (controllers & CGROUP_PIDS))
        put(&writer, false, "pids.max", "%" PRIu64, (uint64_t)limits->pids + extra_pids);
    if (writer.err)
        *ret_file = writer.file;
    return writer.err;
}
