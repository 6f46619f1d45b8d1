/* Contract B1 and what else a host may get wrong: an error that names it, and nothing made or changed. */
#include "fixture.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <sys/stat.h>

static void config_refused(const char *config, const char *key)
{
    rt_runtime *rt = NULL;
    char state[4096];

    snprintf(state, sizeof state, "%s/refused", fx.dir);
    cr_expect(plugin_open(&fx.plugin, state, config, CALL, &rt) == RT_E_CONFIG, "%s: %s: %s", config,
              status_name(fx.call.error.status), fx.call.error.message);
    cr_expect(rt == NULL && !strcmp(fx.call.error.op, "open"));
    if (key)
        cr_expect(strstr(fx.call.error.message, key), "%s: the message should name '%s': %s", config, key,
                  fx.call.error.message);
    cr_expect(fx.call.error.message[0]);
    if (rt)
        fx.ops->close(rt);
}

CONFORMANCE_TEST(badinput, B1_config_that_is_no_object)
{
    static const char *const bad[] = { "",     "   ",  "{",        "[]",   "null",      "7",   "\"x\"",   "{\"a\":}",
                                       "{} x", "{}{}", "\xff\xfe", "true", "{\"a\" 1}", "{,}", "{\"a\":1" };
    char *deep = malloc(200001);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        config_refused(bad[i], NULL);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    config_refused(deep, NULL);
    free(deep);
}

CONFORMANCE_TEST(badinput, B1_unknown_keys)
{
    config_refused("{\"no_such_key\": 1}", "no_such_key");
    config_refused("{\"no_such_key\": {\"nested\": [1, 2]}}", "no_such_key");
    config_refused("{\"Default_Timeout\": \"30s\"}", "Default_Timeout");
}

/* Each of the plugin's own keys with a value of every other type. */
CONFORMANCE_TEST(badinput, B1_wrong_types)
{
    static const char *const values[] = { "{}", "[]", "true", "null", "-7.5", "\"\\u0007 not a value\"" };
    cJSON *config = cJSON_Parse(fx.plugin.info->default_config), *item;
    int tried = 0;

    cJSON_ArrayForEach (item, config) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            cJSON *value = cJSON_Parse(values[i]);
            bool same = (value->type & 0xff) == (item->type & 0xff) || (cJSON_IsBool(value) && cJSON_IsBool(item)) ||
                        cJSON_IsNull(item);
            char text[256];

            cJSON_Delete(value);
            if (same)
                continue;
            snprintf(text, sizeof text, "{\"%s\": %s}", item->string, values[i]);
            config_refused(text, item->string);
            tried++;
        }
    }
    cr_expect(tried > 0, "the plugin has no config keys");
    cJSON_Delete(config);
}

/* Numbers beyond what the schema allows. */
CONFORMANCE_TEST(badinput, B1_out_of_range)
{
    cJSON *schema = cJSON_Parse(fx.plugin.info->config_schema), *item;

    cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(schema, "properties")) {
        const cJSON *least = cJSON_GetObjectItemCaseSensitive(item, "minimum");
        const cJSON *most = cJSON_GetObjectItemCaseSensitive(item, "maximum");
        char text[256];

        if (least) {
            snprintf(text, sizeof text, "{\"%s\": %.0f}", item->string, least->valuedouble - 1);
            config_refused(text, item->string);
        }
        if (most) {
            snprintf(text, sizeof text, "{\"%s\": %.0f}", item->string, most->valuedouble + 1);
            config_refused(text, item->string);
        }
    }
    config_refused("{\"default_timeout\": \"-5s\"}", "default_timeout");
    config_refused("{\"default_timeout\": \"banana\"}", "default_timeout");
    config_refused("{\"default_timeout\": \"\"}", "default_timeout");
    config_refused("{\"default_timeout\": \"5\"}", "default_timeout");
    config_refused("{\"default_timeout\": \"99999999999999999999s\"}", "default_timeout");
    config_refused("{\"default_timeout\": \"30s\", \"default_timeout\": \"40s\"}", "default_timeout");
    cJSON_Delete(schema);
}

CONFORMANCE_TEST(badinput, B2_open_params)
{
    rt_open_params params = { .size = sizeof params };
    rt_runtime *rt = (rt_runtime *)fx.state;
    char path[4096];
    struct stat st;

    cr_expect(fx.ops->open(NULL, CALL, &rt) != RT_OK && fx.call.error.message[0]);
    EXPECT_STATUS(RT_E_INVAL, fx.ops->open(&params, CALL, &rt));
    EXPECT_NAMES("state");
    params.state_dir = "";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->open(&params, CALL, &rt));
    snprintf(path, sizeof path, "%s/a-file", fx.dir);
    HOST_MUST(tree_put(fx.dir, "a-file", "x"));
    params.state_dir = path;
    cr_expect(fx.ops->open(&params, CALL, &rt) != RT_OK);
    EXPECT_NAMES(path);
    cr_expect(rt == (rt_runtime *)fx.state, "ret was touched");
    params.size = 0;
    cr_expect(fx.ops->open(&params, CALL, &rt) != RT_OK);
    cr_expect(tree_is(fx.dir, "a-file", "x"));

    rt = NULL;
    snprintf(path, sizeof path, "%s/made", fx.dir);
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, path, NULL, CALL, &rt));
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700, "mode %o", (unsigned)st.st_mode);
    fx.ops->close(rt);
}

