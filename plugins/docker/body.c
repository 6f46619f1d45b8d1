/* From a specification to what the Engine is asked for: ContainerCreate of API 1.41. Pure. */
#include "docker.h"

#include "json.h"
#include "relay_proto.h"

#include <stdio.h>
#include <string.h>

/*
 * docker's tmpfs are noexec if not told otherwise, and builds run what they make there. runc gives it the mode that the
 * image's /tmp has, so that it is the user's own in any case.
 */
#define TMPFS_OPTIONS "rw,exec,nosuid,nodev,mode=1777"
#define TMPFS_OWNER   ",uid=%u,gid=%u"
#define PODMAN_OWNER  ",U" /* the same; it does not take the other */
#define TMPFS_NOTHING "ro,noexec,nosuid,nodev,size=4k,mode=0555"

/* What root needs to work on files of any owner, and to become somebody else; nothing that leads out. */
static const char *const root_caps[] = {
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", NULL
};

static bool add_string(cJSON *array, const char *value)
{
    cJSON *item = cJSON_CreateString(value);

    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool add_bind(cJSON *mounts, const char *source, const char *target, bool read_only)
{
    cJSON *mount = cJSON_CreateObject(), *options;

    if (!mount || !cJSON_AddItemToArray(mounts, mount)) {
        cJSON_Delete(mount);
        return false;
    }
    options = cJSON_AddObjectToObject(mount, "BindOptions");
    /* Of the kinds of propagation the one that works whatever the mount above is. */
    return options && json_add_str(options, "Propagation", "rprivate") && json_add_str(mount, "Type", "bind") &&
           json_add_str(mount, "Source", source) && json_add_str(mount, "Target", target) &&
           cJSON_AddBoolToObject(mount, "ReadOnly", read_only);
}

static bool add_mounts(cJSON *host, const struct boot *boot, const struct container_terms *terms)
{
    cJSON *mounts = cJSON_AddArrayToObject(host, "Mounts"), *tmpfs = cJSON_AddObjectToObject(host, "Tmpfs");
    char options[100];

    snprintf(options, sizeof options, TMPFS_OPTIONS TMPFS_OWNER, boot->identity->uid, boot->identity->gid);
    if (terms->is_podman)
        snprintf(options, sizeof options, TMPFS_OPTIONS PODMAN_OWNER);
    return mounts && tmpfs && add_bind(mounts, boot->agent, INSIDE_AGENT, true) &&
           add_bind(mounts, boot->boot_dir, INSIDE_BOOT_DIR, true) &&
           add_bind(mounts, boot->workspace_source, boot->spec->workspace, false) &&
           json_add_str(tmpfs, "/tmp", options) &&
           (!terms->hide_cgroups || json_add_str(tmpfs, "/sys/fs/cgroup", TMPFS_NOTHING));
}

static bool add_caps(cJSON *host, const struct docker_settings *settings, const struct identity *identity)
{
    cJSON *drop = cJSON_AddArrayToObject(host, "CapDrop"), *add = cJSON_AddArrayToObject(host, "CapAdd");
    const cJSON *item;
    bool ok = drop && add && add_string(drop, "ALL");

    for (size_t i = 0; ok && identity->uid == 0 && root_caps[i]; i++)
        ok = add_string(add, root_caps[i]);
    cJSON_ArrayForEach (item, settings->cap_add)
        ok = ok && add_string(add, item->valuestring);
    return ok;
}

static bool add_security(cJSON *host, const struct docker_settings *settings, const char *seccomp)
{
    cJSON *options = cJSON_AddArrayToObject(host, "SecurityOpt");
    cleanup_free char *profile = NULL;
    bool ok = options != NULL;

    if (ok && settings->no_new_privileges)
        ok = add_string(options, "no-new-privileges");
    if (ok && seccomp) {
        if (asprintf(&profile, "seccomp=%s", seccomp) < 0)
            profile = NULL;
        ok = profile && add_string(options, profile);
    }
    return ok && cJSON_AddBoolToObject(host, "ReadonlyRootfs", settings->read_only_root);
}

static bool add_limits(cJSON *host, const rt_limits *limits)
{
    bool ok = true;

    if (limits->memory_bytes) /* swap counts as memory: no more of both together */
        ok = json_add_int(host, "Memory", (int64_t)limits->memory_bytes) &&
             json_add_int(host, "MemorySwap", (int64_t)limits->memory_bytes);
    if (limits->cpu_millis) /* not NanoCpus: the Engine refuses more of these than the machine has */
        ok = ok && json_add_int(host, "CpuPeriod", 100000) &&
             json_add_int(host, "CpuQuota", (int64_t)limits->cpu_millis * 100);
    if (limits->cpu_shares)
        ok = ok && json_add_int(host, "CpuShares", limits->cpu_shares);
    if (limits->pids)
        ok = ok && json_add_int(host, "PidsLimit", limits->pids);
    return ok;
}

const char *container_runtime(const struct docker_settings *settings, const struct spec *spec)
{
    return spec->oci_runtime[0] ? spec->oci_runtime : settings->oci_runtime;
}

static bool add_host(cJSON *body, const struct docker_settings *settings, const struct boot *boot,
                     const struct container_terms *terms)
{
    const struct spec *spec = boot->spec;
    cJSON *host = cJSON_AddObjectToObject(body, "HostConfig"),
          *log = host ? cJSON_AddObjectToObject(host, "LogConfig") : NULL;
    const char *runtime = container_runtime(settings, spec);

    return log && json_add_str(log, "Type", "none") && add_mounts(host, boot, terms) &&
           add_caps(host, settings, boot->identity) && add_security(host, settings, terms->seccomp) &&
           add_limits(host, &spec->limits) && json_add_str(host, "NetworkMode", spec->network) &&
           (!runtime[0] || json_add_str(host, "Runtime", runtime)) && json_add_str(host, "IpcMode", "private") &&
           json_add_str(host, "CgroupnsMode", "private") &&
           json_add_str(host, "UsernsMode", "host") && /* remapped ids are nobody's in the workspace */
           cJSON_AddBoolToObject(host, "Init", false) &&
           cJSON_AddBoolToObject(host, "AutoRemove", spec->lifetime == RT_LIFETIME_HOST);
}

static bool add_labels(cJSON *body, const struct spec *spec, const char *state_id)
{
    cJSON *labels = cJSON_AddObjectToObject(body, "Labels");

    return labels && json_add_str(labels, LABEL_STATE, state_id) && json_add_str(labels, LABEL_SANDBOX, spec->id) &&
           json_add_str(labels, LABEL_CODEBASE, spec->codebase_id);
}

/* How the agent is to be reached: relay_proto.h, or agent_proto.h. */
static bool add_agent(cJSON *entry, const struct docker_settings *settings, const struct boot *boot,
                      const struct container_terms *terms)
{
    cleanup_free char *name = container_name(terms->state_id, boot->spec->id);
    const int64_t numbers[] = { settings->common.stop_grace_ms, boot->spec->max_lifetime_ms,
                                boot->spec->idle_timeout_ms };
    char text[24];
    bool ok;

    if (!add_string(entry, INSIDE_AGENT))
        return false;
    if (!terms->relayed)
        return add_string(entry, INSIDE_BOOT_DIR "/" BOOT_SOCKET);
    ok = name && add_string(entry, RELAY_INSIDE_ARG) && add_string(entry, name);
    for (size_t i = 0; ok && i < ARRAY_LEN(numbers); i++) {
        snprintf(text, sizeof text, "%lld", (long long)numbers[i]);
        ok = add_string(entry, text);
    }
    return ok && add_string(entry, INSIDE_BOOT_DIR "/" BOOT_NOTES);
}

/* The agent, and nothing that the image would run, check or be: its ENTRYPOINT, CMD, USER, WORKDIR, HEALTHCHECK. */
static bool add_command(cJSON *body, const struct docker_settings *settings, const struct boot *boot,
                        const struct container_terms *terms)
{
    const struct identity *identity = boot->identity;
    cJSON *entry = cJSON_AddArrayToObject(body, "Entrypoint"), *health = cJSON_AddObjectToObject(body, "Healthcheck"),
          *test = health ? cJSON_AddArrayToObject(health, "Test") : NULL;
    char user[24];

    snprintf(user, sizeof user, "%u:%u", identity->uid, identity->gid);
    return entry && test && add_agent(entry, settings, boot, terms) && cJSON_AddArrayToObject(body, "Cmd") &&
           add_string(test, "NONE") && json_add_str(body, "User", user) && json_add_str(body, "WorkingDir", "/") &&
           json_add_str(body, "StopSignal", "SIGTERM");
}

cJSON *container_body(const struct docker_settings *settings, const struct boot *boot,
                      const struct container_terms *terms)
{
    cJSON *body = cJSON_CreateObject();

    if (body && json_add_str(body, "Image", boot->spec->image) && json_add_str(body, "Hostname", boot->spec->id) &&
        add_command(body, settings, boot, terms) && add_labels(body, boot->spec, terms->state_id) &&
        add_host(body, settings, boot, terms))
        return body;
    cJSON_Delete(body);
    return NULL;
}

char *container_name(const char *state_id, const char *id)
{
    char *name;

    return asprintf(&name, "stockade-%s-%s", state_id, id) < 0 ? NULL : name;
}
