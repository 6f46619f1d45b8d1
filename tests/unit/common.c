/* The pure parts of plugins/common: ids, environments, configs, specifications, errors. */
#include "cgroup_of.h"
#include "config.h"
#include "env.h"
#include "error.h"
#include "json.h"
#include "spec.h"
#include "util.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- ids ---- */

Test(util, L2_ids)
{
    char longest[65];

    memset(longest, 'a', 63);
    longest[63] = '\0';
    cr_expect(id_valid(longest));
    longest[63] = 'a';
    longest[64] = '\0';
    cr_expect(!id_valid(longest));
    cr_expect(id_valid("a"));
    cr_expect(id_valid("0.A_b-c"));
    for (const char **bad = (const char *[]){ "", "-a", ".a", "_a", "a/b", "a b", "a\n", "\xc3\xa4", "a\"", NULL };
         *bad; bad++)
        cr_expect(!id_valid(*bad), "'%s'", *bad);
}

/* ---- environment ---- */

static void expect_env(const char *const *sandbox, const char *const *request, const char *const *want)
{
    const char **env = env_merge(sandbox, request);
    size_t n = 0;

    cr_assert_not_null(env);
    for (; want[n]; n++) {
        cr_assert_not_null(env[n], "'%s' is missing", want[n]);
        cr_expect_str_eq(env[n], want[n]);
    }
    cr_expect_null(env[n], "'%s' is too much", env[n]);
    free(env);
}

#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Test(env, X5_default_alone)
{
    expect_env(NULL, NULL, (const char *[]){ PATH_DEFAULT, "HOME=/tmp", "LANG=C.UTF-8", NULL });
}

Test(env, X5_later_wins_and_a_prefix_is_no_name)
{
    expect_env((const char *[]){ "A=1", "HOME=/h", "PATHS=x", NULL }, (const char *[]){ "A=2", "AB=", "A=3=4", NULL },
               (const char *[]){ PATH_DEFAULT, "HOME=/h", "LANG=C.UTF-8", "A=3=4", "PATHS=x", "AB=", NULL });
}

Test(env, entries_without_a_name_are_refused)
{
    rt_error err = RT_ERROR_INIT;

    cr_expect_eq(env_check((const char *[]){ "A=1", "B", NULL }, "env", &err), RT_E_INVAL);
    cr_expect_not_null(strstr(err.message, "'B'"));
    cr_expect_eq(env_check((const char *[]){ "=1", NULL }, "env", &err), RT_E_INVAL);
    cr_expect_eq(env_check((const char *[]){ "A=", NULL }, "env", &err), RT_OK);
    cr_expect_eq(env_check(NULL, "env", &err), RT_OK);
}

/* ---- config ---- */

struct filled {
    const char *path;
    int64_t wait_ms, bytes;
};

static const struct config_key keys[] = {
    { "path", CONFIG_STRING, offsetof(struct filled, path), 0, 0, "an absolute path", config_is_absolute },
    { "wait", CONFIG_DURATION, offsetof(struct filled, wait_ms), 1, 3600000, "a duration up to 1h", NULL },
    { "bytes", CONFIG_INT, offsetof(struct filled, bytes), 1, 1000, "1 to 1000", NULL },
};

struct config_case {
    char json[64], want[64]; /* want: a part of the message, "" = accepted */
};

