#include "cli.h"
#include "signals.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

int host_do(const struct open_args *open, host_work *work, const void *args)
{
    struct host host = HOST_INIT;
    int code = EXIT_OURS, signal_fd = signals_open();

    if (signal_fd < 0)
        return report_error("watch signals: %s", strerror(errno));
    if (host_open(&host, open)) {
        host.call.cancel_fd = signal_fd;
        code = work(&host, args, signal_fd);
    }
    host_close(&host);
    (void)close(signal_fd);
    return code;
}
