#include "engine_proxy.h"

#include "http_server.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct engine_proxy {
    struct http_server server;
    char engine[108];
    int met_fd;
    pthread_mutex_t lock; /* guards what follows */
    bool planned;
    enum proxy_fault fault;
    unsigned first, every, n_requests, n_met;
    const char *path; /* NULL = any; else `every` is how many meet it */
};

struct client {
    struct engine_proxy *proxy;
    int fd, engine_fd; /* engine_fd: -1 = not connected */
};

/* Whether the path of "POST /path?query HTTP/1.1" ends so. */
static bool path_ends(const char *request, const char *path)
{
    const char *at = strchr(request, ' ') + 1;
    size_t len = strcspn(at, "? "), end = strlen(path);

    return len >= end && !strncmp(at + len - end, path, end);
}

/* Whether this request is one that meets the fault. */
static bool fault_next(struct engine_proxy *proxy, const char *request, enum proxy_fault *ret)
{
    unsigned i;
    bool meets;

    pthread_mutex_lock(&proxy->lock);
    i = proxy->n_requests++;
    if (proxy->path)
        meets = proxy->n_met < proxy->every && path_ends(request, proxy->path);
    else
        meets = i >= proxy->first && (i == proxy->first || (proxy->every && (i - proxy->first) % proxy->every == 0));
    meets = meets && proxy->planned;
    proxy->n_met += meets;
    *ret = proxy->fault;
    pthread_mutex_unlock(&proxy->lock);
    return meets;
}

static void engine_leave(struct client *client)
{
    if (client->engine_fd >= 0)
        close(client->engine_fd);
    client->engine_fd = -1;
}

/* Passes the request on. False if there is no Engine. */
static bool engine_ask(struct client *client, const char *request, size_t len)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    if (client->engine_fd < 0) {
        client->engine_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        strcpy(addr.sun_path, client->proxy->engine);
        if (connect(client->engine_fd, (struct sockaddr *)&addr, sizeof addr) < 0)
            return false;
    }
    return http_send(client->engine_fd, request, len);
}

/* Waits for the first byte of the answer, and takes it and all that come with it. */
static void engine_await(struct client *client)
{
    char dropped[4096];

    if (http_server_readable(&client->proxy->server, client->engine_fd))
        (void)!read(client->engine_fd, dropped, sizeof dropped);
    engine_leave(client);
}

static bool pass(int from, int to)
{
    char data[65536];
    ssize_t n = read(from, data, sizeof data);

    return n > 0 && http_send(to, data, (size_t)n);
}

/* Passes the answer on until the client speaks again: with its next request, or, upgraded, with a stream of its own. */
static bool answer_pass(struct client *client, bool upgraded)
{
    struct pollfd fds[3] = { { .fd = client->fd, .events = POLLIN },
                             { .fd = client->engine_fd, .events = POLLIN },
                             { .fd = client->proxy->server.stop_fd, .events = POLLIN } };

    while (poll(fds, 3, -1) > 0 && !fds[2].revents) {
        if (fds[1].revents && !pass(client->engine_fd, client->fd))
            return false;
        if (!fds[0].revents)
            continue;
        if (!upgraded)
            return true;
        if (pass(client->fd, client->engine_fd))
            continue;
        (void)shutdown(client->engine_fd, SHUT_WR);
        fds[0].fd = -1;
    }
    return false;
}

/* False if the connection is to end. */
static bool request_fail(struct client *client, enum proxy_fault fault, const char *request, size_t len)
{
    bool done = fault == PROXY_SPOIL || fault == PROXY_LOSE || fault == PROXY_STALL;

    if (done && engine_ask(client, request, len))
        engine_await(client);
    (void)!write(client->proxy->met_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    if (fault == PROXY_REFUSE || fault == PROXY_SPOIL) {
        return http_answer(client->fd, "500 Internal Server Error", "{\"message\":\"" PROXY_WORDS "\"}");
    }
    if (fault == PROXY_HANG || fault == PROXY_STALL)
        http_await_end(&client->proxy->server, client->fd);
    return false;
}

static void serve(void *arg, int fd)
{
    struct engine_proxy *proxy = arg;
    struct client client = { .proxy = proxy, .fd = fd, .engine_fd = -1 };
    char *request = malloc(HTTP_REQUEST_MAX);
    bool on = true;
    size_t len;

    while (on && (len = http_request_read(&proxy->server, fd, request)) > 0) {
        enum proxy_fault fault;

        if (fault_next(proxy, request, &fault))
            on = request_fail(&client, fault, request, len);
        else
            on = engine_ask(&client, request, len) && answer_pass(&client, strcasestr(request, "\r\nUpgrade:") != NULL);
    }
    engine_leave(&client);
    free(request);
}

struct engine_proxy *engine_proxy_start(const char *engine)
{
    struct engine_proxy *proxy = calloc(1, sizeof *proxy);

    if (strncmp(engine, "unix://", 7) || strlen(engine + 7) >= sizeof proxy->engine)
        abort();
    strcpy(proxy->engine, engine + 7);
    proxy->met_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&proxy->lock, NULL);
    http_server_start(&proxy->server, HTTP_UNIX, serve, proxy);
    return proxy;
}

const char *engine_proxy_address(const struct engine_proxy *proxy)
{
    return proxy->server.address;
}

int engine_proxy_met_fd(const struct engine_proxy *proxy)
{
    return proxy->met_fd;
}

static void plan(struct engine_proxy *proxy, enum proxy_fault fault, const char *path, unsigned first, unsigned every)
{
    uint64_t met;

    pthread_mutex_lock(&proxy->lock);
    (void)!read(proxy->met_fd, &met, sizeof met);
    proxy->planned = true;
    proxy->fault = fault;
    proxy->path = path;
    proxy->first = first;
    proxy->every = every;
    proxy->n_requests = proxy->n_met = 0;
    pthread_mutex_unlock(&proxy->lock);
}

void engine_proxy_plan(struct engine_proxy *proxy, enum proxy_fault fault, unsigned first, unsigned every)
{
    plan(proxy, fault, NULL, first, every);
}

void engine_proxy_plan_path(struct engine_proxy *proxy, enum proxy_fault fault, const char *path, unsigned times)
{
    plan(proxy, fault, path, 0, times);
}

unsigned engine_proxy_relent(struct engine_proxy *proxy)
{
    unsigned n;

    pthread_mutex_lock(&proxy->lock);
    proxy->planned = false;
    n = proxy->n_met;
    pthread_mutex_unlock(&proxy->lock);
    return n;
}

void engine_proxy_stop(struct engine_proxy *proxy)
{
    http_server_stop(&proxy->server);
    close(proxy->met_fd);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}
