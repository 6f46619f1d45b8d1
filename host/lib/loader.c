/* Finding, loading and checking plugins. */
#include "elf_check.h"
#include "error.h"
#include "names.h"
#include "ops.h"
#include "search.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_SIZE_1_0 (offsetof(rt_plugin, ops) + sizeof((rt_plugin *)0)->ops)

struct plugin {
    stockade_plugin pub; /* first: what the host sees */
    void *handle;
    char *file;
    rt_plugin info;
    rt_ops ops;
};

/* ---- one file -------------------------------------------------------------------------------------------------- */

/* The entry symbol's address as a function, which ISO C has no cast for. */
static rt_plugin_entry_fn *entry_find(void *handle)
{
    void *symbol = dlsym(handle, RT_PLUGIN_ENTRY);
    rt_plugin_entry_fn *entry;

    memcpy(&entry, &symbol, sizeof entry);
    return entry;
}

static int32_t info_check(const rt_plugin *theirs, rt_error *err)
{
    if (theirs->abi_major != RT_ABI_MAJOR)
        return host_fail(err, RT_E_ABI, 0, "made for ABI %u.%u, this host has ABI %u.%u", theirs->abi_major,
                         theirs->abi_minor, RT_ABI_MAJOR, RT_ABI_MINOR);
    if (theirs->size < PLUGIN_SIZE_1_0)
        return host_fail(err, RT_E_ABI, 0, "torn table: rt_plugin has %zu bytes, version 1.0 has %zu", theirs->size,
                         PLUGIN_SIZE_1_0);
    if (!theirs->name || !host_is_plugin_name(theirs->name))
        return host_fail(err, RT_E_ABI, 0, "torn table: its name is missing or malformed");
    if (!theirs->version || !theirs->summary || !theirs->config_schema || !theirs->default_config || !theirs->ops)
        return host_fail(err, RT_E_ABI, 0, "torn table: a member of rt_plugin is NULL");
    return RT_OK;
}

/* name is what the plugin must call itself; NULL = anything. */
static int32_t plugin_adopt(struct plugin *plugin, const char *name, rt_error *err)
{
    rt_plugin_entry_fn *entry = entry_find(plugin->handle);
    const rt_plugin *theirs;
    int32_t status;

    if (!entry)
        return host_fail(err, RT_E_ABI, 0, "no symbol '%s'", RT_PLUGIN_ENTRY);
    theirs = entry();
    if (!theirs)
        return host_fail(err, RT_E_ABI, 0, "%s() declined: it returned NULL", RT_PLUGIN_ENTRY);
    status = info_check(theirs, err);
    if (status)
        return status;
    if (name && strcmp(name, theirs->name))
        return host_fail(err, RT_E_ABI, 0, "calls itself '%s', not '%s'", theirs->name, name);
    status = host_ops_adopt(theirs->ops, theirs->capabilities, err, &plugin->ops);
    if (status)
        return status;
    memcpy(&plugin->info, theirs, theirs->size < sizeof plugin->info ? theirs->size : sizeof plugin->info);
    plugin->info.size = sizeof plugin->info;
    plugin->info.ops = &plugin->ops;
    return RT_OK;
}

/* The linker's message without the file's name, which ours begins with. */
static const char *linker_reason(const char *file)
{
    const char *message = dlerror();
    size_t len = strlen(file);

    if (!message)
        return "the dynamic linker refuses it";
    return strncmp(message, file, len) || strncmp(message + len, ": ", 2) ? message : message + len + 2;
}

static int32_t file_open(struct plugin *plugin, const char *name, rt_error *err)
{
    int32_t status = host_elf_check(plugin->file, err);

    if (status)
        return status;
    plugin->handle = dlopen(plugin->file, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->handle)
        return host_fail(err, RT_E_UNAVAILABLE, 0, "%s", linker_reason(plugin->file));
    return plugin_adopt(plugin, name, err);
}

static int32_t file_load(const char *file, const char *name, rt_error *err, stockade_plugin **ret)
{
    struct plugin *plugin = calloc(1, sizeof *plugin);
    int32_t status;

    if (!plugin)
        return host_fail_nomem(err);
    plugin->file = strdup(file);
    status = plugin->file ? file_open(plugin, name, err) : host_fail_nomem(err);
    if (status) {
        stockade_plugin_unload(&plugin->pub);
        return status == RT_E_NOMEM ? status : host_fail_wrap(err, status, "plugin %s", file);
    }
    plugin->pub = (stockade_plugin){ plugin->file, &plugin->info, &plugin->ops };
    *ret = &plugin->pub;
    return RT_OK;
}

void stockade_plugin_unload(stockade_plugin *pub)
{
    struct plugin *plugin = (struct plugin *)pub;

    if (!plugin)
        return;
    if (plugin->handle)
        (void)dlclose(plugin->handle);
    free(plugin->file);
    free(plugin);
}

