#include "audit_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct line {
    char *at;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...)
{
    char room[256];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room, sizeof room, format, args);
    va_end(args);
    line->at = mempcpy(line->at, room, n < 0 ? 0 : (size_t)n < sizeof room ? (size_t)n : sizeof room - 1);
}

/* Length of the character at `at`, 0 if these bytes are no UTF-8 (RFC 3629: nothing overlong, no surrogates). */
static size_t character_len(const unsigned char *at, size_t left)
{
    const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = at[0] < 0x80 ? 1 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : at[0] >= 0xC0 ? 2 : 0;
    uint32_t code;

    if (len <= 1)
        return len;
    if (len > left || at[0] >= 0xF8)
        return 0;
    code = at[0] & (0x7F >> len);
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3F);
    }
    return code < least[len] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? 0 : len;
}

static void put_text(struct line *line, const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;

    *line->at++ = '"';
    while (at < end) {
        size_t n = character_len(at, (size_t)(end - at));

        if (n == 0)
            put(line, "\\\\x%02x", *at);
        else if (*at == '\\')
            put(line, "\\\\\\\\");
        else if (*at == '"')
            put(line, "\\\"");
        else if (*at < 0x20 || *at == 0x7F)
            put(line, "\\u%04x", *at);
        else
            line->at = mempcpy(line->at, at, n);
        at += n ? n : 1;
    }
    *line->at++ = '"';
}

static void put_time(struct line *line, int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm))
        tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };
    put(line, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
        tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns / 1000000 % 1000));
}

static void put_place(struct line *line, const struct audit_event *e)
{
    static const char *const permissions[] = { "none", "view", "read", "write" };
    size_t len = e->pattern ? strnlen(e->pattern, AUDIT_PATTERN_MAX) : 0;

    put(line, ",\"op\":\"%s\",\"path\":", e->op);
    put_text(line, e->path, e->path_len);
    if (e->is_cut)
        put(line, ",\"cut\":true");
    put(line, ",\"permission\":\"%s\"", permissions[e->permission]);
    if (e->rule == SIZE_MAX)
        put(line, ",\"rule\":null,\"pattern\":null");
    else
        put(line, ",\"rule\":%zu,\"pattern\":", e->rule);
    if (e->rule != SIZE_MAX)
        put_text(line, e->pattern ? e->pattern : "", len);
    put(line, ",\"pid\":%" PRIu32, e->pid);
}

size_t audit_line(char *buf, const char *sandbox, const struct audit_event *event)
{
    static const char *const kinds[] = { "denied", "write", "rules", "suppressed" };
    struct line line = { buf };

    put_time(&line, event->time_ns);
    put(&line, ",\"sandbox\":\"%s\",\"event\":\"%s\"", sandbox, kinds[event->kind]); /* an id: nothing to escape */
    if (event->kind == AUDIT_DENIED || event->kind == AUDIT_WRITE)
        put_place(&line, event);
    else
        put(&line, ",\"count\":%" PRIu64, event->count);
    *line.at++ = '}';
    return (size_t)(line.at - buf);
}