ParameterizedTestParameters(config, B1_keys_are_checked_exactly)
{
    static struct config_case cases[] = {
        { "{}", "" },
        { "{\"path\":\"/x\",\"wait\":\"30s\",\"bytes\":7}", "" },
        { "{\"wait\":\"60m\"}", "" },
        { "{\"paths\":\"/x\"}", "paths: unknown key" },
        { "{\"path\":\"x\"}", "path: expected an absolute path" },
        { "{\"path\":7}", "path: expected an absolute path" },
        { "{\"wait\":30}", "wait: expected a duration" },
        { "{\"wait\":\"30\"}", "wait: expected a duration" },
        { "{\"wait\":\"-3s\"}", "wait: expected a duration" },
        { "{\"wait\":\"0s\"}", "wait: expected a duration" },
        { "{\"wait\":\"61m\"}", "wait: expected a duration" },
        { "{\"wait\":\"99999999999999999999s\"}", "wait: expected a duration" },
        { "{\"wait\":\"3sx\"}", "wait: expected a duration" },
        { "{\"bytes\":1.5}", "bytes: expected 1 to 1000" },
        { "{\"bytes\":0}", "bytes: expected 1 to 1000" },
        { "{\"bytes\":1e300}", "bytes: expected 1 to 1000" },
        { "{\"bytes\":\"7\"}", "bytes: expected 1 to 1000" },
        { "{\"bytes\":true}", "bytes: expected 1 to 1000" },
        { "{\"bytes\":1,\"bytes\":2}", "bytes: given twice" },
    };

    return cr_make_param_array(struct config_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct config_case *c, config, B1_keys_are_checked_exactly)
{
    struct filled filled = { 0 };
    rt_error err = RT_ERROR_INIT;
    cJSON *json = json_parse_object(c->json, strlen(c->json));
    int32_t status;

    cr_assert_not_null(json);
    status = config_fill(json, keys, ARRAY_LEN(keys), &filled, &err);
    cr_expect_eq(status, c->want[0] ? RT_E_CONFIG : RT_OK, "%s: %s", c->json, err.message);
    if (c->want[0])
        cr_expect_not_null(strstr(err.message, c->want), "%s: '%s'", c->json, err.message);
    cJSON_Delete(json);
}

Test(config, durations)
{
    struct filled filled = { 0 };
    cJSON *json = json_parse_object("{\"wait\":\"90m\"}", 14);
    const struct config_key key = { "wait", CONFIG_DURATION, offsetof(struct filled, wait_ms), 0, INT64_MAX, "", NULL };

    cr_expect_eq(config_fill(json, &key, 1, &filled, NULL), RT_OK);
    cr_expect_eq(filled.wait_ms, 90 * 60 * 1000);
    cJSON_Delete(json);
}

Test(json, B3_only_one_whole_object_is_accepted)
{
    for (const char **bad = (const char *[]){ "", "[]", "1", "{", "{}x", "{} {}", "{\"a\":}", "null", NULL }; *bad;
         bad++)
        cr_expect_null(json_parse_object(*bad, strlen(*bad)), "'%s'", *bad);
}

/* ---- specifications ---- */

Test(spec, comes_back_from_json_as_it_was)
{
    const rt_rule rules[] = { { sizeof(rt_rule), "/**", RT_RULE_GLOB, RT_PERM_READ, -7, 0 },
                              { sizeof(rt_rule), "we\"ird\n\xff", RT_RULE_FILE, RT_PERM_WRITE, INT32_MAX, 0 } };
    const rt_label labels[] = { { sizeof(rt_label), "k", "v" }, { sizeof(rt_label), "empty", NULL } };
    const rt_limits limits = { sizeof limits, UINT64_C(3) << 30, 1500, 512, 64, 0 };
    const char *const env[] = { "A=1", "B=", NULL };
    rt_sandbox_spec spec = { .size = sizeof spec,
                             .id = "box",
                             .codebase = "/usr/../usr",
                             .codebase_id = "c",
                             .workspace = "/w",
                             .env = env,
                             .labels = labels,
                             .n_labels = 2,
                             .rules = rules,
                             .n_rules = 2,
                             .limits = &limits,
                             .lifetime = RT_LIFETIME_PERSISTENT,
                             .timeout_ms = RT_FOREVER };
    rt_error err = RT_ERROR_INIT;
    struct spec back;
    cJSON *json;
    char *text;

    cr_assert_eq(spec_to_json(&spec, &err, &json), RT_OK, "%s", err.message);
    text = cJSON_Print(json); /* through text, as on disk */
    cJSON_Delete(json);
    json = json_parse_object(text, strlen(text));
    cr_assert(spec_from_json(json, &back));
    cr_expect_str_eq(back.id, "box");
    cr_expect_str_eq(back.codebase, "/usr");
    cr_expect_str_eq(back.workspace, "/w");
    cr_expect_str_eq(back.network, "none");
    cr_expect_str_eq(back.env[1], "B=");
    cr_expect_null(back.env[2]);
    cr_assert_eq(back.n_rules, 2u);
    cr_expect_str_eq(back.rules[1].pattern, rules[1].pattern);
    cr_expect_eq(back.rules[0].priority, -7);
    cr_expect_eq(back.rules[1].priority, INT32_MAX);
    cr_expect_str_eq(back.labels[1].value, "");
    cr_expect_eq(back.limits.memory_bytes, UINT64_C(3) << 30);
    cr_expect_eq(back.limits.pids, 64u);
    cr_expect_eq(back.timeout_ms, RT_FOREVER);
    spec_release(&back);
    cJSON_Delete(json);
    free(text);
}

Test(spec, W4_malformed_pattern_is_named_by_its_index)
{
    const rt_rule rules[] = { { sizeof(rt_rule), "/ok", RT_RULE_GLOB, RT_PERM_READ, 0, 0 },
                              { sizeof(rt_rule), "/[oops", RT_RULE_GLOB, RT_PERM_READ, 0, 0 } };
    rt_sandbox_spec spec = { .size = sizeof spec, .codebase = "/usr", .rules = rules, .n_rules = 2 };
    rt_error err = RT_ERROR_INIT;
    cJSON *json;

    cr_expect_eq(spec_to_json(&spec, &err, &json), RT_E_PATTERN);
    cr_expect_not_null(strstr(err.message, "rule 1"), "%s", err.message);
}

Test(spec, rules_of_a_later_minor_version_are_strided_over)
{
    struct longer {
        rt_rule rule;
        uint64_t new_member;
    } rules[] = { { { sizeof(struct longer), "/a", RT_RULE_GLOB, RT_PERM_READ, 0, 0 }, UINT64_MAX },
                  { { sizeof(struct longer), "/b", RT_RULE_GLOB, RT_PERM_READ, 0, 0 }, UINT64_MAX } };
    rt_sandbox_spec spec = { .size = sizeof spec, .codebase = "/usr", .rules = &rules[0].rule, .n_rules = 2 };
    struct spec back;
    cJSON *json;

    cr_assert_eq(spec_to_json(&spec, NULL, &json), RT_OK);
    cr_assert(spec_from_json(json, &back));
    cr_expect_str_eq(back.rules[1].pattern, "/b");
    spec_release(&back);
    cJSON_Delete(json);
}

struct bad_spec {
    char workspace[32], env[16];
    int32_t lifetime;
    int64_t timeout_ms;
};

ParameterizedTestParameters(spec, L1_bad_values_are_refused)
{
    static struct bad_spec cases[] = {
        { "relative", "A=1", 0, 0 },  { "/", "A=1", 0, 0 },       { "/usr", "A=1", 0, 0 },
        { "/a/../etc", "A=1", 0, 0 }, { "/w", "noequals", 0, 0 }, { "/w", "A=1", 2, 0 },
        { "/w", "A=1", -1, 0 },       { "/w", "A=1", 0, -2 },     { "/w", "A=1", 0, INT64_MAX },
        { "/w/..", "A=1", 0, 0 },     { "/etc/.", "A=1", 0, 0 },  { "/etc/", "A=1", 0, 0 },
        { "//w", "A=1", 0, 0 },       { "", "A=1", 0, 0 },        { "/run/stockade/boot", "A=1", 0, 0 },
    };

    return cr_make_param_array(struct bad_spec, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct bad_spec *c, spec, L1_bad_values_are_refused)
{
    const char *const env[] = { c->env, NULL };
    rt_sandbox_spec spec = { .size = sizeof spec,
                             .codebase = "/usr",
                             .workspace = c->workspace,
                             .env = env,
                             .lifetime = c->lifetime,
                             .timeout_ms = c->timeout_ms };
    rt_error err = RT_ERROR_INIT;
    cJSON *json;

    cr_expect_eq(spec_to_json(&spec, &err, &json), RT_E_INVAL, "%s", err.message);
    cr_expect(err.message[0]);
}

struct user_case {
    char text[24];
    bool ok;
    uint32_t uid, gid;
};

ParameterizedTestParameters(spec, users)
{
    static struct user_case cases[] = {
        { "0", true, 0, 0 },
        { "1000", true, 1000, 1000 },
        { "1000:50", true, 1000, 50 },
        { "", false, 0, 0 },
        { "-1", false, 0, 0 },
        { "4294967295", false, 0, 0 },
        { "1000:", false, 0, 0 },
        { ":1", false, 0, 0 },
        { "1:2:3", false, 0, 0 },
        { "nobody", false, 0, 0 },
        { " 1", false, 0, 0 },
        { "1 ", false, 0, 0 },
        { "99999999999999999999", false, 0, 0 },
    };

    return cr_make_param_array(struct user_case, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct user_case *c, spec, users)
{
    uint32_t uid = 7, gid = 7;

    cr_expect_eq(user_parse(c->text, &uid, &gid), c->ok, "'%s'", c->text);
    if (c->ok)
        cr_expect(uid == c->uid && gid == c->gid, "'%s' is %u:%u", c->text, uid, gid);
}

/* ---- errors ---- */

Test(error, long_messages_are_cut_between_characters)
{
    rt_error err = RT_ERROR_INIT;
    char text[600];

    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4); /* the euro sign */
        error_set(&err, RT_E_INVAL, ENOENT, "%s", text);
        cr_expect_lt(strlen(err.message), sizeof err.message);
        cr_expect_eq((strlen(err.message) - shift) % 3, 0u, "a character was cut in two");
    }
}

Test(error, is_one_line_and_names_the_errno)
{
    rt_error err = RT_ERROR_INIT;

    error_reset(&err, "start");
    cr_expect_eq(error_set(&err, RT_E_IO, ENOENT, "open '%s'", "a\nb"), RT_E_IO);
    cr_expect_str_eq(err.message, "open 'a b': No such file or directory");
    cr_expect_str_eq(err.op, "start");
    cr_expect_eq(err.sys_errno, ENOENT);
}

Test(error, gives_a_caller_no_more_than_it_has_room_for)
{
    rt_error ours = RT_ERROR_INIT, theirs;

    error_reset(&ours, "start");
    error_set(&ours, RT_E_IO, EIO, "a message that is longer than sixteen bytes");
    for (size_t room = 0; room <= sizeof theirs; room++) {
        memset(&theirs, 0x5a, sizeof theirs);
        theirs.size = sizeof theirs;
        error_copy(&theirs, room, &ours);
        for (size_t i = room < sizeof theirs.size ? sizeof theirs.size : room; i < sizeof theirs; i++)
            cr_assert(((unsigned char *)&theirs)[i] == 0x5a, "room %zu: byte %zu was written", room, i);
        if (room > offsetof(rt_error, message))
            cr_assert_lt(strlen(theirs.message), room - offsetof(rt_error, message));
    }
    cr_expect_eq(theirs.status, RT_E_IO);
    cr_expect_str_eq(theirs.message, ours.message);
    theirs.size = 4; /* no size at all */
    error_copy(&theirs, sizeof theirs, &ours);
    cr_expect_eq(theirs.size, 4u);
}

/* ---- out of memory ---- */

static void expect_cgroup(const char *text, const char *want, bool is_v1)
{
    size_t len = 0;
    bool v1 = !is_v1;
    const char *path = cgroup_of_path(text, CGROUP_MEMORY, &len, &v1);

    cr_assert_not_null(path, "%s", text);
    cr_expect(len == strlen(want) && !strncmp(path, want, len), "%s: %.*s", text, (int)len, path);
    cr_expect_eq(v1, is_v1);
}

Test(oom, N3_the_memory_cgroup_of_a_process)
{
    size_t len;
    bool v1;

    expect_cgroup("0::/a/b\n", "/a/b", 0);
    expect_cgroup("0::/v2\n5:cpu,memory:/v1\n", "/v1", 1);
    expect_cgroup("12:memory:/docker/x:y\n0::/\n", "/docker/x:y", 1);
    expect_cgroup("3:memory_other,cpu:/wrong\n0::/right", "/right", 0);
    /* A hierarchy's root belongs to nobody. */
    expect_cgroup("5:memory:/\n0::/v2\n", "/v2", false);
    cr_expect_null(cgroup_of_path("5:memory:/\n0::/\n", CGROUP_MEMORY, &len, &v1));
    cr_expect_null(cgroup_of_path("", CGROUP_MEMORY, &len, &v1));
    cr_expect_null(cgroup_of_path("nonsense\n4:cpu:/x\n", CGROUP_MEMORY, &len, &v1));
}
