/* Contract W14: with audit on, every denied operation and every first write to a file is a line of JSON. */
#include "fixture.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>

/* What the runtime has logged so far. */
static struct {
    pthread_mutex_t lock;
    char *text; /* lines */
} logged = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void log_keep(void *user, int32_t level, const char *message)
{
    char *longer;

    (void)user;
    if (*message != '{')
        return;
    pthread_mutex_lock(&logged.lock);
    if (asprintf(&longer, "%s%d %s\n", logged.text ? logged.text : "", (int)level, message) >= 0) {
        free(logged.text);
        logged.text = longer;
    }
    pthread_mutex_unlock(&logged.lock);
}

/* The fixture's runtime once more, with a log. */
static void audit_begin(void)
{
    const rt_open_params params = { .size = sizeof params,
                                    .config = getenv("STOCKADE_TEST_CONFIG"),
                                    .state_dir = fx.state,
                                    .libexec_dir = getenv("STOCKADE_TEST_LIBEXEC"),
                                    .log = log_keep };

    fixture_close();
    ASSERT_STATUS(RT_OK, fx.ops->open(&params, CALL, &fx.rt));
}

static void box_up_audited(const rt_rule *rules, size_t n, const char *file)
{
    rt_sandbox_spec spec = box_spec("box");

    spec.rules = rules;
    spec.n_rules = n;
    spec.flags = RT_SANDBOX_AUDIT;
    spec.audit_file = file;
    box_up_spec(&spec);
}

/* How many lines have all these members, as texts. */
static int lines_with(const char *text, const char *event, const char *op, const char *path)
{
    int n = 0;

    while (text && *text) {
        size_t len = strcspn(text, "\n");
        const char *start = memchr(text, '{', len);
        cJSON *json = start ? cJSON_ParseWithLength(start, len - (size_t)(start - text)) : NULL;

        cr_assert(json, "no JSON: %.*s", (int)len, text);
#define IS(key, want) (!(want) || !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(json, key)) ?: "", want))
        n += IS("event", event) && IS("op", op) && IS("path", path) && IS("sandbox", "box");
#undef IS
        cJSON_Delete(json);
        text += len + (text[len] == '\n');
    }
    return n;
}

static int log_lines(const char *event, const char *op, const char *path)
{
    int n;

    pthread_mutex_lock(&logged.lock);
    n = lines_with(logged.text, event, op, path);
    pthread_mutex_unlock(&logged.lock);
    return n;
}

#define EXPECT_LINES(relation, n, ...) cr_expect_##relation(log_lines(__VA_ARGS__), n, "of all these:\n%s", logged.text)

/* Waits for a line to come through the log; the thread that brings it is the plugin's. */
static bool log_await(const char *event, const char *op, const char *path)
{
    return AWAIT(log_lines(event, op, path) > 0);
}

static void audit_end(void)
{
    fixture_reopen(); /* no line comes any more */
    free(logged.text);
    logged.text = NULL;
}

CONFORMANCE_TEST(audit, W14_denials_and_first_writes)
{
    const rt_rule rules[] = { WRITE_ALL,
                              GLOB("ro/**", RT_PERM_READ),
                              GLOB("hid/**", RT_PERM_NONE),
                              FILE_RULE("seen", RT_PERM_VIEW),
                              GLOB("d/ro", RT_PERM_READ),
                              PROBE_RULE };

    NEED(RT_CAP_AUDIT);
    HOST_MUST(tree_put(fx.codebase, "ro/f", "x") && tree_put(fx.codebase, "hid/f", "x"));
    HOST_MUST(tree_put(fx.codebase, "seen", "x") && tree_put(fx.codebase, "w", "x") &&
              tree_put(fx.codebase, "d/ro", ""));
    probe_install();
    audit_begin();
    box_up_audited(rules, 6, NULL);
    EXPECT_OPS("box", { "read:w", "ok" }, { "stat:seen", "ok" }, { "read:ro/f", "ok" });
    EXPECT_OPS("box", { "write:ro/f", "EACCES" }, { "create:ro/new", "EACCES" }, { "unlink:ro/f", "EACCES" },
               { "mkdir:ro/d", "EACCES" }, { "read:seen", "EACCES" }, { "stat:hid", "ENOENT" },
               { "create:hid", "EACCES" }, { "rename:w:ro/w", "EACCES" }, { "rename:d:d2", "EXDEV" },
               { "chmod:ro/f", "EACCES" });
    EXPECT_OPS("box", { "write:w", "ok" }, { "write:w", "ok" }, { "create:new", "ok" }, { "truncate:ro/f", "EACCES" },
               { "unlink:d/ro", "EACCES" });
    cr_expect(log_await("denied", "unlink", "d/ro")); /* the last; all others came before it */
    EXPECT_LINES(geq, 2, "denied", "setattr", "ro/f");
    EXPECT_LINES(geq, 1, "denied", "open", "ro/f");
    EXPECT_LINES(geq, 1, "denied", "create", "ro/new");
    EXPECT_LINES(geq, 1, "denied", "unlink", "ro/f");
    EXPECT_LINES(geq, 1, "denied", "mkdir", "ro/d");
    EXPECT_LINES(geq, 1, "denied", "open", "seen");
    EXPECT_LINES(geq, 1, "denied", "lookup", "hid");
    EXPECT_LINES(geq, 1, "denied", "rename", "ro/w");
    EXPECT_LINES(geq, 1, "denied", "rename", "d");
    EXPECT_LINES(eq, 1, "write", NULL, "w");
    EXPECT_LINES(eq, 1, "write", "create", "new");
    EXPECT_LINES(eq, 0, "denied", NULL, "w");
    EXPECT_LINES(eq, 0, "write", NULL, "ro/f");
    audit_end();
}

