#include "engine.h"

#include "error.h"
#include "json.h"
#include "util.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT_MS 60000

struct engine {
    struct address address;
    struct http_pool *pool;
    atomic_int api;        /* 1.x spoken; 0 = not yet known. Found out again after the Engine was away */
    atomic_bool is_podman; /* of use once api is known */
};

int32_t engine_new(struct address *address, rt_error *err, struct engine **ret)
{
    struct engine *engine = calloc(1, sizeof *engine);
    int32_t status;

    if (!engine) {
        address_release(address);
        return error_set(err, RT_E_NOMEM, 0, "the Engine's client");
    }
    engine->address = *address;
    *address = (struct address){ 0 };
    atomic_init(&engine->api, 0);
    atomic_init(&engine->is_podman, false);
    status = http_pool_new(&engine->address, err, &engine->pool);
    if (status)
        engine_free(engine);
    else
        *ret = engine;
    return status;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    http_pool_free(engine->pool);
    address_release(&engine->address);
    free(engine);
}

const char *engine_name(const struct engine *engine)
{
    return engine->address.text;
}

char *engine_escape(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *escaped = malloc(strlen(text) * 3 + 1), *at = escaped;

    for (; at && *text; text++)
        at += strchr(plain, *text) ? (*at = *text, 1) : sprintf(at, "%%%02X", (unsigned char)*text);
    if (at)
        *at = '\0';
    return escaped;
}

/* The minor of "1.N"; -1 if it is something else. */
static int api_minor(const char *text)
{
    char *end;
    long minor;

    if (text[0] != '1' || text[1] != '.' || text[2] < '0' || text[2] > '9')
        return -1;
    minor = strtol(text + 2, &end, 10);
    return *end || minor > 9999 ? -1 : (int)minor;
}

int engine_negotiate(const char *min, const char *max)
{
    int lowest = api_minor(min), highest = api_minor(max);

    if (highest < ENGINE_API_MIN)
        return 0;
    return lowest > ENGINE_API_MIN ? lowest : ENGINE_API_MIN;
}

int32_t engine_status(long http, const char *message)
{
    /* Podman answers 500 to these, or says them in the middle of a pull. */
    static const char *const mistakes[] = { "invalid reference format", "repository name must be lowercase",
                                            "unsupported digest algorithm", "manifest unknown" };

    if (strstr(message, "no space left on device") || strstr(message, "cannot allocate memory") || http == 507)
        return RT_E_RESOURCE;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++)
        if (strstr(message, mistakes[i]))
            return RT_E_INVAL;
    switch (http) {
    case 400:
    case 404:
        return RT_E_INVAL;
    case 401:
    case 403:
        return RT_E_PERMISSION;
    case 409:
        return RT_E_CONFLICT;
    default:
        return http >= 500 ? RT_E_UNAVAILABLE : RT_E_PROTOCOL;
    }
}

void engine_line(const char *text, char *ret, size_t size)
{
    snprintf(ret, size, "%s", text);
    for (char *at = ret; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
}

/* The Engine's {"message": "..."}, in one line; or what there is of it. */
int32_t engine_refusal(struct op *op, long http, const cJSON *json)
{
    bool ok = true;
    const char *message = json ? json_str(json, "message", "", &ok) : "";
    char line[400];

    engine_line(ok && message[0] ? message : "no reason given", line, sizeof line);
    return op_fail(op, engine_status(http, line), 0, "the Engine says: %s (HTTP %ld)", line, http);
}

static int32_t call(struct op *op, struct engine *engine, const struct engine_request *request, int api,
                    struct engine_answer *ret)
{
    cleanup_free char *target = NULL, *body = request->body ? cJSON_PrintUnformatted(request->body) : NULL;
    struct http_exchange exchange = { .method = request->method,
                                      .body = body,
                                      .limit_ms = request->limit_ms ? request->limit_ms : LIMIT_DEFAULT_MS,
                                      .quiet_ms = request->quiet_ms,
                                      .settle_ms = request->settle_ms,
                                      .sink = request->sink,
                                      .sink_arg = request->sink_arg };
    char version[16] = "";
    int32_t status;

    *ret = (struct engine_answer){ 0 };
    if (exchange.limit_ms == RT_FOREVER)
        exchange.limit_ms = 0;
    if (!request->unversioned)
        snprintf(version, sizeof version, "/v1.%d", api);
    if ((request->body && !body) || asprintf(&target, "%s%s", version, request->path) < 0) {
        target = NULL;
        return op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
    }
    exchange.target = target;
    status = http_exchange(op, engine->pool, &exchange);
    if (status == RT_E_UNAVAILABLE)
        atomic_store(&engine->api, 0); /* what comes back may be another version */
    if (!status && exchange.len)
        ret->json = cJSON_ParseWithLength(exchange.data, exchange.len);
    if (!status) {
        ret->http = exchange.http;
        if (exchange.http < 200 || exchange.http >= 400)
            status = engine_refusal(op, exchange.http, ret->json);
        else if (exchange.len && !ret->json)
            status = op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer to %s %s is not JSON", request->method,
                             request->path);
    }
    free(exchange.data);
    return status;
}

