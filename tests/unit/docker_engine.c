/* The Engine client against a server that answers what it likes (contract B3, R4). */
#include "docker/docker.h"
#include "docker/relay.h"
#include "error.h"
#include "fake_engine.h"
#include "util.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define VERSION_BODY "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}"
#define VERSION                                                                                                        \
    {                                                                                                                  \
        .status = "200 OK", .body = VERSION_BODY                                                                       \
    }
#define EMPTY                                                                                                          \
    {                                                                                                                  \
        .status = "200 OK", .body = "{}"                                                                               \
    }

static struct {
    struct fake_engine *fake;
    struct engine *engine;
    struct runtime rt;
    struct docker docker;
    rt_call call;
    struct op op;
} t;

static void engine_at(const char *where)
{
    struct address address = { 0 };
    rt_error err = RT_ERROR_INIT;

    cr_assert_null(address_parse(where, TLS_OFF, NULL, &address));
    cr_assert_eq(engine_new(&address, &err, &t.engine), RT_OK, "%s", err.message);
    t.rt.closing_fd = eventfd(0, EFD_CLOEXEC);
    t.docker.engine = t.engine;
    t.rt.own = &t.docker;
    t.call = (rt_call)RT_CALL_INIT;
}

static void begin(const struct fake_answer *answers, size_t n)
{
    t.fake = fake_engine_start(answers, n);
    engine_at(fake_engine_address(t.fake));
}
#define BEGIN(...)                                                                                                     \
    static const struct fake_answer answers[] = { __VA_ARGS__ };                                                       \
    begin(answers, sizeof answers / sizeof *answers)

static void end(void)
{
    engine_free(t.engine);
    close(t.rt.closing_fd);
    if (t.fake)
        fake_engine_stop(t.fake);
}

TestSuite(docker_engine, .fini = end, .timeout = 300);

/* One call; its answer is freed at once. */
static int32_t get(const char *path, long *ret_http)
{
    const struct engine_request request = { .method = "GET", .path = path };
    struct engine_answer answer;
    int32_t status;

    op_init(&t.op, &t.rt, &t.call, "test");
    status = engine_call(&t.op, t.engine, &request, &answer);
    if (ret_http)
        *ret_http = answer.http;
    engine_answer_release(&answer);
    return status;
}

static void expect_fails(int32_t want, const char *words)
{
    int32_t status = get("/x", NULL);

    cr_expect_eq(status, want, "%d: %s", status, t.op.err->message);
    cr_expect_not_null(strstr(t.op.err->message, words), "%s", t.op.err->message);
}

Test(docker_engine, B3_version_first_then_the_path_behind_it)
{
    char *requests;

    BEGIN(VERSION, EMPTY);
    cr_expect_eq(get("/containers/json?all=1", NULL), RT_OK, "%s", t.op.err->message);
    cr_expect_eq(get("/second", NULL), RT_OK, "%s", t.op.err->message);
    requests = fake_engine_requests(t.fake);
    cr_expect_str_eq(requests, "GET /_ping HTTP/1.1\nGET /version HTTP/1.1\nGET /v1.41/containers/json?all=1 HTTP/1.1\n"
                               "GET /v1.41/second HTTP/1.1\n");
    free(requests);
}

/* Podman's ping: VERSION is that of the API. */
#define PODMAN(VERSION)                                                                                                \
    {                                                                                                                  \
        .to_ping = true, .raw = "HTTP/1.1 200 OK\r\nApi-Version: " VERSION "\r\nLibpod-Api-Version: 4.3.1\r\n"         \
                                "Server: Libpod/4.3.1 (linux)\r\nContent-Length: 2\r\n\r\nOK"                          \
    }

static bool podman_is_ready(void)
{
    bool is_podman = false;

    op_init(&t.op, &t.rt, &t.call, "test");
    cr_expect_eq(engine_ready(&t.op, t.engine, &is_podman), RT_OK, "%s", t.op.err->message);
    return is_podman;
}

Test(docker_engine, B3_podman_is_known_by_its_ping)
{
    char *requests;

    BEGIN(PODMAN("1.41"), EMPTY);
    cr_expect(podman_is_ready());
    cr_expect_eq(get("/x", NULL), RT_OK, "%s", t.op.err->message);
    requests = fake_engine_requests(t.fake);
    cr_expect_str_eq(requests, "GET /_ping HTTP/1.1\nGET /v1.41/x HTTP/1.1\n");
    free(requests);
}

