#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct http_client {
    struct http_client *next;
    struct http_server *server;
    pthread_t thread;
    int fd;
};

static void *client_run(void *arg)
{
    struct http_client *client = arg;

    client->server->serve(client->server->arg, client->fd);
    close(client->fd);
    return NULL;
}

static void *accept_run(void *arg)
{
    struct http_server *server = arg;

    while (http_server_readable(server, server->listen_fd)) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        struct http_client *client = fd < 0 ? NULL : malloc(sizeof *client);

        if (!client)
            continue;
        *client = (struct http_client){ .next = server->clients, .server = server, .fd = fd };
        server->clients = client;
        if (pthread_create(&client->thread, NULL, client_run, client) != 0)
            abort();
    }
    return NULL;
}

static void listen_unix(struct http_server *server)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    strcpy(server->dir, "/tmp/fake-engine.XXXXXX");
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!mkdtemp(server->dir))
        abort();
    snprintf(server->address, sizeof server->address, "unix://%s/socket", server->dir);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/socket", server->dir);
    if (bind(server->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        abort();
}

static void listen_tcp(struct http_server *server)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;

    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        getsockname(server->listen_fd, (struct sockaddr *)&addr, &len) < 0)
        abort();
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(addr.sin_port));
}

void http_server_start(struct http_server *server, enum http_where where, void (*serve)(void *arg, int fd), void *arg)
{
    *server = (struct http_server){ .stop_fd = eventfd(0, EFD_CLOEXEC), .serve = serve, .arg = arg };
    if (where == HTTP_UNIX)
        listen_unix(server);
    else
        listen_tcp(server);
    if (listen(server->listen_fd, 64) < 0 || pthread_create(&server->acceptor, NULL, accept_run, server) != 0)
        abort();
}

void http_server_stop(struct http_server *server)
{
    char path[96];

    (void)!write(server->stop_fd, &(unsigned long long){ 1 }, sizeof(unsigned long long));
    pthread_join(server->acceptor, NULL);
    while (server->clients) {
        struct http_client *client = server->clients;

        server->clients = client->next;
        pthread_join(client->thread, NULL);
        free(client);
    }
    if (server->dir[0]) {
        snprintf(path, sizeof path, "%s/socket", server->dir);
        unlink(path);
        rmdir(server->dir);
    }
    close(server->listen_fd);
    close(server->stop_fd);
}

bool http_server_readable(const struct http_server *server, int fd)
{
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = server->stop_fd, .events = POLLIN } };

    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return !fds[1].revents;
}

size_t http_request_read(const struct http_server *server, int fd, char *text)
{
    size_t len = 0, want = 0;

    for (;;) {
        char *end, *length;
        ssize_t n;

        if (!http_server_readable(server, fd) || (n = read(fd, text + len, HTTP_REQUEST_MAX - 1 - len)) <= 0)
            return 0;
        len += (size_t)n;
        text[len] = '\0';
        if (text[0] < 'A' || text[0] > 'Z') /* TLS: whoever offers it tries without */
            return 0;
        end = strstr(text, "\r\n\r\n");
        if (!end)
            continue;
        length = strcasestr(text, "\r\nContent-Length:");
        want = (size_t)(end - text) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0);
        if (len >= want)
            return len;
    }
}

void http_await_end(const struct http_server *server, int fd)
{
    char dropped[4096];

    while (http_server_readable(server, fd) && read(fd, dropped, sizeof dropped) > 0)
        ;
}

bool http_send(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

bool http_answer(int fd, const char *status, const char *body)
{
    char head[200];

    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, strlen(body));
    return http_send(fd, head, strlen(head)) && http_send(fd, body, strlen(body));
}
