#include "strv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool strv_add(struct strv *strv, const char *item)
{
    char *copy = strdup(item), **items;

    items = copy ? reallocarray(strv->items, strv->n + 2, sizeof *items) : NULL;
    if (!items) {
        free(copy);
        return false;
    }
    items[strv->n++] = copy;
    items[strv->n] = NULL;
    strv->items = items;
    return true;
}

void strv_release(struct strv *strv)
{
    for (size_t i = 0; i < strv->n; i++)
        free(strv->items[i]);
    free(strv->items);
    *strv = (struct strv){ 0 };
}

const char *env_add(struct strv *env, const char *text)
{
    const char *value;
    bool fits;
    char *pair;

    if (!*text || *text == '=')
        return "expected NAME=VALUE or NAME";
    if (strchr(text, '='))
        return strv_add(env, text) ? NULL : "out of memory";
    value = getenv(text);
    if (!value)
        return NULL;
    if (asprintf(&pair, "%s=%s", text, value) < 0)
        return "out of memory";
    fits = strv_add(env, pair);
    free(pair);
    return fits ? NULL : "out of memory";
}

/* Adds a line to a list. Returns NULL, or a text that says what is wrong. */
typedef const char *line_fn(struct strv *strv, const char *line);

static const char *lines_add(struct strv *strv, const char *file, line_fn *add)
{
    FILE *stream = fopen(file, "re");
    const char *why = NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (!stream)
        return strerror(errno);
    while (!why && (len = getline(&line, &cap, stream)) >= 0) {
        if (len > 0 && line[len - 1] == '\n')
            line[--len] = '\0';
        if (len > 0 && line[len - 1] == '\r')
            line[--len] = '\0';
        if ((size_t)len != strlen(line))
            why = "a NUL byte";
        else if (len && *line != '#')
            why = add(strv, line);
    }
    if (!why && ferror(stream))
        why = strerror(errno);
    free(line);
    (void)fclose(stream);
    return why;
}

static const char *line_add(struct strv *strv, const char *line)
{
    return strv_add(strv, line) ? NULL : "out of memory";
}

const char *strv_file_add(struct strv *strv, const char *file)
{
    return lines_add(strv, file, line_add);
}

const char *env_file_add(struct strv *env, const char *file)
{
    return lines_add(env, file, env_add);
}
