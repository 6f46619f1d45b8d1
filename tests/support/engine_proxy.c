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
    pthread_t acceptor;
    struct client *clients; /* the acceptor's */
    pthread_mutex_t lock;   /* guards what follows */
    bool planned;
    enum proxy_fault fault;
    unsigned first, every, n_requests, n_met;
};

struct client {
    struct client *next;
    struct engine_proxy *proxy;
    pthread_t thread;
    int fd, engine_fd; /* engine_fd: -1 = not connected */
};

/* Whether this request is one that meets the fault. */
static bool fault_next(struct engine_proxy *proxy, enum proxy_fault *ret)
{
    unsigned i;
    bool meets;

    pthread_mutex_lock(&proxy->lock);
    i = proxy->n_requests++;
    meets = proxy->planned && i >= proxy->first &&
            (i == proxy->first || (proxy->every && (i - proxy->first) % proxy->every == 0));
    proxy->n_met += meets;
    *ret = proxy->fault;
    pthread_mutex_unlock(&proxy->lock);
    return meets;
}

static void refuse(int fd)
{
    static const char answer[] = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 38\r\n\r\n{\"message\":\"" PROXY_WORDS "\"}";

    (void)http_send(fd, answer, sizeof answer - 1);
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
        refuse(client->fd);
        return true;
    }
    if (fault == PROXY_HANG || fault == PROXY_STALL)
        http_await_end(&client->proxy->server, client->fd);
    return false;
}

static void *client_run(void *arg)
{
    struct client *client = arg;
    struct engine_proxy *proxy = client->proxy;
    char *request = malloc(HTTP_REQUEST_MAX);
    bool on = true;
    size_t len;

    while (on && (len = http_request_read(&proxy->server, client->fd, request)) > 0) {
        enum proxy_fault fault;

        if (fault_next(proxy, &fault))
            on = request_fail(client, fault, request, len);
        else
            on = engine_ask(client, request, len) && answer_pass(client, strcasestr(request, "\r\nUpgrade:") != NULL);
    }
    engine_leave(client);
    close(client->fd);
    free(request);
    return NULL;
}

static void *accept_run(void *arg)
{
    struct engine_proxy *proxy = arg;
    int fd;

    while ((fd = http_server_accept(&proxy->server)) >= 0) {
        struct client *client = malloc(sizeof *client);

        *client = (struct client){ .next = proxy->clients, .proxy = proxy, .fd = fd, .engine_fd = -1 };
        proxy->clients = client;
        if (pthread_create(&client->thread, NULL, client_run, client) != 0)
            abort();
    }
    return NULL;
}

struct engine_proxy *engine_proxy_start(const char *engine)
{
    struct engine_proxy *proxy = calloc(1, sizeof *proxy);

    if (strncmp(engine, "unix://", 7) || strlen(engine + 7) >= sizeof proxy->engine)
        abort();
    strcpy(proxy->engine, engine + 7);
    proxy->met_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&proxy->lock, NULL);
    http_server_open(&proxy->server);
    if (pthread_create(&proxy->acceptor, NULL, accept_run, proxy) != 0)
        abort();
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

void engine_proxy_plan(struct engine_proxy *proxy, enum proxy_fault fault, unsigned first, unsigned every)
{
    uint64_t met;

    pthread_mutex_lock(&proxy->lock);
    (void)!read(proxy->met_fd, &met, sizeof met);
    proxy->planned = true;
    proxy->fault = fault;
    proxy->first = first;
    proxy->every = every;
    proxy->n_requests = proxy->n_met = 0;
    pthread_mutex_unlock(&proxy->lock);
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
    pthread_join(proxy->acceptor, NULL);
    while (proxy->clients) {
        struct client *client = proxy->clients;

        proxy->clients = client->next;
        pthread_join(client->thread, NULL);
        free(client);
    }
    http_server_close(&proxy->server);
    close(proxy->met_fd);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}
