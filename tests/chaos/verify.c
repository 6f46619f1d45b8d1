#include "chaos.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AWAIT_MS 30000

/* ---- destroying, in hosts of its own -------------------------------------------------------------------------------
 */

static bool destroy_all(void)
{
    struct plugin plugin;
    rt_runtime *rt = NULL;
    rt_sandbox_list *list = NULL;
    rt_call call = RT_CALL_INIT;
    bool ok = true;

    if (!plugin_load(&plugin) || world_open(&plugin, &call, &rt) || plugin.ops->list(rt, &call, &list))
        return complain("open and list: %s", call.error.message);
    for (size_t i = 0; i < list->n; i++) {
        int32_t status = plugin.ops->destroy(rt, list->items[i]->id, &call);

        if (status && status != RT_E_SANDBOX_NOT_FOUND) /* its time may have been its host's */
            ok = complain("destroy %s: %s", list->items[i]->id, call.error.message);
    }
    plugin.ops->sandbox_list_free(list);
    plugin.ops->close(rt);
    plugin_unload(&plugin);
    return ok;
}

/* Where each runtime keeps its sandboxes. */
static void boxes_path(const struct choice *choice, char *ret, size_t size)
{
    const char *name = strrchr(choice->plugin, '/') + 1;

    snprintf(ret, size, "%s/%.*s/boxes", world.state, (int)strcspn(name, "."), name);
}

/* What was just being made or removed when its host was killed is let be for a minute: that is over then. */
static void leftovers_age(const char *boxes)
{
    const struct timespec before[2] = { { time(NULL) - 120, 0 }, { time(NULL) - 120, 0 } };
    struct dirent *entry;
    DIR *dir = opendir(boxes);

    while (dir && (entry = readdir(dir)))
        if (!strncmp(entry->d_name, ".new-", 5) || !strncmp(entry->d_name, ".old-", 5))
            (void)utimensat(dirfd(dir), entry->d_name, before, 0);
    if (dir)
        closedir(dir);
}

/* Any open cleans. */
static bool open_once(void)
{
    rt_call call = RT_CALL_INIT;
    struct plugin plugin;
    rt_runtime *rt = NULL;

    if (!plugin_load(&plugin) || world_open(&plugin, &call, &rt))
        return complain("open: %s", call.error.message);
    plugin.ops->close(rt);
    plugin_unload(&plugin);
    return true;
}

static bool apart(const struct choice *choice, bool (*run)(void))
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        world_choose(choice);
        _exit(!run());
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool end_all(const struct choice *choice)
{
    char boxes[400];
    bool ok = apart(choice, destroy_all);

    boxes_path(choice, boxes, sizeof boxes);
    leftovers_age(boxes);
    return apart(choice, open_once) && ok;
}

/* ---- what is left --------------------------------------------------------------------------------------------------
 */

static void name_helper(pid_t pid, void *arg)
{
    (void)complain("%s: process %d is left", (const char *)arg, (int)pid);
}

/* Its number must come to 0, but perhaps not at once: an orphan's end is nobody's to wait for. */
static bool helpers_gone(char *name)
{
    for (int ms = 0; helpers_each(name, NULL, NULL) && ms < AWAIT_MS; ms += 20) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        sleep_ms(20);
    }
    return helpers_each(name, name_helper, name) == 0;
}

static bool mounts_gone(const char *boxes)
{
    char *mount = NULL;

    for (int ms = 0; ms < AWAIT_MS; ms += 20) {
        free(mount);
        mount = proc_mount_below(boxes);
        if (!mount)
            return true;
        sleep_ms(20);
    }
    (void)complain("%s is still mounted", mount);
    free(mount);
    return false;
}

/* Sockets of the run's that somebody still has, wherever their names may have gone. */
static bool sockets_gone(void)
{
    char *text = NULL, *at = NULL;

    for (int ms = 0; ms < AWAIT_MS; ms += 20) {
        free(text);
        text = tree_read("/proc/net", "unix", NULL);
        at = text ? strstr(text, world.dir) : NULL;
        if (!at)
            break;
        sleep_ms(20);
    }
    if (at)
        (void)complain("socket %.*s is left", (int)strcspn(at, "\n"), at);
    free(text);
    return !at;
}

