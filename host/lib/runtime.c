/* Choosing and opening a runtime. */
#include "config.h"
#include "error.h"
#include "json_text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct runtime {
    stockade_runtime pub; /* first: what the host sees */
    stockade_plugin *loaded;
    char *state_dir;
    rt_log_fn *log;
    void *log_user;
    int32_t log_level;
};

/* ---- the state directory --------------------------------------------------------------------------------------- */

static const char *env_text(const char *name)
{
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

/* Returns a new string, NULL with errno. */
static char *absolute(const char *path)
{
    char cwd[PATH_MAX], *ret;

    if (*path == '/')
        return strdup(path);
    if (!getcwd(cwd, sizeof cwd))
        return NULL;
    if (asprintf(&ret, "%s/%s", cwd, path) >= 0)
        return ret;
    errno = ENOMEM;
    return NULL;
}

static int32_t default_state_dir(rt_error *err, char **ret)
{
    const char *xdg = env_text("XDG_STATE_HOME"), *home = env_text("HOME");
    int n;

    if (geteuid() == 0)
        n = asprintf(ret, "/var/lib/stockade");
    else if (xdg && *xdg == '/')
        n = asprintf(ret, "%s/stockade", xdg);
    else if (home && *home == '/')
        n = asprintf(ret, "%s/.local/state/stockade", home);
    else
        return host_fail(err, RT_E_CONFIG, 0, "no state directory: HOME is not set; set state_dir or XDG_STATE_HOME");
    return n < 0 ? host_fail_nomem(err) : RT_OK;
}

int32_t stockade_state_dir(const char *state_dir, const stockade_config *config, rt_error *err, char **ret)
{
    char *path;

    host_error_clear(err);
    if (!state_dir)
        state_dir = env_text("STOCKADE_STATE_DIR");
    if (!state_dir && config)
        state_dir = stockade_config_state_dir(config);
    if (!state_dir)
        return default_state_dir(err, ret);
    if (!*state_dir)
        return host_fail(err, RT_E_INVAL, 0, "the state directory's name is empty");
    path = absolute(state_dir);
    if (!path)
        return host_fail(err, RT_E_IO, errno, "state directory '%s'", state_dir);
    *ret = path;
    return RT_OK;
}

/* Makes what is missing above the directory; the directory itself is the plugin's to make. */
static int32_t parents_make(const char *dir, rt_error *err)
{
    char path[PATH_MAX];
    struct stat st;

    if (strlen(dir) >= sizeof path)
        return host_fail(err, RT_E_IO, ENAMETOOLONG, "state directory '%.64s...'", dir);
    memcpy(path, dir, strlen(dir) + 1);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return host_fail(err, RT_E_IO, errno, "make the state directory '%s'", path);
        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            return host_fail(err, RT_E_IO, ENOTDIR, "make the state directory '%s'", path);
        *at = '/';
    }
    return RT_OK;
}

/* ---- logs ------------------------------------------------------------------------------------------------------ */

static void log_forward(void *user, int32_t level, const char *message)
{
    struct runtime *runtime = user;

    if (level >= runtime->log_level)
        runtime->log(runtime->log_user, level, message);
}

