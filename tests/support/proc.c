#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *file_read(const char *path, size_t *ret_len)
{
    char *text = NULL, buf[4096];
    FILE *out;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    out = open_memstream(&text, ret_len);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, out);
    fclose(out);
    close(fd);
    return text;
}

char *proc_read(pid_t pid, const char *name)
{
    char path[64];
    size_t len;
    char *text;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    text = file_read(path, &len);
    for (size_t i = 0; text && i < len; i++)
        if (!text[i])
            text[i] = ' ';
    return text;
}

/* State letter and parent from /proc/PID/stat; the name before them may hold anything, so the last ')' counts. */
static char proc_state(pid_t pid, pid_t *ret_parent)
{
    char *text = proc_read(pid, "stat"), *at = text ? strrchr(text, ')') : NULL, state = '\0';
    int parent = 0;

    if (at)
        sscanf(at + 1, " %c %d", &state, &parent);
    free(text);
    *ret_parent = (pid_t)parent;
    return state;
}

/* The next process of an open /proc; 0 at the end. */
static pid_t proc_next(DIR *dir)
{
    struct dirent *entry;

    while ((entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]))
            return (pid_t)atoi(entry->d_name);
    return 0;
}

size_t proc_count(const char *text, pid_t *ret_first)
{
    DIR *dir = opendir("/proc");
    size_t n = 0;
    pid_t pid, parent;

    while (dir && (pid = proc_next(dir))) {
        char *line = pid == getpid() ? NULL : proc_read(pid, "cmdline");

        if (line && strstr(line, text) && !strchr("ZX", proc_state(pid, &parent)) && n++ == 0 && ret_first)
            *ret_first = pid;
        free(line);
    }
    if (dir)
        closedir(dir);
    return n;
}

size_t proc_await(const char *text, size_t n, pid_t *ret_first)
{
    size_t got;

    (void)AWAIT((got = proc_count(text, ret_first)) == n);
    return got;
}

void proc_children(size_t *ret_living, size_t *ret_zombies)
{
    DIR *dir = opendir("/proc");
    size_t living = 0, zombies = 0;
    pid_t pid, parent;

    while (dir && (pid = proc_next(dir))) {
        char state = proc_state(pid, &parent);

        if (parent != getpid())
            continue;
        if (state == 'Z' || state == 'X')
            zombies++;
        else
            living++;
    }
    if (dir)
        closedir(dir);
    if (ret_living)
        *ret_living = living;
    if (ret_zombies)
        *ret_zombies = zombies;
}

char *proc_children_text(void)
{
    DIR *dir = opendir("/proc");
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    pid_t pid, parent;

    while (dir && (pid = proc_next(dir))) {
        char state = proc_state(pid, &parent), *name, *line;

        if (parent != getpid() || state == 'Z' || state == 'X')
            continue;
        name = proc_read(pid, "comm");
        line = proc_read(pid, "cmdline");
        fprintf(out, "%d (%.*s) %c %.100s\n", (int)pid, name ? (int)strcspn(name, "\n") : 0, name ? name : "", state,
                line ? line : "");
        free(name);
        free(line);
    }
    fclose(out);
    if (dir)
        closedir(dir);
    return text;
}

static size_t entries_count(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n >= 2 ? n - 2 : 0;
}

bool proc_stop(pid_t child)
{
    siginfo_t info;

    return kill(child, SIGSTOP) == 0 && waitid(P_PID, (id_t)child, &info, WSTOPPED | WEXITED | WNOWAIT) == 0 &&
           info.si_code == CLD_STOPPED;
}

size_t proc_fds(void)
{
    return entries_count("/proc/self/fd") - 1; /* without the one that lists them */
}

size_t proc_fds_at_rest(void)
{
    size_t fewest = proc_fds();

    for (int tries = 0; tries < 25; tries++) {
        size_t now = proc_fds();

        fewest = now < fewest ? now : fewest;
        sleep_ms(20);
    }
    return fewest;
}

size_t proc_fds_await(size_t n)
{
    (void)AWAIT(proc_fds() <= n);
    return proc_fds();
}

size_t proc_threads(void)
{
    return entries_count("/proc/self/task");
}

char *proc_inheritable_fds(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    for (int fd = 3; fd < 4096; fd++) {
        char path[64], target[PATH_MAX];
        int flags = fcntl(fd, F_GETFD);
        ssize_t n;

        if (flags < 0 || (flags & FD_CLOEXEC))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof target);
        fprintf(out, "%d -> %.*s\n", fd, n < 0 ? 0 : (int)n, target);
    }
    fclose(out);
    return text;
}

char *proc_mount_below(const char *dir)
{
    size_t len, dir_len = strlen(dir);
    char *text = file_read("/proc/self/mountinfo", &len), *save = NULL, *found = NULL;

    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && !found; line = strtok_r(NULL, "\n", &save)) {
        char *at = line;

        for (int field = 0; field < 4 && at; field++) {
            at = strchr(at, ' ');
            at = at ? at + 1 : NULL;
        }
        if (at && !strncmp(at, dir, dir_len) && strchr("/ ", at[dir_len]))
            found = strndup(at, strcspn(at, " "));
    }
    free(text);
    return found;
}

bool proc_is_mounted_below(const char *dir)
{
    char *mount = proc_mount_below(dir);

    free(mount);
    return mount != NULL;
}

void sleep_ms(int ms)
{
    struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

    nanosleep(&pause, NULL);
}

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