Test(docker_engine, B3_podman_of_an_older_api_is_refused)
{
    BEGIN(PODMAN("1.40"), { .status = "200 OK", .body = "{\"ApiVersion\":\"1.40\",\"Version\":\"3.4.4\"}" });
    expect_fails(RT_E_UNSUPPORTED, "1.40");
}

Test(docker_engine, B3_a_ping_without_a_sound_answer)
{
    BEGIN({ .to_ping = true, .raw = "what?\r\n\r\n", .after = FAKE_CLOSE }, VERSION, EMPTY);
    cr_expect_not(podman_is_ready());
    cr_expect_eq(get("/x", NULL), RT_OK, "%s", t.op.err->message);
}

Test(docker_engine, R4_a_ping_that_is_not_answered)
{
    const struct engine_request limited = { .method = "GET", .path = "/x", .limit_ms = 200 };
    struct engine_answer answer;

    BEGIN({ .to_ping = true, .after = FAKE_HANG }, VERSION, EMPTY);
    op_init(&t.op, &t.rt, NULL, "test");
    cr_expect_eq(engine_call(&t.op, t.engine, &limited, &answer), RT_E_TIMEOUT, "%s", t.op.err->message);
}

Test(docker_engine, B3_an_older_api_is_refused)
{
    BEGIN({ .status = "200 OK", .body = "{\"ApiVersion\":\"1.39\",\"Version\":\"18.9\"}" });
    expect_fails(RT_E_UNSUPPORTED, "1.39");
}

Test(docker_engine, B3_what_is_no_engine)
{
    BEGIN({ .status = "200 OK", .body = "{\"hello\":\"you\"}" });
    expect_fails(RT_E_PROTOCOL, "no Engine");
}

Test(docker_engine, B3_every_second_answer_is_500)
{
    BEGIN(VERSION, { .status = "500 Internal Server Error", .body = "{\"message\":\"out of luck\"}\n" }, EMPTY,
          { .status = "500 Internal Server Error", .body = "{\"message\":\"out of luck\"}\n" });
    expect_fails(RT_E_UNAVAILABLE, "out of luck");
    cr_expect_eq(get("/x", NULL), RT_OK, "%s", t.op.err->message);
}

Test(docker_engine, B3_statuses)
{
    static const struct {
        int32_t want;
        long http;
    } wants[] = { { RT_E_INVAL, 400 },
                  { RT_E_PERMISSION, 403 },
                  { RT_E_INVAL, 404 },
                  { RT_E_CONFLICT, 409 },
                  { RT_E_UNAVAILABLE, 503 } };

    BEGIN(VERSION, { .status = "400 Bad", .body = "{\"message\":\"one\"}" },
          { .status = "403 Forbidden", .body = "{\"message\":\"two\"} " },
          { .status = "404 Not Found", .body = "{\"message\":\"three\"}" }, { .status = "409 Conflict" },
          { .status = "503 Busy", .body = "<html></>" });
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++) {
        long http = 0;
        int32_t status = get("/x", &http);

        cr_expect_eq(status, wants[i].want, "%ld: %d, %s", http, status, t.op.err->message);
        cr_expect_eq(http, wants[i].http);
    }
}

Test(docker_engine, B3_malformed_json)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"Id\": \"abc\"" });
    expect_fails(RT_E_PROTOCOL, "not JSON");
}

Test(docker_engine, B3_json_that_is_too_deep)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "[", .repeat = 5000 });
    expect_fails(RT_E_PROTOCOL, "not JSON");
}

Test(docker_engine, B3_too_large)
{
    BEGIN(VERSION, { .status = "200 OK", .body = " ", .length = 20000000, .repeat = 19999999, .after = FAKE_CLOSE });
    expect_fails(RT_E_PROTOCOL, "larger");
}

Test(docker_engine, B3_no_http)
{
    BEGIN(VERSION, { .raw = "SSH-2.0-OpenSSH_9.2p1\r\n\r\n", .after = FAKE_CLOSE });
    expect_fails(RT_E_PROTOCOL, "Engine");
}

Test(docker_engine, B3_a_message_of_several_lines)
{
    BEGIN(VERSION, { .status = "400 Bad", .body = "{\"message\":\"one\\ntwo \\t!\"}" });
    cr_expect_eq(get("/x", NULL), RT_E_INVAL);
    cr_expect_null(strchr(t.op.err->message, '\n'));
}

Test(docker_engine, R4_nobody_listens)
{
    engine_at("unix:///nonexistent/stockade.sock");
    expect_fails(RT_E_UNAVAILABLE, "/nonexistent/stockade.sock");
}

