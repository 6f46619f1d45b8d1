/* Holding a container still by its Engine, which then knows of it too. */
#include "docker.h"

#define PAUSE_LIMIT_MS 15000 /* of a pause: the Engine waits until everything stands still */

static int32_t container_post(struct op *op, const struct record *record, const char *what)
{
    struct engine_answer answer;
    int32_t status = container_call(op, "POST", record->backend_id, what, PAUSE_LIMIT_MS, &answer);

    engine_answer_release(&answer);
    return status;
}

int32_t docker_pause(struct op *op, const struct record *record)
{
    int32_t status = container_post(op, record, "/pause");

    return status ? op_wrap(op, status, "pause the container") : RT_OK;
}

int32_t docker_resume(struct op *op, const struct record *record)
{
    int32_t status = container_post(op, record, "/unpause");

    return status ? op_wrap(op, status, "resume the container") : RT_OK;
}
