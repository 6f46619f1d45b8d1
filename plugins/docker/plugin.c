/* The docker plugin: its entry, what it says of itself, and what it refuses. */
#include "docker.h"

#include "error.h"
#include "info.h"
#include "json.h"
#include "ops.h"
#include "relay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define CAPABILITIES                                                                                                   \
    (COMMON_CAPS | RT_CAP_IMAGE | RT_CAP_NETWORK_HOST | RT_CAP_NETWORK_BRIDGE | RT_CAP_LIMIT_MEMORY |                  \
     RT_CAP_LIMIT_CPU | RT_CAP_LIMIT_PIDS)

static bool is_one_of(const char *value, const char *const *values)
{
    while (*values && strcmp(*values, value))
        values++;
    return *values != NULL;
}

static bool is_tls(const char *value)
{
    return is_one_of(value, (const char *const[]){ "auto", "off", "insecure", "verify", NULL });
}

static bool is_pull(const char *value)
{
    return is_one_of(value, (const char *const[]){ "missing", "never", NULL });
}

static bool is_exec_transport(const char *value)
{
    return is_one_of(value, (const char *const[]){ "agent", "engine", NULL });
}

static bool is_absolute_or_empty(const char *value)
{
    return !value[0] || config_is_absolute(value);
}

static bool is_seccomp(const char *value)
{
    return is_absolute_or_empty(value) || !strcmp(value, "unconfined");
}

