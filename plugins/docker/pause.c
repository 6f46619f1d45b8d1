/* Holding a container still by its Engine, which then knows of it too. */
#include "docker.h"

#include "json.h"

#define PAUSE_LIMIT_MS 15000 /* of a pause: the Engine waits until everything stands still */

/* By the Engine's own account. */
static bool is_paused(struct op *op, const struct record *record, bool *ret)
{
    struct engine_answer answer;
    int32_t status = container_call(op, "GET", record->backend_id, "/json", PAUSE_LIMIT_MS, &answer);
    const cJSON *paused =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(answer.json, "State"), "Paused");
    bool known = !status && cJSON_IsBool(paused);

    *ret = cJSON_IsTrue(paused);
    engine_answer_release(&answer);
    return known;
}

/* What failed may have been done all the same, by a request whose answer was lost and that was made again. */
static int32_t pause_set(struct op *op, const struct record *record, bool want)
{
    struct engine_answer answer;
    int32_t status =
        container_call(op, "POST", record->backend_id, want ? "/pause" : "/unpause", PAUSE_LIMIT_MS, &answer);
    bool has = !want;
    struct op aside;

    engine_answer_release(&answer);
    if (!status)
        return RT_OK;
    op_init_aside(&aside, op);
    if (is_paused(&aside, record, &has) && has == want)
        return RT_OK;
    return op_wrap(op, status, want ? "pause the container" : "resume the container");
}

int32_t docker_pause(struct op *op, const struct record *record)
{
    return pause_set(op, record, true);
}

int32_t docker_resume(struct op *op, const struct record *record)
{
    return pause_set(op, record, false);
}
