#include "engine_daemon.h"

#include "command.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

pid_t engine_daemon_pid(const char *dir)
{
    char path[400];
    int pid = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/pid", dir);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%d", &pid) != 1 || pid < 2 || kill(pid, 0) < 0)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

bool engine_daemon_again(const char *dir, const char *args, char *said, size_t size)
{
    char variable[400];
    const char *argv[] = { "/bin/bash", "tests/engine.sh", "again", dir, NULL },
               *env[] = { variable, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    struct command_result result = { .code = -1 };
    int subreaper = 0;
    bool ok;

    snprintf(variable, sizeof variable, "STOCKADE_TEST_DOCKERD_ARGS=%s", args);
    (void)prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
    ok = command_run(&(struct command){ .argv = argv, .env = env }, &result);
    (void)prctl(PR_SET_CHILD_SUBREAPER, subreaper);
    snprintf(said, size, "%s", ok ? result.err : "tests/engine.sh cannot be run");
    command_result_release(&result);
    return ok && result.code == 0;
}
