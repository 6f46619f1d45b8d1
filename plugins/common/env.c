#include "env.h"

#include <stdlib.h>
#include <string.h>

/* Documented in README.md: what a command finds if nobody says anything. */
static const char *const env_default[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/tmp",
    "LANG=C.UTF-8",
    NULL,
};

static size_t env_count(const char *const *env)
{
    size_t n = 0;

    while (env && env[n])
        n++;
    return n;
}

static size_t env_put(const char **merged, size_t n, const char *const *env)
{
    for (; env && *env; env++) {
        size_t name = strcspn(*env, "=") + 1, at = 0;

        while (at < n && strncmp(merged[at], *env, name))
            at++;
        merged[at] = *env;
        n += at == n;
    }
    return n;
}

const char **env_merge(const char *const *sandbox, const char *const *request)
{
    size_t n = env_count(env_default) + env_count(sandbox) + env_count(request);
    const char **merged = calloc(n + 1, sizeof *merged);

    if (!merged)
        return NULL;
    n = env_put(merged, 0, env_default);
    n = env_put(merged, n, sandbox);
    env_put(merged, n, request);
    return merged;
}
