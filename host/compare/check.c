#include "check.h"

#include "host/cli/cli.h"
#include "host/cli/strv.h"
#include "host/cli/table.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define OUTPUT_MAX (UINT64_C(256) << 20) /* of each stream; more is told as cut off */

/* ---- programs of the host -------------------------------------------------------------------------------------- */

static void shown_print(const char *line)
{
    for (; *line; line++)
        putchar((*line != '\t' && *line != '\n' && (unsigned char)*line < ' ') || *line == 0x7F ? '?' : *line);
}

/* What a sandbox wrote comes with it: nothing of that may steer a terminal. */
static void lines_print(int fd)
{
    FILE *stream = fdopen(fd, "r");
    char *line = NULL;
    size_t cap = 0;

    while (stream && getline(&line, &cap, stream) >= 0)
        shown_print(line);
    free(line);
    if (stream)
        (void)fclose(stream);
    else
        (void)close(fd);
}

/* Runs argv in dir, its output printed. Returns the exit code, or -errno. */
static int tool_run(const char *dir, const char *const *argv)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int fds[2], status = 0, err;
    sigset_t none;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    err = posix_spawn_file_actions_addchdir_np(&actions, dir);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    if (!err)
        err = posix_spawnp(&pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    (void)close(fds[1]);
    lines_print(fds[0]);
    if (err)
        return -err;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* ---- what there is afterwards ---------------------------------------------------------------------------------- */

static bool file_put(const char *dir, const char *name, const void *data, size_t len)
{
    char path[PATH_MAX];
    FILE *file;
    bool fits;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "we");
    fits = file && fwrite(data, 1, len, file) == len;
    if (file && fclose(file))
        fits = false;
    return fits;
}

static struct strv *walked; /* nftw(3) takes no argument for its callback */
static size_t walked_skip;

static char kind_of(mode_t mode)
{
    static const struct {
        mode_t type;
        char letter;
    } kinds[] = { { S_IFREG, '-' }, { S_IFDIR, 'd' },  { S_IFLNK, 'l' }, { S_IFIFO, 'p' },
                  { S_IFCHR, 'c' }, { S_IFSOCK, 's' }, { S_IFBLK, 'b' } };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((mode & S_IFMT) == kinds[i].type)
            return kinds[i].letter;
    return '?';
}

/* One line a name, whatever the name holds. */
static void name_escape(const char *name, char *text, size_t cap)
{
    size_t len = 0;

    for (; *name && len + 5 < cap; name++) {
        unsigned char c = (unsigned char)*name;

        if (c < ' ' || c == 0x7F || c == '\\')
            len += (size_t)snprintf(text + len, cap - len, "\\%03o", c);
        else
            text[len++] = (char)c;
    }
    text[len] = '\0';
}

static int entry_note(const char *path, const struct stat *st, int type, struct FTW *at)
{
    char name[4 * PATH_MAX], target[PATH_MAX], link[4 * PATH_MAX] = "", line[9 * PATH_MAX];
    ssize_t len = S_ISLNK(st->st_mode) ? readlink(path, target, sizeof target - 1) : -1;

    (void)type;
    (void)at;
    name_escape(*(path + walked_skip) ? path + walked_skip + 1 : ".", name, sizeof name);
    if (len >= 0) {
        target[len] = '\0';
        name_escape(target, link, sizeof link);
    }
    snprintf(line, sizeof line, "%s %c%04o%s%s\n", name, kind_of(st->st_mode), st->st_mode & 07777, len < 0 ? "" : " ",
             link);
    return strv_add(walked, line) ? 0 : -1;
}

static int line_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Writes the list of what the workspace holds. */
static bool files_note(const char *dir, const char *workspace)
{
    struct strv lines = { 0 };
    char path[PATH_MAX];
    bool fits;
    FILE *file;

    walked = &lines;
    walked_skip = strlen(workspace);
    fits = !nftw(workspace, entry_note, 32, FTW_PHYS);
    if (fits)
        qsort(lines.items, lines.n, sizeof *lines.items, line_order);
    snprintf(path, sizeof path, "%s/files", dir);
    file = fits ? fopen(path, "we") : NULL;
    for (size_t i = 0; file && i < lines.n; i++)
        fits = fits && fputs(lines.items[i], file) >= 0;
    if (!file || fclose(file))
        fits = false;
    strv_release(&lines);
    return fits;
}

/* ---- one runtime ----------------------------------------------------------------------------------------------- */

static void outcome_tell(int32_t status, const rt_exec_result *result, char *text, size_t cap)
{
    uint32_t flags = result ? result->exit.flags : 0;

    if (!result)
        snprintf(text, cap, "%s\n", stockade_status_name(status));
    else
        snprintf(text, cap, "%s, exit code %d, signal %d%s%s%s\n", stockade_status_name(status),
                 (int)result->exit.exit_code, (int)result->exit.term_signal,
                 flags & RT_RESULT_OOM ? ", out of memory" : "",
                 flags & RT_RESULT_STDOUT_TRUNCATED ? ", stdout cut off" : "",
                 flags & RT_RESULT_STDERR_TRUNCATED ? ", stderr cut off" : "");
}

