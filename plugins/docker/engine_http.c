/* One request and its answer, over a connection that is kept for the next. */
#include "engine.h"

#include "error.h"
#include "runtime.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define IDLE_MAX        8 /* connections kept; one that is used costs nothing of it */
#define CONNECT_LIMIT_S 10
#define TICK_MS         1000

/* A handle pair is one thread's at a time. The connection is in the multi handle's cache. */
struct line {
    struct line *next;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    char why[CURL_ERROR_SIZE];
};

struct http_pool {
    const struct address *address; /* borrowed */
    pthread_mutex_t lock;          /* guards what follows */
    struct line *idle;
    unsigned n_idle;
};

/* Made here to be close-on-exec: libcurl's own are not in every version. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void line_free(struct line *line)
{
    if (!line)
        return;
    if (line->easy)
        curl_easy_cleanup(line->easy);
    if (line->multi)
        (void)curl_multi_cleanup(line->multi);
    curl_slist_free_all(line->headers);
    free(line);
}

static bool tls_setup(CURL *easy, const struct address *address)
{
    static const struct {
        CURLoption option;
        const char *file;
    } files[] = { { CURLOPT_CAINFO, "ca.pem" }, { CURLOPT_SSLCERT, "cert.pem" }, { CURLOPT_SSLKEY, "key.pem" } };
    long verify = address->tls == TLS_VERIFY;
    bool ok = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L) == CURLE_OK;

    for (size_t i = 0; ok && address->cert_dir && i < ARRAY_LEN(files); i++) {
        cleanup_free char *path = NULL;

        if (asprintf(&path, "%s/%s", address->cert_dir, files[i].file) < 0)
            path = NULL;
        ok = path && (access(path, F_OK) < 0 || curl_easy_setopt(easy, files[i].option, path) == CURLE_OK);
    }
    return ok;
}

static struct line *line_new(const struct address *address)
{
    struct line *line = calloc(1, sizeof *line);
    bool ok;

    if (!line)
        return NULL;
    line->easy = curl_easy_init();
    line->multi = curl_multi_init();
    if (line->multi)
        curl_close_on_exec(line->multi);
    line->headers = curl_slist_append(NULL, "Content-Type: application/json");
    ok = line->headers && curl_slist_append(line->headers, "Expect:") != NULL; /* no waiting for 100 Continue */
    ok = ok && line->easy && line->multi && curl_easy_setopt(line->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_PROXY, "") == CURLE_OK && /* the host's environment is not ours */
         curl_easy_setopt(line->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_LIMIT_S) == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_ERRORBUFFER, line->why) == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_HTTPHEADER, line->headers) == CURLE_OK &&
         curl_easy_setopt(line->easy, CURLOPT_USERAGENT, "stockade/" STOCKADE_VERSION) == CURLE_OK;
    if (ok && address->socket_path)
        ok = curl_easy_setopt(line->easy, CURLOPT_UNIX_SOCKET_PATH, address->socket_path) == CURLE_OK;
    else if (ok && address->tls)
        ok = tls_setup(line->easy, address);
    if (!ok) {
        line_free(line);
        return NULL;
    }
    return line;
}

int32_t http_pool_new(const struct address *address, rt_error *err, struct http_pool **ret)
{
    struct http_pool *pool;

    if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE))
        return error_set(err, RT_E_UNSUPPORTED, 0,
                         "libcurl %s cannot be initialised beside other threads: 7.84 or newer",
                         curl_version_info(CURLVERSION_NOW)->version);
    pool = calloc(1, sizeof *pool);
    if (!pool)
        return error_set(err, RT_E_NOMEM, 0, "connections to the Engine");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* counted: each pool has its own */
        free(pool);
        return error_set(err, RT_E_INTERNAL, 0, "libcurl cannot be initialised");
    }
    pool->address = address;
    pthread_mutex_init(&pool->lock, NULL);
    *ret = pool;
    return RT_OK;
}

void http_pool_free(struct http_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle) {
        struct line *line = pool->idle;

        pool->idle = line->next;
        line_free(line);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    curl_global_cleanup();
}

static struct line *line_take(struct http_pool *pool)
{
    struct line *line;

    pthread_mutex_lock(&pool->lock);
    line = pool->idle;
    if (line) {
        pool->idle = line->next;
        pool->n_idle--;
    }
    pthread_mutex_unlock(&pool->lock);
    return line ? line : line_new(pool->address);
}

static void line_give(struct http_pool *pool, struct line *line)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->n_idle < IDLE_MAX) {
        line->next = pool->idle;
        pool->idle = line;
        pool->n_idle++;
        line = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    line_free(line);
}

/* ---- an answer's body ---- */

struct intake {
    struct http_exchange *exchange;
    CURL *easy;
    size_t cap;
    bool too_large, refused, settling;
    int64_t last_ns; /* when something came last */
};