/* ---- by name --------------------------------------------------------------------------------------------------- */

static int32_t fail_missing(const char *name, char *const *dirs, rt_error *err)
{
    char *text = host_search_text(dirs);

    host_fail(err, RT_E_UNAVAILABLE, 0, "no runtime '%s': there is no %s.so in %s", name, name,
              text && *text ? text : "the search path, which is empty");
    free(text);
    return RT_E_UNAVAILABLE;
}

static int32_t name_load(const char *name, char *const *dirs, rt_error *err, stockade_plugin **ret)
{
    for (size_t i = 0; dirs[i]; i++) {
        int32_t status;
        char *file;

        if (asprintf(&file, "%s/%s.so", dirs[i], name) < 0)
            return host_fail_nomem(err);
        if (faccessat(AT_FDCWD, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
            free(file);
            continue;
        }
        status = file_load(file, name, err, ret);
        free(file);
        return status;
    }
    return fail_missing(name, dirs, err);
}

int32_t stockade_plugin_load(const char *name, const stockade_config *config, rt_error *err, stockade_plugin **ret)
{
    int32_t status;
    char **dirs;

    host_error_clear(err);
    if (strchr(name, '/'))
        return file_load(name, NULL, err, ret);
    if (!host_is_plugin_name(name))
        return host_fail(err, RT_E_INVAL, 0, "'%s' is no runtime's name: it must match [a-z][a-z0-9_-]{0,31}", name);
    status = host_search_dirs(config, err, &dirs);
    if (status)
        return status;
    status = name_load(name, dirs, err, ret);
    host_strv_free(dirs);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

struct found_list {
    stockade_found_list pub; /* first: what the host sees */
    stockade_found *items;   /* the same, to be written */
};

static bool found_has(const struct found_list *list, const char *name)
{
    for (size_t i = 0; i < list->pub.n; i++)
        if (!strcmp(list->items[i].name, name))
            return true;
    return false;
}

static void found_release(stockade_found *found)
{
    stockade_plugin_unload((stockade_plugin *)(uintptr_t)found->plugin);
    free((char *)(uintptr_t)found->name);
    free((char *)(uintptr_t)found->file);
}

static bool found_add(struct found_list *list, const char *dir, const char *name)
{
    stockade_found *items = realloc(list->items, (list->pub.n + 1) * sizeof *items), *found;
    stockade_plugin *plugin = NULL;
    char *file = NULL;

    if (!items)
        return false;
    list->items = items;
    found = &items[list->pub.n];
    *found = (stockade_found){ .name = strdup(name), .error = RT_ERROR_INIT };
    if (!found->name || asprintf(&file, "%s/%s.so", dir, name) < 0) {
        found_release(found);
        return false;
    }
    found->file = file;
    if (!file_load(file, name, &found->error, &plugin))
        found->plugin = plugin;
    list->pub.n++;
    return true;
}

/* The plugin's name that a file's name stands for, cut in place; NULL if it is none. */
static char *stem_of(char *entry)
{
    size_t len = strlen(entry);

    if (len < 4 || strcmp(entry + len - 3, ".so"))
        return NULL;
    entry[len - 3] = '\0';
    return host_is_plugin_name(entry) ? entry : NULL;
}

/* A directory that is missing or cannot be read holds nothing: that is no error, most are optional. */
static bool dir_add(struct found_list *list, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    bool fits = true;

    while (fits && dir && (entry = readdir(dir))) {
        char *name = stem_of(entry->d_name);

        if (name && !found_has(list, name))
            fits = found_add(list, path, name);
    }
    if (dir)
        (void)closedir(dir);
    return fits;
}

static int found_compare(const void *a, const void *b)
{
    return strcmp(((const stockade_found *)a)->name, ((const stockade_found *)b)->name);
}

int32_t stockade_plugin_find_all(const stockade_config *config, rt_error *err, stockade_found_list **ret)
{
    struct found_list *list;
    bool fits = true;
    int32_t status;
    char **dirs;

    host_error_clear(err);
    status = host_search_dirs(config, err, &dirs);
    if (status)
        return status;
    list = calloc(1, sizeof *list);
    for (size_t i = 0; list && fits && dirs[i]; i++)
        fits = dir_add(list, dirs[i]);
    host_strv_free(dirs);
    if (!list || !fits) {
        stockade_found_list_free((stockade_found_list *)list);
        return host_fail_nomem(err);
    }
    if (list->pub.n)
        qsort(list->items, list->pub.n, sizeof *list->items, found_compare);
    list->pub.items = list->items;
    *ret = &list->pub;
    return RT_OK;
}

void stockade_found_list_free(stockade_found_list *pub)
{
    struct found_list *list = (struct found_list *)pub;

    if (!list)
        return;
    for (size_t i = 0; i < list->pub.n; i++)
        found_release(&list->items[i]);
    free(list->items);
    free(list);
}
