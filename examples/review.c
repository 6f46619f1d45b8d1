/*
 * A host that reviews before it commits: runs a command on a copy of a directory that costs nothing, looks at what it
 * changed, and applies that only if it is of one kind: no file is deleted, and none below .git is touched.
 *
 *     review DIR COMMAND
 */
#include <stdio.h>
#include <stockade.h>
#include <string.h>

static int is_welcome(const rt_change *change)
{
    return change->kind != RT_CHANGE_DELETED && strncmp(change->path, ".git/", 5) != 0 && !change->conflict;
}

/* Prints the changes. Returns whether all of them are welcome. */
static int review(const rt_changes *changes)
{
    int welcome = 1;

    for (size_t i = 0; i < changes->n; i++) {
        int ok = is_welcome(changes->items[i]);

        printf("%s %s\n", ok ? "ok     " : "refused", changes->items[i]->path);
        welcome = welcome && ok;
    }
    return welcome;
}

/* Returns 0 if the changes were committed, 2 if they were refused, 1 if something failed. */
static int judge(stockade_runtime *sb, rt_call *call)
{
    rt_changes *changes, *done = NULL;
    int32_t status;
    int code = 2;

    if (sb->ops->changes_list(sb->rt, "review", call, &changes))
        return 1;
    if (review(changes)) {
        /* Should the host's own files change just now, that is a conflict, and nothing is applied. */
        status = sb->ops->changes_commit(sb->rt, "review", NULL, call, &done);
        code = status ? 1 : 0;
        sb->ops->changes_free(done);
    }
    sb->ops->changes_free(changes);
    return code;
}

static int run(stockade_runtime *sb, const rt_sandbox_spec *spec, const char *command, rt_call *call)
{
    rt_exec_request request = { .size = sizeof request, .shell = command };
    rt_exec_result *result;

    if (sb->ops->create(sb->rt, spec, call, NULL) || sb->ops->start(sb->rt, "review", call) ||
        sb->ops->exec(sb->rt, "review", &request, call, &result))
        return 1;
    printf("exit code %d\n%s%s", result->exit.exit_code, result->stdout_data, result->stderr_data);
    sb->ops->exec_result_free(result);
    return judge(sb, call);
}

int main(int argc, char **argv)
{
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb;
    stockade_rules *rules;
    rt_sandbox_spec spec = { .size = sizeof spec, .id = "review", .workspace_mode = RT_WORKSPACE_DELTA };
    int code = 1;

    if (argc != 3)
        return fprintf(stderr, "usage: review DIR COMMAND\n"), 1;
    if (stockade_open(NULL, &call, &sb))
        return fprintf(stderr, "%s\n", call.error.message), 1;
    spec.codebase = argv[1];
    if (!stockade_rules_new(&call.error, &rules)) {
        if (!stockade_rules_add_preset(rules, "development", &call.error)) {
            spec.rules = stockade_rules_items(rules, &spec.n_rules);
            code = run(sb, &spec, argv[2], &call);
        }
        stockade_rules_free(rules);
    }
    if (call.error.status)
        fprintf(stderr, "%s: %s\n", call.error.op, call.error.message);
    stockade_close(sb); /* the sandbox ends with its host, and what was not committed with it */
    return code;
}