/* A state directory deeper than what fits into a socket's address. */
CONFORMANCE_TEST(badinput, B2_deep_state_directory)
{
    static const char part[] = "/a-directory-with-quite-a-long-name-for-a-directory";
    char path[4096];
    rt_runtime *rt = NULL, *mine = fx.rt;
    size_t len = (size_t)snprintf(path, sizeof path, "%s", fx.dir);

    for (int i = 0; i < 6; i++)
        len += (size_t)snprintf(path + len, sizeof path - len, "%s", part);
    HOST_MUST(tree_mkdir("", path + 1));
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, path, NULL, CALL, &rt));
    fx.rt = rt;
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "echo deep"), 0, "deep\n");
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    fixture_close();
    fx.rt = mine;
}

CONFORMANCE_TEST(badinput, B2_helpers_that_are_missing)
{
    const rt_open_params params = { .size = sizeof params, .state_dir = fx.state, .libexec_dir = "/no/such/directory" };

    fixture_close();
    if (fx.ops->open(&params, CALL, &fx.rt) == RT_OK) {
        rt_sandbox_spec spec = box_spec("box");

        ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
        cr_expect(fx.ops->start(fx.rt, "box", CALL) != RT_OK);
        cr_expect(box_status("box") == RT_SANDBOX_ERROR);
        (void)fixture_call();
        cr_expect(fx.ops->start(fx.rt, "box", &fx.call) != RT_OK);
    }
    EXPECT_NAMES("/no/such/directory");
    fixture_reopen();
}

/* ---- create ---------------------------------------------------------------------------------------------------- */

static void create_refused(const rt_sandbox_spec *spec, int32_t want, const char *names)
{
    rt_sandbox_info *info = (rt_sandbox_info *)fx.state;
    int32_t got = fx.ops->create(fx.rt, spec, CALL, &info);

    cr_expect(got == want, "%s: %s, wanted %s: %s", names, status_name(got), status_name(want), fx.call.error.message);
    cr_expect(strcasestr(fx.call.error.message, names), "the message should name '%s': %s", names,
              fx.call.error.message);
    cr_expect(info == (rt_sandbox_info *)fx.state, "ret was touched");
    cr_expect(box_status("bad") == -1, "%s: made all the same", names);
}

CONFORMANCE_TEST(badinput, B1_specs)
{
    rt_sandbox_spec good = box_spec("bad"), spec;

#define WITH(member, value) (spec = good, spec.member = (value), &spec)
    create_refused(WITH(workspace, "relative"), RT_E_INVAL, "workspace");
    create_refused(WITH(workspace, "/"), RT_E_INVAL, "workspace");
    create_refused(WITH(workspace, "/a/../b"), RT_E_INVAL, "workspace");
    create_refused(WITH(workspace, ""), RT_E_INVAL, "workspace");
    create_refused(WITH(lifetime, 7), RT_E_INVAL, "lifetime");
    create_refused(WITH(workspace_mode, 9), RT_E_INVAL, "workspace_mode");
    create_refused(WITH(commit_policy, -1), RT_E_INVAL, "commit_policy");
    create_refused(WITH(timeout_ms, -2), RT_E_INVAL, "timeout_ms");
    create_refused(WITH(env, ARGV("FINE=1", "no equals sign")), RT_E_INVAL, "env");
    create_refused(WITH(env, ARGV("=value")), RT_E_INVAL, "env");
    spec = good;
    spec.labels = &(const rt_label){ sizeof(rt_label), NULL, "x" };
    spec.n_labels = 1;
    create_refused(&spec, RT_E_INVAL, "label");
#undef WITH
    EXPECT_STATUS(RT_OK, fx.ops->create(fx.rt, &good, CALL, NULL));
}

CONFORMANCE_TEST(badinput, B1_rules)
{
    static const rt_rule bad[] = {
        { sizeof(rt_rule), NULL, RT_RULE_GLOB, RT_PERM_READ, 0, 0 },
        { sizeof(rt_rule), "x", 3, RT_PERM_READ, 0, 0 },
        { sizeof(rt_rule), "x", -1, RT_PERM_READ, 0, 0 },
        { sizeof(rt_rule), "x", RT_RULE_GLOB, 4, 0, 0 },
        { sizeof(rt_rule), "x", RT_RULE_GLOB, -1, 0, 0 },
        { 0, "x", RT_RULE_GLOB, RT_PERM_READ, 0, 0 },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_rule rules[] = { WRITE_ALL, bad[i] };
        rt_sandbox_spec spec = box_spec("bad");
        int32_t got;

        spec.rules = rules;
        spec.n_rules = 2;
        got = fx.ops->create(fx.rt, &spec, CALL, NULL);
        cr_expect(got == RT_E_INVAL || got == RT_E_PATTERN, "rule %zu: %s", i, status_name(got));
        cr_expect(strchr(fx.call.error.message, '1'), "the index is missing: %s", fx.call.error.message);
        cr_expect(box_status("bad") == -1);
    }
}

