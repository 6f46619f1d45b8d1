#include "cli.h"

bool host_load_config(struct host *host, const struct open_args *args)
{
    rt_error err = RT_ERROR_INIT;

    if (!stockade_config_load(args->config_file, &err, &host->config))
        return true;
    report_error("%s", err.message);
    return false;
}

bool host_open(struct host *host, const struct open_args *args)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;

    if (!host->config && !host_load_config(host, args))
        return false;
    options.runtime = args->runtime;
    options.config = host->config;
    options.state_dir = args->state_dir;
    options.log = report_log;
    if (!stockade_open(&options, &host->call, &host->sb))
        return true;
    report_error("%s", host->call.error.message);
    return false;
}

void host_close(struct host *host)
{
    stockade_close(host->sb);
    stockade_config_free(host->config);
}
