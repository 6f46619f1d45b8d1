/* The config file: comments, positions of errors, exact checks (contract B1), the default file, the schema checker. */
#include "host/lib/json_text.h"
#include "host/lib/schema.h"
#include "host/stockade.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/stockade-config-XXXXXX";

static void dir_make(void)
{
    cr_assert(mkdtemp(dir));
}

static void dir_remove(void)
{
    cr_expect(tree_remove(dir));
}

TestSuite(host_config, .init = dir_make, .fini = dir_remove, .timeout = 300);

static int32_t parse(const char *text, rt_error *err, stockade_config **ret)
{
    return stockade_config_parse(text, strlen(text), "f.json", err, ret);
}

/* ---- what is taken --------------------------------------------------------------------------------------------- */

Test(host_config, all_keys_with_comments)
{
    static const char text[] =
        "// a \"comment\" { [\n"
        "{ /* another // one */ \"runtime\": \"mock\", \"plugin_path\": [\"/a//b\", \"/c/*d*/\"],\n"
        "  \"state_dir\": \"/state\", \"log_level\": \"info\", \"preset\": \"read-only\", \"workspace\": { \"mode\": "
        "\"delta\" },\n"
        "  \"rules\": [{\"pattern\": \"/x\\\"//y\", \"permission\": \"write\"}],\n"
        "  \"runtimes\": { \"mock\": { \"tag\": \"x\" }, \"bwrap\": {} } } // end";
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;
    stockade_rules *rules;
    const rt_rule *items;
    size_t n;

    cr_assert_eq(parse(text, &err, &config), RT_OK, "%s", err.message);
    cr_expect_str_eq(stockade_config_runtime(config), "mock");
    cr_expect_eq(stockade_config_n_plugin_dirs(config), 2);
    cr_expect_str_eq(stockade_config_plugin_dir(config, 0), "/a//b");
    cr_expect_str_eq(stockade_config_plugin_dir(config, 1), "/c/*d*/");
    cr_expect_str_eq(stockade_config_state_dir(config), "/state");
    cr_expect_eq(stockade_config_log_level(config), RT_LOG_INFO);
    cr_expect_str_eq(stockade_config_preset(config), "read-only");
    cr_expect_eq(stockade_config_workspace_mode(config), RT_WORKSPACE_DELTA);
    cr_expect_str_eq(stockade_config_section(config, 1), "bwrap");
    cr_expect_null(stockade_config_section(config, 2));
    cr_expect_null(stockade_config_file(config));
    cr_assert_eq(stockade_rules_new(&err, &rules), RT_OK);
    cr_assert_eq(stockade_rules_add_config(rules, config, &err), RT_OK);
    items = stockade_rules_items(rules, &n);
    cr_assert_eq(n, 1);
    cr_expect_str_eq(items[0].pattern, "/x\"//y");
    cr_expect_eq(items[0].type, RT_RULE_GLOB);
    cr_expect_eq(items[0].permission, RT_PERM_WRITE);
    cr_expect_eq(items[0].priority, 0);
    stockade_rules_free(rules);
    stockade_config_free(config);
}

Test(host_config, empty_says_nothing)
{
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;

    cr_assert_eq(parse("{}", &err, &config), RT_OK, "%s", err.message);
    cr_expect_null(stockade_config_runtime(config));
    cr_expect_null(stockade_config_preset(config));
    cr_expect_eq(stockade_config_workspace_mode(config), -1);
    cr_expect_eq(stockade_config_log_level(config), -1);
    cr_expect_eq(stockade_config_n_plugin_dirs(config), 0);
    stockade_config_free(config);
}

/* ---- what is refused ------------------------------------------------------------------------------------------- */

struct refusal {
    char text[120];
    char message[120]; /* what it must contain */
};

