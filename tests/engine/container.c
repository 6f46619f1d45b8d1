#include "container.h"

#include "command.h"
#include "fixture.h"
#include "options.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#define DOCKER_PATH "/usr/bin/docker"

char *docker_host(void)
{
    cJSON *config = cJSON_Parse(getenv(OPTION_CONFIG) ? getenv(OPTION_CONFIG) : "{}");
    const cJSON *host = cJSON_GetObjectItemCaseSensitive(config, "docker_host");
    char *copy;

    cr_assert(cJSON_IsString(host), "--config must have docker_host");
    copy = strdup(host->valuestring);
    cJSON_Delete(config);
    return copy;
}

char *docker_text(const char *const *args)
{
    char address[512], *host = docker_host();
    const char *argv[32] = { DOCKER_PATH }, *env[] = { address, "PATH=/usr/bin:/bin", "HOME=/nonexistent", NULL };
    const struct command command = { .argv = argv, .env = env };
    struct command_result result;
    char *text;

    snprintf(address, sizeof address, "DOCKER_HOST=%s", host);
    free(host);
    for (size_t i = 1; args[i]; i++) {
        cr_assert(i < 31);
        argv[i] = args[i];
    }
    HOST_MUST(command_run(&command, &result));
    /* Podman's service fails a listing while a container that it has begun to list is removed. */
    for (int ms = 0; result.code != 0 && strstr(result.err, "container not known") && ms < HANG_MS; ms += 100) {
        command_result_release(&result);
        sleep_ms(100);
        HOST_MUST(command_run(&command, &result));
    }
    cr_assert(result.code == 0, "docker %s: %s", args[1], result.err);
    if (result.out_len && result.out[result.out_len - 1] == '\n')
        result.out[result.out_len - 1] = '\0';
    text = strdup(result.out);
    command_result_release(&result);
    return text;
}

char *container_of(const char *sandbox)
{
    rt_sandbox_info *info = NULL;
    char *id;

    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, sandbox, CALL, &info));
    id = strdup(info->backend_id);
    fx.ops->sandbox_info_free(info);
    return id;
}

int containers_of(const char *sandbox)
{
    char state[4096], filter[128], id[32] = "", label[128];
    char *text;
    FILE *file;
    int n = 0;

    snprintf(state, sizeof state, "%s/docker/state-id", fx.state);
    file = fopen(state, "re");
    HOST_MUST(file && fgets(id, sizeof id, file));
    fclose(file);
    snprintf(filter, sizeof filter, "label=stockade.state=%s", id);
    snprintf(label, sizeof label, "label=stockade.sandbox%s%s", sandbox ? "=" : "", sandbox ? sandbox : "");
    text = docker_text((const char *const[]){ "docker", "ps", "-aq", "--filter", filter, "--filter", label, NULL });
    for (const char *at = text; *at; n++)
        at += strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n');
    free(text);
    return n;
}

/* That and why; NULL if it is another, or an Engine that is busy has not told the cause yet. */
static char *status_why(const char *sandbox, int status)
{
    rt_sandbox_info *info = NULL;
    char *why = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, sandbox, CALL, &info));
    if (info->status == status && strcmp(info->last_error, "its init process has died") != 0)
        HOST_MUST((why = strdup(info->last_error)) != NULL);
    fx.ops->sandbox_info_free(info);
    return why;
}

char *await_status(const char *sandbox, int status)
{
    char *why;

    cr_assert(AWAIT((why = status_why(sandbox, status)) != NULL), "status %d", (int)box_status(sandbox));
    return why;
}

pid_t init_of(const char *container)
{
    char *text =
        docker_text((const char *const[]){ "docker", "inspect", "--format", "{{.State.Pid}}", container, NULL });
    pid_t pid = (pid_t)atoi(text);

    HOST_MUST(pid > 1);
    free(text);
    return pid;
}
