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
