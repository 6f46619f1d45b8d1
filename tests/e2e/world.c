#include "world.h"

#include "build.h"
#include "proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world world;

void world_env(const char *pair)
{
    size_t i = 0;

    while (world.env[i])
        i++;
    cr_assert_lt(i + 1, sizeof world.env / sizeof *world.env);
    world.env[i] = strdup(pair);
    cr_assert(world.env[i]);
}

void world_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *plugins = build_path("tests/plugins");
    char pair[640];

    snprintf(world.dir, sizeof world.dir, "%s/stockade-e2e-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    cr_assert(mkdtemp(world.dir));
    cr_assert_eq(chmod(world.dir, 0755), 0);
    snprintf(world.workspace, sizeof world.workspace, "%s/ws", world.dir);
    snprintf(world.state, sizeof world.state, "%s/state", world.dir);
    cr_assert(tree_mkdir(world.dir, "ws"));
    world.stockade = build_path("stockade");
    world_env("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    snprintf(pair, sizeof pair, "HOME=%s/home", world.dir);
    world_env(pair);
    snprintf(pair, sizeof pair, "STOCKADE_STATE_DIR=%s", world.state);
    world_env(pair);
    snprintf(pair, sizeof pair, "STOCKADE_PLUGIN_PATH=%s", plugins);
    world_env(pair);
    if (getenv("ASAN_OPTIONS")) {
        snprintf(pair, sizeof pair, "ASAN_OPTIONS=%s", getenv("ASAN_OPTIONS"));
        world_env(pair);
    }
    free(plugins);
}

/* A test that was cut short may have left sandboxes that stay: they would outlive it, state directory or not. */
static void sandboxes_destroy(void)
{
    struct command_result list = STOCKADE("ls", "-q", "--runtime", "bwrap");
    char *save = NULL;

    for (char *id = strtok_r(list.out, "\n", &save); id; id = strtok_r(NULL, "\n", &save)) {
        struct command_result destroyed = STOCKADE("destroy", "--runtime", "bwrap", id);

        cr_expect_fail("the test left the sandbox '%s': %s", id, destroyed.err);
        command_result_release(&destroyed);
    }
    command_result_release(&list);
}

void world_remove(void)
{
    char *mount;

    if (tree_exists(world.dir, "state/bwrap"))
        sandboxes_destroy();
    cr_expect_eq(proc_await(world.dir, 0, NULL), 0, "a process of the test is left");
    mount = proc_mount_below(world.dir);
    cr_expect_null(mount, "%s is left mounted", mount ? mount : "");
    free(mount);
    cr_expect(tree_remove(world.dir));
    for (size_t i = 0; world.env[i]; i++)
        free(world.env[i]);
    free(world.stockade);
}

/* A test that is skipped has no end that would remove its world. */
static void world_skip(const char *why)
{
    world_remove();
    cr_skip_test("%s", why);
}

void world_need_bwrap(void)
{
    struct command_result result = STOCKADE("doctor", "--runtime", "bwrap");
    bool is_usable = result.code == 0;

    if (!is_usable && getenv("RT_MUST_RUN"))
        cr_assert_fail("bwrap cannot be used here: %s%s", result.out, result.err);
    if (!is_usable)
        cr_log_warn("skipped: %s%s", result.out, result.err);
    command_result_release(&result);
    if (!is_usable)
        world_skip("bwrap cannot be used here");
}

static bool has_capability(const cJSON *runtimes, const char *runtime, const char *capability)
{
    const cJSON *item, *name;

    cJSON_ArrayForEach (item, runtimes) {
        if (strcmp(json_text(item, "name"), runtime))
            continue;
        cJSON_ArrayForEach (name, cJSON_GetObjectItem(item, "capabilities"))
            if (!strcmp(name->valuestring, capability))
                return true;
    }
    return false;
}

void world_need_capability(const char *runtime, const char *capability)
{
    struct command_result result = STOCKADE("runtimes", "--json");
    cJSON *json = json_of(&result);
    bool is_there = has_capability(json, runtime, capability);

    cJSON_Delete(json);
    command_result_release(&result);
    if (!is_there && getenv("RT_MUST_RUN"))
        cr_assert_fail("%s has no %s", runtime, capability);
    if (!is_there)
        world_skip("a capability is missing here");
}

/* ---- running --------------------------------------------------------------------------------------------------- */

#define ARGS_MAX 32

static struct command command_of(const char *const *args, const char *argv[ARGS_MAX])
{
    size_t n = 0;

    argv[n++] = world.stockade;
    for (size_t i = 0; args[i] && n < ARGS_MAX - 1; i++)
        argv[n++] = args[i];
    argv[n] = NULL;
    return (struct command){ .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
}

struct command_result stockade_feed(const void *input, size_t len, const char *const *args)
{
    const char *argv[ARGS_MAX];
    struct command command = command_of(args, argv);
    struct command_result result;

    command.input = input;
    command.input_len = len;
    cr_assert(command_run(&command, &result));
    cr_expect_not(result.late, "%s hangs", args[0]);
    return result;
}

void stockade_expect(int code, const char *out, const char *err, const char *const *args)
{
    struct command_result result = stockade_feed(NULL, 0, args);

    cr_expect_eq(result.code, code, "exit code %d, expected %d: %s%s", result.code, code, result.out, result.err);
    if (out)
        cr_expect_str_eq(result.out, out, "stdout is '%s', expected '%s'; stderr: %s", result.out, out, result.err);
    if (err)
        cr_expect(strstr(result.err, err), "stderr is '%s', lacks '%s'", result.err, err);
    command_result_release(&result);
}

struct command_running stockade_start(bool wants_input, const char *const *args)
{
    const char *argv[ARGS_MAX];
    struct command command = command_of(args, argv);
    struct command_running running;

    cr_assert(command_start(&command, wants_input, &running));
    return running;
}

struct pty stockade_terminal(const char *const *args)
{
    const char *argv[ARGS_MAX];
    struct command command = command_of(args, argv);
    struct pty pty;

    cr_assert(pty_start(&command, 24, 80, &pty));
    return pty;
}

cJSON *json_of(const struct command_result *result)
{
    cJSON *json = cJSON_ParseWithLengthOpts(result->out, result->out_len + 1, NULL, 1);

    cr_assert(json, "no JSON: '%s' %s", result->out, result->err);
    return json;
}

const char *json_text(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    cr_assert(text, "there is no text '%s'", key);
    return text;
}
