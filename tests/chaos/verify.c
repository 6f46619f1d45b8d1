#include "chaos.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AWAIT_MS 30000

static bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool complain(const char *format, ...)
{
    char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    note("WRONG: %s", text);
    fprintf(stderr, "chaos: %s\n", text);
    return false;
}

/* ---- destroying, in a host of its own ------------------------------------------------------------------------------
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

static bool destroy_apart(void)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0)
        _exit(!destroy_all());
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? true : complain("not all could be destroyed");
}

/* ---- what is left ---------------------------------------------------------------------------------------------------
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

static bool mounts_gone(void)
{
    char below[400], *mount = NULL;

    snprintf(below, sizeof below, "%s/%s", world.state, "bwrap/boxes");
    for (int ms = 0; ms < AWAIT_MS; ms += 20) {
        free(mount);
        mount = proc_mount_below(below);
        if (!mount)
            return true;
        sleep_ms(20);
    }
    (void)complain("%s is still mounted", mount);
    free(mount);
    return false;
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
    char command[600], line[300];
    bool ok = true;
    FILE *out;

    if (!world.docker_host)
        return true;
    snprintf(command, sizeof command, "docker -H '%s' ps -a --format '{{.Names}}'", world.docker_host);
    out = popen(command, "re");
    while (out && fgets(line, sizeof line, out))
        if (strstr(line, world.prefix))
            ok = complain("container %s is left", line);
    if (!out || pclose(out) != 0)
        return complain("the Engine's containers cannot be listed");
    return ok;
}

/* The sandboxes' directories. One that was just being made when its host was killed may stay a minute, empty. */
static bool files_gone(void)
{
    char path[400];
    struct dirent *entry;
    struct plugin plugin;
    bool ok = true;
    DIR *dir;

    if (!plugin_load(&plugin))
        return false;
    snprintf(path, sizeof path, "%s/%s/boxes", world.state, plugin.info->name);
    plugin_unload(&plugin);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char full[700];

        snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (strncmp(entry->d_name, ".new-", 5) != 0 || rmdir(full) < 0)
            ok = complain("%s is left", full);
    }
    if (dir)
        closedir(dir);
    return ok;
}

/* ---- what was committed ---------------------------------------------------------------------------------------------
 */

/* Each line names a file that has to hold that line. What is verified is removed, so that disks do not fill up. */
static bool committed_check(const char *list, unsigned *n)
{
    char line[100];
    FILE *file = fopen(list, "re");
    bool ok = true;

    while (file && fgets(line, sizeof line, file)) {
        char name[100];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(line, "\n"), line);
        if (!tree_is(world.code, name, line))
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
    char path[400];
    struct dirent *entry;
    unsigned n = 0;
    bool ok = true;
    DIR *dir;

    snprintf(path, sizeof path, "%s/committed", world.dir);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char full[700];

        snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            ok = committed_check(full, &n) && ok;
    }
    if (dir)
        closedir(dir);
    note("%u files were committed, and are there", n);
    dir = opendir(world.code);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] == 'r')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    return ok;
}

bool verify_round(void)
{
    bool ok = destroy_apart();

    ok = helpers_gone((char[]){ "agent" }) && ok;
    ok = helpers_gone((char[]){ "permfs" }) && ok;
    ok = mounts_gone() && ok;
    ok = cgroups_gone() && ok;
    ok = containers_gone() && ok;
    ok = files_gone() && ok;
    return committed_there() && ok;
}