ParameterizedTestParameters(host_config, B1_refusal_names_the_place)
{
    static struct refusal cases[] = {
        { "{ \"runtme\": \"bwrap\" }", "f.json: runtme: unknown key" },
        { "{ \"runtime\": 3 }", "f.json: runtime: expected a string, got 3" },
        { "{ \"runtime\": \"\" }", "runtime: expected a string like" },
        { "{ \"plugin_path\": \"/a\" }", "plugin_path: expected an array, got \"/a\"" },
        { "{ \"plugin_path\": [\"/a\", \"b\"] }", "plugin_path[1]: expected a string like /^//, got \"b\"" },
        { "{ \"plugin_path\": [null] }", "plugin_path[0]: expected a string, got null" },
        { "{ \"log_level\": \"loud\" }",
          "log_level: expected \"debug\", \"info\", \"warn\" or \"error\", got \"loud\"" },
        { "{ \"preset\": \"safe\" }", "preset: expected \"agent-safe\"" },
        { "{ \"rules\": [{ \"pattern\": \"/a\" }] }", "rules[0].permission: missing" },
        { "{ \"rules\": [{ \"pattern\": \"/a\", \"permission\": \"all\" }] }",
          "rules[0].permission: expected \"none\"" },
        { "{ \"rules\": [{ \"pattern\": \"/a\", \"permission\": \"read\", \"priority\": 1.5 }] }",
          "rules[0].priority: expected an integer, got 1.5" },
        { "{ \"rules\": [{ \"pattern\": \"/a\", \"permission\": \"read\", \"priority\": 2147483648 }] }",
          "rules[0].priority: expected a number from -2147483648 to 2147483647, got 2147483648" },
        { "{ \"rules\": [{ \"pattern\": \"/a\", \"permission\": \"read\", \"priority\": 1e999 }] }",
          "rules[0].priority: expected an integer" },
        { "{ \"rules\": [{ \"pattern\": \"/a\", \"permission\": \"read\", \"x\": 1 }] }", "rules[0].x: unknown key" },
        { "{ \"runtimes\": [] }", "runtimes: expected an object, got an array" },
        { "{ \"runtimes\": { \"bwrap\": true } }", "runtimes.bwrap: expected an object, got true" },
        { "{ \"runtimes\": { \"bwrap\": { \"a\": 1, \"a\": 2 } } }", "f.json: runtimes.bwrap.a: given twice" },
        { "{ \"runtime\": \"a\", \"runtime\": \"b\" }", "f.json: runtime: given twice" },
        { "[]", "f.json: expected an object, got an array" },
        { "", "f.json:1:1: syntax error: the text ends too early" },
        { "{\n  \"runtime\": \"a\",\n}", "f.json:3:1: syntax error" },
        { "{\n /* x\n y */ runtime: 1 }", "f.json:3:7: syntax error" },
        { "{} x", "f.json:1:4: syntax error" },
        { "{ \"runtime\": \"a", "f.json:1:14: this string does not end" },
        { "{}\n/* x", "f.json:2:1: this comment does not end" },
        { "{ \"runtime\": \"a\\u0000b\" }", "f.json:1:16: a string may not contain NUL" },
        { "{ \"runtime\": \"a\tb\" }", "f.json:1:16: a control character" },
    };

    return cr_make_param_array(struct refusal, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct refusal *c, host_config, B1_refusal_names_the_place)
{
    rt_error err = RT_ERROR_INIT;
    stockade_config *config = NULL;

    cr_expect_eq(parse(c->text, &err, &config), RT_E_CONFIG, "%s", c->text);
    cr_expect_eq(err.status, RT_E_CONFIG);
    cr_expect(strstr(err.message, c->message), "'%s' lacks '%s'", err.message, c->message);
    cr_expect_null(config);
}

Test(host_config, B1_too_deep_or_too_large)
{
    size_t len = ((size_t)1 << 20) + 1;
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;
    char *text = malloc(len);

    cr_assert(text);
    memset(text, '[', len);
    cr_expect_eq(stockade_config_parse(text, 100, "f", &err, &config), RT_E_CONFIG);
    cr_expect(strstr(err.message, "f:1:33: nested too deeply"), "%s", err.message);
    memset(text, ' ', len);
    memcpy(text, "{}", 2);
    cr_expect_eq(stockade_config_parse(text, len - 1, "f", &err, &config), RT_OK, "%s", err.message);
    stockade_config_free(config);
    cr_expect_eq(stockade_config_parse(text, len, "f", &err, &config), RT_E_CONFIG);
    cr_expect(strstr(err.message, "larger than 1048576"), "%s", err.message);
    cr_expect_eq(stockade_config_parse("{}\0", 3, "f", &err, &config), RT_E_CONFIG);
    cr_expect(strstr(err.message, "f:1:3: a NUL byte"), "%s", err.message);
    free(text);
}

/* Whatever stands there, parsing ends, with a config or an error that has a message. */
Test(host_config, B1_cut_and_bent_text)
{
    static const char text[] =
        "{ \"runtime\": \"a\\\\\", // c\n \"plugin_path\": [\"/\\u00e9\"], /* d */ \"rules\": [{\"pattern\":"
        " \"a\", \"permission\": \"read\", \"priority\": -1e2}] }";

    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        for (int bent = 0; bent < 256; bent += 5) {
            char copy[sizeof text];
            rt_error err = RT_ERROR_INIT;
            stockade_config *config = NULL;

            memcpy(copy, text, sizeof copy);
            copy[cut] = (char)bent;
            if (stockade_config_parse(copy, bent ? sizeof text - 1 : cut, "f", &err, &config))
                cr_expect(*err.message && !config, "cut at %zu, byte %d", cut, bent);
            stockade_config_free(config);
        }
    }
}