static bool intake_keep(struct intake *in, const char *data, size_t len)
{
    struct http_exchange *exchange = in->exchange;

    if (len > ENGINE_ANSWER_MAX - exchange->len) {
        in->too_large = true;
        return false;
    }
    if (exchange->len + len + 1 > in->cap) {
        size_t cap = (exchange->len + len + 1) * 2;
        char *bigger = realloc(exchange->data, cap);

        if (!bigger)
            return false;
        exchange->data = bigger;
        in->cap = cap;
    }
    memcpy(exchange->data + exchange->len, data, len);
    exchange->len += len;
    exchange->data[exchange->len] = '\0';
    return true;
}

static size_t body_take(char *data, size_t size, size_t n, void *arg)
{
    struct intake *in = arg;
    size_t len = size * n;
    long http = 0;

    in->last_ns = now_ns();
    (void)curl_easy_getinfo(in->easy, CURLINFO_RESPONSE_CODE, &http);
    if (!in->exchange->sink || http >= 300)
        return intake_keep(in, data, len) ? len : 0;
    in->refused = !in->exchange->sink(in->exchange->sink_arg, data, len);
    return in->refused ? 0 : len;
}

/* ---- the exchange ---- */

static int32_t failure(struct op *op, const struct http_pool *pool, const struct line *line, const struct intake *in,
                       CURLcode code)
{
    const char *name = pool->address->text, *why = line->why[0] ? line->why : curl_easy_strerror(code);
    long sys = 0;

    (void)curl_easy_getinfo(line->easy, CURLINFO_OS_ERRNO, &sys);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return op_fail(op, RT_E_UNAVAILABLE, (int)sys, "the Engine at %s cannot be reached", name);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE: /* the Engine, or what is between, ended in the middle of its answer */
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_OPERATION_TIMEDOUT: /* connecting: all else is timed here */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return op_fail(op, RT_E_UNAVAILABLE, 0, "the Engine at %s: %.200s", name, why);
    case CURLE_WRITE_ERROR:
        if (in->too_large)
            return op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer is larger than %zu bytes", ENGINE_ANSWER_MAX);
        if (in->refused)
            return op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer is malformed");
        return op_fail(op, RT_E_NOMEM, 0, "the Engine's answer");
    case CURLE_OUT_OF_MEMORY:
        return op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
    default: /* malformed */
        return op_fail(op, RT_E_PROTOCOL, 0, "the Engine at %s: %.200s", name, why);
    }
}

static int32_t prepare(struct op *op, const struct http_pool *pool, struct line *line, struct intake *in)
{
    const struct http_exchange *exchange = in->exchange;
    cleanup_free char *url = NULL;
    CURL *easy = line->easy;
    bool ok;

    if (asprintf(&url, "%s%s", pool->address->base_url, exchange->target) < 0)
        url = NULL;
    /* A body, an empty one too, makes it a POST; the method's name is set over that. */
    ok = url && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_take) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEDATA, in) == CURLE_OK &&
         (strcmp(exchange->method, "GET")
              ? curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body ? exchange->body : "") == CURLE_OK &&
                    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, exchange->body ? (long)strlen(exchange->body) : 0L) ==
                        CURLE_OK
              : curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK) &&
         curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, exchange->method) == CURLE_OK;
    line->why[0] = '\0';
    return ok ? RT_OK : op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
}

/* The time has come for this call alone; the op's own deadline is op_check()'s. */
static int32_t limits_check(struct op *op, const struct intake *in, int64_t until_ns, int64_t *ret_next_ns)
{
    int64_t now = now_ns(), quiet = in->exchange->quiet_ms ? in->last_ns + in->exchange->quiet_ms * NS_PER_MS : 0;

    if (until_ns && now >= until_ns)
        return op_fail(op, RT_E_TIMEOUT, 0, "the Engine did not answer within %lld s",
                       (long long)in->exchange->limit_ms / 1000);
    if (quiet && now >= quiet)
        return op_fail(op, RT_E_TIMEOUT, 0, "the Engine was silent for %lld s",
                       (long long)in->exchange->quiet_ms / 1000);
    *ret_next_ns = sooner_ns(until_ns, quiet);
    return RT_OK;
}

static int wait_ms(int64_t next_ns)
{
    int64_t left = next_ns ? (next_ns - now_ns()) / NS_PER_MS + 1 : TICK_MS;

    return left < 0 ? 0 : left < TICK_MS ? (int)left : TICK_MS;
}

