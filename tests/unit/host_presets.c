/* Presets and rules: what each preset gives at which path, by the engine that permfs runs (contract W1-W5). */
#include "host/stockade.h"
#include "permfs/rules.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(host_presets, .timeout = 300);

/* ---- a list of rules, compiled --------------------------------------------------------------------------------- */

static struct rules *list_compile(const stockade_rules *list)
{
    struct rule_source *src;
    struct rules *rules = NULL;
    const rt_rule *items;
    const char *why = "";
    size_t n, bad = 0;

    items = stockade_rules_items(list, &n);
    src = calloc(n ? n : 1, sizeof *src);
    cr_assert(src);
    for (size_t i = 0; i < n; i++)
        src[i] = (struct rule_source){ items[i].pattern, (enum rule_type)items[i].type, (enum perm)items[i].permission,
                                       items[i].priority };
    cr_assert_eq(rules_compile(src, n, &rules, &bad, &why), 0, "rule %zu: %s", bad, why);
    free(src);
    return rules;
}

/* Components that are followed by a slash are directories. */
static enum perm perm_at(struct rules *rules, const char *path)
{
    const struct rule_state *state = rules_root(rules);

    for (const char *at = path; *at;) {
        size_t len = strcspn(at, "/");

        state = rules_child(rules, state, at, len, at[len] == '/');
        cr_assert(state);
        at += len + (at[len] == '/');
    }
    return rule_state_perm(state);
}

static struct rules *preset_compile(const char *preset, const char *rule)
{
    rt_error err = RT_ERROR_INIT;
    stockade_rules *list;
    struct rules *rules;

    cr_assert_eq(stockade_rules_new(&err, &list), RT_OK);
    cr_assert_eq(stockade_rules_add_preset(list, preset, &err), RT_OK, "%s", err.message);
    if (*rule)
        cr_assert_eq(stockade_rules_add_text(list, rule, &err), RT_OK, "%s", err.message);
    rules = list_compile(list);
    stockade_rules_free(list);
    return rules;
}

/* ---- what each preset gives ------------------------------------------------------------------------------------ */

enum { N = PERM_NONE, V = PERM_VIEW, R = PERM_READ, W = PERM_WRITE };

struct place {
    char path[64];
    int agent_safe, read_only, full_access, development, view_only;
};

