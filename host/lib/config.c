#include "config.h"

#include "error.h"
#include "json_text.h"
#include "names.h"
#include "schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stockade_config {
    char *file; /* NULL = none was read */
    cJSON *json;
};

/* docs/config.md explains the keys. */
static const char schema_text[] =
    "{\n"
    "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
    "  \"title\": \"Stockade config\",\n"
    "  \"type\": \"object\",\n"
    "  \"additionalProperties\": false,\n"
    "  \"properties\": {\n"
    "    \"runtime\": { \"type\": \"string\", \"pattern\": \".\", \"maxLength\": 4096,\n"
    "      \"description\": \"name or path of the plugin that is used where none is asked for\" },\n"
    "    \"plugin_path\": { \"type\": \"array\", \"items\": { \"type\": \"string\", \"pattern\": \"^/\" },\n"
    "      \"description\": \"absolute directories that are searched for plugins\" },\n"
    "    \"state_dir\": { \"type\": \"string\", \"pattern\": \"^/\", \"maxLength\": 4095,\n"
    "      \"description\": \"absolute directory of the sandboxes' state\" },\n"
    "    \"log_level\": { \"enum\": [\"debug\", \"info\", \"warn\", \"error\"], \"default\": \"warn\" },\n"
    "    \"preset\": { \"enum\": [\"agent-safe\", \"read-only\", \"full-access\", \"development\", \"view-only\"],\n"
    "      \"description\": \"workspace rules that the command starts from\" },\n"
    "    \"rules\": { \"type\": \"array\", \"description\": \"workspace rules over those of the preset\",\n"
    "      \"items\": { \"type\": \"object\", \"additionalProperties\": false,\n"
    "        \"required\": [\"pattern\", \"permission\"],\n"
    "        \"properties\": {\n"
    "          \"pattern\": { \"type\": \"string\", \"pattern\": \".\", \"maxLength\": 4096 },\n"
    "          \"type\": { \"enum\": [\"glob\", \"directory\", \"file\"], \"default\": \"glob\" },\n"
    "          \"permission\": { \"enum\": [\"none\", \"view\", \"read\", \"write\"] },\n"
    "          \"priority\": { \"type\": \"integer\", \"minimum\": -2147483648, \"maximum\": 2147483647,\n"
    "            \"default\": 0 } } } },\n"
    "    \"workspace\": { \"type\": \"object\", \"additionalProperties\": false,\n"
    "      \"properties\": {\n"
    "        \"mode\": { \"enum\": [\"direct\", \"delta\"], \"default\": \"direct\",\n"
    "          \"description\": \"whether the command's sandboxes write to their directory or apart from it\" } } },\n"
    "    \"runtimes\": { \"type\": \"object\", \"additionalProperties\": { \"type\": \"object\" },\n"
    "      \"description\": \"config of each runtime by its name, checked against its plugin's schema\" }\n"
    "  }\n"
    "}\n";

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* Takes json over. */
static int32_t config_check(cJSON *json, const char *name, rt_error *err, stockade_config **ret)
{
    stockade_config *config = NULL;
    cJSON *schema = cJSON_Parse(schema_text);
    int32_t status = RT_E_NOMEM;

    if (schema)
        status = host_schema_check(schema, json, "", err);
    cJSON_Delete(schema);
    if (status && status != RT_E_NOMEM)
        host_fail_wrap(err, status, "%s", name);
    if (!status) {
        config = calloc(1, sizeof *config);
        status = config ? RT_OK : RT_E_NOMEM;
    }
    if (status == RT_E_NOMEM)
        host_fail_nomem(err);
    if (status) {
        cJSON_Delete(json);
        return status;
    }
    config->json = json;
    *ret = config;
    return RT_OK;
}

int32_t stockade_config_parse(const char *text, size_t len, const char *name, rt_error *err, stockade_config **ret)
{
    int32_t status;
    cJSON *json;

    host_error_clear(err);
    status = host_json_parse(text, len, name, err, &json);
    return status ? status : config_check(json, name, err, ret);
}

