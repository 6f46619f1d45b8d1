/* Which system calls a container may make. */
#include "docker.h"

#include "error.h"
#include "io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PROFILE_MAX    ((size_t)1 << 20)
#define PODMAN_PROFILE "podman-seccomp.json" /* plugins/syscalls/profile.c */

static int32_t profile_read(struct op *op, const char *path, char **ret)
{
    size_t len;
    int err = file_read(AT_FDCWD, path, PROFILE_MAX, ret, &len);

    return err ? op_fail(op, error_status(-err), -err, "seccomp_profile '%s'", path) : RT_OK;
}

/*
 * Podman's service reads profiles by itself. Its own lets through more than an Engine's, but knows what capabilities
 * need: to whom some were added, that is left.
 */
static int32_t podman_choose(struct op *op, char **ret)
{
    const struct docker_settings *settings = docker_settings_of(op);

    if (settings->seccomp_profile[0])
        *ret = strdup(settings->seccomp_profile);
    else if (cJSON_GetArraySize(settings->cap_add) > 0)
        return RT_OK;
    else if (asprintf(ret, "%s/" PODMAN_PROFILE, op->rt->libexec) < 0)
        *ret = NULL;
    return *ret ? RT_OK : op_fail(op, RT_E_NOMEM, 0, "the seccomp profile");
}

int32_t seccomp_choose(struct op *op, bool is_podman, char **ret)
{
    const char *profile = docker_settings_of(op)->seccomp_profile;

    *ret = NULL;
    if (is_podman)
        return podman_choose(op, ret);
    if (profile[0] == '/')
        return profile_read(op, profile, ret);
    if (profile[0] && !(*ret = strdup(profile)))
        return op_fail(op, RT_E_NOMEM, 0, "the seccomp profile");
    return RT_OK;
}
