/* Limits where cgroups keep them, and what is left where they do not. */
#include "bwrap.h"

#include "cgroup_limits.h"
#include "error.h"

#include <errno.h>
#include <sys/resource.h>

int32_t limits_check(const struct bwrap_settings *settings, const rt_limits *limits, uint32_t controllers,
                     rt_error *err)
{
    uint32_t missing = cgroup_limits_need(limits) & ~controllers;

    if ((missing & CGROUP_MEMORY) && !settings->memory_rlimit)
        return error_set(err, RT_E_UNSUPPORTED, 0,
                         "limits.memory_bytes: no cgroup with the memory controller can be made here, and "
                         "memory_rlimit is not set");
    if (missing & CGROUP_CPU)
        return error_set(err, RT_E_UNSUPPORTED, 0,
                         "limits.cpu_millis and cpu_shares: no cgroup with the cpu controller can be made here");
    return RT_OK; /* processes are counted by the agent's RLIMIT_NPROC then */
}

CHILD_CODE int limits_enter(const rt_limits *limits, uint32_t controllers)
{
    struct rlimit memory = { limits->memory_bytes, limits->memory_bytes };

    if (!limits->memory_bytes || (controllers & CGROUP_MEMORY))
        return 0;
    return setrlimit(RLIMIT_AS, &memory) < 0 ? errno : 0;
}
