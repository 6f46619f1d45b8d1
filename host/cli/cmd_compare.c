/* compare: runtimes side by side, how fast and what for, or whether they behave the same. */
#include "args.h"
#include "host/compare/check.h"
#include "host/compare/compare.h"
#include "host/compare/view.h"
#include "json.h"
#include "parse.h"
#include "signals.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNTIMES_MAX 15 /* as many as a table has columns for */
#define RUNS_DEFAULT 20
#define RUNS_MAX     100000

enum {
    KEY_RUNTIMES = 0x200,
    KEY_ONLY,
    KEY_CONFIG,
    KEY_IMAGE,
    KEY_WORKLOAD,
    KEY_RUNS,
    KEY_JSON,
    KEY_HTML,
    KEY_BARE,
    KEY_CHECK,
    KEY_WORKSPACE
};

struct compare_args {
    struct open_args open;
    const char *runtimes, *image, *json, *html, *workspace, *shell, *only;
    struct strv workloads;
    uint64_t runs;
    bool bare, check;
    char *const *argv;
};

static const struct argp_option compare_options[] = {
    { "runtimes", KEY_RUNTIMES, "A,B,...", 0, "Runtimes, by name or path (default: all that are found)", 5 },
    { "image", KEY_IMAGE, "IMAGE", 0, "Image to run in, where the runtime has images", 0 },
    { "runs", KEY_RUNS, "N", 0, "Rounds of what is slow; what is fast has ten times as many (default: 20)", 0 },
    { "workload", KEY_WORKLOAD, "FILE", 0, "Also measure a shell script or a JSON file's command; repeatable", 0 },
    { "only", KEY_ONLY, "A,B,...", 0, "Only these lines of the plan, by the names that it has for them", 0 },
    { "bare", KEY_BARE, NULL, 0, "Run these on the host too, unprotected, for the ratio", 0 },
    { "json", KEY_JSON, "FILE", 0, "Write all figures as JSON; - is standard output, and then nothing else is there",
      0 },
    { "html", KEY_HTML, "FILE", 0, "Write a page with charts", 0 },
    { "check", KEY_CHECK, NULL, 0, "Compare what a command does instead of how fast", 10 },
    { "shell", 'c', "TEXT", 0, "With --check: run a text by /bin/sh -c instead of COMMAND", 0 },
    { "workspace", KEY_WORKSPACE, "DIR", 0, "With --check: each gets a copy of this directory (default: an empty one)",
      0 },
    { "config", KEY_CONFIG, "FILE", 0, "Config file", 80 },
    { NULL, 'h', NULL, 0, "Give this help list", -1 },
    { 0 },
};

/* ---- the command line ------------------------------------------------------------------------------------------ */

static void args_check(const struct compare_args *args, struct argp_state *state)
{
    if (!args->check && (args->argv || args->shell || args->workspace))
        argp_error(state, "a command, --shell and --workspace go with --check only");
    if (args->check && !args->argv == !args->shell)
        argp_error(state, "--check takes either a command or --shell");
    if (args->check && (args->json || args->html || args->workloads.n || args->bare))
        argp_error(state, "--check makes no report: --json, --html, --workload and --bare do not go with it");
}