Test(docker_engine, R4_the_connection_ends_without_an_answer)
{
    BEGIN(VERSION, { .after = FAKE_CLOSE });
    expect_fails(RT_E_UNAVAILABLE, "Engine");
}

Test(docker_engine, R4_the_connection_ends_in_an_answer)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"Id\":", .length = 100, .after = FAKE_CLOSE });
    expect_fails(RT_E_UNAVAILABLE, "Engine");
}

/* A kept connection that the Engine has closed meanwhile is no failure: it was restarted. */
Test(docker_engine, R4_a_stale_connection_is_opened_anew)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{}", .after = FAKE_CLOSE }, EMPTY);
    cr_expect_eq(get("/x", NULL), RT_OK, "%s", t.op.err->message);
    cr_expect_eq(get("/x", NULL), RT_OK, "%s", t.op.err->message);
}

Test(docker_engine, R4_the_deadline_holds)
{
    BEGIN(VERSION, { .after = FAKE_HANG });
    t.call.deadline_ns = now_ns() + 200 * NS_PER_MS;
    expect_fails(RT_E_TIMEOUT, "deadline");
}

Test(docker_engine, R4_the_deadline_holds_in_the_middle_of_an_answer)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"Id\":", .length = 100, .after = FAKE_HANG });
    t.call.deadline_ns = now_ns() + 200 * NS_PER_MS;
    expect_fails(RT_E_TIMEOUT, "deadline");
}

static void *cancel_soon(void *fd)
{
    usleep(100000);
    (void)!write(*(int *)fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    return NULL;
}

Test(docker_engine, R4_cancelled)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    pthread_t thread;

    BEGIN(VERSION, { .after = FAKE_HANG });
    t.call.cancel_fd = fd;
    cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, &fd), 0);
    expect_fails(RT_E_CANCELLED, "cancelled");
    pthread_join(thread, NULL);
    close(fd);
}

Test(docker_engine, R4_limits_of_the_call_itself)
{
    const struct engine_request limited = { .method = "GET", .path = "/x", .limit_ms = 200 };
    const struct engine_request quiet = { .method = "GET", .path = "/x", .limit_ms = RT_FOREVER, .quiet_ms = 200 };
    struct engine_answer answer;

    BEGIN(VERSION, { .status = "200 OK", .body = "{", .length = 100, .after = FAKE_HANG });
    op_init(&t.op, &t.rt, NULL, "test");
    cr_expect_eq(engine_call(&t.op, t.engine, &limited, &answer), RT_E_TIMEOUT, "%s", t.op.err->message);
    cr_expect_eq(engine_call(&t.op, t.engine, &quiet, &answer), RT_E_TIMEOUT, "%s", t.op.err->message);
    cr_expect_not_null(strstr(t.op.err->message, "silent"), "%s", t.op.err->message);
}

/* What a call has made is named by its answer: with settle_ms a cancel still waits for it. */
Test(docker_engine, R4_an_answer_that_settles)
{
    const struct engine_request request = { .method = "POST", .path = "/make", .settle_ms = 5000 };
    struct engine_answer answer;

    BEGIN(VERSION, { .status = "201 Created", .body = "{}" });
    cr_assert_eq(get("/version-only", NULL), RT_OK, "%s", t.op.err->message);
    t.call.deadline_ns = 1;
    op_init(&t.op, &t.rt, &t.call, "test");
    cr_expect_eq(engine_call(&t.op, t.engine, &request, &answer), RT_OK, "%s", t.op.err->message);
    cr_expect_eq(answer.http, 201);
    engine_answer_release(&answer);
}

/* The version is asked first, and must not cost a call more than it may take. */
Test(docker_engine, R4_limits_hold_where_nothing_is_known_yet)
{
    const struct engine_request limited = { .method = "GET", .path = "/x", .limit_ms = 200 };
    struct engine_answer answer;

    BEGIN({ .after = FAKE_HANG });
    op_init(&t.op, &t.rt, NULL, "test");
    cr_expect_eq(engine_call(&t.op, t.engine, &limited, &answer), RT_E_TIMEOUT, "%s", t.op.err->message);
}

/* ---- why a container died ---- */

#define EVENTS(EXIT_CODE)                                                                                              \
    {                                                                                                                  \
        .status = "200 OK", .body =                                                                                    \
                                "{\"Action\":\"kill\",\"Actor\":{\"Attributes\":{\"signal\":\"9\"}}}\n"                \
                                "{\"Action\":\"die\",\"Actor\":{\"Attributes\":{\"exitCode\":\"" EXIT_CODE "\"}}}\n"   \
    }

