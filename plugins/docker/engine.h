/*
 * An Engine's HTTP API over libcurl: https://docs.docker.com/engine/api/v1.41/. Every call is bounded by its op's
 * deadline and cancel fd, and by a limit of its own; what comes back is bounded in size and never trusted.
 *
 * address.c  where it is        engine_http.c  one request over a kept connection
 * engine.c   API version, JSON, and what an answer means as an rt_status
 * hijack.c   a call that becomes a stream           stream.c   what is in such a stream
 * curl_cloexec.c   what libcurl leaves open to programs that the host starts
 */
#ifndef STOCKADE_DOCKER_ENGINE_H
#define STOCKADE_DOCKER_ENGINE_H

#include "address.h"
#include "op.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stddef.h>

#define ENGINE_API_MIN    41 /* of 1.x */
#define ENGINE_ANSWER_MAX ((size_t)16 << 20)

struct engine; /* one Engine and the connections kept to it; thread-safe */

/* Needs no Engine to be there. Takes address over, also on failure. RT_E_NOMEM, RT_E_INTERNAL. */
int32_t engine_new(struct address *address, rt_error *err, struct engine **ret);
/* No call may be in flight. NULL is a no-op. */
void engine_free(struct engine *engine);
const char *engine_name(const struct engine *engine); /* its address, for messages */

/* Takes a piece of an answer's body; false ends the call with RT_E_PROTOCOL. */
typedef bool engine_sink(void *arg, const char *data, size_t len);

struct engine_request {
    const char *method;
    const char *path;  /* from the slash behind the version on, query included, escaped */
    const cJSON *body; /* NULL = none */
    int64_t limit_ms;  /* of the whole call; 0 = the default of a minute, RT_FOREVER = none */
    int64_t quiet_ms;  /* longest silence; 0 = no limit */
    int64_t settle_ms; /* how much longer an answer is awaited after a cancel: what it would name is not to be lost */
    bool unversioned;  /* the path stands alone, without /v1.N */
    engine_sink *sink; /* takes the body of an answer below 300 instead of `json`; NULL = none */
    void *sink_arg;
};

struct engine_answer {
    long http;   /* 0 = there was none */
    cJSON *json; /* the body, if it is JSON; NULL if there was none */
};

/*
 * One call. RT_OK is an answer below 400. Otherwise the error has the Engine's own words, and ret->http says which
 * answer it was: RT_E_UNAVAILABLE (not reachable, ended in between, 5xx), RT_E_INVAL (400, 404), RT_E_PERMISSION,
 * RT_E_CONFLICT (409), RT_E_RESOURCE, RT_E_PROTOCOL, RT_E_TIMEOUT, RT_E_CANCELLED. ret is to be released in any case.
 */
int32_t engine_call(struct op *op, struct engine *engine, const struct engine_request *request,
                    struct engine_answer *ret);
void engine_answer_release(struct engine_answer *answer);

/* GET /version, which is also how the API version is found out. */
struct engine_version {
    char version[32], api[16], os[32], arch[32];
    bool is_podman; /* the same API, other limits */
};
int32_t engine_version(struct op *op, struct engine *engine, struct engine_version *ret);

/* Finds out what it is, unless that is known already. */
int32_t engine_ready(struct op *op, struct engine *engine, bool *ret_is_podman);

/* Which 1.x to speak with an Engine that offers min to max, as "1.24" and "1.41"; 0 = none that will do. Pure. */
int engine_negotiate(const char *min, const char *max);

/* What an HTTP status of 400 and above is to a caller. Pure. */
int32_t engine_status(long http, const char *message);
/* What it says as one line that steers no terminal, cut to size. */
void engine_line(const char *text, char *ret, size_t size);

/* text with all but letters, digits and -._~ as %XX; to be freed. NULL if memory runs out. */
char *engine_escape(const char *text);

/* ---- engine_http.c ---- */

struct http_pool;

int32_t http_pool_new(const struct address *address, rt_error *err, struct http_pool **ret);
void http_pool_free(struct http_pool *pool);

struct http_exchange {
    const char *method, *target;           /* path and query */
    const char *body;                      /* JSON; NULL = none */
    int64_t limit_ms, quiet_ms, settle_ms; /* 0 = none */
    engine_sink *sink;                     /* below 300 */
    void *sink_arg;
    long http;           /* out: 0 = no answer */
    char podman_api[16]; /* out: the API that Podman's service says that it speaks; "" = it is another Engine */
    char *data;          /* out: the body where no sink took it, NUL-terminated; to be freed */
    size_t len;
};

/* Makes what libcurl opened for this handle close-on-exec. */
void curl_close_on_exec(CURLM *multi);

int32_t http_exchange(struct op *op, struct http_pool *pool, struct http_exchange *exchange);

struct line; /* one connection */

/* A connection of its own, for curl_easy_send() and curl_easy_recv() on *ret_easy, which http_disconnect() ends. */
int32_t http_connect(struct op *op, struct http_pool *pool, CURL **ret_easy, struct line **ret);
void http_disconnect(struct line *line); /* NULL is a no-op */

/* ---- hijack.c, stream.c ---- */

/*
 * A call whose answer turns its connection into a byte stream both ways: exec start and the like. One thread's at a
 * time.
 */
struct hijack;

/* body is JSON. Errors as engine_call() has them. */
int32_t engine_hijack(struct op *op, struct engine *engine, const char *path, const char *body, struct hijack **ret);
void hijack_free(struct hijack *hijack);    /* ends the connection; NULL is a no-op */
int hijack_fd(const struct hijack *hijack); /* for poll(2): read until -EAGAIN first, for TLS keeps what it has read */
ssize_t hijack_send(struct hijack *hijack, const void *data, size_t len); /* -EAGAIN; -EPIPE */
ssize_t hijack_recv(struct hijack *hijack, void *data, size_t cap);       /* 0 at the end; -EAGAIN; -EPIPE */

/* engine.c's part and hijack.c's. */
int32_t hijack_open(struct op *op, struct http_pool *pool, const char *target, const char *body, struct hijack **ret);
int32_t engine_refusal(struct op *op, long http, const cJSON *json); /* the Engine's words as an error */

/* The head of an answer, as far as it is of interest. */
struct http_head {
    size_t len; /* the blank line included */
    long http;
    long content_length; /* -1 = not told */
};
/* Reads one that may not be complete. 1; 0 = not complete yet; -1 = no HTTP. Pure. */
int http_head_parse(const char *text, size_t len, struct http_head *ret);

/*
 * What an exec without a terminal writes: frames of u8 stream (1 = stdout, 2 = stderr), three zeros and u32 length, in
 * network order, then so many bytes. Zero-initialise.
 */
struct stream_frames {
    unsigned char head[8];
    size_t head_len;
    uint32_t left; /* of the frame's bytes */
};
/*
 * Takes the next piece of a frame out of what came: *data and *len move on behind it. Returns the stream and the piece;
 * 0 if no more is there; -1 for what is no such stream. Pure.
 */
int stream_next(struct stream_frames *frames, const char **data, size_t *len, const char **ret_piece, size_t *ret_len);

#endif
