/* conformance: the contract's tests, run against any plugin by the suite's own runner. */
#include "args.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_TAP = 0x200, KEY_JUNIT, KEY_CONFIG, KEY_IMAGE, KEY_FILTER, KEY_JOBS, KEY_OWNER };

struct conformance_args {
    const char *plugin, *tap, *junit, *config, *image, *filter, *jobs, *owner;
};

static const struct argp_option conformance_options[] = {
    { "tap", KEY_TAP, "FILE", 0, "Write the outcome as TAP", 0 },
    { "junit", KEY_JUNIT, "FILE", 0, "Write the outcome as JUnit's XML", 0 },
    { "config", KEY_CONFIG, "JSON", 0, "The runtime's config", 0 },
    { "image", KEY_IMAGE, "IMAGE", 0, "Image of the sandboxes, where the runtime has images", 0 },
    { "filter", KEY_FILTER, "PATTERN", 0, "Only tests that match suite/test, a glob: 'exec/*', '*/X7_*'", 0 },
    { "jobs", 'j', "N", 0, "Tests at once", 0 },
    { "owner", KEY_OWNER, "UID", 0, "Whom the codebases belong to (needs root)", 0 },
    { NULL, 'h', NULL, 0, "Give this help list", -1 },
    { 0 },
};

static error_t conformance_parse(int key, char *arg, struct argp_state *state, void *into)
{
    struct conformance_args *args = into;

    switch (key) {
    case KEY_TAP:
        args->tap = arg;
        return 0;
    case KEY_JUNIT:
        args->junit = arg;
        return 0;
    case KEY_CONFIG:
        args->config = arg;
        return 0;
    case KEY_IMAGE:
        args->image = arg;
        return 0;
    case KEY_FILTER:
        args->filter = arg;
        return 0;
    case 'j':
        args->jobs = arg;
        return 0;
    case KEY_OWNER:
        args->owner = arg;
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case ARGP_KEY_ARG:
        if (args->plugin)
            argp_error(state, "'%s' is too much: one plugin is tested at a time", arg);
        args->plugin = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        return argp_error(state, "no plugin is given"), 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Where an install and a build tree have the runner, from the directory that the command lies in. */
static bool runner_find(char path[PATH_MAX])
{
    static const char *const places[] = { "../libexec/stockade/conformance", "tests/conformance" };
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    const char *dir;

    if (len < 0)
        return false;
    self[len] = '\0';
    dir = dirname(self);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, PATH_MAX, "%.2000s/%s", dir, places[i]);
        if (!access(path, X_OK))
            return true;
    }
    return false;
}

/* The file that the runner is to load; what keeps a plugin from loading is told here, in the loader's words. */
static char *plugin_file(const char *name)
{
    rt_error err = RT_ERROR_INIT;
    stockade_plugin *plugin;
    char *file;

    if (stockade_plugin_load(name, NULL, &err, &plugin)) {
        report_error("%s", err.message);
        return NULL;
    }
    file = realpath(plugin->file, NULL);
    if (!file)
        report_error("%s: %s", plugin->file, strerror(errno));
    stockade_plugin_unload(plugin);
    return file;
}

static bool option_add(struct strv *argv, const char *option, const char *value)
{
    char *text = NULL;
    bool fits;

    if (!value)
        return true;
    fits = asprintf(&text, "%s=%s", option, value) >= 0 && strv_add(argv, text);
    free(text);
    return fits;
}

/* Does not return if all goes well. */
static int runner_exec(const char *runner, const char *file, const struct conformance_args *args)
{
    struct strv argv = { 0 };
    bool fits = strv_add(&argv, "conformance") && option_add(&argv, "--plugin", file) &&
                option_add(&argv, "--config", args->config) && option_add(&argv, "--image", args->image) &&
                option_add(&argv, "--owner", args->owner) && option_add(&argv, "--filter", args->filter) &&
                option_add(&argv, "--jobs", args->jobs) && option_add(&argv, "--tap", args->tap) &&
                option_add(&argv, "--xml", args->junit);

    if (fits)
        (void)execv(runner, argv.items);
    report_error("%s: %s", runner, fits ? strerror(errno) : "out of memory");
    strv_release(&argv);
    return EXIT_OURS;
}

int cmd_conformance(int argc, char **argv)
{
    struct conformance_args args = { 0 };
    const struct args_group groups[] = { { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .options = conformance_options,
        .own = conformance_parse,
        .into = &args,
        .args_doc = "PLUGIN",
        .doc = "Runs the contract's tests against a plugin, by name or path.\vExit status: 0 if all passed, 1 if not, "
               "125 if they could not be run.",
    };
    char runner[PATH_MAX], *file;
    int code;

    args_parse(&frame, argc, argv);
    if (!runner_find(runner))
        return report_error(
            "the tests are not here: `make tests` builds them, and `make install` then installs them as "
            "libexec/stockade/conformance");
    file = plugin_file(args.plugin);
    code = file ? runner_exec(runner, file, &args) : EXIT_OURS;
    free(file);
    return code;
}