Test(host_config, errors_may_be_ignored)
{
    stockade_config *config;

    cr_expect_eq(parse("{ \"x\": 1 }", NULL, &config), RT_E_CONFIG);
    cr_expect_eq(parse("{", NULL, &config), RT_E_CONFIG);
    cr_expect_eq(stockade_config_load("/nonexistent", NULL, &config), RT_E_CONFIG);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

Test(host_config, default_file_is_found_and_none_is_fine)
{
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;
    char file[128];

    unsetenv("STOCKADE_CONFIG");
    setenv("XDG_CONFIG_HOME", dir, 1);
    if (access("/etc/stockade/config.json", F_OK)) {
        cr_assert_eq(stockade_config_load(NULL, &err, &config), RT_OK, "%s", err.message);
        cr_expect_null(stockade_config_file(config));
        stockade_config_free(config);
    }
    cr_assert(tree_put(dir, "stockade/config.json", "{ \"runtime\": \"xdg\" }"));
    cr_assert_eq(stockade_config_load(NULL, &err, &config), RT_OK, "%s", err.message);
    cr_expect_str_eq(stockade_config_runtime(config), "xdg");
    stockade_config_free(config);
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir, 1);
    cr_assert(tree_put(dir, ".config/stockade/config.json", "{ \"runtime\": \"home\" }"));
    cr_assert_eq(stockade_config_load(NULL, &err, &config), RT_OK, "%s", err.message);
    cr_expect_str_eq(stockade_config_runtime(config), "home");
    stockade_config_free(config);
    cr_assert(tree_put(dir, "named.json", "{ \"runtime\": \"named\" }"));
    snprintf(file, sizeof file, "%s/named.json", dir);
    setenv("STOCKADE_CONFIG", file, 1);
    cr_assert_eq(stockade_config_load(NULL, &err, &config), RT_OK, "%s", err.message);
    cr_expect_str_eq(stockade_config_runtime(config), "named");
    cr_expect_str_eq(stockade_config_file(config), file);
    stockade_config_free(config);
}

Test(host_config, B1_named_file_must_be_there_and_a_file)
{
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;

    cr_expect_eq(stockade_config_load("/nonexistent/c.json", &err, &config), RT_E_CONFIG);
    cr_expect(strstr(err.message, "/nonexistent/c.json: No such file"), "%s", err.message);
    cr_expect_eq(stockade_config_load(dir, &err, &config), RT_E_CONFIG);
    cr_expect(strstr(err.message, "not a regular file"), "%s", err.message);
    setenv("STOCKADE_CONFIG", "/nonexistent/env.json", 1);
    cr_expect_eq(stockade_config_load(NULL, &err, &config), RT_E_CONFIG);
    cr_expect(strstr(err.message, "/nonexistent/env.json"), "%s", err.message);
}

/* ---- the schema checker ---------------------------------------------------------------------------------------- */

static cJSON *json_of(const char *text)
{
    cJSON *json = cJSON_Parse(text);

    cr_assert(json, "%s", text);
    return json;
}

Test(host_config, own_schema_is_sound)
{
    rt_error err = RT_ERROR_INIT;
    cJSON *schema = json_of(stockade_config_schema());
    const cJSON *presets = cJSON_GetObjectItem(cJSON_GetObjectItem(schema, "properties"), "preset"), *item;
    size_t i = 0;

    cr_expect_eq(host_schema_verify(schema, &err), RT_OK, "%s", err.message);
    cJSON_ArrayForEach (item, cJSON_GetObjectItem(presets, "enum")) {
        const char *name = stockade_preset_name(i++);

        cr_assert(name);
        cr_expect_str_eq(item->valuestring, name, "the schema and the presets must agree");
    }
    cr_expect_null(stockade_preset_name(i));
    cJSON_Delete(schema);
}

