/* What a hijacked answer is made of: its head, and the frames behind it (contract B3). */
#include "docker/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Takes all of text in pieces of one size; ret gets "stream:bytes" joined by blanks, ret_status the last answer. */
static void take(const char *text, size_t len, size_t piece, char *ret, size_t size, int *ret_status)
{
    struct stream_frames frames = { 0 };
    int before = 0;

    ret[0] = '\0';
    *ret_status = 0;
    for (size_t at = 0; at < len && *ret_status >= 0; at += piece) {
        const char *data = text + at, *bytes;
        size_t left = len - at < piece ? len - at : piece, n;

        while ((*ret_status = stream_next(&frames, &data, &left, &bytes, &n)) > 0) {
            size_t used = strlen(ret);

            if (*ret_status != before)
                used += (size_t)snprintf(ret + used, size - used, "%s%d:", used ? " " : "", *ret_status);
            before = *ret_status;
            snprintf(ret + used, size - used, "%.*s", (int)n, bytes);
        }
    }
}

Test(docker_stream, split_anywhere)
{
    static const char text[] = "\1\0\0\0\0\0\0\5hello\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\3err\1\0\0\0\0\0\0\1!";

    for (size_t piece = 1; piece < sizeof text; piece++) {
        char got[100];
        int status;

        take(text, sizeof text - 1, piece, got, sizeof got, &status);
        cr_expect_eq(status, 0);
        cr_expect_str_eq(got, "1:hello 2:err 1:!", "pieces of %zu: %s", piece, got);
    }
}

Test(docker_stream, a_huge_frame_is_passed_on_as_it_comes)
{
    static const char head[] = "\1\0\0\0\xff\xff\xff\xff";
    static char block[65536];
    struct stream_frames frames = { 0 };
    const char *data = head, *piece;
    size_t len = 8, n;

    cr_expect_eq(stream_next(&frames, &data, &len, &piece, &n), 0);
    for (int i = 0; i < 10; i++) {
        data = block;
        len = sizeof block;
        cr_expect_eq(stream_next(&frames, &data, &len, &piece, &n), 1);
        cr_expect(piece == block && n == sizeof block && len == 0);
    }
    cr_expect_eq(frames.left, UINT32_MAX - 10 * sizeof block);
}

Test(docker_stream, B3_cut_short)
{
    char got[100];
    int status;

    take("\1\0\0\0\0\0\0\5hel", 11, 100, got, sizeof got, &status);
    cr_expect_eq(status, 0);
    cr_expect_str_eq(got, "1:hel");
    take("\1\0\0", 3, 100, got, sizeof got, &status);
    cr_expect_eq(status, 0);
    cr_expect_str_eq(got, "");
}

Test(docker_stream, B3_no_such_stream)
{
    static const char *const texts[] = { "OCI runtime exec failed", "\3\0\0\0\0\0\0\1x", "\1\1\0\0\0\0\0\1x" };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char got[100];
        int status;

        take(texts[i], i ? 9 : strlen(texts[i]), 100, got, sizeof got, &status);
        cr_expect_eq(status, -1, "text %zu", i);
    }
}

Test(docker_stream, heads)
{
    static const char upgraded[] = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\nrest";
    static const char refused[] = "HTTP/1.1 409 Conflict\r\ncontent-length: 17\r\n\r\n";
    struct http_head head;

    cr_assert_eq(http_head_parse(upgraded, sizeof upgraded - 1, &head), 1);
    cr_expect(head.http == 101 && head.content_length == -1 && !strcmp(upgraded + head.len, "rest"));
    cr_assert_eq(http_head_parse(refused, sizeof refused - 1, &head), 1);
    cr_expect(head.http == 409 && head.content_length == 17 && head.len == sizeof refused - 1);
    for (size_t len = 0; len < sizeof refused - 1; len++)
        cr_expect_eq(http_head_parse(refused, len, &head), 0, "complete after %zu bytes", len);
}

Test(docker_stream, B3_heads_that_are_none)
{
    static const char *const texts[] = { "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
                                         "HTTP/1.1 99999 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n" };
    struct http_head head;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_expect_eq(http_head_parse(texts[i], strlen(texts[i]), &head), -1, "%s", texts[i]);
}
