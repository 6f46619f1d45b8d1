#include "docker.h"

#include <string.h>

static bool line_take(struct json_lines *lines, const char *text, size_t len)
{
    cJSON *json;
    bool ok;

    while (len && strchr(" \t\r\n", text[len - 1]))
        len--;
    if (!len)
        return true;
    json = cJSON_ParseWithLength(text, len);
    ok = cJSON_IsObject(json) && lines->take(lines->arg, json);
    cJSON_Delete(json);
    return ok;
}

static bool pending_add(struct json_lines *lines, const char *data, size_t len)
{
    if (len > JSON_LINE_MAX - lines->len)
        return false;
    if (lines->len + len > lines->cap) {
        size_t cap = (lines->len + len) * 2;
        char *bigger = realloc(lines->pending, cap);

        if (!bigger)
            return false;
        lines->pending = bigger;
        lines->cap = cap;
    }
    memcpy(lines->pending + lines->len, data, len);
    lines->len += len;
    return true;
}

bool json_lines_feed(void *arg, const char *data, size_t len)
{
    struct json_lines *lines = arg;

    while (len) {
        const char *newline = memchr(data, '\n', len);
        size_t part = newline ? (size_t)(newline - data) + 1 : len;

        if (!pending_add(lines, data, part))
            return false;
        if (newline) {
            if (!line_take(lines, lines->pending, lines->len))
                return false;
            lines->len = 0;
        }
        data += part;
        len -= part;
    }
    return true;
}

bool json_lines_end(struct json_lines *lines)
{
    bool ok = line_take(lines, lines->pending, lines->len);

    free(lines->pending);
    lines->pending = NULL;
    lines->len = lines->cap = 0;
    return ok;
}
