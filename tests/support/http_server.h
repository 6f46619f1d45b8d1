/* The unix socket and the requests of what stands in for an Engine: fake_engine.c, engine_proxy.c. */
#ifndef STOCKADE_TEST_HTTP_SERVER_H
#define STOCKADE_TEST_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_REQUEST_MAX 65536

struct http_server {
    char dir[64], address[96]; /* unix:///... */
    int listen_fd, stop_fd;    /* stop_fd is readable: it is over */
};

void http_server_open(struct http_server *server);
void http_server_stop(struct http_server *server);  /* whoever waits in one of the functions below returns */
void http_server_close(struct http_server *server); /* once nobody does any more */

bool http_server_readable(const struct http_server *server, int fd); /* waits; false once it is over */
int http_server_accept(const struct http_server *server);            /* the next connection; -1 once it is over */
/* One request with its body into text, of HTTP_REQUEST_MAX bytes; its length. 0 at the connection's end. */
size_t http_request_read(const struct http_server *server, int fd, char *text);
void http_await_end(const struct http_server *server, int fd); /* drops what comes until then */
bool http_send(int fd, const char *data, size_t len);

#endif
