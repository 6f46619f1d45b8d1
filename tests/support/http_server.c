#include "http_server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void http_server_open(struct http_server *server)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    strcpy(server->dir, "/tmp/fake-engine.XXXXXX");
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!mkdtemp(server->dir))
        abort();
    snprintf(server->address, sizeof server->address, "unix://%s/socket", server->dir);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/socket", server->dir);
    if (bind(server->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(server->listen_fd, 64) < 0)
        abort();
}

void http_server_stop(struct http_server *server)
{
    (void)!write(server->stop_fd, &(unsigned long long){ 1 }, sizeof(unsigned long long));
}

void http_server_close(struct http_server *server)
{
    char path[96];

    snprintf(path, sizeof path, "%s/socket", server->dir);
    unlink(path);
    rmdir(server->dir);
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

int http_server_accept(const struct http_server *server)
{
    int fd = -1;

    while (fd < 0 && http_server_readable(server, server->listen_fd))
        fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    return fd;
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
