#include "sweep.h"

#include "host.h"
#include "proc.h"
#include "tree.h"

#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOXES_S 120 /* the plugin has for all that it finds */

/* ---- what the plugin knows of ------------------------------------------------------------------------------------ */

/* Opening it ends what dead hosts owned; the others' sandboxes are destroyed. Returns how many those are. */
static int state_sweep(const struct plugin *plugin, const char *state)
{
    rt_call call = RT_CALL_INIT;
    rt_sandbox_list *list = NULL;
    rt_runtime *rt = NULL;
    int found = 0;

    if (plugin_open(plugin, state, NULL, &call, &rt) != RT_OK) {
        fprintf(stderr, "conformance: %s: %s\n", state, call.error.message);
        return 1;
    }
    if (plugin->ops->list(rt, &call, &list) != RT_OK)
        fprintf(stderr, "conformance: %s: %s\n", state, call.error.message);
    for (size_t i = 0; list && i < list->n; i++, found++) {
        fprintf(stderr, "conformance: sandbox '%s' was left behind\n", list->items[i]->id);
        if (plugin->ops->destroy(rt, list->items[i]->id, &call) != RT_OK)
            fprintf(stderr, "conformance: %s\n", call.error.message);
    }
    plugin->ops->sandbox_list_free(list);
    plugin->ops->close(rt);
    return found;
}

/* A state directory is what has the plugin's subdirectory in it; tests have theirs right below their own. */
static int states_sweep(const char *dir)
{
    char pattern[256], state[PATH_MAX];
    struct plugin plugin;
    glob_t states;
    int found = 0;

    if (chdir(dir) < 0 || !plugin_load(&plugin))
        return 1;
    snprintf(pattern, sizeof pattern, "*/*/%s/", plugin.info->name);
    if (glob(pattern, GLOB_NOSORT, NULL, &states))
        return 0;
    for (size_t i = 0; i < states.gl_pathc; i++) {
        int len = (int)(strlen(states.gl_pathv[i]) - strlen(plugin.info->name) - 2);

        snprintf(state, sizeof state, "%s/%.*s", dir, len, states.gl_pathv[i]);
        found += state_sweep(&plugin, state);
    }
    globfree(&states);
    return found;
}

/* In a process of its own: the plugin is not to be trusted to come back. */
static int boxes_sweep(const char *dir)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        alarm(BOXES_S);
        _exit(states_sweep(dir) > 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;
    if (!WIFEXITED(status))
        fprintf(stderr, "conformance: the plugin, sweeping up, was ended by signal %d\n", WTERMSIG(status));
    return status != 0;
}

/* ---- what is left then ------------------------------------------------------------------------------------------- */

static int processes_sweep(const char *dir)
{
    int found = 0;
    pid_t pid;

    for (; proc_count(dir, &pid) && found < 1000; found++) {
        fprintf(stderr, "conformance: process %d was left behind\n", (int)pid);
        kill(pid, SIGKILL);
        sleep_ms(50);
    }
    return found;
}

int dir_sweep(const char *dir)
{
    char *mount, *last = NULL;
    int found = boxes_sweep(dir) + processes_sweep(dir);

    while ((mount = proc_mount_below(dir)) && (!last || strcmp(mount, last) != 0)) {
        fprintf(stderr, "conformance: mount %s was left behind\n", mount);
        umount2(mount, MNT_DETACH);
        free(last);
        last = mount;
        found++;
    }
    free(last);
    /* What is just ending may make a file yet. */
    (void)(mount || AWAIT(tree_remove(dir)));
    if (!mount && !access(dir, F_OK))
        fprintf(stderr, "conformance: %s could not be removed\n", dir);
    free(mount);
    return found;
}