static bool result_put(const char *dir, int32_t status, const rt_exec_result *result)
{
    char text[256];

    outcome_tell(status, result, text, sizeof text);
    return file_put(dir, "outcome", text, strlen(text)) &&
           (!result || (file_put(dir, "stdout", result->stdout_data, result->stdout_len) &&
                        file_put(dir, "stderr", result->stderr_data, result->stderr_len)));
}

static void summary_print(const struct subject *subject, int32_t status, const rt_exec_result *result,
                          const rt_call *call)
{
    char text[256];

    outcome_tell(status, result, text, sizeof text);
    text[strcspn(text, "\n")] = '\0';
    text_print(subject->name);
    printf(": %s", text);
    if (result)
        printf(", %zu bytes on stdout, %zu on stderr", result->stdout_len, result->stderr_len);
    else
        printf(": %s", call->error.message);
    putchar('\n');
}

/* Makes the place that one runtime's outcome is kept in; its workspace lies there too. */
static bool place_make(const struct check *check, struct subject *subject, char *place, size_t cap,
                       char message[CHECK_TEXT])
{
    int code = 0;

    snprintf(place, cap, "%s/check", check->dir);
    (void)mkdir(place, 0700);
    snprintf(place, cap, "%s/check/%s", check->dir, subject->name);
    snprintf(subject->dir, sizeof subject->dir, "%s/workspace", place);
    if (mkdir(place, 0700) < 0 || (!check->workspace && mkdir(subject->dir, 0755) < 0)) {
        snprintf(message, CHECK_TEXT, "%s: %s", place, strerror(errno));
        return false;
    }
    if (check->workspace)
        code = tool_run(".", (const char *const[]){ "cp", "-a", "--", check->workspace, subject->dir, NULL });
    if (code)
        snprintf(message, CHECK_TEXT, "copying %s failed", check->workspace);
    return !code;
}

static bool subject_check(struct check *check, struct subject *subject, char message[CHECK_TEXT])
{
    const rt_exec_request req = { .size = sizeof req,
                                  .argv = check->argv,
                                  .shell = check->shell,
                                  .timeout_ms = RT_FOREVER,
                                  .max_output_bytes = OUTPUT_MAX };
    rt_call call = subject_call(subject);
    rt_exec_result *result = NULL;
    char place[400];
    int32_t status;
    bool fits;

    if (!place_make(check, subject, place, sizeof place, message))
        return false;
    if (!subject_box_up(subject))
        return true;
    status = subject->sb->ops->exec(subject->sb->rt, SUBJECT_BOX, &req, &call, &result);
    if (status == RT_E_CANCELLED) {
        subject->sb->ops->exec_result_free(result);
        return false;
    }
    fits = result_put(place, status, result);
    summary_print(subject, status, result, &call);
    subject->sb->ops->exec_result_free(result);
    call = subject_call(subject);
    (void)subject->sb->ops->stop(subject->sb->rt, SUBJECT_BOX, &call); /* nothing writes there any more */
    if (fits && files_note(place, subject->dir))
        return true;
    snprintf(message, CHECK_TEXT, "%s: %s", place, strerror(errno));
    return false;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static enum check_outcome pair_compare(const struct check *check, const struct subject *first,
                                       const struct subject *other, char message[CHECK_TEXT])
{
    char dir[300];
    int code;

    snprintf(dir, sizeof dir, "%s/check", check->dir);
    (void)fflush(stdout);
    code = tool_run(dir, (const char *const[]){ "diff", "-ruN", "--no-dereference", first->name, other->name, NULL });
    if (code == 0) {
        text_print(first->name);
        printf(" and ");
        text_print(other->name);
        printf(": the same\n");
        return CHECK_SAME;
    }
    if (code == 1)
        return CHECK_DIFFERS;
    snprintf(message, CHECK_TEXT, "diff: %s", code < 0 ? strerror(-code) : "failed");
    return CHECK_FAILED;
}

static void missing_print(const struct subject *subject)
{
    text_print(subject->name);
    printf(" cannot be used: ");
    text_print(subject->error);
    putchar('\n');
}

enum check_outcome check_run(struct check *check, char message[CHECK_TEXT])
{
    enum check_outcome all = CHECK_SAME;
    const struct subject *first = NULL;

    *message = '\0';
    for (size_t i = 0; i < check->n; i++)
        if (!*check->subjects[i].error && !subject_check(check, &check->subjects[i], message))
            return CHECK_FAILED;
    for (size_t i = 0; i < check->n; i++) {
        const struct subject *subject = &check->subjects[i];
        enum check_outcome one = CHECK_SAME;

        if (*subject->error) {
            missing_print(subject);
            one = CHECK_DIFFERS;
        } else if (!first) {
            first = subject;
        } else {
            one = pair_compare(check, first, subject, message);
        }
        if (one == CHECK_FAILED)
            return one;
        all = one == CHECK_DIFFERS ? one : all;
    }
    return all;
}
