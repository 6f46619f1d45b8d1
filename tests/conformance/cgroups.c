#include "cgroups.h"

#include "fixture.h"

#include <stdio.h>

char *cgroups_of(pid_t pid)
{
    char *theirs = proc_read(pid, "cgroup"), *mine = proc_read(getpid(), "cgroup"), *text = NULL, *save = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    HOST_MUST(theirs && mine);
    for (char *line = strtok_r(theirs, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *path = strrchr(line, ':');

        if (path && strcmp(path, ":/") != 0 && !strstr(mine, line))
            fprintf(out, "%s\n", path + 1);
    }
    fclose(out);
    free(theirs);
    free(mine);
    return text;
}

bool cgroup_exists(const char *path)
{
    char *dirs = tree_list("/sys/fs/cgroup", true), *at = strstr(dirs, path);
    bool found = at && at[strlen(path)] == '\n';

    free(dirs);
    return found;
}

/* "N:controller,...:/path" or v2's "0::/path": the path, in place. NULL if there is no such line. */
static char *path_of(char *text, const char *controller)
{
    size_t len = strlen(controller);
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':') + 1, *path = strchr(names, ':');

        for (char *at = names; at <= path; at += strcspn(at, ",:") + 1)
            if (strcspn(at, ",:") == len && !strncmp(at, controller, len))
                return path + 1;
    }
    return NULL;
}

/* A file's first word, unless that says that there is no limit. */
static char *word_read(const char *mount, const char *path, const char *file)
{
    char dir[4096], *text;

    snprintf(dir, sizeof dir, "/sys/fs/cgroup/%s%s", mount, path);
    text = tree_read(dir, file, NULL);
    if (text)
        text[strcspn(text, "\n")] = '\0';
    if (text && !strncmp(text, "max", 3)) {
        free(text);
        return NULL;
    }
    return text;
}

char *cgroup_value(pid_t pid, const char *controller, const char *v1_file, const char *v2_file)
{
    char *v1 = proc_read(pid, "cgroup"), *v2 = proc_read(pid, "cgroup"), *found = NULL, *path;

    HOST_MUST(v1 && v2);
    path = path_of(v1, controller);
    if (path)
        found = word_read(controller, path, v1_file);
    for (path = path ? NULL : path_of(v2, ""); path && *path && !found; *strrchr(path, '/') = '\0')
        found = word_read("", path, v2_file);
    free(v1);
    free(v2);
    return found;
}
