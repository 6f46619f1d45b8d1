/* Holding a container still by its Engine, which then knows of it too. */
#include "docker.h"

#include "json.h"

#include <string.h>

#define PAUSE_LIMIT_MS  15000 /* of a pause: the Engine waits until everything stands still */
#define FREEZE_PAUSE_MS 50

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

static int32_t ask_once(struct op *op, const struct record *record, const char *suffix, long *ret_http)
{
    struct engine_answer answer;
    int32_t status = container_call(op, "POST", record->backend_id, suffix, PAUSE_LIMIT_MS, &answer);

    *ret_http = answer.http;
    engine_answer_release(&answer);
    return status;
}

/*
 * A process in the middle of a call, to the workspace say, stands still only after it. With cgroups of version 1 runc
 * waits a quarter of a second for that, and gives up with these words, which Podman does not pass on; everything moves
 * on then.
 */
static bool is_unfrozen(const struct op *op, long http)
{
    const char *why = op->err->message;

    return http == 500 && (strstr(why, "unable to freeze") || strstr(why, "failed: exit status"));
}

/* Again while something is in a call. */
static int32_t ask(struct op *op, const struct record *record, bool want)
{
    int64_t until = now_ns() + PAUSE_LIMIT_MS * NS_PER_MS;

    for (;;) {
        long http;
        int32_t status = ask_once(op, record, want ? "/pause" : "/unpause", &http), cut;

        if (!status || !is_unfrozen(op, http) || now_ns() >= until)
            return status;
        cut = op_sleep_ms(op, FREEZE_PAUSE_MS);
        if (cut)
            return cut;
    }
}

/* What failed may have been done all the same, by a request whose answer was lost and that was made again. */
static int32_t pause_set(struct op *op, const struct record *record, bool want)
{
    int32_t status = ask(op, record, want);
    bool has = !want;
    struct op aside;

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