/* Names of networks, runtimes and capabilities: no colon, so that no "container:ID" comes in. */
static bool is_name(const char *value)
{
    size_t len = strlen(value);

    return len > 0 && len <= 128 && value[0] != '-' && value[0] != '.' &&
           strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static bool is_name_or_empty(const char *value)
{
    return !value[0] || is_name(value);
}

static bool is_address_or_empty(const char *value)
{
    struct address address = { 0 };
    bool ok = !value[0] || !address_parse(value, TLS_OFF, NULL, &address);

    address_release(&address);
    return ok;
}

#define KEY(name, type, min, max, expect, accept)                                                                      \
    {                                                                                                                  \
#name, type, offsetof(struct docker_settings, name), min, max, expect, accept                                  \
    }

static const struct config_key keys[] = {
    BACKEND_COMMON_KEYS,
    KEY(docker_host, CONFIG_STRING, 0, 0, "unix:///path, tcp://host:port, http:// or https://, or nothing",
        is_address_or_empty),
    KEY(tls, CONFIG_STRING, 0, 0, "\"auto\", \"off\", \"insecure\" or \"verify\"", is_tls),
    KEY(tls_cert_path, CONFIG_STRING, 0, 0, "an absolute path, or nothing", is_absolute_or_empty),
    KEY(default_image, CONFIG_STRING, 0, 0, "an image's name", image_valid),
    { "fuse_mount_base", CONFIG_STRING, offsetof(struct settings, fuse_mount_base), 0, 0,
      "an absolute path, or nothing", is_absolute_or_empty },
    KEY(network_mode, CONFIG_STRING, 0, 0, "\"none\", \"host\", \"bridge\" or a network's name", is_name),
    KEY(enable_networking, CONFIG_BOOL, 0, 0, "true or false", NULL),
    KEY(exec_transport, CONFIG_STRING, 0, 0, "\"agent\" or \"engine\"", is_exec_transport),
    KEY(pull, CONFIG_STRING, 0, 0, "\"missing\" or \"never\"", is_pull),
    KEY(oci_runtime, CONFIG_STRING, 0, 0, "a runtime's name, or nothing", is_name_or_empty),
    KEY(read_only_root, CONFIG_BOOL, 0, 0, "true or false", NULL),
    KEY(no_new_privileges, CONFIG_BOOL, 0, 0, "true or false", NULL),
    KEY(cap_add, CONFIG_STRINGS, 0, 0, "an array of capabilities' names", is_name),
    KEY(seccomp_profile, CONFIG_STRING, 0, 0, "an absolute path, \"unconfined\", or nothing", is_seccomp),
    KEY(pids_limit, CONFIG_INT, 0, 4194304, "a number from 0 to 4194304", NULL),
};

static const char schema[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"additionalProperties\":false,"
    "\"properties\":{" BACKEND_COMMON_SCHEMA
    "\"docker_host\":{\"type\":\"string\",\"pattern\":\"^((unix|tcp|http|https)://.+)?$\","
    "\"description\":\"the Engine's address; DOCKER_HOST or unix:///var/run/docker.sock if not given\"},"
    "\"tls\":{\"type\":\"string\",\"pattern\":\"^(auto|off|insecure|verify)$\","
    "\"description\":\"of tcp; auto: verify if DOCKER_TLS_VERIFY is set, else insecure if there are certificates, else "
    "off\"},"
    "\"tls_cert_path\":{\"type\":\"string\",\"pattern\":\"^(/.*)?$\","
    "\"description\":\"directory of ca.pem, cert.pem and key.pem; DOCKER_CERT_PATH if not given\"},"
    "\"default_image\":{\"type\":\"string\",\"pattern\":\"^.+$\",\"description\":\"of sandboxes that name none\"},"
    "\"fuse_mount_base\":{\"type\":\"string\",\"pattern\":\"^(/.*)?$\","
    "\"description\":\"directory of the workspaces' mounts; the state directory if not given\"},"
    "\"network_mode\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_][A-Za-z0-9._-]*$\","
    "\"description\":\"of sandboxes that name none\"},"
    "\"enable_networking\":{\"type\":\"boolean\","
    "\"description\":\"sandboxes that name no network have the bridge, where network_mode is none\"},"
    "\"exec_transport\":{\"type\":\"string\",\"pattern\":\"^(agent|engine)$\","
    "\"description\":\"how commands get in: by the agent's socket, or by the Engine's exec\"},"
    "\"pull\":{\"type\":\"string\",\"pattern\":\"^(missing|never)$\","
    "\"description\":\"of images that the Engine does not have\"},"
    "\"oci_runtime\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._-]*$\","
    "\"description\":\"of sandboxes that name none; the Engine's default if not given\"},"
    "\"read_only_root\":{\"type\":\"boolean\",\"description\":\"the image's files cannot be changed; /tmp can\"},"
    "\"no_new_privileges\":{\"type\":\"boolean\",\"description\":\"setuid programs give no rights\"},"
    "\"cap_add\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_]+$\"},"
    "\"description\":\"capabilities kept beside the default's\"},"
    "\"seccomp_profile\":{\"type\":\"string\",\"pattern\":\"^(unconfined|/.*)?$\","
    "\"description\":\"a file; the Engine's own profile if not given\"},"
    "\"pids_limit\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4194304,"
    "\"description\":\"processes and threads of sandboxes that name no limit; 0 = none\"}}}";

static const char defaults[] =
    "{" BACKEND_COMMON_DEFAULTS "\"docker_host\":\"\",\"tls\":\"auto\",\"tls_cert_path\":\"\","
    "\"default_image\":\"ubuntu:22.04\",\"fuse_mount_base\":\"\",\"network_mode\":\"none\",\"enable_networking\":false,"
    "\"exec_transport\":\"agent\",\"pull\":\"missing\",\"oci_runtime\":\"\",\"read_only_root\":true,"
    "\"no_new_privileges\":true,\"cap_add\":[],\"seccomp_profile\":\"\",\"pids_limit\":512}";

static void settings_default(void *into)
{
    struct docker_settings *settings = into;

    settings->docker_host = settings->tls_cert_path = settings->oci_runtime = settings->seccomp_profile = "";
    settings->tls = "auto";
    settings->default_image = "ubuntu:22.04";
    settings->network_mode = "none";
    settings->exec_transport = "agent";
    settings->pull = "missing";
    settings->read_only_root = settings->no_new_privileges = true;
    settings->pids_limit = 512;
}

static bool complete(const struct settings *settings, cJSON *spec)
{
    const struct docker_settings *own = (const struct docker_settings *)settings;
    bool bridge = own->enable_networking && !strcmp(own->network_mode, "none"), ok = true;
    const cJSON *pids = cJSON_GetObjectItemCaseSensitive(spec, "pids");

    if (!cJSON_HasObjectItem(spec, "image"))
        ok = json_add_str(spec, "image", own->default_image);
    if (!cJSON_HasObjectItem(spec, "network"))
        ok = ok && json_add_str(spec, "network", bridge ? "bridge" : own->network_mode);
    if (pids && pids->valuedouble == 0)
        cJSON_SetNumberValue((cJSON *)(uintptr_t)pids, (double)own->pids_limit);
    return ok;
}

static bool relays(const struct settings *settings)
{
    return !strcmp(((const struct docker_settings *)settings)->exec_transport, "engine");
}

static int32_t check(const struct settings *settings, const struct spec *spec, rt_error *err)
{
    uint32_t uid, gid;

    (void)settings;
    if (!image_valid(spec->image))
        return error_set(err, RT_E_INVAL, 0, "image '%.100s' is no image's name", spec->image);
    if (!is_name(spec->network))
        return error_set(err, RT_E_INVAL, 0, "network '%.100s' is no network's name", spec->network);
    if (!is_name_or_empty(spec->oci_runtime))
        return error_set(err, RT_E_INVAL, 0, "oci_runtime '%.100s' is no runtime's name", spec->oci_runtime);
    if (spec->user[0] && !user_parse(spec->user, &uid, &gid))
        return error_set(err, RT_E_INVAL, 0, "user '%.100s' is not \"uid\" or \"uid:gid\"", spec->user);
    return RT_OK;
}

/* Ids are the same inside and outside: the container is in no user namespace of its own. */
static int32_t identify(const struct settings *settings, const struct spec *spec, const struct stat *st,
                        struct identity *ret, rt_error *err)
{
    (void)settings;
    if (geteuid() != 0)
        return error_set(err, RT_E_PERMISSION, 0,
                         "the Engine cannot see an ordinary user's workspace: run as root, or use bwrap");
    *ret = (struct identity){ .uid = st->st_uid, .gid = st->st_gid, .owner_uid = st->st_uid, .owner_gid = st->st_gid };
    if (spec->user[0])
        (void)user_parse(spec->user, &ret->uid, &ret->gid); /* checked at create */
    ret->host_uid = ret->uid;
    ret->host_gid = ret->gid;
    return RT_OK;
}

/* ---- opening ---- */

static enum tls_mode tls_mode(const struct docker_settings *settings, const char *cert_dir)
{
    const char *verify = getenv("DOCKER_TLS_VERIFY");

    if (!strcmp(settings->tls, "verify"))
        return TLS_VERIFY;
    if (!strcmp(settings->tls, "insecure"))
        return TLS_INSECURE;
    if (!strcmp(settings->tls, "off"))
        return TLS_OFF;
    if (verify && *verify)
        return TLS_VERIFY;
    return *cert_dir ? TLS_INSECURE : TLS_OFF;
}

static const char *given_or_env(const char *given, const char *variable, const char *otherwise)
{
    const char *value = given[0] ? given : getenv(variable);

    return value && *value ? value : otherwise;
}

static int32_t engine_open(struct runtime *rt, struct docker *docker, rt_error *err)
{
    const struct docker_settings *settings = (const struct docker_settings *)rt->settings;
    const char *host = given_or_env(settings->docker_host, "DOCKER_HOST", ADDRESS_DEFAULT),
               *cert_dir = given_or_env(settings->tls_cert_path, "DOCKER_CERT_PATH", "");
    struct address address = { 0 };
    const char *expected = address_parse(host, tls_mode(settings, cert_dir), cert_dir, &address);

    if (expected)
        return error_set(err, RT_E_CONFIG, 0, "docker_host: expected %s, got '%.100s'", expected, host);
    return engine_new(&address, err, &docker->engine);
}

/* The state directory's own name in containers' labels; made once, whoever comes first. */
static int32_t state_id_read(struct runtime *rt, struct docker *docker, rt_error *err)
{
    static const char file[] = "state-id";
    char temp[32] = ".state-id.", id[STATE_ID_LEN + 1];
    cleanup_free char *text = NULL;
    cleanup_fd int fd = -1;
    size_t len;
    int failed = file_read(rt->dir_fd, file, 64, &text, &len);

    if (failed == -ENOENT) {
        random_name(temp + strlen(temp), 12);
        random_name(id, STATE_ID_LEN);
        fd = file_make(rt->dir_fd, temp, O_EXCL, 0600);
        failed = fd < 0 ? fd : write_all(fd, id, STATE_ID_LEN);
        if (!failed && linkat(rt->dir_fd, temp, rt->dir_fd, file, 0) < 0 && errno != EEXIST)
            failed = -errno;
        (void)unlinkat(rt->dir_fd, temp, 0);
        if (!failed)
            failed = file_read(rt->dir_fd, file, 64, &text, &len);
    }
    if (failed)
        return error_set(err, error_status(-failed), -failed, "%s/%s", rt->dir, file);
    if (len != STATE_ID_LEN || !id_valid(text))
        return error_set(err, RT_E_PROTOCOL, 0, "%s/%s is not a state directory's id", rt->dir, file);
    strcpy(docker->state_id, text);
    return RT_OK;
}

static int32_t docker_open(struct runtime *rt, rt_error *err)
{
    struct docker *docker = calloc(1, sizeof *docker);
    int32_t status;

    if (!docker)
        return error_set(err, RT_E_NOMEM, 0, "the Engine's client");
    rt->own = docker;
    status = relays_new(err, &docker->relays);
    if (!status)
        status = state_id_read(rt, docker, err);
    return status ? status : engine_open(rt, docker, err);
}

static void docker_close(struct runtime *rt)
{
    struct docker *docker = rt->own;

    if (docker) {
        relays_free(docker->relays);
        engine_free(docker->engine);
    }
    free(docker);
    rt->own = NULL;
}

static const struct backend backend = {
    .name = "docker",
    .capabilities = CAPABILITIES,
    .settings_size = sizeof(struct docker_settings),
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
    .settings_default = settings_default,
    .probe = docker_probe,
    .check = check,
    .identify = identify,
    .boot = docker_boot,
    .end = docker_end,
    .died_why = docker_died_why,
    .pause = docker_pause,
    .resume = docker_resume,
    .sweep = docker_sweep,
    .complete = complete,
    .open = docker_open,
    .close = docker_close,
    .relays = relays,
    .connect = relay_connect,
    .own_cgroup = true,
};

static int32_t docker_runtime_open(const rt_open_params *params, rt_call *call, rt_runtime **ret)
{
    return runtime_open(&backend, params, call, ret);
}

static const rt_ops ops = COMMON_OPS(docker_runtime_open);

static const rt_plugin plugin = {
    .abi_major = RT_ABI_MAJOR,
    .abi_minor = RT_ABI_MINOR,
    .size = sizeof(rt_plugin),
    .name = "docker",
    .version = STOCKADE_VERSION,
    .summary = "containers of a Docker Engine",
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