/* Whether the call may go on; ret_next_ns is when to look again. */
static int32_t go_on(struct op *op, struct intake *in, int64_t *until_ns, int64_t *ret_next_ns)
{
    int32_t status = in->settling ? RT_OK : op_check(op);

    if (status && in->exchange->settle_ms) {
        in->settling = true;
        *until_ns = now_ns() + in->exchange->settle_ms * NS_PER_MS;
        status = RT_OK;
    }
    if (status)
        return status;
    status = limits_check(op, in, *until_ns, ret_next_ns);
    if (in->settling)
        return status ? op_check(op) : RT_OK;
    *ret_next_ns = sooner_ns(*ret_next_ns, op->deadline_ns);
    return status;
}

/* Until the transfer ends or may not go on; the transfer's own result is in ret_code then. */
static int32_t drive(struct op *op, struct line *line, struct intake *in, CURLcode *ret_code)
{
    int64_t until = in->exchange->limit_ms ? now_ns() + in->exchange->limit_ms * NS_PER_MS : 0, next = 0;
    struct curl_waitfd extra[2];
    unsigned n = 0;
    int running, left;
    CURLMsg *message;

    if (op->cancel_fd >= 0)
        extra[n++] = (struct curl_waitfd){ .fd = op->cancel_fd, .events = CURL_WAIT_POLLIN };
    extra[n++] = (struct curl_waitfd){ .fd = op->rt->closing_fd, .events = CURL_WAIT_POLLIN };
    for (;;) {
        int32_t status;

        if (curl_multi_perform(line->multi, &running) != CURLM_OK)
            return op_fail(op, RT_E_INTERNAL, 0, "libcurl");
        if (!running)
            break;
        status = go_on(op, in, &until, &next);
        if (status)
            return status;
        if (curl_multi_poll(line->multi, extra, in->settling ? 0 : n, wait_ms(next), NULL) != CURLM_OK)
            return op_fail(op, RT_E_INTERNAL, 0, "libcurl");
    }
    message = curl_multi_info_read(line->multi, &left);
    *ret_code = message && message->msg == CURLMSG_DONE ? message->data.result : CURLE_RECV_ERROR;
    return RT_OK;
}

int32_t http_connect(struct op *op, struct http_pool *pool, CURL **ret_easy, struct line **ret)
{
    struct http_exchange none = { .limit_ms = CONNECT_LIMIT_S * 1000 };
    struct intake in = { .exchange = &none, .last_ns = now_ns() };
    struct line *line = line_new(pool->address);
    CURLcode code = CURLE_OK;
    int32_t status = RT_OK;

    if (!line || curl_easy_setopt(line->easy, CURLOPT_URL, pool->address->base_url) != CURLE_OK ||
        curl_easy_setopt(line->easy, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK ||
        curl_multi_add_handle(line->multi, line->easy) != CURLM_OK)
        status = op_fail(op, RT_E_NOMEM, 0, "a connection to the Engine");
    if (!status)
        status = drive(op, line, &in, &code);
    if (!status && code != CURLE_OK)
        status = failure(op, pool, line, &in, code);
    if (status) {
        http_disconnect(line);
        return status;
    }
    *ret_easy = line->easy;
    *ret = line;
    return RT_OK;
}

void http_disconnect(struct line *line)
{
    if (line)
        (void)curl_multi_remove_handle(line->multi, line->easy);
    line_free(line);
}

/* Podman's service says in the head of an answer to a ping who it is. */
static void podman_api_read(CURL *easy, char *into, size_t size)
{
    struct curl_header *header;

    into[0] = '\0';
    if (curl_easy_header(easy, "Libpod-Api-Version", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        curl_easy_header(easy, "Api-Version", 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
        snprintf(into, size, "%s", header->value);
}

int32_t http_exchange(struct op *op, struct http_pool *pool, struct http_exchange *exchange)
{
    struct line *line = line_take(pool);
    struct intake in = { .exchange = exchange, .last_ns = now_ns() };
    CURLcode code = CURLE_OK;
    int32_t status;

    exchange->http = 0;
    exchange->podman_api[0] = '\0';
    if (!line)
        return op_fail(op, RT_E_NOMEM, 0, "a connection to the Engine");
    in.easy = line->easy;
    status = prepare(op, pool, line, &in);
    if (!status && curl_multi_add_handle(line->multi, line->easy) != CURLM_OK)
        status = op_fail(op, RT_E_INTERNAL, 0, "libcurl");
    if (!status)
        status = drive(op, line, &in, &code);
    if (!status && code != CURLE_OK)
        status = failure(op, pool, line, &in, code);
    if (!status) {
        (void)curl_easy_getinfo(line->easy, CURLINFO_RESPONSE_CODE, &exchange->http);
        podman_api_read(line->easy, exchange->podman_api, sizeof exchange->podman_api);
    }
    (void)curl_multi_remove_handle(line->multi, line->easy); /* closes the connection of one that is unfinished */
    if (status)
        line_free(line);
    else
        line_give(pool, line);
    return status;
}
