#include "json_text.h"

#include "error.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pass over the text that blanks comments, so that every position stays what it was in the file. */
struct scan {
    char *text;
    size_t len, at;
    unsigned depth;
    size_t bad;      /* position of what is wrong */
    const char *why; /* NULL = nothing is */
};

static int32_t fail_at(const char *text, size_t at, const char *name, const char *why, rt_error *err)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return host_fail(err, RT_E_CONFIG, 0, "%s:%zu:%zu: %s", name, line, column, why);
}

static void scan_fail(struct scan *scan, size_t at, const char *why)
{
    scan->bad = at;
    scan->why = why;
}

static void string_skip(struct scan *scan)
{
    size_t start = scan->at++;

    while (scan->at < scan->len && scan->text[scan->at] != '"') {
        const char *at = scan->text + scan->at;

        if ((unsigned char)*at < ' ') {
            scan_fail(scan, scan->at, "a control character in a string; write it as \\n or \\u00XX");
            return;
        }
        if (*at == '\\' && scan->len - scan->at >= 6 && !memcmp(at + 1, "u0000", 5)) {
            scan_fail(scan, scan->at, "a string may not contain NUL");
            return;
        }
        scan->at += *at == '\\' ? 2 : 1;
    }
    if (scan->at++ >= scan->len)
        scan_fail(scan, start, "this string does not end");
}

static void comment_blank(struct scan *scan)
{
    size_t start = scan->at;
    bool is_block = scan->text[start + 1] == '*';
    const char *end = is_block ? "*/" : "\n";
    const char *found = memmem(scan->text + start + 2, scan->len - start - 2, end, strlen(end));

    if (!found && is_block) {
        scan_fail(scan, start, "this comment does not end");
        return;
    }
    scan->at = found ? (size_t)(found - scan->text) + strlen(end) : scan->len;
    memset(scan->text + start, ' ', scan->at - start);
}

static void text_scan(struct scan *scan)
{
    while (scan->at < scan->len && !scan->why) {
        char c = scan->text[scan->at];

        if (c == '"') {
            string_skip(scan);
            continue;
        }
        if (c == '/' && scan->at + 1 < scan->len && strchr("/*", scan->text[scan->at + 1])) {
            comment_blank(scan);
            continue;
        }
        if (c == '\0')
            scan_fail(scan, scan->at, "a NUL byte");
        if ((c == '{' || c == '[') && ++scan->depth > JSON_DEPTH_MAX)
            scan_fail(scan, scan->at, "nested too deeply");
        if ((c == '}' || c == ']') && scan->depth > 0)
            scan->depth--;
        scan->at++;
    }
}

/* Path of the first key that stands twice in one object, appended to path; false if there is none. */
static bool duplicate_find(const cJSON *item, char *path, size_t cap)
{
    size_t end = strlen(path);
    const cJSON *child;
    int i = 0;

    cJSON_ArrayForEach (child, item) {
        char step[128];

        if (cJSON_IsObject(item))
            snprintf(step, sizeof step, "%s%s", end ? "." : "", child->string);
        else
            snprintf(step, sizeof step, "[%d]", i++);
        if (end + strlen(step) < cap)
            memcpy(path + end, step, strlen(step) + 1);
        if (cJSON_IsObject(item) && cJSON_GetObjectItemCaseSensitive(item, child->string) != child)
            return true;
        if (duplicate_find(child, path, cap))
            return true;
        path[end] = '\0';
    }
    return false;
}

/*
 * Where the parser stopped. Where it wanted a key and there is no quote, it says one byte too much: that byte then
 * follows a ',' or '{' and is no quote itself.
 */
static size_t stop_find(const struct scan *scan, const char *end)
{
    size_t at = end && end >= scan->text ? (size_t)(end - scan->text) : 0, before;

    if (at < 2 || strchr(" \t\r\n\"", scan->text[at - 1]))
        return at;
    before = at - 1;
    while (before > 0 && strchr(" \t\r\n", scan->text[before - 1]))
        before--;
    return before > 0 && strchr(",{", scan->text[before - 1]) ? at - 1 : at;
}

static int32_t blanked_parse(const struct scan *scan, const char *original, const char *name, rt_error *err,
                             cJSON **ret)
{
    const char *end = NULL;
    char path[256] = "";
    cJSON *json;

    /* The buffer ends in a NUL, which cJSON wants to see behind the value. */
    json = cJSON_ParseWithLengthOpts(scan->text, scan->len + 1, &end, 1);
    if (!json) {
        size_t at = stop_find(scan, end);

        if (at >= scan->len)
            return fail_at(original, scan->len, name, "syntax error: the text ends too early", err);
        return fail_at(original, at, name, "syntax error", err);
    }
    if (duplicate_find(json, path, sizeof path)) {
        cJSON_Delete(json);
        return host_fail(err, RT_E_CONFIG, 0, "%s: %s: given twice", name, path);
    }
    *ret = json;
    return RT_OK;
}

int32_t host_json_parse(const char *text, size_t len, const char *name, rt_error *err, cJSON **ret)
{
    struct scan scan = { .len = len };
    int32_t status;

    if (len > JSON_TEXT_MAX)
        return host_fail(err, RT_E_CONFIG, 0, "%s: larger than %zu bytes", name, JSON_TEXT_MAX);
    scan.text = malloc(len + 1);
    if (!scan.text)
        return host_fail_nomem(err);
    memcpy(scan.text, text, len);
    scan.text[len] = '\0';
    text_scan(&scan);
    if (scan.why)
        status = fail_at(text, scan.bad, name, scan.why, err);
    else
        status = blanked_parse(&scan, text, name, err, ret);
    free(scan.text);
    return status;
}
