/* The socket, the threads and the requests of what stands in for an Engine or a registry. */
#ifndef STOCKADE_TEST_HTTP_SERVER_H
#define STOCKADE_TEST_HTTP_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define HTTP_REQUEST_MAX 65536

struct http_server {
    char dir[64], address[96]; /* unix:///..., or 127.0.0.1:PORT */
    int listen_fd, stop_fd;    /* stop_fd is readable: it is over */
    void (*serve)(void *arg, int fd);
    void *arg;
    pthread_t acceptor;
    struct http_client *clients; /* the acceptor's */
};

enum http_where { HTTP_UNIX, HTTP_TCP };

/* serve gets each connection, in a thread of its own, and does not close it. */
void http_server_start(struct http_server *server, enum http_where where, void (*serve)(void *arg, int fd), void *arg);
void http_server_stop(struct http_server *server); /* whoever waits in one of the functions below returns */

bool http_server_readable(const struct http_server *server, int fd); /* waits; false once it is over */
/* One request with its body into text, of HTTP_REQUEST_MAX bytes; its length. 0 at the connection's end. */
size_t http_request_read(const struct http_server *server, int fd, char *text);
void http_await_end(const struct http_server *server, int fd); /* drops what comes until then */
bool http_send(int fd, const char *data, size_t len);
/* An answer that is whole; status is "200 OK" and the like, and may have further lines of the head. */
bool http_answer(int fd, const char *status, const char *body);

#endif
