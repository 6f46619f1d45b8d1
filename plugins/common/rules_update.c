/* rules_update: other rules for a sandbox, at once where it runs, and on disk for its next start (contract W11). */
#include "ops.h"
#include "permfs_client.h"
#include "record.h"

#include <cjson/cJSON.h>

/* The record with other rules, for record_release; takes rules over. */
static int32_t record_with_rules(struct op *op, const struct record *record, cJSON *rules, struct record *ret)
{
    struct record with = *record;

    with.json = cJSON_Duplicate(record->json, true);
    cJSON_DeleteItemFromObjectCaseSensitive(with.json, "rules");
    if (!with.json || !cJSON_AddItemToObject(with.json, "rules", rules)) {
        cJSON_Delete(rules);
        cJSON_Delete(with.json);
        return op_fail(op, RT_E_NOMEM, 0, "the rules");
    }
    if (!spec_from_json(with.json, &with.spec)) {
        cJSON_Delete(with.json);
        return op_fail(op, RT_E_NOMEM, 0, "the rules");
    }
    *ret = with;
    return RT_OK;
}

/*
 * The record comes first: if this process dies in between, the next start has the rules that were asked for, and the
 * caller has had no answer. If the daemon does not take them, the record becomes what it was.
 */
static int32_t rules_apply(struct op *op, const struct locked *locked, const struct record *with)
{
    int32_t status = record_save(op, locked->box_fd, with);
    struct op quiet;

    if (status || !record_runs(with))
        return status;
    status = permfs_set_rules(op, with, locked->box_fd);
    op_init_quiet(&quiet, op->rt);
    if (status && record_save(&quiet, locked->box_fd, &locked->record))
        op_wrap(op, status, "the new rules hold from the next start on only");
    return status;
}

static int32_t rules_update(struct op *op, const char *id, cJSON *rules)
{
    struct locked locked;
    struct record with;
    int32_t status = record_lock(op, id, &locked);

    if (status) {
        cJSON_Delete(rules);
        return status;
    }
    status = record_with_rules(op, &locked.record, rules, &with);
    if (!status) {
        status = rules_apply(op, &locked, &with);
        record_release(&with);
    }
    record_unlock(&locked);
    return status;
}

int32_t op_rules_update(rt_runtime *rt, const char *id, const rt_rule *rules, size_t n_rules, rt_call *call)
{
    cJSON *json = cJSON_CreateArray();
    struct op op;
    int32_t status = op_begin(&op, rt, call, "rules_update");

    if (!status)
        status = json ? rules_to_json(rules, n_rules, json, op.err) : op_fail(&op, RT_E_NOMEM, 0, "the rules");
    if (!status)
        status = rules_update(&op, id, json);
    else
        cJSON_Delete(json);
    return op_end(&op, status);
}
