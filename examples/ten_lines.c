/* The least that a host does: which runtime, and how it is set up, is the config file's to say. */
#include "host/stockade.h"

#include <stdio.h>

int main(void)
{
    stockade_runtime *sb;
    rt_call call = RT_CALL_INIT;
    rt_exec_result *result;
    rt_rule rule = { .size = sizeof rule, .pattern = "**", .permission = RT_PERM_READ };
    rt_sandbox_spec spec = { .size = sizeof spec, .id = "box", .codebase = ".", .rules = &rule, .n_rules = 1 };
    rt_exec_request ls = { .size = sizeof ls, .shell = "ls -l" };

    if (stockade_open(NULL, &call, &sb))
        return fprintf(stderr, "%s\n", call.error.message), 1;
    if (!sb->ops->create(sb->rt, &spec, &call, NULL) && !sb->ops->start(sb->rt, "box", &call) &&
        !sb->ops->exec(sb->rt, "box", &ls, &call, &result)) {
        fwrite(result->stdout_data, 1, result->stdout_len, stdout);
        sb->ops->exec_result_free(result);
    }
    if (call.error.status)
        fprintf(stderr, "%s: %s\n", call.error.op, call.error.message);
    sb->ops->destroy(sb->rt, "box", NULL);
    stockade_close(sb);
    return call.error.status != RT_OK;
}