ParameterizedTestParameters(host_presets, permission_at)
{
    static struct place cases[] = {
        { "src/main.c", R, R, W, W, V },
        { "src/", R, R, W, W, V },
        { "output/", W, R, W, W, V },
        { "output/deep/er/file", W, R, W, W, V },
        { "tmp/x", W, R, W, W, V },
        { "outputs/x", R, R, W, W, V },
        { "src/output/x", R, R, W, W, V },
        { ".env", N, R, W, N, V },
        { ".ENV", N, R, W, N, V },
        { ".Env.Local", N, R, W, N, V },
        { "a/b/c/.env.production", N, R, W, N, V },
        { "prod.env", N, R, W, N, V },
        { "output/.env", N, R, W, N, V },
        { "tmp/a/.env", N, R, W, N, V },
        { ".env/bin/python", N, R, W, N, V },
        { ".envrc", N, R, W, N, V },
        { "environment.c", R, R, W, W, V },
        { "env.c", R, R, W, W, V },
        { "id_rsa", N, R, W, N, V },
        { "deploy/id_ed25519.pub", N, R, W, N, V },
        { "server.key", N, R, W, N, V },
        { "server.PEM", N, R, W, N, V },
        { "cert.p12", N, R, W, N, V },
        { "cert.pfx", N, R, W, N, V },
        { "key.c", R, R, W, W, V },
        { "keyboard/x", R, R, W, W, V },
        { "monkey", R, R, W, W, V },
        { "credentials", N, R, W, N, V },
        { "credentials.json", N, R, W, N, V },
        { "app/Credentials.yml.enc", N, R, W, N, V },
        { "secrets/", N, R, W, N, V },
        { "secrets", N, R, W, N, V },
        { "secrets/a", N, R, W, N, V },
        { "a/secrets/b/c/d", N, R, W, N, V },
        { "secrets/x/secrets/y", N, R, W, N, V },
        { "output/secrets/x", N, R, W, N, V },
        { "SECRETS/x", N, R, W, N, V },
        { "secrets.yml", N, R, W, N, V },
        { "secrets.py", R, R, W, W, V },
        { "nosecrets/x", R, R, W, W, V },
        { ".ssh/known_hosts", N, R, W, N, V },
        { "home/.aws/config", N, R, W, N, V },
        { ".gnupg/x", N, R, W, N, V },
        { ".netrc", N, R, W, N, V },
        { ".npmrc", N, R, W, N, V },
        { "sub/.pypirc", N, R, W, N, V },
        { ".docker/config.json", N, R, W, N, V },
        { ".docker/daemon.json", R, R, W, W, V },
        { "pass.kdbx", N, R, W, N, V },
        { ".git/", N, R, W, W, V },
        { ".git/HEAD", N, R, W, W, V },
        { "sub/module/.git", N, R, W, R, V },
        { "sub/.git/objects/aa/bb", N, R, W, W, V },
        { ".git/hooks/pre-commit", N, R, W, R, V },
        { ".git/hooks/", N, R, W, R, V },
        { "sub/.git/hooks/x", N, R, W, R, V },
        { ".git/config", N, R, W, R, V },
        { "sub/.git/config", N, R, W, R, V },
        { ".git/config.worktree", N, R, W, R, V },
        { ".git/commondir", N, R, W, R, V },
        { ".git/modules/a/b/hooks/x", N, R, W, R, V },
        { ".git/modules/a/config", N, R, W, R, V },
        { ".git/modules/a/HEAD", N, R, W, W, V },
        { "sub/.git", N, R, W, R, V },
        { "sub/.GIT", N, R, W, R, V },
        { ".vscode/tasks.json", R, R, W, R, V },
        { "a/b/.VSCode/x", R, R, W, R, V },
        { ".idea/", R, R, W, R, V },
        { ".husky/pre-commit", R, R, W, R, V },
        { "output/.vscode/tasks.json", R, R, W, R, V },
        { "tmp/home/.bashrc", R, R, W, R, V },
        { ".profile", R, R, W, R, V },
        { ".config/fish/config.fish", R, R, W, R, V },
        { ".config/other", R, R, W, W, V },
        { ".cargo/config.toml", R, R, W, R, V },
        { ".cargo/registry/x", R, R, W, W, V },
        { ".yarn/plugins/p.cjs", R, R, W, R, V },
        { ".yarn/cache/x", R, R, W, W, V },
        { ".envrc/x", N, R, W, N, V },
        { "Makefile", R, R, W, W, V },
        { ".gitignore", R, R, W, W, V },
        { ".git-credentials", N, R, W, N, V },
        { ".github/workflows/ci.yml", R, R, W, W, V },
    };

    return cr_make_param_array(struct place, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct place *c, host_presets, permission_at)
{
    const struct {
        const char *preset;
        int want;
    } presets[] = {
        { "agent-safe", c->agent_safe },   { "read-only", c->read_only }, { "full-access", c->full_access },
        { "development", c->development }, { "view-only", c->view_only },
    };

    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        struct rules *rules = preset_compile(presets[i].preset, "");
        int got = (int)perm_at(rules, c->path);

        cr_expect_eq(got, presets[i].want, "%s at %s: %s, expected %s", presets[i].preset, c->path,
                     stockade_permission_name(got), stockade_permission_name(presets[i].want));
        rules_unref(rules);
    }
}

