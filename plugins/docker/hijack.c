/* A call whose connection becomes a stream: POST with `Upgrade: tcp`, answered by 101, or by 200 where that is old. */
#include "engine.h"

#include "error.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_MAX   ((size_t)64 << 10) /* of a head, and of the body of a refusal */
#define ANSWER_NS    (60 * NS_PER_S)
#define BODY_WAIT_NS (2 * NS_PER_S) /* of a refusal whose length is not told */

struct hijack {
    struct line *line;
    CURL *easy;
    int fd;
    char *early; /* what came behind the head: the stream's first bytes */
    size_t early_at, early_len;
};

int hijack_fd(const struct hijack *hijack)
{
    return hijack->fd;
}

void hijack_free(struct hijack *hijack)
{
    if (!hijack)
        return;
    http_disconnect(hijack->line);
    free(hijack->early);
    free(hijack);
}

ssize_t hijack_send(struct hijack *hijack, const void *data, size_t len)
{
    size_t n = 0;
    CURLcode code = curl_easy_send(hijack->easy, data, len, &n);

    return code == CURLE_OK ? (ssize_t)n : code == CURLE_AGAIN ? -EAGAIN : -EPIPE;
}

ssize_t hijack_recv(struct hijack *hijack, void *data, size_t cap)
{
    size_t n = hijack->early_len - hijack->early_at;
    CURLcode code;

    if (n) {
        n = n < cap ? n : cap;
        memcpy(data, hijack->early + hijack->early_at, n);
        hijack->early_at += n;
        return (ssize_t)n;
    }
    code = curl_easy_recv(hijack->easy, data, cap, &n);
    return code == CURLE_OK ? (ssize_t)n : code == CURLE_AGAIN ? -EAGAIN : -EPIPE;
}

/* ---- opening ---- */

static int32_t stream_wait(struct op *op, const struct hijack *hijack, short events, int64_t until_ns)
{
    struct pollfd pfd = { .fd = hijack->fd, .events = events };
    int ready;
    int32_t status = op_poll(op, &pfd, 1, until_ns, &ready);

    if (status)
        return status;
    return ready ? RT_OK : op_fail(op, RT_E_TIMEOUT, 0, "the Engine did not answer in time");
}

static int32_t request_send(struct op *op, struct hijack *hijack, const char *target, const char *body)
{
    cleanup_free char *text = NULL;
    int len = asprintf(&text,
                       "POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: stockade/" STOCKADE_VERSION
                       "\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       target, strlen(body), body);
    int64_t until = now_ns() + ANSWER_NS;

    if (len < 0) {
        text = NULL;
        return op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
    }
    for (size_t at = 0; at < (size_t)len;) {
        ssize_t n = hijack_send(hijack, text + at, (size_t)len - at);
        int32_t status = RT_OK;

        if (n == -EAGAIN)
            status = stream_wait(op, hijack, POLLOUT, until);
        else if (n < 0)
            status = op_fail(op, RT_E_UNAVAILABLE, 0, "the Engine ended the connection");
        if (status)
            return status;
        at += n > 0 ? (size_t)n : 0;
    }
    return RT_OK;
}

/* Reads more of the answer. RT_E_UNAVAILABLE at its end. */
static int32_t answer_more(struct op *op, struct hijack *hijack, char *text, size_t *len, int64_t until_ns)
{
    for (;;) {
        ssize_t n = hijack_recv(hijack, text + *len, ANSWER_MAX - *len);
        int32_t status;

        if (n > 0) {
            *len += (size_t)n;
            return RT_OK;
        }
        if (n != -EAGAIN)
            return op_fail(op, RT_E_UNAVAILABLE, 0, "the Engine ended the connection");
        status = stream_wait(op, hijack, POLLIN, until_ns);
        if (status)
            return status;
    }
}

/* The Engine's own words, as far as they come. */
static int32_t answer_refused(struct op *op, struct hijack *hijack, char *text, size_t len,
                              const struct http_head *head)
{
    size_t whole = head->content_length >= 0 ? head->len + (size_t)head->content_length : ANSWER_MAX;
    int64_t until = now_ns() + BODY_WAIT_NS;
    cJSON *json;
    int32_t status;

    while (len < whole && len < ANSWER_MAX && !answer_more(op, hijack, text, &len, until))
        ;
    json = cJSON_ParseWithLength(text + head->len, len - head->len);
    status = engine_refusal(op, head->http, json);
    cJSON_Delete(json);
    return status;
}

static int32_t answer_read(struct op *op, struct hijack *hijack)
{
    char *text = malloc(ANSWER_MAX);
    int64_t until = now_ns() + ANSWER_NS;
    struct http_head head = { 0 };
    int32_t status = text ? RT_OK : op_fail(op, RT_E_NOMEM, 0, "the Engine's answer");
    size_t len = 0;
    int parsed = 0;

    while (!status && !parsed) {
        status = len == ANSWER_MAX ? op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer has no end to its head")
                                   : answer_more(op, hijack, text, &len, until);
        if (!status)
            parsed = http_head_parse(text, len, &head);
    }
    if (!status && parsed < 0)
        status = op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer is not HTTP");
    if (!status && head.http != 101 && head.http != 200)
        status = answer_refused(op, hijack, text, len, &head);
    if (status) {
        free(text);
        return status;
    }
    hijack->early = text;
    hijack->early_at = head.len;
    hijack->early_len = len;
    return RT_OK;
}

int32_t hijack_open(struct op *op, struct http_pool *pool, const char *target, const char *body, struct hijack **ret)
{
    struct hijack *hijack = calloc(1, sizeof *hijack);
    curl_socket_t fd = CURL_SOCKET_BAD;
    int32_t status;

    if (!hijack)
        return op_fail(op, RT_E_NOMEM, 0, "a connection to the Engine");
    status = http_connect(op, pool, &hijack->easy, &hijack->line);
    if (!status && (curl_easy_getinfo(hijack->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD))
        status = op_fail(op, RT_E_UNAVAILABLE, 0, "the Engine ended the connection");
    hijack->fd = fd;
    if (!status)
        status = request_send(op, hijack, target, body);
    if (!status)
        status = answer_read(op, hijack);
    if (status)
        hijack_free(hijack);
    else
        *ret = hijack;
    return status;
}