/* Every look at a hidden name is one, though the kernel remembers what is missing. */
CONFORMANCE_TEST(audit, W14_hidden_names_again_and_again)
{
    const rt_rule rules[] = { WRITE_ALL, FILE_RULE("hid", RT_PERM_NONE), PROBE_RULE };

    NEED(RT_CAP_AUDIT);
    HOST_MUST(tree_put(fx.codebase, "hid", "x") && tree_put(fx.codebase, "w", "x"));
    probe_install();
    audit_begin();
    box_up_audited(rules, 3, NULL);
    EXPECT_OPS("box", { "stat:hid", "ENOENT" }, { "stat:hid", "ENOENT" }, { "stat:hid", "ENOENT" },
               { "write:w", "ok" });
    cr_expect(log_await("write", NULL, "w"));
    EXPECT_LINES(geq, 3, "denied", "lookup", "hid");
    audit_end();
}

/* Names that are no text, in a file of the host's choosing, which the sandbox cannot reach. */
CONFORMANCE_TEST(audit, W14_to_a_file)
{
    const rt_rule rules[] = { WRITE_ALL, GLOB("[!.]*", RT_PERM_READ), PROBE_RULE };
    char *file, *text;

    NEED(RT_CAP_AUDIT);
    HOST_MUST(asprintf(&file, "%s/audit.jsonl", fx.dir) > 0);
    HOST_MUST(tree_put(fx.dir, "audit.jsonl", "{\"what\":\"was there\"}\n"));
    probe_install();
    box_up_audited(rules, 3, file);
    EXPECT_OPS("box", { "create:\xff\"\\", "EACCES" }, { "create:.ok", "ok" });
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    text = tree_read(fx.dir, "audit.jsonl", NULL);
    HOST_MUST(text);
    cr_expect(!strncmp(text, "{\"what\":\"was there\"}\n", 21), "a file is appended to: %s", text);
    cr_expect_geq(lines_with(text, "denied", "create", "\\xff\"\\\\"), 1, "%s", text);
    cr_expect_eq(lines_with(text, "write", "create", ".ok"), 1, "%s", text);
    free(text);
    free(file);
}

CONFORMANCE_TEST(audit, W14_files_that_will_not_do)
{
    rt_sandbox_spec spec = box_spec("box");
    char *inside;

    NEED(RT_CAP_AUDIT);
    spec.flags = RT_SANDBOX_AUDIT;
    spec.audit_file = "relative";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_NAMES("relative");
    HOST_MUST(asprintf(&inside, "%s/log", fx.codebase) > 0);
    spec.audit_file = inside;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_STATUS(RT_E_INVAL, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_NAMES(inside);
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    spec.audit_file = "/nonexistent/audit";
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    cr_expect_neq(fx.ops->start(fx.rt, "box", CALL), RT_OK);
    EXPECT_NAMES("/nonexistent/audit");
    free(inside);
}

/* Denials without end neither slow the sandbox down to the writer's pace nor fill the log. */
CONFORMANCE_TEST(audit, W14_a_flood)
{
    const rt_rule rules[] = { READ_ALL, FILE_RULE("w", RT_PERM_WRITE), PROBE_RULE };
    const struct run *r;

    NEED(RT_CAP_AUDIT);
    HOST_MUST(tree_put(fx.codebase, "f", "x") && tree_put(fx.codebase, "w", "x"));
    probe_install();
    audit_begin();
    box_up_audited(rules, 3, NULL);
    r = sh("box", "i=0; while [ $i -lt 1500 ]; do i=$((i+1)); { echo > new; } 2>/dev/null; done; echo $i");
    cr_expect(run_is(r, 0, "1500\n"), "%s", run_describe(r));
    cr_expect(log_await("suppressed", NULL, NULL) || log_lines("denied", "create", "new") == 1500);
    audit_end();
}

/* Without it there is nothing. And rules that are replaced are told. */
CONFORMANCE_TEST(audit, W14_off_and_rules_update)
{
    const rt_rule rules[] = { READ_ALL, PROBE_RULE };
    rt_sandbox_info *info = NULL;

    NEED(RT_CAP_AUDIT);
    probe_install();
    audit_begin();
    BOX_UP("quiet", READ_ALL, PROBE_RULE);
    EXPECT_OPS("quiet", { "create:new", "EACCES" });
    box_up_audited(rules, 2, NULL);
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect_eq(info->flags, RT_SANDBOX_AUDIT);
    fx.ops->sandbox_info_free(info);
    if (fx.plugin.info->capabilities & RT_CAP_RULES_UPDATE) {
        ASSERT_STATUS(RT_OK, fx.ops->rules_update(fx.rt, "box", rules, 1, CALL));
        cr_expect(log_await("rules", NULL, NULL));
    }
    EXPECT_LINES(eq, 0, "denied", NULL, NULL);
    audit_end();
}