ParameterizedTestParameters(host_config, malformed_schema_is_the_plugins_fault)
{
    static struct refusal cases[] = {
        { "{ \"oneOf\": [] }", "schema.oneOf: unknown keyword" },
        { "{ \"type\": \"text\" }", "schema.type: malformed" },
        { "{ \"type\": [] }", "schema.type: malformed" },
        { "{ \"properties\": { \"a\": { \"pattern\": \"[\" } } }", "schema.properties.a.pattern: malformed" },
        { "{ \"properties\": 3 }", "schema.properties: malformed" },
        { "{ \"items\": 3 }", "schema.items: expected a schema" },
        { "{ \"additionalProperties\": { \"x\": 1 } }", "schema.additionalProperties.x: unknown keyword" },
        { "{ \"minimum\": \"3\" }", "schema.minimum: malformed" },
        { "{ \"minItems\": -1 }", "schema.minItems: malformed" },
        { "{ \"enum\": [] }", "schema.enum: malformed" },
        { "{ \"required\": [1] }", "schema.required: malformed" },
        { "[]", "schema: expected a schema" },
    };

    return cr_make_param_array(struct refusal, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct refusal *c, host_config, malformed_schema_is_the_plugins_fault)
{
    rt_error err = RT_ERROR_INIT;
    cJSON *schema = json_of(c->text);

    cr_expect_eq(host_schema_verify(schema, &err), RT_E_INTERNAL, "%s", c->text);
    cr_expect(strstr(err.message, c->message), "'%s' lacks '%s'", err.message, c->message);
    cJSON_Delete(schema);
}

struct check {
    char schema[96];
    char value[48];
    bool fits;
};

ParameterizedTestParameters(host_config, schema_keywords)
{
    static struct check cases[] = {
        { "{ \"type\": \"integer\" }", "3", true },
        { "{ \"type\": \"integer\" }", "3.0", true },
        { "{ \"type\": \"integer\" }", "3.5", false },
        { "{ \"type\": \"integer\" }", "9007199254740992", true },
        { "{ \"type\": \"integer\" }", "1e300", false },
        { "{ \"type\": \"number\" }", "3.5", true },
        { "{ \"type\": \"number\" }", "1e999", false },
        { "{ \"type\": [\"string\", \"integer\"] }", "\"x\"", true },
        { "{ \"type\": [\"string\", \"integer\"] }", "true", false },
        { "{ \"type\": \"boolean\" }", "false", true },
        { "{ \"type\": \"boolean\" }", "0", false },
        { "{ \"type\": \"null\" }", "null", true },
        { "{ \"minimum\": 2, \"maximum\": 4 }", "2", true },
        { "{ \"minimum\": 2, \"maximum\": 4 }", "4.001", false },
        { "{ \"minimum\": 2 }", "1", false },
        { "{ \"maximum\": 2 }", "3", false },
        { "{ \"enum\": [1, \"a\", true] }", "\"a\"", true },
        { "{ \"enum\": [1, \"a\", true] }", "\"A\"", false },
        { "{ \"enum\": [1, \"a\", true] }", "true", true },
        { "{ \"pattern\": \"^[0-9]+s$\" }", "\"30s\"", true },
        { "{ \"pattern\": \"^[0-9]+s$\" }", "\"30\"", false },
        { "{ \"maxLength\": 2 }", "\"ab\"", true },
        { "{ \"maxLength\": 2 }", "\"abc\"", false },
        { "{ \"items\": { \"type\": \"string\" }, \"minItems\": 1 }", "[\"a\"]", true },
        { "{ \"items\": { \"type\": \"string\" }, \"minItems\": 1 }", "[]", false },
        { "{ \"items\": { \"type\": \"string\" } }", "[\"a\", 1]", false },
        { "{ \"required\": [\"a\"] }", "{ \"a\": 1 }", true },
        { "{ \"required\": [\"a\"] }", "{ \"A\": 1 }", false },
        { "{ \"additionalProperties\": false }", "{ \"a\": 1 }", false },
        { "{ \"properties\": { \"a\": {} }, \"additionalProperties\": false }", "{ \"a\": 1 }", true },
        { "{ \"additionalProperties\": { \"type\": \"string\" } }", "{ \"a\": 1 }", false },
    };

    return cr_make_param_array(struct check, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct check *c, host_config, schema_keywords)
{
    rt_error err = RT_ERROR_INIT;
    cJSON *schema = json_of(c->schema), *value = json_of(c->value);
    int32_t status;

    cr_assert_eq(host_schema_verify(schema, &err), RT_OK, "%s", err.message);
    status = host_schema_check(schema, value, "k", &err);
    cr_expect_eq(status, c->fits ? RT_OK : RT_E_CONFIG, "%s on %s: %s", c->schema, c->value, err.message);
    if (status)
        cr_expect_eq(strncmp(err.message, "k", 1), 0, "%s", err.message);
    cJSON_Delete(schema);
    cJSON_Delete(value);
}

/* A path or a value that is longer than a message is cut, and what is left is whole characters. */
Test(host_config, long_names_are_cut_at_a_character)
{
    char text[3000] = "{ \"", *at = text + 3;
    rt_error err = RT_ERROR_INIT;
    stockade_config *config;

    for (int i = 0; i < 600; i++)
        at = stpcpy(at, "\xC3\xA9");
    stpcpy(at, "\": 1 }");
    cr_expect_eq(parse(text, &err, &config), RT_E_CONFIG);
    cr_expect_lt(strnlen(err.message, sizeof err.message), sizeof err.message);
    cr_expect(strstr(err.message, "f.json: \xC3\xA9"), "%s", err.message);
}
