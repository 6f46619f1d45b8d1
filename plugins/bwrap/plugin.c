/* The bwrap plugin: its entry, what it says of itself, and what it refuses. */
#include "bwrap.h"

#include "cgroup_tree.h"
#include "error.h"
#include "info.h"
#include "ops.h"
#include "runtime.h"

#include <string.h>

#define CAPABILITIES                                                                                                   \
    (COMMON_CAPS | RT_CAP_NETWORK_HOST | RT_CAP_LIMIT_MEMORY | RT_CAP_LIMIT_CPU | RT_CAP_LIMIT_PIDS | RT_CAP_ROOTLESS)

/* Nothing is the default: to be found by the plugin itself. */
static bool is_absolute_or_empty(const char *value)
{
    return !value[0] || config_is_absolute(value);
}

static const struct config_key keys[] = {
    BACKEND_COMMON_KEYS,
    { "bwrap_path", CONFIG_STRING, offsetof(struct bwrap_settings, bwrap_path), 0, 0, "an absolute path, or nothing",
      is_absolute_or_empty },
    { "rootfs", CONFIG_STRING, offsetof(struct bwrap_settings, rootfs), 0, 0, "an absolute path, or nothing",
      is_absolute_or_empty },
    { "nobody_uid", CONFIG_INT, offsetof(struct bwrap_settings, nobody_uid), 1, UINT32_MAX - 1,
      "a uid from 1 to 4294967294", NULL },
    { "seccomp", CONFIG_BOOL, offsetof(struct bwrap_settings, seccomp), 0, 0, "true or false", NULL },
    { "user_namespaces", CONFIG_BOOL, offsetof(struct bwrap_settings, user_namespaces), 0, 0, "true or false", NULL },
    { "memory_rlimit", CONFIG_BOOL, offsetof(struct bwrap_settings, memory_rlimit), 0, 0, "true or false", NULL },
};

static const char schema[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"additionalProperties\":false,"
    "\"properties\":{" BACKEND_COMMON_SCHEMA "\"bwrap_path\":{\"type\":\"string\",\"pattern\":\"^(/.*)?$\","
    "\"description\":\"the bwrap program; searched in /usr/bin, /bin and /usr/local/bin if not given\"},"
    "\"rootfs\":{\"type\":\"string\",\"pattern\":\"^(/.*)?$\","
    "\"description\":\"directory to use as the root, read-only; the host's /usr if not given\"},"
    "\"nobody_uid\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":4294967294,"
    "\"description\":\"as root, on a codebase that belongs to root: the uid and gid outside that commands run as\"},"
    "\"seccomp\":{\"type\":\"boolean\","
    "\"description\":\"let through only the system calls that Docker's default profile does\"},"
    "\"user_namespaces\":{\"type\":\"boolean\","
    "\"description\":\"let commands make user namespaces (unshare -r), though no others in them\"},"
    "\"memory_rlimit\":{\"type\":\"boolean\","
    "\"description\":\"where no cgroup can limit memory: limit each process's address space instead of refusing\"}}}";

static const char defaults[] =
    "{" BACKEND_COMMON_DEFAULTS "\"bwrap_path\":\"\",\"rootfs\":\"\",\"nobody_uid\":65534,\"seccomp\":true,"
    "\"user_namespaces\":false,\"memory_rlimit\":false}";

static void settings_default(void *into)
{
    struct bwrap_settings *settings = into;

    settings->bwrap_path = settings->rootfs = "";
    settings->nobody_uid = 65534;
    settings->seccomp = true;
}

static int32_t check(const struct settings *settings, const struct spec *spec, rt_error *err)
{
    uint32_t uid, gid;

    if (spec->image[0])
        return error_set(err, RT_E_UNSUPPORTED, 0, "image: bwrap runs on the host's own programs, or on its rootfs");
    if (spec->oci_runtime[0])
        return error_set(err, RT_E_UNSUPPORTED, 0, "oci_runtime: bwrap has none");
    if (strcmp(spec->network, "none") && strcmp(spec->network, "host"))
        return error_set(err, RT_E_UNSUPPORTED, 0, "network '%.100s': bwrap has \"none\" and \"host\"", spec->network);
    if (spec->user[0] && !user_parse(spec->user, &uid, &gid))
        return error_set(err, RT_E_INVAL, 0, "user '%.100s' is not \"uid\" or \"uid:gid\"", spec->user);
    return limits_check((const struct bwrap_settings *)settings, &spec->limits,
                        cgroup_tree_controllers(cgroup_tree_get()), err);
}

/*
 * Inside, commands have the codebase owner's ids, or those that the user asked for. Outside they are an ordinary user
 * in any case: the owner, or nobody where that is root; permfs works on the codebase as the owner.
 */
static int32_t identify(const struct settings *settings, const struct spec *spec, const struct stat *st,
                        struct identity *ret, rt_error *err)
{
    const struct bwrap_settings *own = (const struct bwrap_settings *)settings;
    uint32_t nobody = (uint32_t)own->nobody_uid;

    (void)err;
    *ret = (struct identity){ .owner_uid = st->st_uid, .owner_gid = st->st_gid };
    if (geteuid() == 0) {
        ret->host_uid = st->st_uid ? st->st_uid : nobody;
        ret->host_gid = st->st_gid ? st->st_gid : nobody;
    } else { /* there is no other identity to work with than our own */
        ret->host_uid = ret->owner_uid = geteuid();
        ret->host_gid = ret->owner_gid = getegid();
    }
    ret->uid = ret->owner_uid;
    ret->gid = ret->owner_gid;
    if (spec->user[0])
        (void)user_parse(spec->user, &ret->uid, &ret->gid); /* checked at create */
    return RT_OK;
}

static const struct backend backend = {
    .name = "bwrap",
    .capabilities = CAPABILITIES,
    .settings_size = sizeof(struct bwrap_settings),
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
    .settings_default = settings_default,
    .probe = bwrap_probe,
    .check = check,
    .identify = identify,
    .boot = bwrap_boot,
    .died_why = bwrap_died_why,
};

static int32_t bwrap_runtime_open(const rt_open_params *params, rt_call *call, rt_runtime **ret)
{
    return runtime_open(&backend, params, call, ret);
}

static const rt_ops ops = COMMON_OPS(bwrap_runtime_open);

static const rt_plugin plugin = {
    .abi_major = RT_ABI_MAJOR,
    .abi_minor = RT_ABI_MINOR,
    .size = sizeof(rt_plugin),
    .name = "bwrap",
    .version = STOCKADE_VERSION,
    .summary = "bubblewrap: namespaces of an ordinary user, no daemon, no image",
    .capabilities = CAPABILITIES,
    .config_schema = schema,
    .default_config = defaults,
    .ops = &ops,
};

__attribute__((visibility("default"))) const rt_plugin *rt_plugin_entry(void);

const rt_plugin *rt_plugin_entry(void)
{
    return &plugin;
}
