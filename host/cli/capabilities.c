#include "capabilities.h"

#include "runtime_api.h"

static const struct capability capabilities[] = {
    { RT_CAP_STREAM, "stream", "output as it appears" },
    { RT_CAP_SESSION, "session", "sessions: shells that last" },
    { RT_CAP_PROCESS, "process", "commands with plain descriptors" },
    { RT_CAP_TTY, "tty", "terminals (PTY)" },
    { RT_CAP_RULES_UPDATE, "rules_update", "other workspace rules while it runs" },
    { RT_CAP_DELTA, "delta", "copy-on-write workspace (delta)" },
    { RT_CAP_PAUSE, "pause", "pause and resume" },
    { RT_CAP_STATS, "stats", "statistics of a sandbox" },
    { RT_CAP_IMAGE, "image", "images" },
    { RT_CAP_NETWORK_HOST, "network_host", "network: the host's" },
    { RT_CAP_NETWORK_BRIDGE, "network_bridge", "network: bridges and named ones" },
    { RT_CAP_LIMIT_MEMORY, "limit_memory", "limit of memory" },
    { RT_CAP_LIMIT_CPU, "limit_cpu", "limit of CPU time" },
    { RT_CAP_LIMIT_PIDS, "limit_pids", "limit of processes" },
    { RT_CAP_EXEC_USER, "exec_user", "another user for one command" },
    { RT_CAP_ROOTLESS, "rootless", "works for an ordinary user (rootless)" },
    { RT_CAP_AUDIT, "audit", "audit log of the workspace" },
    { RT_CAP_TTL, "ttl", "sandboxes that end by themselves" },
};

const struct capability *capability_at(size_t i)
{
    return i < sizeof capabilities / sizeof *capabilities ? &capabilities[i] : NULL;
}
