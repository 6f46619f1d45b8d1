/* Whether sandboxes can be started here, and what to do if not. */
#include "docker.h"

#include "info.h"

#include <stdio.h>
#include <string.h>

static void probe_engine(struct op *op, struct probe_list *list)
{
    const struct docker *docker = docker_of(op);
    struct engine_version version;
    char text[200];

    if (engine_version(op, docker->engine, &version)) {
        probe_list_add(list, RT_CHECK_FAIL, "engine", op->err->message,
                       "start it (systemctl start docker), or name another one: docker_host in the config, or "
                       "DOCKER_HOST; its socket must be open to this user");
        return;
    }
    snprintf(text, sizeof text, "%s %s", version.is_podman ? "Podman" : "Docker Engine", version.version);
    probe_list_version(list, text);
    snprintf(text, sizeof text, "%s at %s, API %s, %s/%s", version.version, engine_name(docker->engine), version.api,
             version.os, version.arch);
    probe_list_add(list, RT_CHECK_OK, "engine", text, "");
}

/* The workspace is a mount of this machine: the Engine must be here to see it. */
static void probe_place(struct op *op, struct probe_list *list)
{
    const char *name = engine_name(docker_of(op)->engine);

    if (!strncmp(name, "unix://", 7))
        probe_list_add(list, RT_CHECK_OK, "place", "the Engine is on this machine", "");
    else
        probe_list_add(list, RT_CHECK_WARN, "place", "the Engine may be on another machine",
                       "use an Engine on this machine: one elsewhere does not see the workspace");
}

static void probe_user(struct probe_list *list)
{
    if (geteuid() == 0)
        probe_list_add(list, RT_CHECK_OK, "user", "root", "");
    else
        probe_list_add(list, RT_CHECK_FAIL, "user", "an ordinary user's workspace cannot be seen by the Engine",
                       "run as root, or use bwrap");
}

void docker_probe(struct op *op, struct probe_list *list)
{
    probe_engine(op, list);
    probe_place(op, list);
    probe_user(list);
    probe_fuse(list);
    probe_helpers(op->rt, list);
}