/* What docker_died_why() says of a container; whether that is its last word is in ret_known. */
static const char *died_why(bool *ret_known)
{
    static char why[200];
    struct record record = { .backend_id = "0123456789abcdef", .started_us = 1000000 };

    strcpy(why, "unknown");
    op_init(&t.op, &t.rt, &t.call, "test");
    *ret_known = docker_died_why(&t.op, &record, why, sizeof why);
    return why;
}

static void expect_died(bool want_known, const char *want)
{
    bool known;

    cr_expect_str_eq(died_why(&known), want);
    cr_expect_eq(known, want_known);
}

Test(docker_engine, L8_the_cause_is_awaited)
{
    cleanup_free char *requests = NULL;

    BEGIN(VERSION, { .status = "200 OK", .body = "{\"StatusCode\":137}" }, EVENTS("137"));
    expect_died(true, "its container was killed by signal 9");
    requests = fake_engine_requests(t.fake);
    cr_expect_not_null(strstr(requests, "POST /v1.41/containers/0123456789abcdef/wait"), "%s", requests);
}

/* It is the filesystem's daemon that has died: the Engine would be waited for in vain. */
Test(docker_engine, L8_of_a_container_that_lives)
{
    const struct record record = { .backend_id = "0123456789abcdef", .init = proc_id_of(getpid()) };
    cleanup_free char *requests = NULL;
    char why[] = "unknown";

    BEGIN(VERSION, EMPTY);
    op_init(&t.op, &t.rt, &t.call, "test");
    cr_expect(docker_died_why(&t.op, &record, why, sizeof why));
    cr_expect_str_eq(why, "unknown");
    requests = fake_engine_requests(t.fake);
    cr_expect_str_empty(requests);
}

Test(docker_engine, L8_of_a_container_that_the_engine_has_removed)
{
    BEGIN(VERSION, { .status = "404 Not Found", .body = "{\"message\":\"No such container\"}" }, EVENTS("137"));
    expect_died(true, "its container was killed by signal 9");
}

/* As Podman answers who waits while it removes the container. */
#define REMOVED(code)                                                                                                  \
    {                                                                                                                  \
        .status = "200 OK", .body = "{\"StatusCode\":" code ",\"Error\":{\"Message\":\"no such container\"}}"          \
    }

Test(docker_engine, L8_of_a_container_that_is_removed_meanwhile)
{
    BEGIN(VERSION, REMOVED("0"), EVENTS("137"));
    expect_died(true, "its container was killed by signal 9");
}

Test(docker_engine, L8_of_a_container_that_was_removed_sooner)
{
    BEGIN(VERSION, REMOVED("-1"), EVENTS("137"));
    expect_died(true, "its container was killed by signal 9");
}

Test(docker_engine, L8_of_a_container_that_is_removed_and_not_told_of_yet)
{
    BEGIN(VERSION, REMOVED("0"), { .status = "200 OK", .body = "" });
    expect_died(false, "unknown");
}

Test(docker_engine, L8_of_an_end_whose_events_are_forgotten)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"StatusCode\":3}" }, { .status = "200 OK", .body = "" });
    expect_died(true, "its container ended with exit code 3");
}

Test(docker_engine, L8_a_code_that_tells_of_a_signal)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"StatusCode\":137}" }, { .status = "200 OK", .body = "" });
    expect_died(true, "its container was killed by signal 9");
}

/* ---- removing a container ---- */

#define PODMAN_RACE                                                                                                    \
    {                                                                                                                  \
        .status = "500 Internal Server Error",                                                                         \
        .body = "{\"message\":\"cannot remove container x as it could not be stopped: sending SIGKILL to it\"}"        \
    }

static int32_t removed(void)
{
    const struct record record = { .backend_id = "0123456789abcdef", .init = proc_id_of(getpid()) };
    rt_error err = RT_ERROR_INIT;
    int32_t status;

    cr_assert_eq(relays_new(&err, &t.docker.relays), RT_OK, "%s", err.message);
    op_init(&t.op, &t.rt, &t.call, "test");
    status = docker_end(&t.op, &record);
    relays_free(t.docker.relays);
    return status;
}

