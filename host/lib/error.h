/* Filling an rt_error on the host's side. Never allocates, never fails. */
#ifndef STOCKADE_HOST_ERROR_H
#define STOCKADE_HOST_ERROR_H

#include "runtime_api.h"

#include <stdarg.h>

/* Replaces the error and returns status. `: strerror` is appended if sys_errno is not 0. err may be NULL. */
int32_t host_fail(rt_error *err, int32_t status, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts a text in front of the message that is there; status and errno stay. Returns err's status, or status if NULL. */
int32_t host_fail_wrap(rt_error *err, int32_t status, const char *format, ...) __attribute__((format(printf, 3, 4)));
int32_t host_fail_nomem(rt_error *err);
void host_error_clear(rt_error *err);
/* The error of a call, NULL if there is none. */
rt_error *host_call_error(rt_call *call);

#endif
