/* The heads of hijacked answers, and the frames of what an exec writes. Pure. */
#include "engine.h"

#include "util.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The value of a header line of that name; NULL if it is another. */
static const char *header_value(const char *line, const char *name)
{
    size_t len = strlen(name);

    return strncasecmp(line, name, len) ? NULL : line + len;
}

int http_head_parse(const char *text, size_t len, struct http_head *ret)
{
    static const char version[] = "HTTP/1.";
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    cleanup_free char *head = NULL;
    char *save = NULL;

    if (memcmp(text, version, len < strlen(version) ? len : strlen(version)) != 0)
        return -1;
    if (!end)
        return 0;
    head = strndup(text, (size_t)(end - text));
    if (!head || strlen(head) < sizeof "HTTP/1.1 200" - 1)
        return -1;
    *ret = (struct http_head){ .len = (size_t)(end - text) + 4,
                               .http = strtol(head + strlen("HTTP/1.1 "), NULL, 10),
                               .content_length = -1 };
    for (char *line = strtok_r(head, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        const char *value = header_value(line, "Content-Length:");

        if (value)
            ret->content_length = strtol(value, NULL, 10);
    }
    return ret->http >= 100 && ret->http <= 599 && ret->content_length >= -1 ? 1 : -1;
}

static bool head_is_sound(const unsigned char *head)
{
    return head[0] <= 2 && !head[1] && !head[2] && !head[3];
}

int stream_next(struct stream_frames *frames, const char **data, size_t *len, const char **ret_piece, size_t *ret_len)
{
    size_t n;

    while (!frames->left) {
        if (!*len)
            return 0;
        frames->head[frames->head_len++] = (unsigned char)*(*data)++;
        --*len;
        if (frames->head_len < sizeof frames->head)
            continue;
        if (!head_is_sound(frames->head))
            return -1;
        frames->head_len = 0;
        for (size_t i = 4; i < sizeof frames->head; i++)
            frames->left = frames->left << 8 | frames->head[i];
    }
    if (!*len)
        return 0;
    n = *len < frames->left ? *len : frames->left;
    *ret_piece = *data;
    *ret_len = n;
    *data += n;
    *len -= n;
    frames->left -= (uint32_t)n;
    return frames->head[0] == 2 ? 2 : 1;
}