Test(docker_engine, L5_a_container_that_ends_while_it_is_removed)
{
    BEGIN(VERSION, PODMAN_RACE, { .status = "204 No Content", .body = "" });
    cr_expect_eq(removed(), RT_OK, "%s", t.op.err->message);
}

Test(docker_engine, L5_a_container_that_goes_while_it_is_removed)
{
    BEGIN(VERSION, { .status = "500 Internal Server Error",
                     .body = "{\"message\":\"container x does not exist in database: no such container\"}" });
    cr_expect_eq(removed(), RT_OK, "%s", t.op.err->message);
}

Test(docker_engine, L5_a_container_that_cannot_be_removed)
{
    BEGIN(VERSION, PODMAN_RACE);
    cr_expect_eq(removed(), RT_E_UNAVAILABLE, "%s", t.op.err->message);
    cr_expect_not_null(strstr(t.op.err->message, "could not be stopped"), "%s", t.op.err->message);
}

/* ---- why a container died, of an Engine that fails ---- */

Test(docker_engine, L8_is_asked_again_where_the_engine_failed)
{
    BEGIN(VERSION, { .status = "500 Internal Server Error", .body = "{\"message\":\"not now\"}" },
          { .status = "200 OK", .body = "{\"StatusCode\":\"many\"}" },
          { .status = "200 OK", .body = "{\"StatusCode\":137}" }, EVENTS("137"));
    expect_died(false, "unknown");
    expect_died(false, "unknown");
    expect_died(true, "its container was killed by signal 9");
}

Test(docker_engine, L8_is_asked_again_where_the_engine_stood_still)
{
    BEGIN(VERSION, { .after = FAKE_HANG }, { .status = "200 OK", .body = "{\"StatusCode\":137}" }, EVENTS("137"));
    t.call.deadline_ns = now_ns() + NS_PER_S;
    expect_died(false, "unknown");
    t.call.deadline_ns = 0;
    expect_died(true, "its container was killed by signal 9");
}

static int inheritable_fds(void)
{
    int n = 0;

    for (int fd = 3; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

/* A host that starts a program at any moment gives it nothing of ours; and what it would give of its own stays so. */
Test(docker_engine, A5_connections_are_close_on_exec)
{
    int before, pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    before = inheritable_fds();
    BEGIN(VERSION, EMPTY);
    cr_expect_eq(get("/x", NULL), RT_OK, "%s", t.op.err->message);
    cr_expect_eq(inheritable_fds(), before);
    close(pair[0]);
    close(pair[1]);
}

/* ---- pulling ---- */

Test(docker_engine, B3_a_pull_that_fails_in_the_middle)
{
    BEGIN(VERSION,
          { .raw = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"status\":\"Pulling from x\",\"id\":\"1\"}\r\n"
                   "{\"error\":\"unexpected EOF\"}\r\n",
            .after = FAKE_CLOSE });
    op_init(&t.op, &t.rt, NULL, "test");
    cr_expect_eq(image_pull(&t.op, "x:1"), RT_E_UNAVAILABLE, "%s", t.op.err->message);
    cr_expect_not_null(strstr(t.op.err->message, "pull x:1: unexpected EOF"), "%s", t.op.err->message);
}

Test(docker_engine, R5_a_pull_onto_a_full_disk)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"error\":\"write /x:\\u001b[2J no space left on device\"}\r\n" });
    op_init(&t.op, &t.rt, NULL, "test");
    cr_expect_eq(image_pull(&t.op, "x:1"), RT_E_RESOURCE, "%s", t.op.err->message);
    cr_expect_not_null(strstr(t.op.err->message, "pull x:1: write /x: [2J no space left on device"), "%s",
                       t.op.err->message);
}

Test(docker_engine, R4_a_pull_whose_report_ends_in_the_middle)
{
    BEGIN(VERSION, { .raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n24\r\n{\"status\":\"Pull",
                     .after = FAKE_CLOSE });
    op_init(&t.op, &t.rt, NULL, "test");
    cr_expect_eq(image_pull(&t.op, "x"), RT_E_UNAVAILABLE, "%s", t.op.err->message);
}

Test(docker_engine, B3_a_pull_whose_report_is_no_json)
{
    BEGIN(VERSION, { .status = "200 OK", .body = "{\"status\"" }, { .status = "200 OK", .body = "nonsense\n" });
    for (int i = 0; i < 2; i++) {
        op_init(&t.op, &t.rt, NULL, "test");
        cr_expect_eq(image_pull(&t.op, "x"), RT_E_PROTOCOL, "%d: %s", i, t.op.err->message);
    }
}
