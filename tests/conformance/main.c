/*
 * The conformance runner: runs the contract's tests against one plugin. It strips its own options, exports them
 * (options.h), leaves the rest to Criterion, and sweeps up behind tests that were killed, also where a signal ends
 * the run.
 */
#include "lacks.h"
#include "options.h"
#include "proc.h"
#include "sweep.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/options.h>
#include <criterion/stats.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct option_name {
    const char *flag, *variable, *help;
} options[] = {
    { "--plugin", OPTION_PLUGIN, "PATH or NAME of the plugin; a name is looked up in ../lib/stockade" },
    { "--config", OPTION_CONFIG, "JSON given to open()" },
    { "--image", OPTION_IMAGE, "image of the sandboxes, for plugins that take one" },
    { "--libexec", OPTION_LIBEXEC, "directory of the helpers permfs and agent" },
    { "--probe", OPTION_PROBE, "the static probe program (default: beside the runner)" },
    { "--owner", OPTION_OWNER, "uid that the codebases belong to; needs root" },
    { "--lacks", OPTION_LACKS, "FILE of tests of what the plugin does not offer, each with its reason" },
};

static void usage_print(void)
{
    printf("usage: conformance --plugin PATH_OR_NAME [options] [Criterion's options]\n");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        printf("    %-10s %s\n", options[i].flag, options[i].help);
    printf("    %-10s %s\n", "--log", "the plugin's log to stderr");
}

/* The value of argv[*i] if it is this option, "--flag value" or "--flag=value"; NULL if not. */
static const char *option_value(const struct option_name *option, int argc, char **argv, int *i)
{
    size_t len = strlen(option->flag);

    if (strncmp(argv[*i], option->flag, len) != 0)
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (argv[*i][len] != '\0')
        return NULL;
    if (*i + 1 == argc) {
        fprintf(stderr, "conformance: %s wants a value\n", option->flag);
        exit(2);
    }
    return argv[++*i];
}

/* Moves our options from argv to the environment; returns the new argc. */
static int options_take(int argc, char **argv)
{
    int kept = 1;

    for (int i = 1; i < argc; i++) {
        const char *value = NULL;

        for (size_t k = 0; k < sizeof options / sizeof *options && !value; k++)
            if ((value = option_value(&options[k], argc, argv, &i)))
                setenv(options[k].variable, value, 1);
        if (value)
            continue;
        if (!strcmp(argv[i], "--log"))
            setenv(OPTION_LOG, "1", 1);
        else
            argv[kept++] = argv[i];
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            usage_print();
    }
    argv[kept] = NULL;
    return kept;
}

static void path_export(const char *variable, const char *path)
{
    char full[PATH_MAX];

    if (!realpath(path, full)) {
        fprintf(stderr, "conformance: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    setenv(variable, full, 1);
}

static void paths_resolve(void)
{
    char self[PATH_MAX] = "", path[PATH_MAX + 64];
    const char *plugin = getenv(OPTION_PLUGIN), *dir;

    if (!plugin) {
        usage_print();
        exit(2);
    }
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        exit(2);
    dir = dirname(self);
    if (strchr(plugin, '/'))
        snprintf(path, sizeof path, "%s", plugin);
    else
        snprintf(path, sizeof path, "%s/../lib/stockade/%s.so", dir, plugin);
    path_export(OPTION_PLUGIN, path);
    snprintf(path, sizeof path, "%s/probe", dir);
    path_export(OPTION_PROBE, getenv(OPTION_PROBE) ? getenv(OPTION_PROBE) : path);
}

/* A directory of the whole run. It can be passed through, so that other users' sandboxes reach their codebase. */
static void dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/rtc.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(path) || chmod(path, 0711) < 0) {
        fprintf(stderr, "conformance: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    setenv(OPTION_DIR, path, 1);
}

/* Tests that did not run are named with the reason: a declared lack of the plugin. */
ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    for (struct criterion_suite_stats *suite = stats->suites; suite; suite = suite->next)
        for (struct criterion_test_stats *test = suite->tests; test; test = test->next)
            if (test->test_status == CR_STATUS_SKIPPED && !test->test->data->disabled)
                fprintf(stderr, "[SKIP] %s::%s: %s\n", test->test->category, test->test->name,
                        test->message ? test->message : "");
}

static int tests_run(int argc, char **argv)
{
    struct criterion_test_set *tests = criterion_initialize();
    int failed = 0;

    if (criterion_handle_args(argc, argv, true)) {
        paths_resolve();
        if (getenv(OPTION_LACKS) && !lacks_apply(getenv(OPTION_LACKS), tests))
            return 2;
        failed = !criterion_run_all_tests(tests);
        lacks_report();
    }
    criterion_finalize(tests);
    return failed;
}

/* ---- the process that sweeps up behind it ---- */

static volatile sig_atomic_t group; /* Criterion's process and those of its tests */
static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
    interrupted = sig;
    if (group)
        (void)kill(-(pid_t)group, sig);
}

static void interrupts_catch(void (*handler)(int))
{
    static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = handler };

    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        (void)sigaction(ending[i], &action, NULL);
}

static pid_t tests_start(int argc, char **argv)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    (void)setpgid(0, 0);
    interrupts_catch(SIG_DFL);
    exit(tests_run(argc, argv));
}

/* The exit code that it ends with, as a shell would give it. */
static int tests_await(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Exported although the tree is built with hidden visibility: a test's process finds it in the dynamic symbols. */
__attribute__((visibility("default"))) int main(int argc, char **argv)
{
    int kept = options_take(argc, argv), code;
    pid_t pid;

    dir_make();
    interrupts_catch(interrupt);
    pid = tests_start(kept, argv);
    if (pid < 0) {
        perror("conformance: fork");
        return 2;
    }
    (void)setpgid(pid, pid); /* whoever of the two is first */
    group = pid;
    if (interrupted)
        interrupt(interrupted);
    code = tests_await(pid);
    if (interrupted) {
        (void)kill(-pid, SIGKILL); /* tests that do not heed it */
        (void)proc_await(getenv(OPTION_DIR), 0, NULL);
    }
    if (dir_sweep(getenv(OPTION_DIR)) > 0 && !code)
        code = 1;
    return interrupted ? 128 + interrupted : code;
}
