/* Why a container died: what the Engine remembers of it, and the kernel. */
#include "docker.h"

#include "json.h"
#include "oom.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DIED_LIMIT_MS   5000 /* of the Engine's finding out that a container has ended; seconds where it is busy */
#define EVENTS_LIMIT_MS 5000

struct obituary {
    bool oom, dead;
    char code[24];
    int signal; /* that the Engine was told to send, the last */
};

/* What the exit code of an init means that a signal has killed, as a shell's does. */
static int obituary_signal(const struct obituary *obituary)
{
    int code = atoi(obituary->code);

    if (obituary->dead && code > 128) /* the agent ends with no such code by itself */
        return code - 128;
    return obituary->signal == SIGTERM ? SIGTERM : 0; /* which the agent heeds, and no other */
}

/* {"Action": "die", "Actor": {"Attributes": {"exitCode": "137"}}} and the like. */
static bool event_take(void *arg, const cJSON *event)
{
    struct obituary *obituary = arg;
    const cJSON *attributes =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(event, "Actor"), "Attributes");
    bool ok = true;
    const char *action = json_str(event, "Action", "", &ok);

    if (!strcmp(action, "oom"))
        obituary->oom = true;
    if (!strcmp(action, "kill"))
        obituary->signal = atoi(json_str(attributes, "signal", "", &ok));
    if (!strcmp(action, "die")) {
        snprintf(obituary->code, sizeof obituary->code, "%s", json_str(attributes, "exitCode", "", &ok));
        obituary->dead = true;
        return false; /* no more is to be learnt: this ends the stream */
    }
    return ok;
}

/*
 * Waits until the Engine knows of the end: a host sees an init's death before it does. What it says of that is in
 * obituary; nothing where it has removed the container since. False if it cannot be asked.
 */
static bool verdict_await(struct op *op, const struct record *record, struct obituary *obituary)
{
    struct engine_answer answer;
    bool ok = true;
    int32_t status = container_patient_call(op, "POST", record->backend_id, "/wait?condition=not-running",
                                            DIED_LIMIT_MS, 0, &answer);
    int64_t code = status ? -1 : json_int(answer.json, "StatusCode", -1, 255, -1, &ok);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(answer.json, "Error");
    /* Of a container that is removed meanwhile Podman tells a code, too, but none that counts. */
    bool counts = code >= 0 && !json_str(error, "Message", "", &ok)[0];
    bool known = answer.http == 404 || (!status && ok);

    if (known && counts) {
        snprintf(obituary->code, sizeof obituary->code, "%lld", (long long)code);
        obituary->dead = true;
    }
    engine_answer_release(&answer);
    return known;
}

/* The Engine's memory of events serves containers that it has removed by itself too. */
static void events_read(struct op *op, const struct record *record, struct obituary *obituary)
{
    struct json_lines lines = { .take = event_take, .arg = obituary };
    cleanup_free char *path = NULL, *filters = NULL;
    struct engine_request request = { .method = "GET", .limit_ms = EVENTS_LIMIT_MS, .sink = json_lines_feed };
    struct engine_answer answer;
    char text[200];
    int64_t now_s = now_real_us() / 1000000;

    snprintf(text, sizeof text, "{\"container\":[\"%s\"],\"type\":[\"container\"]}", record->backend_id);
    filters = engine_escape(text);
    if (!filters || asprintf(&path, "/events?since=%lld&until=%lld&filters=%s",
                             (long long)(record->started_us / 1000000 - 1), (long long)now_s + 1, filters) < 0) {
        path = NULL;
        return;
    }
    request.path = path;
    request.sink_arg = &lines;
    (void)engine_call(op, docker_of(op)->engine, &request, &answer);
    (void)json_lines_end(&lines);
    engine_answer_release(&answer);
}

bool docker_died_why(struct op *op, const struct record *record, char *why, size_t size)
{
    struct obituary obituary = { 0 };
    enum oom_verdict verdict;
    int sig;

    if (proc_id_is_alive(&record->init)) /* it is something else that has died */
        return true;
    if (!verdict_await(op, record, &obituary))
        return false;
    events_read(op, record, &obituary);
    sig = obituary_signal(&obituary);
    verdict = sig == SIGKILL || !obituary.dead ? oom_verdict(&record->init) : OOM_SPARED;
    if (verdict == OOM_KILLED)
        snprintf(why, size, "its container was killed for want of memory");
    else if (verdict == OOM_UNKNOWN && sig == SIGKILL && obituary.oom && obituary.signal != SIGKILL)
        snprintf(why, size, "its container was killed by signal 9, where the kernel had killed for want of memory");
    else if (sig)
        snprintf(why, size, "its container was killed by signal %d", sig);
    else if (obituary.dead)
        snprintf(why, size, "its container ended with exit code %s", obituary.code);
    return obituary.dead || sig || verdict == OOM_KILLED; /* a busy Engine's events come after the container has gone */
}
