/* Choosing and opening runtimes: precedence, two at once, logs, state directories, failures (contract B1, B2). */
#include "build.h"
#include "host/stockade.h"
#include "proc.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/stockade-runtime-XXXXXX";

static void world_make(void)
{
    char *plugins = build_path("tests/plugins");

    cr_assert(mkdtemp(dir));
    setenv("STOCKADE_PLUGIN_PATH", plugins, 1);
    setenv("STOCKADE_STATE_DIR", dir, 1);
    setenv("HOME", dir, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("STOCKADE_CONFIG");
    unsetenv("STOCKADE_RUNTIME");
    free(plugins);
}

static void world_remove(void)
{
    cr_expect(tree_remove(dir));
}

TestSuite(host_runtime, .init = world_make, .fini = world_remove, .timeout = 300);

static stockade_config *config_of(const char *text)
{
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;

    cr_assert_eq(stockade_config_parse(text, strlen(text), "f.json", &err, &config), RT_OK, "%s", err.message);
    return config;
}

static stockade_runtime *runtime_open(const stockade_options *options)
{
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb = NULL;

    cr_assert_eq(stockade_open(options, &call, &sb), RT_OK, "%s", call.error.message);
    return sb;
}

/* Opens, which must fail: status, and texts that the message must contain. */
static void failure_expect(const stockade_options *options, int32_t status, const char *text, const char *more)
{
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb = NULL;

    cr_expect_eq(stockade_open(options, &call, &sb), status, "%s", call.error.message);
    cr_expect_eq(call.error.status, status);
    cr_expect(strstr(call.error.message, text), "'%s' lacks '%s'", call.error.message, text);
    cr_expect(strstr(call.error.message, more), "'%s' lacks '%s'", call.error.message, more);
    cr_expect_null(sb);
}

/* ---- which one ------------------------------------------------------------------------------------------------- */

Test(host_runtime, argument_then_environment_then_config_then_bwrap)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    stockade_config *config = config_of("{ \"runtime\": \"older_minor\" }"), *empty = config_of("{}");
    stockade_runtime *sb;

    options.config = config;
    sb = runtime_open(&options);
    cr_expect_str_eq(sb->plugin->name, "older_minor");
    stockade_close(sb);
    setenv("STOCKADE_RUNTIME", "fails_in_open", 1);
    failure_expect(&options, RT_E_IO, "fails_in_open.so", "refuses");
    options.runtime = "mock";
    sb = runtime_open(&options);
    cr_expect_str_eq(sb->plugin->name, "mock");
    stockade_close(sb);
    unsetenv("STOCKADE_RUNTIME");
    options.runtime = NULL;
    options.config = empty;
    setenv("STOCKADE_PLUGIN_PATH", "/no/where", 1);
    failure_expect(&options, RT_E_UNAVAILABLE, "no runtime 'bwrap'", "/no/where");
    stockade_config_free(config);
    stockade_config_free(empty);
}

Test(host_runtime, two_at_once_and_one_twice)
{
    stockade_config *config = config_of("{ \"runtimes\": { \"mock\": { \"tag\": \"one\" } } }");
    stockade_options options = STOCKADE_OPTIONS_INIT;
    stockade_runtime *one, *two, *other;
    rt_sandbox_spec spec = { .size = sizeof spec, .id = "same", .codebase = dir };
    rt_sandbox_info *a, *b;

    options.runtime = "mock";
    options.config = config;
    one = runtime_open(&options);
    options.runtime_config = "{ /* instead */ \"tag\": \"two\" }";
    two = runtime_open(&options);
    options.runtime_config = NULL;
    options.runtime = "older_minor";
    other = runtime_open(&options);
    stockade_config_free(config);
    cr_assert_eq(one->ops->create(one->rt, &spec, NULL, &a), RT_OK);
    cr_assert_eq(two->ops->create(two->rt, &spec, NULL, &b), RT_OK, "the two share their sandboxes");
    cr_expect_str_eq(a->image, "{\"tag\":\"one\"}");
    cr_expect_str_eq(b->image, "{\"tag\":\"two\"}");
    one->ops->sandbox_info_free(a);
    stockade_close(one);
    cr_expect_eq(two->ops->start(two->rt, "same", NULL), RT_OK);
    two->ops->sandbox_info_free(b);
    stockade_close(other);
    stockade_close(two);
}

Test(host_runtime, default_options_read_the_default_file)
{
    stockade_runtime *sb = NULL;
    rt_call call = RT_CALL_INIT;

    cr_assert(tree_put(dir, ".config/stockade/config.json", "{ \"runtime\": \"mock\" }"));
    cr_assert_eq(stockade_open(NULL, &call, &sb), RT_OK, "%s", call.error.message);
    cr_expect_str_eq(sb->plugin->name, "mock");
    cr_expect_str_eq(sb->state_dir, dir);
    stockade_close(sb);
    cr_assert_eq(stockade_open(NULL, NULL, &sb), RT_OK, "a call is not required");
    stockade_close(sb);
    stockade_close(NULL);
}

/* ---- failures -------------------------------------------------------------------------------------------------- */