/* What this plugin does not claim to do is refused at create, not found out at start. */
CONFORMANCE_TEST(badinput, B1_what_the_backend_lacks)
{
    const rt_limits memory = { .size = sizeof memory, .memory_bytes = 64 << 20 };
    const rt_limits cpu = { .size = sizeof cpu, .cpu_millis = 500 };
    const rt_limits pids = { .size = sizeof pids, .pids = 50 };
    rt_sandbox_spec good = box_spec("bad"), spec;
    const uint64_t has = fx.plugin.info->capabilities;

#define REFUSED(capability, member, value, names)                                                                      \
    do {                                                                                                               \
        spec = good;                                                                                                   \
        spec.member = (value);                                                                                         \
        if (!(has & (capability)))                                                                                     \
            create_refused(&spec, RT_E_UNSUPPORTED, names);                                                            \
    } while (0)
    REFUSED(RT_CAP_DELTA, workspace_mode, RT_WORKSPACE_DELTA, "delta");
    REFUSED(RT_CAP_IMAGE, image, "ubuntu:22.04", "image");
    REFUSED(RT_CAP_LIMIT_MEMORY, limits, &memory, "memory");
    REFUSED(RT_CAP_LIMIT_CPU, limits, &cpu, "cpu");
    REFUSED(RT_CAP_LIMIT_PIDS, limits, &pids, "pids");
    REFUSED(RT_CAP_AUDIT, flags, RT_SANDBOX_AUDIT, "audit");
    REFUSED(RT_CAP_TTL, max_lifetime_ms, 1000, "max_lifetime");
    REFUSED(RT_CAP_TTL, idle_timeout_ms, 1000, "idle_timeout");
#undef REFUSED
}

/* ---- exec ------------------------------------------------------------------------------------------------------ */

static void exec_refused(const rt_exec_request *req, const char *names)
{
    const struct run *r = run_request("box", req);

    cr_expect(r->status == RT_E_INVAL && !r->result && strstr(r->message, names), "wanted '%s' named: %s", names,
              run_describe(r));
}

CONFORMANCE_TEST(badinput, B1_requests)
{
    BOX_UP("box", WRITE_ALL);
    exec_refused(REQUEST(.shell = NULL), "shell");
    exec_refused(REQUEST(.shell = "touch ran", .argv = ARGV("touch", "ran")), "argv");
    exec_refused(REQUEST(.argv = (const char *const[]){ NULL }), "argv");
    exec_refused(REQUEST(.shell = "touch ran", .env = ARGV("no equals sign")), "env");
    exec_refused(REQUEST(.shell = "touch ran", .env = ARGV("=x")), "env");
    exec_refused(REQUEST(.shell = "touch ran", .timeout_ms = -2), "timeout_ms");
    exec_refused(REQUEST(.shell = "touch ran", .grace_ms = -1), "grace_ms");
    exec_refused(REQUEST(.shell = "touch ran", .flags = UINT32_C(1) << 31), "flags");
    cr_expect(!tree_exists(fx.codebase, "ran"), "it ran all the same");
    EXPECT_RUN(sh("box", "echo well"), 0, "well\n");
}

/* What is required and not given is an error like any other. */
CONFORMANCE_TEST(badinput, B1_null_spec)
{
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, NULL, CALL, NULL));
}

CONFORMANCE_TEST(badinput, B1_null_request)
{
    rt_exec_result *result = NULL;

    BOX_UP("box", WRITE_ALL);
    EXPECT_STATUS(RT_E_INVAL, fx.ops->exec(fx.rt, "box", NULL, CALL, &result));
}

CONFORMANCE_TEST(badinput, B1_null_rules)
{
    rt_sandbox_spec spec = box_spec("bad");

    spec.n_rules = 3;
    create_refused(&spec, RT_E_INVAL, "rules");
}

CONFORMANCE_TEST(badinput, B1_null_labels)
{
    rt_sandbox_spec spec = box_spec("bad");

    spec.n_labels = 1;
    create_refused(&spec, RT_E_INVAL, "labels");
}

CONFORMANCE_TEST(badinput, B1_ids_that_are_nothing)
{
    rt_sandbox_info *info = NULL;
    rt_exec_result *result = NULL;
    int32_t got = fx.ops->get(fx.rt, NULL, CALL, &info);

    cr_expect(got == RT_E_INVAL || got == RT_E_SANDBOX_NOT_FOUND, "%s", status_name(got));
    got = fx.ops->exec(fx.rt, NULL, REQUEST(.shell = "true"), CALL, &result);
    cr_expect(got == RT_E_INVAL || got == RT_E_SANDBOX_NOT_FOUND, "%s", status_name(got));
    got = fx.ops->destroy(fx.rt, "../..", CALL);
    cr_expect(got == RT_E_INVAL || got == RT_E_SANDBOX_NOT_FOUND, "%s", status_name(got));
    cr_expect(tree_exists(fx.dir, "state"));
}
