#include "fake_engine.h"

#include "http_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_engine {
    struct http_server server;
    const struct fake_answer *answers;
    size_t n_answers;
    pthread_mutex_t lock; /* guards what follows */
    size_t n_requests;
    char log[8192];
};

/* What this request gets, which is noted. */
static const struct fake_answer *answer_next(struct fake_engine *fake, const char *text)
{
    static const struct fake_answer dockerd = { .raw = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n"
                                                       "Server: Docker/20.10.24 (linux)\r\n"
                                                       "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK" };
    bool is_ping = !strncmp(text, "GET /_ping ", 11), has_pong = fake->answers[0].to_ping;
    size_t used, i;

    pthread_mutex_lock(&fake->lock);
    i = has_pong + (is_ping ? 0 : fake->n_requests++);
    used = strlen(fake->log);
    snprintf(fake->log + used, sizeof fake->log - used, "%.*s\n", (int)strcspn(text, "\r\n"), text);
    pthread_mutex_unlock(&fake->lock);
    if (is_ping)
        return has_pong ? &fake->answers[0] : &dockerd;
    return &fake->answers[i < fake->n_answers ? i : fake->n_answers - 1];
}

static void answer_send(int fd, const struct fake_answer *answer)
{
    char block[65536];
    const char *body = answer->body ? answer->body : "";
    size_t len = strlen(body), left = answer->repeat;
    char head[200];

    if (answer->raw)
        (void)http_send(fd, answer->raw, strlen(answer->raw));
    if (!answer->status)
        return;
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             answer->status, answer->length ? answer->length : len + left);
    (void)http_send(fd, head, strlen(head));
    (void)http_send(fd, body, len);
    if (left)
        memset(block, body[len - 1], sizeof block);
    while (left) {
        size_t n = left < sizeof block ? left : sizeof block;

        (void)http_send(fd, block, n);
        left -= n;
    }
}

static void serve(void *arg, int fd)
{
    struct fake_engine *fake = arg;
    char *text = malloc(HTTP_REQUEST_MAX);
    enum fake_after after = FAKE_KEEP;

    while (after == FAKE_KEEP && http_request_read(&fake->server, fd, text)) {
        const struct fake_answer *answer = answer_next(fake, text);

        answer_send(fd, answer);
        after = answer->after;
    }
    if (after == FAKE_HANG)
        http_await_end(&fake->server, fd);
    free(text);
}

struct fake_engine *fake_engine_start(const struct fake_answer *answers, size_t n)
{
    struct fake_engine *fake = calloc(1, sizeof *fake);

    fake->answers = answers;
    fake->n_answers = n;
    pthread_mutex_init(&fake->lock, NULL);
    http_server_start(&fake->server, HTTP_UNIX, serve, fake);
    return fake;
}

const char *fake_engine_address(const struct fake_engine *fake)
{
    return fake->server.address;
}

char *fake_engine_requests(struct fake_engine *fake)
{
    char *copy;

    pthread_mutex_lock(&fake->lock);
    copy = strdup(fake->log);
    pthread_mutex_unlock(&fake->lock);
    return copy;
}

void fake_engine_stop(struct fake_engine *fake)
{
    http_server_stop(&fake->server);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}