static int32_t log_level_pick(const stockade_options *options, const stockade_config *config)
{
    int32_t level = options->log_level;

    if (level < 0)
        level = stockade_config_log_level(config);
    return level < 0 ? RT_LOG_WARN : level;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

/* The runtime's own config as JSON text, checked against its schema; the caller frees it. */
static int32_t section_text(const stockade_options *options, const stockade_config *config,
                            const stockade_plugin *plugin, rt_error *err, char **ret)
{
    const cJSON *section = host_config_section(config, plugin->info->name);
    const char *text = options->runtime_config;
    cJSON *given = NULL;
    int32_t status;

    if (text) {
        status = host_json_parse(text, strlen(text), "runtime_config", err, &given);
        if (!status && !cJSON_IsObject(given))
            status = host_fail(err, RT_E_CONFIG, 0, "runtime_config: expected an object");
        if (!status)
            status = host_section_check(given, "runtime_config", plugin->info, err);
        section = given;
    } else {
        status = stockade_config_check_runtime(config, plugin, err);
    }
    if (!status) {
        *ret = section ? cJSON_PrintUnformatted(section) : strdup("{}");
        status = *ret ? RT_OK : host_fail_nomem(err);
    }
    cJSON_Delete(given);
    return status;
}

static int32_t plugin_open(struct runtime *runtime, const stockade_options *options, const char *config, rt_call *call)
{
    rt_open_params params = {
        .size = sizeof params,
        .config = config,
        .state_dir = runtime->state_dir,
        .libexec_dir = options->libexec_dir,
        .log = runtime->log ? log_forward : NULL,
        .log_user = runtime,
    };
    rt_error *err = host_call_error(call);
    int32_t status = runtime->loaded->ops->open(&params, call, &runtime->pub.rt);

    if (!status && runtime->pub.rt)
        return RT_OK;
    runtime->pub.rt = NULL;
    if (!status)
        return host_fail(err, RT_E_INTERNAL, 0, "plugin %s: open gave no runtime", runtime->loaded->file);
    if (err && (err->status != status || !*err->message))
        host_fail(err, status, 0, "it gives no reason (%s)", stockade_status_name(status));
    return host_fail_wrap(err, status, "plugin %s: open", runtime->loaded->file);
}

/* Everything but the choice of the config. */
static int32_t runtime_open(struct runtime *runtime, const stockade_options *options, const stockade_config *config,
                            rt_call *call)
{
    rt_error *err = host_call_error(call);
    const char *name = options->runtime;
    char *section;
    int32_t status;

    if (!name)
        name = env_text("STOCKADE_RUNTIME");
    if (!name)
        name = stockade_config_runtime(config);
    status = stockade_plugin_load(name ? name : "bwrap", config, err, &runtime->loaded);
    if (status)
        return status;
    status = stockade_state_dir(options->state_dir, config, err, &runtime->state_dir);
    if (!status)
        status = parents_make(runtime->state_dir, err);
    if (!status)
        status = section_text(options, config, runtime->loaded, err, &section);
    if (status)
        return status;
    runtime->log = options->log;
    runtime->log_user = options->log_user;
    runtime->log_level = log_level_pick(options, config);
    status = plugin_open(runtime, options, section, call);
    free(section);
    return status;
}

/* The options with the members that a host of an older version does not know at their defaults. */
static stockade_options options_adopt(const stockade_options *options)
{
    stockade_options ret = STOCKADE_OPTIONS_INIT;

    if (options)
        memcpy(&ret, options, options->size < sizeof ret ? options->size : sizeof ret);
    return ret;
}

int32_t stockade_open(const stockade_options *given, rt_call *call, stockade_runtime **ret)
{
    stockade_options options = options_adopt(given);
    rt_error *err = host_call_error(call);
    stockade_config *own = NULL;
    struct runtime *runtime;
    int32_t status = RT_OK;

    host_error_clear(err);
    if (!options.config)
        status = stockade_config_load(NULL, err, &own);
    if (status)
        return status;
    runtime = calloc(1, sizeof *runtime);
    status = runtime ? runtime_open(runtime, &options, own ? own : options.config, call) : host_fail_nomem(err);
    stockade_config_free(own);
    if (status) {
        stockade_close((stockade_runtime *)runtime);
        return status;
    }
    runtime->pub.ops = runtime->loaded->ops;
    runtime->pub.plugin = runtime->loaded->info;
    runtime->pub.file = runtime->loaded->file;
    runtime->pub.state_dir = runtime->state_dir;
    *ret = &runtime->pub;
    return RT_OK;
}

void stockade_close(stockade_runtime *pub)
{
    struct runtime *runtime = (struct runtime *)pub;

    if (!runtime)
        return;
    if (pub->rt)
        runtime->loaded->ops->close(pub->rt);
    stockade_plugin_unload(runtime->loaded);
    free(runtime->state_dir);
    free(runtime);
}
