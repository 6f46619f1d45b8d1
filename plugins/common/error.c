#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One line, whole UTF-8 characters: control characters become blanks, a cut character goes. */
static void message_clean(char *message)
{
    size_t len = strlen(message), tail = len;

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)message[i] < 0x20 || message[i] == 0x7f)
            message[i] = ' ';
    while (tail > 0 && len - tail < 3 && ((unsigned char)message[tail - 1] & 0xc0) == 0x80)
        tail--;
    if (tail > 0 && (unsigned char)message[tail - 1] >= 0xc0) {
        unsigned char lead = (unsigned char)message[tail - 1];
        size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

        if (len - (tail - 1) < want)
            message[tail - 1] = '\0';
    }
}

int32_t error_vset(rt_error *err, int32_t status, int sys_errno, const char *format, va_list args)
{
    size_t used;
    int n;

    if (!err)
        return status;
    err->status = status;
    err->sys_errno = sys_errno;
    n = vsnprintf(err->message, sizeof err->message, format, args);
    used = n < 0 ? 0 : (size_t)n < sizeof err->message ? (size_t)n : sizeof err->message - 1;
    if (sys_errno)
        snprintf(err->message + used, sizeof err->message - used, ": %s", strerrordesc_np(sys_errno));
    message_clean(err->message);
    return status;
}

int32_t error_set(rt_error *err, int32_t status, int sys_errno, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_vset(err, status, sys_errno, format, args);
    va_end(args);
    return status;
}

int32_t error_wrap(rt_error *err, int32_t status, const char *format, va_list args)
{
    char inner[sizeof err->message];
    size_t used;
    int n;

    if (!err)
        return status;
    memcpy(inner, err->message, sizeof inner);
    n = vsnprintf(err->message, sizeof err->message, format, args);
    used = n < 0 ? 0 : (size_t)n < sizeof err->message ? (size_t)n : sizeof err->message - 1;
    (void)!snprintf(err->message + used, sizeof err->message - used, ": %.*s", (int)(sizeof inner - used), inner);
    err->status = status;
    message_clean(err->message);
    return status;
}

void error_reset(rt_error *err, const char *op)
{
    if (!err)
        return;
    err->status = RT_OK;
    err->sys_errno = 0;
    err->message[0] = '\0';
    snprintf(err->op, sizeof err->op, "%s", op);
}

void error_copy(rt_error *theirs, size_t room, const rt_error *ours)
{
    const size_t fixed = offsetof(rt_error, message);
    rt_error copy = *ours;

    if (room < sizeof theirs->size)
        return;
    room = theirs->size < room ? theirs->size : room;
    room = room < sizeof copy ? room : sizeof copy;
    if (room <= sizeof theirs->size)
        return;
    if (room > fixed) {
        copy.message[room - fixed - 1] = '\0';
        message_clean(copy.message);
    }
    memcpy((char *)theirs + sizeof theirs->size, (const char *)&copy + sizeof copy.size, room - sizeof copy.size);
}

int32_t error_status(int sys_errno)
{
    switch (sys_errno) {
    case ENOMEM:
        return RT_E_NOMEM;
    case EACCES:
    case EPERM:
        return RT_E_PERMISSION;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
        return RT_E_RESOURCE;
    case EPROTO:
        return RT_E_PROTOCOL;
    default:
        return RT_E_IO;
    }
}
