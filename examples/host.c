#include <stdio.h>
#include <stockade.h>

int main(void)
{
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb;
    stockade_rules *rules;
    rt_sandbox_spec spec = { .size = sizeof spec, .id = "hello", .codebase = "." };
    rt_exec_request ls = { .size = sizeof ls, .shell = "ls -A" };
    rt_exec_result *result;

    if (stockade_open(NULL, &call, &sb)) /* the runtime that the config names; bwrap if it names none */
        return fprintf(stderr, "%s\n", call.error.message), 1;
    if (!stockade_rules_new(&call.error, &rules) && !stockade_rules_add_preset(rules, "agent-safe", &call.error)) {
        spec.rules = stockade_rules_items(rules, &spec.n_rules);
        if (!sb->ops->create(sb->rt, &spec, &call, NULL) && !sb->ops->start(sb->rt, "hello", &call) &&
            !sb->ops->exec(sb->rt, "hello", &ls, &call, &result)) {
            printf("exit code %d\n%s%s", result->exit.exit_code, result->stdout_data, result->stderr_data);
            sb->ops->exec_result_free(result);
        }
        stockade_rules_free(rules);
    }
    if (call.error.status)
        fprintf(stderr, "%s: %s\n", call.error.op, call.error.message);
    stockade_close(sb); /* the sandbox ends with its host */
    return 0;
}