Test(host_runtime, B1_section_names_the_keys_path)
{
    static const struct {
        const char *config, *message;
    } cases[] = {
        { "{ \"runtimes\": { \"mock\": { \"level\": 12 } } }",
          "runtimes.mock.level: expected a number from 1 to 9, got 12" },
        { "{ \"runtimes\": { \"mock\": { \"level\": \"3\" } } }",
          "runtimes.mock.level: expected an integer, got \"3\"" },
        { "{ \"runtimes\": { \"mock\": { \"levle\": 3 } } }", "runtimes.mock.levle: unknown key" },
        { "{ \"runtimes\": { \"mock\": { \"tag\": \"X\" } } }", "runtimes.mock.tag: expected a string like" },
        { "{ \"runtimes\": { \"mock\": { \"timeout\": true } } }",
          "runtimes.mock.timeout: expected string or integer" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stockade_options options = STOCKADE_OPTIONS_INIT;
        stockade_config *config = config_of(cases[i].config);

        options.config = config;
        options.runtime = "mock";
        failure_expect(&options, RT_E_CONFIG, cases[i].message, "");
        stockade_config_free(config);
    }
}

Test(host_runtime, B1_runtime_config_names_the_keys_path)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;

    options.runtime = "mock";
    options.runtime_config = "{ \"level\": 0 }";
    failure_expect(&options, RT_E_CONFIG, "runtime_config.level: expected a number from 1 to 9, got 0", "");
    options.runtime_config = "[]";
    failure_expect(&options, RT_E_CONFIG, "runtime_config: expected an object", "");
    options.runtime_config = "{";
    failure_expect(&options, RT_E_CONFIG, "runtime_config:1:", "syntax error");
}

Test(host_runtime, B2_failing_plugins_leave_the_host_alone)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    stockade_runtime *sb;
    size_t fds = proc_fds();

    options.runtime = "fails_in_open";
    failure_expect(&options, RT_E_IO, "fails_in_open.so: open: this plugin refuses everything", "");
    options.runtime = "bad_schema";
    failure_expect(&options, RT_E_INTERNAL, "bad_schema.so", "schema.properties.x.oneOf: unknown keyword");
    options.runtime = "wrong_abi";
    failure_expect(&options, RT_E_ABI, "wrong_abi.so", "ABI 42.7");
    options.runtime = "mock";
    sb = runtime_open(&options);
    stockade_close(sb);
    cr_expect_eq(proc_fds(), fds);
}

/* ---- logs ------------------------------------------------------------------------------------------------------ */

struct logged {
    int32_t levels[8];
    size_t n;
};

static void log_take(void *user, int32_t level, const char *message)
{
    struct logged *logged = user;

    cr_expect_eq(strncmp(message, "mock ", 5), 0, "%s", message);
    if (logged->n < 8)
        logged->levels[logged->n++] = level;
}

/* The mock says one thing each at debug, info and warn. */
static size_t logged_count(const stockade_config *config, int32_t level)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    struct logged logged = { .n = 0 };

    options.runtime = "mock";
    options.config = config;
    options.log = log_take;
    options.log_user = &logged;
    options.log_level = level;
    stockade_close(runtime_open(&options));
    for (size_t i = 0; i < logged.n; i++)
        cr_expect_geq(logged.levels[i], level);
    return logged.n;
}

Test(host_runtime, logs_are_forwarded_from_the_level_on)
{
    stockade_config *empty = config_of("{}"), *info = config_of("{ \"log_level\": \"info\" }");

    cr_expect_eq(logged_count(empty, RT_LOG_DEBUG), 3);
    cr_expect_eq(logged_count(empty, RT_LOG_ERROR), 0);
    cr_expect_eq(logged_count(empty, -1), 1, "the default is warn");
    cr_expect_eq(logged_count(info, -1), 2);
    cr_expect_eq(logged_count(info, RT_LOG_WARN), 1, "the options go over the config");
    stockade_config_free(empty);
    stockade_config_free(info);
}

/* ---- the state directory --------------------------------------------------------------------------------------- */

static void state_dir_expect(const char *argument, const stockade_config *config, const char *want)
{
    rt_error err = RT_ERROR_INIT;
    char *path = NULL;

    cr_assert_eq(stockade_state_dir(argument, config, &err, &path), RT_OK, "%s", err.message);
    cr_expect_str_eq(path, want);
    free(path);
}

Test(host_runtime, state_dir_precedence)
{
    stockade_config *config = config_of("{ \"state_dir\": \"/from/config\" }");
    char want[256];

    state_dir_expect("/given", config, "/given");
    state_dir_expect(NULL, config, dir);
    unsetenv("STOCKADE_STATE_DIR");
    state_dir_expect(NULL, config, "/from/config");
    cr_assert_eq(chdir(dir), 0);
    snprintf(want, sizeof want, "%s/relative", dir);
    state_dir_expect("relative", NULL, want);
    if (geteuid() == 0) {
        state_dir_expect(NULL, NULL, "/var/lib/stockade");
    } else {
        unsetenv("XDG_STATE_HOME");
        snprintf(want, sizeof want, "%s/.local/state/stockade", dir);
        state_dir_expect(NULL, NULL, want);
        setenv("XDG_STATE_HOME", "/xdg", 1);
        state_dir_expect(NULL, NULL, "/xdg/stockade");
    }
    stockade_config_free(config);
}

Test(host_runtime, directories_above_the_state_are_made_private)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    char state[256], parent[256];
    struct stat st;

    snprintf(state, sizeof state, "%s/a/b/state", dir);
    snprintf(parent, sizeof parent, "%s/a/b", dir);
    options.runtime = "mock";
    options.state_dir = state;
    stockade_close(runtime_open(&options));
    cr_assert_eq(stat(parent, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0700);
    cr_assert(tree_put(dir, "file", ""));
    snprintf(state, sizeof state, "%s/file/state", dir);
    failure_expect(&options, RT_E_IO, "state directory", "file");
}

/* ---- older hosts ----------------------------------------------------------------------------------------------- */

Test(host_runtime, options_of_an_older_host_are_shorter)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;

    options.runtime = "mock";
    options.size = offsetof(stockade_options, config);
    options.runtime_config = "what lies behind the size must not be read";
    stockade_close(runtime_open(&options));
}
