#include "error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_CAP sizeof(((rt_error *)0)->message)

/* An owner that has less room than version 1.0 of the struct is told nothing rather than written past. */
static bool is_writable(const rt_error *err)
{
    return err && err->size >= sizeof *err;
}

/* Cuts at a character boundary, and keeps the message on one line. */
static void message_finish(char *message, size_t cap, size_t wanted)
{
    if (wanted >= cap) {
        size_t end = cap - 1;

        while (end > 0 && ((unsigned char)message[end - 1] & 0xC0) == 0x80)
            end--;
        if (end > 0 && (unsigned char)message[end - 1] >= 0xC0)
            end--;
        message[end] = '\0';
    }
    for (char *at = message; *at; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
}

static void message_set(rt_error *err, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void message_set(rt_error *err, const char *format, va_list args)
{
    char message[MESSAGE_CAP];
    int n = vsnprintf(message, sizeof message, format, args);
    size_t len = n < 0 ? 0 : (size_t)n;

    if (n >= 0 && err->sys_errno && len < sizeof message) {
        char text[128];

        n = snprintf(message + len, sizeof message - len, ": %s", strerror_r(err->sys_errno, text, sizeof text));
        len += n < 0 ? 0 : (size_t)n;
    }
    message_finish(message, sizeof message, len);
    memcpy(err->message, message, sizeof message);
}

int32_t host_fail(rt_error *err, int32_t status, int sys_errno, const char *format, ...)
{
    va_list args;

    if (!is_writable(err))
        return status;
    err->status = status;
    err->sys_errno = sys_errno;
    err->op[0] = '\0';
    va_start(args, format);
    message_set(err, format, args);
    va_end(args);
    return status;
}

int32_t host_fail_wrap(rt_error *err, int32_t status, const char *format, ...)
{
    char inner[MESSAGE_CAP], outer[MESSAGE_CAP];
    va_list args;
    int n;

    if (!is_writable(err))
        return status;
    memcpy(inner, err->message, sizeof inner);
    inner[sizeof inner - 1] = '\0';
    va_start(args, format);
    n = vsnprintf(outer, sizeof outer, format, args);
    va_end(args);
    if (n < 0)
        return status;
    n = snprintf(err->message, sizeof err->message, "%s: %s", outer, inner);
    message_finish(err->message, sizeof err->message, n < 0 ? 0 : (size_t)n);
    err->status = status;
    return status;
}

int32_t host_fail_nomem(rt_error *err)
{
    return host_fail(err, RT_E_NOMEM, 0, "out of memory");
}

void host_error_clear(rt_error *err)
{
    if (!is_writable(err))
        return;
    err->status = RT_OK;
    err->sys_errno = 0;
    err->op[0] = '\0';
    err->message[0] = '\0';
}

rt_error *host_call_error(rt_call *call)
{
    return call && call->size >= sizeof *call ? &call->error : NULL;
}
