#include "search.h"

#include "error.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct strv {
    char **items;
    size_t n;
};

void host_strv_free(char **strv)
{
    if (!strv)
        return;
    for (size_t i = 0; strv[i]; i++)
        free(strv[i]);
    free(strv);
}

/* Takes item over, also when it fails; NULL, as from a strdup() that failed, is a failure. */
static bool strv_take(struct strv *strv, char *item)
{
    char **items = item ? realloc(strv->items, (strv->n + 2) * sizeof *items) : NULL;

    if (!items) {
        free(item);
        return false;
    }
    items[strv->n++] = item;
    items[strv->n] = NULL;
    strv->items = items;
    return true;
}

/* STOCKADE_PLUGIN_PATH; an empty part is skipped rather than taken for the current directory. */
static bool env_dirs_add(struct strv *dirs)
{
    const char *at = secure_getenv("STOCKADE_PLUGIN_PATH");

    while (at && *at) {
        size_t len = strcspn(at, ":");

        if (len && !strv_take(dirs, strndup(at, len)))
            return false;
        at += len + (at[len] == ':');
    }
    return true;
}

/*
 * The file that this code is in, its links resolved. The linker's name for the main program is what it was called as,
 * which may be anything: there /proc knows better.
 */
static bool self_find(char ret[PATH_MAX])
{
    struct link_map *map;
    Dl_info info;

    if (!dladdr1((const void *)&stockade_plugin_load, &info, (void **)&map, RTLD_DL_LINKMAP))
        return false;
    if (!map->l_name || !*map->l_name)
        return realpath("/proc/self/exe", ret) != NULL;
    return *map->l_name == '/' && realpath(map->l_name, ret) != NULL;
}

static bool own_dirs_add(struct strv *dirs)
{
    char self[PATH_MAX], *slash, *dir;

    if (!self_find(self))
        return true;
    slash = strrchr(self, '/');
    *slash = '\0';
    if (asprintf(&dir, "%s/lib/stockade", self) < 0 || !strv_take(dirs, dir))
        return false;
    slash = strrchr(self, '/');
    if (!slash)
        return true;
    *slash = '\0';
    return asprintf(&dir, "%s/lib/stockade", self) >= 0 && strv_take(dirs, dir);
}

int32_t host_search_dirs(const stockade_config *config, rt_error *err, char ***ret)
{
    struct strv dirs = { 0 };
    bool fits = env_dirs_add(&dirs);
    size_t n = config ? stockade_config_n_plugin_dirs(config) : 0;

    for (size_t i = 0; fits && i < n; i++)
        fits = strv_take(&dirs, strdup(stockade_config_plugin_dir(config, i)));
    if (!fits || !own_dirs_add(&dirs) || (!dirs.items && !(dirs.items = calloc(1, sizeof *dirs.items)))) {
        host_strv_free(dirs.items);
        return host_fail_nomem(err);
    }
    *ret = dirs.items;
    return RT_OK;
}

char *host_search_text(char *const *dirs)
{
    char *text = NULL;
    size_t len;
    FILE *stream = open_memstream(&text, &len);

    if (!stream)
        return NULL;
    for (size_t i = 0; dirs[i]; i++)
        fprintf(stream, "%s%s", i == 0 ? "" : dirs[i + 1] ? ", " : " and ", dirs[i]);
    if (fclose(stream)) {
        free(text);
        return NULL;
    }
    return text;
}
