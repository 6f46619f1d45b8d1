#include "box_ops.h"

#include "fixture.h"

int32_t do_start(rt_call *call)
{
    return fx.ops->start(fx.rt, "box", call);
}

int32_t do_stop(rt_call *call)
{
    return fx.ops->stop(fx.rt, "box", call);
}

int32_t do_destroy(rt_call *call)
{
    return fx.ops->destroy(fx.rt, "box", call);
}

int32_t do_get(rt_call *call)
{
    rt_sandbox_info *info = NULL;
    int32_t status = fx.ops->get(fx.rt, "box", call, &info);

    fx.ops->sandbox_info_free(info);
    return status;
}

pid_t box_init_pid(void)
{
    rt_sandbox_info *info = NULL;
    pid_t pid = 0;

    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    if (strlen(info->backend_id) < 8 && strspn(info->backend_id, "0123456789") == strlen(info->backend_id))
        pid = (pid_t)atoi(info->backend_id);
    fx.ops->sandbox_info_free(info);
    if (!pid) {
        fx.ops->destroy(fx.rt, "box", NULL);
        cr_skip_test("the backend's id is no process's number");
    }
    return pid;
}
