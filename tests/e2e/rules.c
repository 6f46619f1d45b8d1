/* `stockade rules`: showing and changing what a sandbox may do (contract W11). */
#include "world.h"

#include "proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void rules_world(void)
{
    world_make();
    world_need_bwrap();
}

TestSuite(rules, .init = rules_world, .fini = world_remove, .timeout = 300);

static void box_make(const char *const *more)
{
    const char *args[16] = { "create", "--start", "--name", "box" };
    size_t n = 4;

    while (*more)
        args[n++] = *more++;
    args[n] = NULL;
    stockade_expect(0, "box\n", NULL, args);
}
#define BOX(...) box_make((const char *const[]){ __VA_ARGS__, NULL })

Test(rules, W11_of_a_running_sandbox)
{
    cr_assert(tree_put(world.workspace, "a", "a") && tree_put(world.workspace, "b", "b"));
    BOX("--preset", "view-only", "--rule", "a=read", "--rule", "sub/=write,priority=3");
    EXPECT(0, "**=view,priority=-1000\na=read\nsub/=write,priority=3\n", NULL, "rules", "box");
    EXPECT(1, "a", NULL, "exec", "box", "cat", "a", "b");
    EXPECT(0, "", NULL, "rules", "box", "--set", "a=none", "--set", "b=read,type=file");
    EXPECT(0, "**=view,priority=-1000\nsub/=write,priority=3\na=none\nb=read,type=file\n", NULL, "rules", "box");
    EXPECT(0, "b\nb", NULL, "exec", "box", "--", "sh", "-c", "ls; cat b");
    EXPECT(0, "", NULL, "rules", "box", "--preset", "full-access");
    EXPECT(0, "**=write,priority=-1000\n", NULL, "rules", "box");
    EXPECT(0, "", NULL, "exec", "box", "rm", "a");
    cr_expect(!tree_exists(world.workspace, "a"));
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

/* What is shown can be given back, whatever the rules are called. */
Test(rules, W11_what_is_shown_can_be_given_back)
{
    struct command_result shown;
    char file[300];

    snprintf(file, sizeof file, "%s/file", world.dir);
    BOX("--rule", "#x=read", "--rule", "a=b=none", "--rule", "/=view", "--rule", "c,type=file=read", "--rule",
        "d=write,type=file,priority=-7");
    shown = STOCKADE("rules", "box");
    cr_expect(strstr(shown.out, "\\#x=read\na=b=none\n/=view\nc,type=file=read\nd=write,priority=-7,type=file\n"),
              "%s%s", shown.out, shown.err);
    cr_assert(tree_put(world.dir, "file", shown.out));
    EXPECT(0, "", NULL, "rules", "box", "--preset", "read-only");
    EXPECT(0, "**=read,priority=-1000\n", NULL, "rules", "box");
    EXPECT(0, "", NULL, "rules", "box", "--file", file);
    EXPECT(0, shown.out, NULL, "rules", "box");
    command_result_release(&shown);
    cr_assert(tree_put(world.dir, "file", "# mine\n\nonly=read\r\n"));
    EXPECT(0, "", NULL, "rules", "box", "--file", file, "--set", "more=view");
    EXPECT(0, "only=read\nmore=view\n", NULL, "rules", "box");
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

Test(rules, W11_json_and_a_sandbox_that_does_not_run)
{
    struct command_result result;
    const cJSON *rule;
    cJSON *json;

    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--preset", "read-only");
    EXPECT(0, "", NULL, "rules", "box", "--set", "new\n\xff=view,priority=2,type=directory");
    result = STOCKADE("rules", "--json", "box");
    json = json_of(&result);
    cr_assert_eq(cJSON_GetArraySize(json), 2);
    rule = cJSON_GetArrayItem(json, 1);
    cr_expect_str_eq(json_text(rule, "pattern"), "new\n\xEF\xBF\xBD");
    cr_expect_str_eq(json_text(rule, "type"), "directory");
    cr_expect_str_eq(json_text(rule, "permission"), "view");
    cr_expect_eq(cJSON_GetObjectItem(rule, "priority")->valueint, 2);
    cJSON_Delete(json);
    command_result_release(&result);
    result = STOCKADE("inspect", "box");
    json = json_of(&result);
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "rules")), 2);
    cr_expect(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "audit")));
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, "box\n", NULL, "start", "box");
    EXPECT(1, "", NULL, "exec", "box", "touch", "f");
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

Test(rules, errors_are_125_and_change_nothing)
{
    BOX("--preset", "read-only");
    EXPECT(125, "", "unclosed '['", "rules", "box", "--set", "ok=write", "--set", "[=read");
    EXPECT(125, "", "rule 'x'", "rules", "box", "--set", "x");
    EXPECT(125, "", "no preset 'x'", "rules", "box", "--preset", "x");
    EXPECT(125, "", "No such file", "rules", "box", "--file", "/nonexistent");
    EXPECT(125, "", "no sandbox is given", "rules");
    EXPECT(125, "", "no sandbox 'other'", "rules", "other");
    EXPECT(125, "", "too much", "rules", "box", "x");
    EXPECT(0, "**=read,priority=-1000\n", NULL, "rules", "box");
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

static bool audit_has(const char *line)
{
    char *text = tree_read(world.state, "bwrap/boxes/box/audit.jsonl", NULL);
    bool has = text && strstr(text, line);

    free(text);
    return has;
}

/* A relative path is under the caller's directory; denials are warnings on stderr too. */
Test(rules, W14_audit)
{
    char *text;

    cr_assert(tree_put(world.workspace, "f", "text"));
    EXPECT(2, "", "\"path\":\"f\"", "run", "--preset", "read-only", "--audit-file", "../audit", "-c", "echo x > f");
    text = tree_read(world.dir, "audit", NULL);
    cr_assert(text);
    cr_expect(strstr(text, "\"event\":\"denied\",\"op\":\"open\",\"path\":\"f\""), "%s", text);
    free(text);
    EXPECT(125, "", "lies in the codebase", "run", "--audit-file", "audit", "true");
    cr_expect(!tree_exists(world.workspace, "audit"));
    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start", "--audit", "--preset", "read-only");
    EXPECT(1, "", NULL, "exec", "box", "touch", "new");
    cr_expect(AWAIT(audit_has("\"op\":\"create\",\"path\":\"new\""))); /* written by the daemon in its own time */
    EXPECT(0, "box\n", NULL, "destroy", "box");
}
