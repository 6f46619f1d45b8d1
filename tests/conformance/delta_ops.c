#include "delta_ops.h"

#include "fixture.h"

#include <stdio.h>

const rt_rule delta_rules[2] = { WRITE_ALL,
                                 { .size = sizeof(rt_rule),
                                   .pattern = "**/secret",
                                   .type = RT_RULE_GLOB,
                                   .permission = RT_PERM_NONE,
                                   .priority = 10 } };

void delta_up_policy(const char *id, int32_t policy)
{
    rt_sandbox_spec spec = box_spec(id);

    NEED(RT_CAP_DELTA);
    spec.rules = delta_rules;
    spec.n_rules = 2;
    spec.workspace_mode = RT_WORKSPACE_DELTA;
    spec.commit_policy = policy;
    box_up_spec(&spec);
}

void delta_up(const char *id)
{
    delta_up_policy(id, RT_COMMIT_MANUAL);
}

/* "kind path[!]" of each change, a line each, with ! for a conflict; NULL is "nothing". Static storage. */
static const char *changes_text(const rt_changes *changes)
{
    static const char kinds[] = "AMDTm"; /* by enum rt_change_kind */
    static char text[4096];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; changes && i < changes->n && len < sizeof text - 300; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%c %s%s\n", kinds[changes->items[i]->kind],
                                changes->items[i]->path, changes->items[i]->conflict ? "!" : "");
    return text;
}

void expect_changes(const char *id, const char *want)
{
    rt_changes *changes = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->changes_list(fx.rt, id, CALL, &changes));
    cr_expect(strcmp(changes_text(changes), want) == 0, "changes of %s:\n%swanted:\n%s", id, changes_text(changes),
              want);
    fx.ops->changes_free(changes);
}

void expect_commit(int32_t status, const char *id, int32_t conflicts, const char *const *paths, const char *want)
{
    const rt_commit_spec spec = { .size = sizeof spec, .paths = paths, .conflicts = conflicts };
    rt_changes *changes = NULL;

    EXPECT_STATUS(status, fx.ops->changes_commit(fx.rt, id, &spec, CALL, &changes));
    cr_expect(strcmp(changes_text(changes), want) == 0, "committed:\n%swanted:\n%s", changes_text(changes), want);
    fx.ops->changes_free(changes);
}

const char *path_of(const char *dir, const char *name)
{
    static char paths[2][512];
    static int turn;

    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", dir, name);
    return paths[turn];
}

int32_t commit(const char *id, int32_t conflicts, rt_call *call, rt_changes **ret)
{
    const rt_commit_spec spec = { .size = sizeof spec, .conflicts = conflicts };

    return fx.ops->changes_commit(fx.rt, id, &spec, call, ret);
}

bool has_leftovers(void)
{
    char *list = tree_list(fx.codebase, true);
    bool found = strstr(list, ".stockade-") != NULL;

    free(list);
    return found;
}