/* Reads up to cap bytes. Returns how many, -1 with errno. */
static ssize_t file_read(int fd, char *data, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t n = read(fd, data + len, cap - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int32_t fd_parse(int fd, const char *file, rt_error *err, stockade_config **ret)
{
    struct stat st;
    int32_t status;
    ssize_t len;
    char *text;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return host_fail(err, RT_E_CONFIG, 0, "%s: not a regular file", file);
    text = malloc(JSON_TEXT_MAX + 1);
    if (!text)
        return host_fail_nomem(err);
    len = file_read(fd, text, JSON_TEXT_MAX + 1);
    if (len < 0)
        status = host_fail(err, RT_E_CONFIG, errno, "%s: read", file);
    else
        status = stockade_config_parse(text, (size_t)len, file, err, ret);
    free(text);
    return status;
}

/* Returns RT_E_UNAVAILABLE, silently, if there is no such file. */
static int32_t file_parse(const char *file, rt_error *err, stockade_config **ret)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int32_t status;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return RT_E_UNAVAILABLE;
    if (fd < 0)
        return host_fail(err, RT_E_CONFIG, errno, "%s: cannot be opened", file);
    status = fd_parse(fd, file, err, ret);
    (void)close(fd);
    if (status)
        return status;
    (*ret)->file = strdup(file);
    if ((*ret)->file)
        return RT_OK;
    stockade_config_free(*ret);
    return host_fail_nomem(err);
}

static int32_t default_parse(rt_error *err, stockade_config **ret)
{
    const char *xdg = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
    char *file = NULL;
    int32_t status = RT_E_UNAVAILABLE;
    int n = 0;

    if (xdg && *xdg == '/')
        n = asprintf(&file, "%s/stockade/config.json", xdg);
    else if (home && *home == '/')
        n = asprintf(&file, "%s/.config/stockade/config.json", home);
    if (n < 0)
        return host_fail_nomem(err);
    if (file)
        status = file_parse(file, err, ret);
    free(file);
    if (status == RT_E_UNAVAILABLE)
        status = file_parse("/etc/stockade/config.json", err, ret);
    return status == RT_E_UNAVAILABLE ? stockade_config_parse("{}", 2, "no config file", err, ret) : status;
}

int32_t stockade_config_load(const char *file, rt_error *err, stockade_config **ret)
{
    const char *named = file ? file : secure_getenv("STOCKADE_CONFIG");
    stockade_config *config;
    int32_t status;

    host_error_clear(err);
    if (named && *named) {
        status = file_parse(named, err, &config);
        if (status == RT_E_UNAVAILABLE)
            status = host_fail(err, RT_E_CONFIG, ENOENT, "%s", named);
    } else {
        status = default_parse(err, &config);
    }
    if (!status)
        *ret = config;
    return status;
}

void stockade_config_free(stockade_config *config)
{
    if (!config)
        return;
    cJSON_Delete(config->json);
    free(config->file);
    free(config);
}

/* ---- what it says ---------------------------------------------------------------------------------------------- */

static const cJSON *member(const stockade_config *config, const char *name)
{
    return config ? cJSON_GetObjectItemCaseSensitive(config->json, name) : NULL;
}

const char *stockade_config_file(const stockade_config *config)
{
    return config->file;
}

const char *stockade_config_runtime(const stockade_config *config)
{
    return cJSON_GetStringValue(member(config, "runtime"));
}

const char *stockade_config_state_dir(const stockade_config *config)
{
    return cJSON_GetStringValue(member(config, "state_dir"));
}

const char *stockade_config_preset(const stockade_config *config)
{
    return cJSON_GetStringValue(member(config, "preset"));
}

int32_t stockade_config_workspace_mode(const stockade_config *config)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(member(config, "workspace"), "mode"));

    return name ? host_workspace_mode_parse(name) : -1;
}

int32_t stockade_config_log_level(const stockade_config *config)
{
    const char *name = cJSON_GetStringValue(member(config, "log_level"));

    return name ? host_log_level_parse(name) : -1;
}

size_t stockade_config_n_plugin_dirs(const stockade_config *config)
{
    return (size_t)cJSON_GetArraySize(member(config, "plugin_path"));
}

const char *stockade_config_plugin_dir(const stockade_config *config, size_t i)
{
    return cJSON_GetStringValue(cJSON_GetArrayItem(member(config, "plugin_path"), (int)i));
}

const char *stockade_config_section(const stockade_config *config, size_t i)
{
    const cJSON *item = cJSON_GetArrayItem(member(config, "runtimes"), (int)i);

    return item ? item->string : NULL;
}

char *stockade_config_json(const stockade_config *config)
{
    return cJSON_Print(config->json);
}

const char *stockade_config_schema(void)
{
    return schema_text;
}

const cJSON *host_config_section(const stockade_config *config, const char *runtime)
{
    return cJSON_GetObjectItemCaseSensitive(member(config, "runtimes"), runtime);
}

const cJSON *host_config_rules(const stockade_config *config)
{
    return member(config, "rules");
}

/* ---- sections -------------------------------------------------------------------------------------------------- */

int32_t host_section_check(const cJSON *section, const char *path, const rt_plugin *plugin, rt_error *err)
{
    const char *text = plugin->config_schema;
    cJSON *schema = text && strlen(text) <= JSON_TEXT_MAX ? cJSON_Parse(text) : NULL;
    cJSON *empty = NULL;
    int32_t status;

    if (!schema)
        return host_fail(err, RT_E_INTERNAL, 0, "the plugin's config_schema is no JSON");
    status = host_schema_verify(schema, err);
    if (status)
        host_fail_wrap(err, status, "the plugin's config_schema");
    if (!status && !section) {
        section = empty = cJSON_CreateObject();
        status = empty ? RT_OK : host_fail_nomem(err);
    }
    if (!status)
        status = host_schema_check(schema, section, path, err);
    cJSON_Delete(empty);
    cJSON_Delete(schema);
    return status;
}

int32_t stockade_config_check_runtime(const stockade_config *config, const stockade_plugin *plugin, rt_error *err)
{
    char path[64];
    int32_t status;

    host_error_clear(err);
    snprintf(path, sizeof path, "runtimes.%s", plugin->info->name);
    status = host_section_check(host_config_section(config, plugin->info->name), path, plugin->info, err);
    if (status == RT_E_INTERNAL)
        return host_fail_wrap(err, status, "%s", plugin->file);
    if (status == RT_E_CONFIG && config->file)
        return host_fail_wrap(err, status, "%s", config->file);
    return status;
}
