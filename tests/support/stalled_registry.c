#include "stalled_registry.h"

#include "http_server.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DIGEST(DIGIT)   "sha256:" DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT
#define EIGHT(DIGIT)    DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT DIGIT
#define MANIFEST_TYPE   "application/vnd.docker.distribution.manifest.v2+json"
#define BLOB(KIND, HEX) "{\"mediaType\":\"" KIND "\",\"size\":1000000,\"digest\":\"" DIGEST(HEX) "\"}"

struct stalled_registry {
    struct http_server server;
    int begun_fd;
};

static const char manifest[] = "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":" BLOB(
    "application/vnd.docker.container.image.v1+json",
    EIGHT("a")) ",\"layers\":[" BLOB("application/vnd.docker.image.rootfs.diff.tar.gzip", EIGHT("b")) "]}";

static void serve(void *arg, int fd)
{
    static const char begun[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthis is all that comes";
    struct stalled_registry *registry = arg;
    char *text = malloc(HTTP_REQUEST_MAX);

    while (http_request_read(&registry->server, fd, text)) {
        if (strstr(text, "/blobs/")) {
            (void)http_send(fd, begun, sizeof begun - 1);
            (void)!write(registry->begun_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
            http_await_end(&registry->server, fd);
            break;
        }
        if (strstr(text, "/manifests/"))
            (void)http_answer(fd, "200 OK\r\nContent-Type: " MANIFEST_TYPE, manifest);
        else
            (void)http_answer(fd, "200 OK\r\nDocker-Distribution-Api-Version: registry/2.0", "{}");
    }
    free(text);
}

struct stalled_registry *stalled_registry_start(void)
{
    struct stalled_registry *registry = calloc(1, sizeof *registry);

    registry->begun_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    http_server_start(&registry->server, HTTP_TCP, serve, registry);
    return registry;
}

const char *stalled_registry_address(const struct stalled_registry *registry)
{
    return registry->server.address;
}

int stalled_registry_begun_fd(const struct stalled_registry *registry)
{
    return registry->begun_fd;
}

void stalled_registry_stop(struct stalled_registry *registry)
{
    http_server_stop(&registry->server);
    close(registry->begun_fd);
    free(registry);
}