static void copy_member(const cJSON *json, const char *key, char *into, size_t size)
{
    bool ok = true;

    snprintf(into, size, "%s", json_str(json, key, "", &ok));
}

static bool has_podman(const cJSON *json)
{
    const cJSON *item;
    bool ok = true;

    cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(json, "Components"))
        if (strstr(json_str(item, "Name", "", &ok), "Podman"))
            return true;
    return false;
}

static int32_t version_within(struct op *op, struct engine *engine, int64_t limit_ms, struct engine_version *ret)
{
    const struct engine_request request = {
        .method = "GET", .path = "/version", .limit_ms = limit_ms, .unversioned = true
    };
    struct engine_answer answer;
    char min[16];
    int32_t status = call(op, engine, &request, 0, &answer);
    int api = 0;

    *ret = (struct engine_version){ 0 };
    if (!status) {
        copy_member(answer.json, "Version", ret->version, sizeof ret->version);
        copy_member(answer.json, "ApiVersion", ret->api, sizeof ret->api);
        copy_member(answer.json, "MinAPIVersion", min, sizeof min);
        copy_member(answer.json, "Os", ret->os, sizeof ret->os);
        copy_member(answer.json, "Arch", ret->arch, sizeof ret->arch);
        ret->is_podman = has_podman(answer.json);
        api = engine_negotiate(min, ret->api);
        if (api_minor(ret->api) < 0)
            status = op_fail(op, RT_E_PROTOCOL, 0, "what answers at %s is no Engine", engine->address.text);
        else if (!api)
            status = op_fail(op, RT_E_UNSUPPORTED, 0, "the Engine at %s speaks API %s; 1.%d is the least",
                             engine->address.text, ret->api, ENGINE_API_MIN);
    }
    atomic_store(&engine->is_podman, ret->is_podman);
    atomic_store(&engine->api, api);
    engine_answer_release(&answer);
    return status;
}

int32_t engine_version(struct op *op, struct engine *engine, struct engine_version *ret)
{
    return version_within(op, engine, 0, ret);
}

/*
 * Podman's service asks the machine's packages before it answers /version, which takes seconds where there is much else
 * to do. It tells what is needed with a ping. Whatever else answers to that is judged by its version.
 */
static int32_t podman_known(struct op *op, struct engine *engine, int64_t limit_ms)
{
    struct http_exchange ping = { .method = "GET", .target = "/_ping", .limit_ms = limit_ms };
    int32_t status = http_exchange(op, engine->pool, &ping);
    int api = status ? 0 : engine_negotiate("", ping.podman_api);

    free(ping.data);
    if (api) {
        atomic_store(&engine->is_podman, true);
        atomic_store(&engine->api, api);
    }
    return status == RT_E_PROTOCOL ? RT_OK : status;
}

/* Finds out the version where it is not known, before a call with that limit. */
static int32_t version_known(struct op *op, struct engine *engine, int64_t limit_ms)
{
    struct engine_version version;
    int32_t status;

    if (limit_ms == 0 || limit_ms == RT_FOREVER) /* it has nothing to do for it */
        limit_ms = LIMIT_DEFAULT_MS;
    if (atomic_load(&engine->api))
        return RT_OK;
    status = podman_known(op, engine, limit_ms);
    if (status || atomic_load(&engine->api))
        return status;
    return version_within(op, engine, limit_ms, &version);
}

int32_t engine_ready(struct op *op, struct engine *engine, bool *ret_is_podman)
{
    int32_t status = version_known(op, engine, 0);

    *ret_is_podman = atomic_load(&engine->is_podman);
    return status;
}

int32_t engine_call(struct op *op, struct engine *engine, const struct engine_request *request,
                    struct engine_answer *ret)
{
    int32_t status = request->unversioned ? RT_OK : version_known(op, engine, request->limit_ms);
    int api = atomic_load(&engine->api);

    *ret = (struct engine_answer){ 0 };
    if (status)
        return status;
    return call(op, engine, request, api ? api : ENGINE_API_MIN, ret); /* 0: lost again meanwhile */
}

int32_t engine_hijack(struct op *op, struct engine *engine, const char *path, const char *body, struct hijack **ret)
{
    cleanup_free char *target = NULL;
    bool is_podman;
    int32_t status = engine_ready(op, engine, &is_podman);
    int api = atomic_load(&engine->api);

    if (status)
        return status;
    if (asprintf(&target, "/v1.%d%s", api ? api : ENGINE_API_MIN, path) < 0) {
        target = NULL;
        return op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
    }
    return hijack_open(op, engine->pool, target, body, ret);
}

void engine_answer_release(struct engine_answer *answer)
{
    cJSON_Delete(answer->json);
    *answer = (struct engine_answer){ 0 };
}