/* However deep, and below whatever else is hidden or raised. */
Test(host_presets, secrets_are_hidden_in_every_nesting)
{
    static const char *const parents[] = { "",        "a/", "a/b/c/d/e/f/g/h/", "output/", "tmp/x/", "a/output/tmp/",
                                           ".github/" };
    static const char *const names[] = { ".env",
                                         ".env.local",
                                         "x.pem",
                                         "id_rsa",
                                         "credentials",
                                         "secrets/k/v",
                                         ".ssh/id",
                                         ".docker/config.json",
                                         ".config/gcloud/x",
                                         "service-account-1.json" };
    struct rules *agent = preset_compile("agent-safe", ""), *development = preset_compile("development", "");

    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            char path[128];

            snprintf(path, sizeof path, "%s%s", parents[i], names[j]);
            cr_expect_eq(perm_at(agent, path), PERM_NONE, "agent-safe shows %s", path);
            cr_expect_eq(perm_at(development, path), PERM_NONE, "development shows %s", path);
        }
    }
    rules_unref(agent);
    rules_unref(development);
}

Test(host_presets, W3_user_rules_go_over_the_preset)
{
    struct rules *rules = preset_compile("agent-safe", "/src/**=write");

    cr_expect_eq(perm_at(rules, "src/a.c"), PERM_WRITE);
    cr_expect_eq(perm_at(rules, "src/.env"), PERM_WRITE, "what the user says by name is the user's to say");
    cr_expect_eq(perm_at(rules, "lib/.env"), PERM_NONE);
    rules_unref(rules);
    rules = preset_compile("full-access", "/private/=none");
    cr_expect_eq(perm_at(rules, "private/"), PERM_NONE);
    cr_expect_eq(perm_at(rules, "private/x"), PERM_NONE);
    cr_expect_eq(perm_at(rules, "x"), PERM_WRITE);
    rules_unref(rules);
    /* A rule below the preset's range says nothing. */
    rules = preset_compile("agent-safe", "**=write,priority=-1001");
    cr_expect_eq(perm_at(rules, "a"), PERM_READ);
    rules_unref(rules);
}

Test(host_presets, priorities_stay_in_the_documented_range)
{
    const char *name;

    for (size_t i = 0; (name = stockade_preset_name(i)); i++) {
        rt_error err = RT_ERROR_INIT;
        stockade_rules *list;
        const rt_rule *items;
        size_t n;

        cr_assert_eq(stockade_rules_new(&err, &list), RT_OK);
        cr_assert_eq(stockade_rules_add_preset(list, name, &err), RT_OK, "%s", err.message);
        items = stockade_rules_items(list, &n);
        cr_expect_gt(n, 0);
        for (size_t j = 0; j < n; j++)
            cr_expect(items[j].priority >= STOCKADE_PRESET_PRIORITY_MIN &&
                          items[j].priority <= STOCKADE_PRESET_PRIORITY_MAX,
                      "%s: %s", name, items[j].pattern);
        stockade_rules_free(list);
    }
}

Test(host_presets, unknown_preset_lists_those_there_are)
{
    rt_error err = RT_ERROR_INIT;
    stockade_rules *list;

    cr_assert_eq(stockade_rules_new(&err, &list), RT_OK);
    cr_expect_eq(stockade_rules_add_preset(list, "safe", &err), RT_E_INVAL);
    cr_expect(strstr(err.message, "no preset 'safe'; there are agent-safe, read-only, full-access, development, "
                                  "view-only"),
              "%s", err.message);
    stockade_rules_free(list);
}

/* ---- rules as text --------------------------------------------------------------------------------------------- */

struct text {
    char text[48];
    char pattern[32]; /* "" = the text is refused */
    int type, permission, priority;
};