static bool cgroup_left;

static int cgroup_look(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    if (type == FTW_D && !strncmp(path + ftw->base, world.prefix, strlen(world.prefix))) {
        (void)complain("cgroup %s is left", path);
        cgroup_left = true;
    }
    return 0;
}

static bool cgroups_gone(void)
{
    cgroup_left = false;
    (void)nftw("/sys/fs/cgroup", cgroup_look, 32, FTW_PHYS);
    return !cgroup_left;
}

static bool containers_gone(void)
{
    char names[8192] = "";

    if (!world.docker_host)
        return true;
    if (!engine_containers(names, sizeof names))
        return complain("the Engine's containers cannot be listed: %s", names);
    return !names[0] || complain("containers are left: %s", names);
}

static bool files_gone(const char *boxes)
{
    struct dirent *entry;
    bool ok = true;
    DIR *dir = opendir(boxes);

    while (dir && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = complain("%s/%s is left", boxes, entry->d_name);
    if (dir)
        closedir(dir);
    return ok;
}

/* ---- what was committed --------------------------------------------------------------------------------------------
 */

/* Whether a file has all that its name says. */
static bool is_whole(const char *name)
{
    size_t len = strlen(name) + 1, lines = name[0] == 'd' ? FILE_LINES : 1, size = 0;
    char *text = tree_read(world.code, name, &size);
    bool whole = text && size == len * lines;

    for (size_t i = 0; whole && i < lines; i++)
        whole = !memcmp(text + i * len, name, len - 1) && text[i * len + len - 1] == '\n';
    free(text);
    return whole;
}

/* Each line names a file that has to be there. */
static bool list_check(const char *list, unsigned *n)
{
    char name[FILE_NAME_MAX + 2];
    FILE *file = fopen(list, "re");
    bool ok = true;

    while (file && fgets(name, sizeof name, file)) {
        name[strcspn(name, "\n")] = '\0';
        if (!is_whole(name))
            ok = complain("%s was committed, and is not what it was", name);
        ++*n;
    }
    if (file)
        fclose(file);
    (void)unlink(list);
    return ok;
}

static bool committed_there(void)
{
    struct dirent *entry;
    unsigned n = 0;
    bool ok = true;
    DIR *dir = opendir(world.committed);

    while (dir && (entry = readdir(dir))) {
        char list[700];

        snprintf(list, sizeof list, "%s/%s", world.committed, entry->d_name);
        if (entry->d_name[0] != '.')
            ok = list_check(list, &n) && ok;
    }
    if (dir)
        closedir(dir);
    note("%u files were committed", n);
    return ok;
}

/* What a commit brought is whole, also if its host was killed; nothing else is there. Removes all: disks are small. */
static bool code_clean(void)
{
    struct dirent *entry;
    bool ok = true;
    DIR *dir = opendir(world.code);

    while (dir && (entry = readdir(dir))) {
        const char *name = entry->d_name;

        if (!strcmp(name, ".") || !strcmp(name, ".."))
            continue;
        if (!strchr("rdt", name[0]))
            ok = complain("%s/%s is left", world.code, name);
        if (name[0] == 'd' && !is_whole(name))
            ok = complain("%s was torn", name);
        (void)unlinkat(dirfd(dir), name, 0);
    }
    if (dir)
        closedir(dir);
    return ok;
}

bool verify_round(void)
{
    bool ok = true;

    for (unsigned i = 0; i < world.n_choices; i++)
        ok = end_all(&world.choices[i]) && ok;
    ok = helpers_gone((char[]){ "bwrap" }) && ok;
    ok = helpers_gone((char[]){ "agent" }) && ok;
    ok = helpers_gone((char[]){ "permfs" }) && ok;
    for (unsigned i = 0; i < world.n_choices; i++) {
        char boxes[400];

        boxes_path(&world.choices[i], boxes, sizeof boxes);
        ok = mounts_gone(boxes) && ok;
        ok = files_gone(boxes) && ok;
    }
    ok = sockets_gone() && ok;
    ok = cgroups_gone() && ok;
    ok = containers_gone() && ok;
    ok = committed_there() && ok;
    return code_clean() && ok;
}
