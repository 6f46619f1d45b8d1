#include "bare_engine.h"

#include "error.h"
#include "json.h"
#include "plugins/docker/docker.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#define CHUNK ((size_t)64 << 10)

struct bare_engine {
    struct runtime rt; /* as much of one as a call takes */
    struct engine *engine;
};

static void must(int32_t status, const struct op *op)
{
    if (!status)
        return;
    fprintf(stderr, "bench: %s: %s\n", op->name, op->err->message);
    exit(1);
}

struct bare_engine *bare_engine_open(const char *docker_host)
{
    struct bare_engine *bare = calloc(1, sizeof *bare);
    struct address address;
    rt_error err = RT_ERROR_INIT;

    if (!bare || address_parse(docker_host, TLS_OFF, NULL, &address) || engine_new(&address, &err, &bare->engine)) {
        fprintf(stderr, "bench: %s: %s\n", docker_host, err.message);
        exit(1);
    }
    bare->rt.closing_fd = eventfd(0, EFD_CLOEXEC);
    return bare;
}

void bare_engine_close(struct bare_engine *bare)
{
    engine_free(bare->engine);
    close(bare->rt.closing_fd);
    free(bare);
}

/* One call. body (NULL = none) is freed; *ret_json is to be deleted, and may be NULL. */
static void call(struct bare_engine *bare, struct engine_request request, cJSON *body, cJSON **ret_json)
{
    struct engine_answer answer;
    struct op op;

    op_init_quiet(&op, &bare->rt);
    request.body = body;
    must(engine_call(&op, bare->engine, &request, &answer), &op);
    cJSON_Delete(body);
    if (ret_json) {
        *ret_json = answer.json;
        answer.json = NULL;
    }
    engine_answer_release(&answer);
}

/* ---- exec ---- */

static void exec_create(struct bare_engine *bare, const char *container, const char *const *argv, char ret[80])
{
    cJSON *body = cJSON_CreateObject(), *json;
    char path[200];
    bool ok = json_add_strv(body, "Cmd", argv);

    cJSON_AddBoolToObject(body, "AttachStdout", true);
    cJSON_AddBoolToObject(body, "AttachStderr", true);
    snprintf(path, sizeof path, "/containers/%s/exec", container);
    call(bare, (struct engine_request){ .method = "POST", .path = path }, body, &json);
    snprintf(ret, 80, "%s", json_str(json, "Id", "", &ok));
    cJSON_Delete(json);
    if (!ok)
        exit(1);
}

/* Fails unless the exec has ended with 0. */
static void exec_inspect(struct bare_engine *bare, const char *exec)
{
    char path[100];
    bool ok = true;
    cJSON *json;

    snprintf(path, sizeof path, "/exec/%s/json", exec);
    call(bare, (struct engine_request){ .method = "GET", .path = path }, NULL, &json);
    if (json_int(json, "ExitCode", 0, 255, -1, &ok) != 0 || !ok) {
        fprintf(stderr, "bench: the Engine's exec failed\n");
        exit(1);
    }
    cJSON_Delete(json);
}

static bool discard(void *arg, const char *data, size_t len)
{
    (void)arg;
    (void)data;
    (void)len;
    return true;
}

void bare_exec(struct bare_engine *bare, const char *container, const char *const *argv)
{
    cJSON *body = cJSON_CreateObject();
    char exec[80], path[100];

    exec_create(bare, container, argv, exec);
    cJSON_AddBoolToObject(body, "Detach", false);
    snprintf(path, sizeof path, "/exec/%s/start", exec);
    call(bare, (struct engine_request){ .method = "POST", .path = path, .sink = discard }, body, NULL);
    exec_inspect(bare, exec);
}

/* Of the next bytes, those that are stdout's. */
static size_t stdout_bytes(struct stream_frames *frames, const char *data, size_t len)
{
    size_t total = 0, n;
    const char *piece;
    int stream;

    while ((stream = stream_next(frames, &data, &len, &piece, &n)) > 0)
        total += stream == 1 ? n : 0;
    return total;
}

size_t bare_exec_stream(struct bare_engine *bare, const char *container, const char *const *argv)
{
    struct stream_frames frames = { 0 };
    struct hijack *stream;
    char exec[80], path[100], *chunk = malloc(CHUNK);
    size_t total = 0;
    struct op op;
    ssize_t n;

    exec_create(bare, container, argv, exec);
    snprintf(path, sizeof path, "/exec/%s/start", exec);
    op_init_quiet(&op, &bare->rt);
    must(chunk ? engine_hijack(&op, bare->engine, path, "{\"Detach\":false,\"Tty\":false}", &stream) : RT_E_NOMEM, &op);
    while ((n = hijack_recv(stream, chunk, CHUNK)) > 0 || n == -EAGAIN) {
        if (n > 0)
            total += stdout_bytes(&frames, chunk, (size_t)n);
        else
            (void)poll(&(struct pollfd){ .fd = hijack_fd(stream), .events = POLLIN }, 1, -1);
    }
    hijack_free(stream);
    free(chunk);
    exec_inspect(bare, exec);
    return total;
}

/* ---- containers ---- */

/* What the plugin asks for, less the agent and its directory. */
static const char host_config[] =
    "{\"LogConfig\": {\"Type\": \"none\"}, \"NetworkMode\": \"none\", \"IpcMode\": \"private\","
    " \"CgroupnsMode\": \"private\", \"UsernsMode\": \"host\", \"ReadonlyRootfs\": true, \"PidsLimit\": 512,"
    " \"CapDrop\": [\"ALL\"], \"SecurityOpt\": [\"no-new-privileges\"], \"Tmpfs\": {\"/tmp\": \"exec\"}}";

static cJSON *container_text(const char *image, const char *codebase)
{
    static const char *const entry[] = { "/bin/sleep", "1000", NULL };
    cJSON *body = cJSON_CreateObject(), *host = cJSON_Parse(host_config),
          *binds = cJSON_AddArrayToObject(host, "Binds");
    char bind[200];

    snprintf(bind, sizeof bind, "%s:/workspace:rw,rprivate", codebase);
    cJSON_AddItemToArray(binds, cJSON_CreateString(bind));
    cJSON_AddItemToObject(body, "HostConfig", host);
    if (!json_add_str(body, "Image", image) || !json_add_strv(body, "Entrypoint", entry))
        exit(1);
    return body;
}

void bare_run(struct bare_engine *bare, const char *name, const char *image, const char *codebase)
{
    char path[200];

    snprintf(path, sizeof path, "/containers/create?name=%s", name);
    call(bare, (struct engine_request){ .method = "POST", .path = path }, container_text(image, codebase), NULL);
    snprintf(path, sizeof path, "/containers/%s/start", name);
    call(bare, (struct engine_request){ .method = "POST", .path = path }, NULL, NULL);
}

void bare_end(struct bare_engine *bare, const char *name)
{
    char path[200];

    snprintf(path, sizeof path, "/containers/%s/kill", name);
    call(bare, (struct engine_request){ .method = "POST", .path = path }, NULL, NULL);
    snprintf(path, sizeof path, "/containers/%s?force=1&v=1", name);
    call(bare, (struct engine_request){ .method = "DELETE", .path = path }, NULL, NULL);
}