static error_t compare_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct compare_args *args = into;

    switch (key) {
    case KEY_RUNTIMES:
        args->runtimes = arg;
        return 0;
    case KEY_CONFIG:
        args->open.config_file = arg;
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case KEY_IMAGE:
        args->image = arg;
        return 0;
    case KEY_WORKLOAD:
        args_list_add(state, &args->workloads, arg);
        return 0;
    case KEY_RUNS:
        if (!parse_count(arg, 3, RUNS_MAX, &args->runs))
            argp_error(state, "--runs '%s': expected a number from 3 to %d", arg, RUNS_MAX);
        return 0;
    case KEY_JSON:
        args->json = arg;
        return 0;
    case KEY_HTML:
        args->html = arg;
        return 0;
    case KEY_ONLY:
        args->only = arg;
        return 0;
    case KEY_BARE:
        args->bare = true;
        return 0;
    case KEY_CHECK:
        args->check = true;
        return 0;
    case 'c':
        args->shell = arg;
        return 0;
    case KEY_WORKSPACE:
        args->workspace = arg;
        return 0;
    case ARGP_KEY_ARG:
        args->argv = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        return args_check(args, state), 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Returns false, having said so, for a list that is empty, too long or has one twice. */
static bool names_split(const char *text, struct strv *ret)
{
    char *copy = strdup(text), *save = NULL;
    bool fits = copy != NULL;

    for (char *name = copy ? strtok_r(copy, ",", &save) : NULL; fits && name; name = strtok_r(NULL, ",", &save)) {
        for (size_t i = 0; fits && i < ret->n; i++)
            fits = strcmp(ret->items[i], name) || (report_error("--runtimes names '%s' twice", name), false);
        fits = fits && strv_add(ret, name);
    }
    free(copy);
    if (fits && ret->n > 0 && ret->n <= RUNTIMES_MAX)
        return true;
    if (fits)
        report_error("--runtimes '%s': expected one to %d names", text, RUNTIMES_MAX);
    return false;
}

static bool names_find(const struct host *host, struct strv *ret)
{
    rt_error err = RT_ERROR_INIT;
    stockade_found_list *list;
    bool fits = true;

    if (stockade_plugin_find_all(host->config, &err, &list))
        return report_error("%s", err.message), false;
    for (size_t i = 0; fits && i < list->n && i < RUNTIMES_MAX; i++)
        fits = strv_add(ret, list->items[i].name);
    stockade_found_list_free(list);
    if (fits && !ret->n)
        return report_error("no plugin was found; STOCKADE_PLUGIN_PATH or plugin_path in the config says where to "
                            "look"),
               false;
    return fits;
}

/* ---- subjects -------------------------------------------------------------------------------------------------- */

/* All that a comparison needs and leaves nothing of. */
struct world {
    struct host host; /* its config only */
    char dir[200];    /* everything that is made lies below */
    struct strv names;
    struct subject *subjects;
    size_t n;
    int signal_fd;
};

static bool subjects_open(struct world *world, const char *image)
{
    char state[240];

    snprintf(state, sizeof state, "%s/state", world->dir);
    world->n = world->names.n + 1;
    world->subjects = calloc(world->n, sizeof *world->subjects);
    if (!world->subjects)
        return report_error("out of memory"), false;
    for (size_t i = 0; i < world->n; i++) {
        struct subject *subject = &world->subjects[i];

        subject->cancel_fd = world->signal_fd;
        snprintf(subject->dir, sizeof subject->dir, "%s/%zu", world->dir, i);
        if (mkdir(subject->dir, 0755) < 0)
            return report_error("%s: %s", subject->dir, strerror(errno)), false;
        subject->is_host = i == 0;
        if (subject->is_host)
            snprintf(subject->name, sizeof subject->name, "%s", VIEW_HOST);
        else
            subject_open(subject, world->names.items[i - 1],
                         &(struct subject_options){ world->host.config, state, image });
        for (size_t k = 0; k < i; k++)
            if (!strcmp(subject->name, world->subjects[k].name))
                return report_error("--runtimes names '%s' twice", subject->name), false;
    }
    return true;
}

static bool world_open(struct world *world, const struct compare_args *args)
{
    const char *tmp = getenv("TMPDIR");

    world->signal_fd = signals_open();
    if (world->signal_fd < 0)
        return report_error("signalfd: %s", strerror(errno)), false;
    if (!host_load_config(&world->host, &args->open))
        return false;
    if (args->runtimes ? !names_split(args->runtimes, &world->names) : !names_find(&world->host, &world->names))
        return false;
    snprintf(world->dir, sizeof world->dir, "%s/stockade-compare.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(world->dir)) {
        report_error("%s: %s", world->dir, strerror(errno));
        *world->dir = '\0';
        return false;
    }
    return subjects_open(world, args->image);
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void world_close(struct world *world)
{
    for (size_t i = 0; i < world->n; i++)
        subject_close(&world->subjects[i]);
    free(world->subjects);
    if (*world->dir && nftw(world->dir, entry_remove, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0)
        report_error("%s: %s", world->dir, strerror(errno));
    strv_release(&world->names);
    host_close(&world->host);
    if (world->signal_fd >= 0)
        (void)close(world->signal_fd);
}

/* ---- measuring ------------------------------------------------------------------------------------------------- */

static bool file_write(const char *file, const char *text)
{
    FILE *stream = text ? fopen(file, "we") : NULL;
    bool is_written = stream && fputs(text, stream) >= 0;

    if (stream && fclose(stream))
        is_written = false;
    if (!is_written)
        report_error("%s: %s", file, text ? strerror(errno) : "out of memory");
    return is_written;
}

static bool document_write(const cJSON *document, const struct compare_args *args)
{
    bool is_written = true;
    char *text;

    if (args->json && strcmp(args->json, "-")) {
        text = cJSON_Print(document);
        is_written = file_write(args->json, text);
        free(text);
    }
    if (args->html) {
        text = html_report(document);
        is_written = file_write(args->html, text) && is_written;
        free(text);
    }
    return is_written;
}

/* A runtime that could not be measured, or a workload that the user asked for and that failed. */
static bool is_incomplete(const struct compare *compare)
{
    for (size_t k = 0; k < compare->n_subjects; k++) {
        if (*compare->subjects[k].error)
            return true;
        for (size_t i = compare->n_figures - compare->n_workloads; i < compare->n_figures; i++)
            if (*compare->figures[i].results[k].failure)
                return true;
    }
    return false;
}

static int outcome_report(const struct compare *compare, const struct compare_args *args)
{
    cJSON *document = compare_document(compare);
    int code = is_incomplete(compare) ? EXIT_DIFFERS : EXIT_OK, printed = EXIT_OK;
    bool is_good = document && document_write(document, args);

    if (document && args->json && !strcmp(args->json, "-")) {
        printed = json_print(document);
    } else {
        is_good = is_good && text_report(document);
        cJSON_Delete(document);
        printed = report_finish(EXIT_OK);
    }
    return is_good && !printed ? code : EXIT_OURS;
}

static bool is_any_usable(const struct world *world)
{
    for (size_t i = 1; i < world->n; i++)
        if (!*world->subjects[i].error)
            return true;
    for (size_t i = 1; i < world->n; i++)
        report_error("%s cannot be used: %s", world->subjects[i].name, world->subjects[i].error);
    return false;
}

static int cancelled(const struct world *world)
{
    int sig = signals_take(world->signal_fd);

    return sig ? 128 + sig : report_error("out of memory");
}

/* Returns false, having said so, if --only names what is not in the plan. */
static bool only_check(const struct compare *compare)
{
    char names[1024] = "";
    size_t len, at = 0;
    const char *unknown = task_unknown(compare, &len);

    if (!unknown)
        return true;
    for (size_t i = 0; i < compare->n_tasks && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", compare->tasks[i].id);
    report_error("--only: no '%.*s' is in the plan; there are %s", (int)len, unknown, names);
    return false;
}

static int measure(struct world *world, const struct compare_args *args, const struct workload *workloads, size_t n)
{
    struct compare compare = { .subjects = world->subjects,
                               .n_subjects = world->n,
                               .workloads = workloads,
                               .n_workloads = n,
                               .bare_workloads = args->bare,
                               .only = args->only,
                               .runs = args->runs ? (unsigned)args->runs : RUNS_DEFAULT,
                               .random = (uint64_t)getpid(),
                               .cancel_fd = world->signal_fd };
    int code;

    if (!compare_plan(&compare)) {
        code = report_error("out of memory, or too many workloads");
    } else if (!only_check(&compare)) {
        code = EXIT_OURS;
    } else {
        if (!args->json || strcmp(args->json, "-"))
            text_plan(&compare);
        code = compare_run(&compare) ? outcome_report(&compare, args) : cancelled(world);
    }
    compare_release(&compare);
    return code;
}

static int workloads_measure(struct world *world, const struct compare_args *args)
{
    struct workload *workloads = calloc(args->workloads.n + 1, sizeof *workloads);
    char message[512] = "out of memory";
    int code = EXIT_OK;
    size_t n = 0;

    while (workloads && n < args->workloads.n &&
           workload_load(args->workloads.items[n], &workloads[n], message, sizeof message))
        n++;
    if (!workloads || n < args->workloads.n)
        code = report_error("%s", message);
    else
        code = measure(world, args, workloads, n);
    for (size_t i = 0; workloads && i < n; i++)
        workload_release(&workloads[i]);
    free(workloads);
    return code;
}

/* ---- behaviour ------------------------------------------------------------------------------------------------- */

static int behaviour_check(struct world *world, const struct compare_args *args)
{
    char message[CHECK_TEXT];
    struct check check = { .subjects = world->subjects + 1,
                           .n = world->n - 1,
                           .dir = world->dir,
                           .workspace = args->workspace,
                           .argv = (const char *const *)args->argv,
                           .shell = args->shell,
                           .signal_fd = world->signal_fd };

    switch (check_run(&check, message)) {
    case CHECK_SAME:
        return report_finish(EXIT_OK);
    case CHECK_DIFFERS:
        return report_finish(EXIT_DIFFERS);
    default:
        return *message ? report_error("%s", message) : cancelled(world);
    }
}

int cmd_compare(int argc, char **argv)
{
    struct compare_args args = { 0 };
    const struct args_group groups[] = { { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .options = compare_options,
        .own = compare_parse,
        .into = &args,
        .args_doc = "[--check COMMAND [ARG...]]",
        .doc = "Measures runtimes side by side, and a bare process on the host with them; or, with --check, shows "
               "where they differ in what a command does.\vExit status: 0; 1 if a runtime or a given workload could "
               "not be measured, or with --check if they differ; 125 if nothing could be compared.",
    };
    struct world world = { .host = HOST_INIT, .signal_fd = -1 };
    int code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    if (world_open(&world, &args) && is_any_usable(&world))
        code = args.check ? behaviour_check(&world, &args) : workloads_measure(&world, &args);
    world_close(&world);
    strv_release(&args.workloads);
    return code;
}
