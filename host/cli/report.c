#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *current = "";

void report_as(const char *subcommand)
{
    current = subcommand;
}

/* One write(2) for the line, so that it stays in one piece among the sandboxed command's own. */
static void line_write(const char *kind, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void line_write(const char *kind, const char *format, va_list args)
{
    char line[1024];
    size_t cap = sizeof line - 1, len;
    int n = snprintf(line, cap, "stockade: %s%s%s", current, *current ? ": " : "", kind);

    len = n < 0 ? 0 : (size_t)n;
    n = vsnprintf(line + len, cap - len, format, args);
    len += n < 0 ? 0 : (size_t)n;
    if (len >= cap)
        len = cap - 1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7F)
            line[i] = '?';
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* there is nowhere left to say it */
}

int report_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    line_write("", format, args);
    va_end(args);
    return EXIT_OURS;
}

void report_note(const char *format, ...)
{
    const char *before = current;
    va_list args;

    current = "";
    va_start(args, format);
    line_write("", format, args);
    va_end(args);
    current = before;
}

static void log_write(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void log_write(const char *kind, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    line_write(kind, format, args);
    va_end(args);
}

void report_log(void *user, int32_t level, const char *message)
{
    static const char *const kinds[] = { "debug: ", "info: ", "warning: ", "error: " };

    (void)user;
    log_write(level >= RT_LOG_DEBUG && level <= RT_LOG_ERROR ? kinds[level] : "", "%s", message);
}

int report_finish(int code)
{
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    if (errno == EPIPE) /* the reader has seen enough */
        return code;
    return report_error("write to stdout: %s", strerror(errno));
}
