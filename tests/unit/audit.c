/* The audit's lines and their way out (contract W14). */
#include "permfs/audit.h"
#include "runtime_api.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(audit, .timeout = 300);

static struct audit audit; /* its queue is large */

/* ---- lines ----------------------------------------------------------------------------------------------------- */

struct name {
    char bytes[32];
    char text[64]; /* in the JSON, between the quotes */
};

ParameterizedTestParameters(audit, W14_names_are_bytes)
{
    static struct name cases[] = {
        { "plain name.c", "plain name.c" },
        { "", "" },
        { "a\nb\tc", "a\\u000ab\\u0009c" },
        { "say \"x\"", "say \\\"x\\\"" },
        { "back\\slash", "back\\\\\\\\slash" },
        { "\\xff", "\\\\\\\\xff" },
        { "\xff", "\\\\xff" },
        { "\x7f\x01", "\\u007f\\u0001" },
        { "\xC3\xA9", "\xC3\xA9" },
        { "\xE2\x82\xAC", "\xE2\x82\xAC" },
        { "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80" },
        { "\xC3", "\\\\xc3" },
        { "\xC3x", "\\\\xc3x" },
        { "\xC0\x80", "\\\\xc0\\\\x80" },                           /* overlong */
        { "\xE0\x80\x80", "\\\\xe0\\\\x80\\\\x80" },                /* overlong */
        { "\xED\xA0\x80", "\\\\xed\\\\xa0\\\\x80" },                /* a surrogate */
        { "\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80" }, /* beside them */
        { "\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF" },
        { "\xF4\x90\x80\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80" }, /* beyond U+10FFFF */
        { "\xF8\x88\x80\x80\x80", "\\\\xf8\\\\x88\\\\x80\\\\x80\\\\x80" },
        { "\x80", "\\\\x80" },
    };

    return cr_make_param_array(struct name, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct name *c, audit, W14_names_are_bytes)
{
    const struct audit_event event = { .kind = AUDIT_DENIED,
                                       .time_ns = INT64_C(1700000000123456789),
                                       .op = "open",
                                       .pid = 42,
                                       .path = c->bytes,
                                       .path_len = strlen(c->bytes),
                                       .permission = PERM_VIEW,
                                       .rule = 7,
                                       .pattern = "**" };
    char line[AUDIT_LINE_MAX + 1], want[512];
    size_t len = audit_line(line, "box", &event);
    cJSON *json;

    line[len] = '\0';
    snprintf(want, sizeof want,
             "{\"time\":\"2023-11-14T22:13:20.123Z\",\"sandbox\":\"box\",\"event\":\"denied\",\"op\":\"open\",\"path\":"
             "\"%s\",\"permission\":\"view\",\"rule\":7,\"pattern\":\"**\",\"pid\":42}",
             c->text);
    cr_expect_str_eq(line, want);
    json = cJSON_ParseWithLengthOpts(line, len + 1, NULL, 1);
    cr_expect(json, "no JSON: %s", line);
    cJSON_Delete(json);
}

/* The longest that there can be fits, whatever its bytes. */
Test(audit, W14_longest_line)
{
    static char path[AUDIT_PATH_MAX], pattern[AUDIT_PATTERN_MAX + 100];
    const struct audit_event event = { .kind = AUDIT_WRITE,
                                       .op = "removexattr",
                                       .pid = UINT32_MAX,
                                       .path = path,
                                       .path_len = sizeof path,
                                       .is_cut = true,
                                       .permission = PERM_WRITE,
                                       .rule = SIZE_MAX - 1,
                                       .pattern = pattern };
    char *line = malloc(AUDIT_LINE_MAX); /* for a sanitizer to see its end */
    char id[64];

    cr_assert(line);
    memset(id, 'i', 63);
    id[63] = '\0';
    memset(path, 1, sizeof path);
    memset(pattern, 2, sizeof pattern - 1);
    cr_expect_leq(audit_line(line, id, &event), (size_t)AUDIT_LINE_MAX);
    free(line);
}

/* ---- the way out ----------------------------------------------------------------------------------------------- */

static int file_new(void)
{
    char name[] = "/tmp/stockade-audit-XXXXXX";
    int fd = mkostemp(name, O_APPEND | O_CLOEXEC);

    cr_assert(fd >= 0 && unlink(name) == 0);
    return fd;
}

static void put_write(const char *path)
{
    const struct audit_event event = {
        .kind = AUDIT_WRITE, .op = "open", .path = path, .path_len = strlen(path), .rule = SIZE_MAX
    };

    if (audit_admit(&audit))
        audit_put(&audit, &event);
}

struct totals {
    size_t lines;      /* of events */
    double suppressed; /* sum of the counts */
};

static void line_count(const char *line, struct totals *totals)
{
    cJSON *json = cJSON_Parse(line);
    const char *event = cJSON_GetStringValue(cJSON_GetObjectItem(json, "event"));

    cr_assert(json && event, "no line of JSON: '%s'", line);
    if (!strcmp(event, "suppressed"))
        totals->suppressed += cJSON_GetObjectItem(json, "count")->valuedouble;
    else
        totals->lines++;
    cJSON_Delete(json);
}

static struct totals file_count(int fd)
{
    struct totals totals = { 0 };
    FILE *stream;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    cr_assert(lseek(fd, 0, SEEK_SET) == 0);
    stream = fdopen(dup(fd), "r");
    cr_assert(stream);
    while ((len = getline(&line, &cap, stream)) > 0 && line[len - 1] == '\n') /* the last may be half written yet */
        line_count(line, &totals);
    free(line);
    fclose(stream);
    return totals;
}

/* Faster than the rate: a burst is written, and every other line is in a count. */
Test(audit, W14_what_comes_too_fast_is_counted)
{
    int file = file_new();
    struct totals totals;

    cr_assert_eq(audit_start(&audit, "box", file, -1, 0), 0);
    for (int i = 0; i < 20000; i++)
        put_write("f");
    audit_stop(&audit);
    totals = file_count(file);
    cr_expect_eq((double)totals.lines + totals.suppressed, 20000);
    /* More than the burst as long as this has taken; fewer if the writer had no CPU. */
    cr_expect(totals.lines > 0 && totals.suppressed > 0, "%zu lines, %g suppressed", totals.lines, totals.suppressed);
    close(file);
}

Test(audit, W14_a_full_file_takes_no_more)
{
    int file = file_new();

    cr_assert_eq(audit_start(&audit, "box", file, -1, 1000), 0);
    for (int i = 0; i < 50; i++)
        put_write("some file");
    audit_stop(&audit);
    cr_expect_leq(lseek(file, 0, SEEK_END), 1000);
    cr_expect_gt(file_count(file).lines, 2);
    close(file);
}

/* Nobody reads: the file is written all the same, and what was missed is counted once there is room. */
Test(audit, W14_a_slow_reader_misses_lines)
{
    int file = file_new(), pair[2], small = 4096;
    struct totals sent = { 0 };
    char line[AUDIT_LINE_MAX + 1];
    ssize_t n;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    cr_assert_eq(audit_start(&audit, "box", file, pair[0], 0), 0);
    for (int i = 0; i < 200; i++)
        put_write("f");
    for (int i = 0; i < 20000 && file_count(file).lines < 200; i++)
        usleep(1000);
    cr_expect_eq(file_count(file).lines, 200);
    for (int i = 0; i < 3; i++) { /* takes some, so that there is room for a count and the next */
        n = recv(pair[1], line, sizeof line - 1, MSG_DONTWAIT);
        cr_assert_gt(n, 1);
        line[n] = '\0';
        cr_expect_eq(line[0], RT_LOG_INFO);
        line_count(line + 1, &sent);
    }
    put_write("last");
    audit_stop(&audit);
    close(pair[0]);
    while ((n = recv(pair[1], line, sizeof line - 1, 0)) > 0) {
        line[n] = '\0';
        line_count(line + 1, &sent);
    }
    cr_expect_gt(sent.suppressed, 0);
    cr_expect_eq((double)sent.lines + sent.suppressed, 201);
    close(pair[1]);
    close(file);
}

Test(audit, W14_a_reader_that_goes_does_no_harm)
{
    int file = file_new(), pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[1]);
    cr_assert_eq(audit_start(&audit, "box", file, pair[0], 0), 0);
    for (int i = 0; i < 10; i++)
        put_write("f");
    audit_stop(&audit);
    put_write("after the end");
    cr_expect_eq(file_count(file).lines, 10);
    close(pair[0]);
    close(file);
}

/* On a full disk the sandbox goes on. */
Test(audit, W14_a_file_that_fails_loses_lines_only)
{
    int full = open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC);

    cr_assert(full >= 0);
    cr_assert_eq(audit_start(&audit, "box", full, -1, 0), 0);
    for (int i = 0; i < 10; i++)
        put_write("f");
    audit_stop(&audit);
    close(full);
}