ParameterizedTestParameters(host_presets, rule_text)
{
    static struct text cases[] = {
        { "/a=read", "/a", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "a/**=none", "a/**", RT_RULE_GLOB, RT_PERM_NONE, 0 },
        { "a/=write", "a", RT_RULE_DIRECTORY, RT_PERM_WRITE, 0 },
        { "/=view", "/", RT_RULE_DIRECTORY, RT_PERM_VIEW, 0 },
        { "a=b=read", "a=b", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "a=read,priority=7", "a", RT_RULE_GLOB, RT_PERM_READ, 7 },
        { "a/=read,priority=-2147483648", "a", RT_RULE_DIRECTORY, RT_PERM_READ, INT32_MIN },
        { "a=read,type=file", "a", RT_RULE_FILE, RT_PERM_READ, 0 },
        { "a/=read,type=glob", "a/", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "a/=read,type=directory,priority=4", "a/", RT_RULE_DIRECTORY, RT_PERM_READ, 4 },
        { "a=none,priority=4,type=file", "a", RT_RULE_FILE, RT_PERM_NONE, 4 },
        { "a,type=file=view", "a,type=file", RT_RULE_GLOB, RT_PERM_VIEW, 0 },
        { "a,type=read", "a,type", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "a=read,type=files", "", 0, 0, 0 },
        { ",type=file", "", 0, 0, 0 },
        { "x,priority=3=read", "x,priority=3", RT_RULE_GLOB, RT_PERM_READ, 0 },
        { "a=read,priority=", "", 0, 0, 0 },
        { "a=read,priority=1x", "", 0, 0, 0 },
        { "a=read,priority= 1", "", 0, 0, 0 },
        { "a=read,priority=2147483648", "", 0, 0, 0 },
        { "a", "", 0, 0, 0 },
        { "a=", "", 0, 0, 0 },
        { "a=READ", "", 0, 0, 0 },
        { "a=rw", "", 0, 0, 0 },
        { "=read", "", 0, 0, 0 },
        { "", "", 0, 0, 0 },
        { "=", "", 0, 0, 0 },
        { ",priority=1", "", 0, 0, 0 },
    };

    return cr_make_param_array(struct text, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct text *c, host_presets, rule_text)
{
    rt_error err = RT_ERROR_INIT;
    stockade_rules *list;
    const rt_rule *items;
    int32_t status;
    size_t n;

    cr_assert_eq(stockade_rules_new(&err, &list), RT_OK);
    status = stockade_rules_add_text(list, c->text, &err);
    items = stockade_rules_items(list, &n);
    if (*c->pattern) {
        cr_assert_eq(status, RT_OK, "%s", err.message);
        cr_assert_eq(n, 1);
        cr_expect_str_eq(items[0].pattern, c->pattern);
        cr_expect_eq(items[0].type, c->type);
        cr_expect_eq(items[0].permission, c->permission);
        cr_expect_eq(items[0].priority, c->priority);
    } else {
        cr_expect_eq(status, RT_E_INVAL, "'%s' was taken", c->text);
        cr_expect_eq(n, 0);
        cr_expect(strstr(err.message, c->text), "%s", err.message);
    }
    stockade_rules_free(list);
}

/* "/=view" must mean the whole workspace to the engine too. */
Test(host_presets, root_directory_rule)
{
    struct rules *rules = preset_compile("full-access", "/=view");

    cr_expect_eq(perm_at(rules, "a/b"), PERM_VIEW);
    rules_unref(rules);
}

Test(host_presets, numbers_that_mean_nothing)
{
    rt_error err = RT_ERROR_INIT;
    stockade_rules *list;
    size_t n;

    cr_assert_eq(stockade_rules_new(&err, &list), RT_OK);
    cr_expect_eq(stockade_rules_add(list, "a", 3, RT_PERM_READ, 0, &err), RT_E_INVAL);
    cr_expect_eq(stockade_rules_add(list, "a", RT_RULE_GLOB, -1, 0, &err), RT_E_INVAL);
    cr_expect_eq(stockade_rules_add(list, NULL, RT_RULE_GLOB, RT_PERM_READ, 0, &err), RT_E_INVAL);
    (void)stockade_rules_items(list, &n);
    cr_expect_eq(n, 0);
    stockade_rules_free(list);
    stockade_rules_free(NULL);
}
