/* Ops for plugins that never get as far as a sandbox: all that a table must have, each one refusing. */
#ifndef STOCKADE_TEST_REFUSE_H
#define STOCKADE_TEST_REFUSE_H

#include "runtime_api.h"

#include <stdio.h>

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"

/* The library under test finds it by name. */
__attribute__((visibility("default"))) const rt_plugin *rt_plugin_entry(void);

static int32_t refuse(rt_call *call)
{
    if (call) {
        call->error.status = RT_E_IO;
        call->error.sys_errno = 0;
        snprintf(call->error.message, sizeof call->error.message, "this plugin refuses everything");
    }
    return RT_E_IO;
}

static int32_t refuse_open(const rt_open_params *params, rt_call *call, rt_runtime **ret)
{
    return refuse(call);
}

static void refuse_close(rt_runtime *rt)
{
}

static int32_t refuse_probe(rt_runtime *rt, rt_call *call, rt_probe **ret)
{
    return refuse(call);
}

static int32_t refuse_create(rt_runtime *rt, const rt_sandbox_spec *spec, rt_call *call, rt_sandbox_info **ret)
{
    return refuse(call);
}

static int32_t refuse_id(rt_runtime *rt, const char *id, rt_call *call)
{
    return refuse(call);
}

static int32_t refuse_get(rt_runtime *rt, const char *id, rt_call *call, rt_sandbox_info **ret)
{
    return refuse(call);
}

static int32_t refuse_list(rt_runtime *rt, rt_call *call, rt_sandbox_list **ret)
{
    return refuse(call);
}

static int32_t refuse_exec(rt_runtime *rt, const char *id, const rt_exec_request *req, rt_call *call,
                           rt_exec_result **ret)
{
    return refuse(call);
}

static void refuse_probe_free(rt_probe *probe)
{
}

static void refuse_info_free(rt_sandbox_info *info)
{
}

static void refuse_list_free(rt_sandbox_list *list)
{
}

static void refuse_result_free(rt_exec_result *result)
{
}

/* What every plugin must have, and nothing else. */
#define REFUSE_OPS                                                                                                     \
    .size = sizeof(rt_ops), .open = refuse_open, .close = refuse_close, .probe = refuse_probe,                         \
    .create = refuse_create, .start = refuse_id, .stop = refuse_id, .destroy = refuse_id, .get = refuse_get,           \
    .list = refuse_list, .exec = refuse_exec, .probe_free = refuse_probe_free, .sandbox_info_free = refuse_info_free,  \
    .sandbox_list_free = refuse_list_free, .exec_result_free = refuse_result_free

#define REFUSE_PLUGIN(plugin_name, table)                                                                              \
    .abi_major = RT_ABI_MAJOR, .abi_minor = RT_ABI_MINOR, .size = sizeof(rt_plugin), .name = plugin_name,              \
    .version = "0.0.1", .summary = "a plugin for tests", .config_schema = "{\"type\":\"object\"}",                     \
    .default_config = "{}", .ops = table

#endif
