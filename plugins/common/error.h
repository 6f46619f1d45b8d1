/* Filling an rt_error of our own, and giving it to a caller. Never allocates, never fails. */
#ifndef STOCKADE_ERROR_H
#define STOCKADE_ERROR_H

#include "runtime_api.h"

#include <stdarg.h>

/* Replaces the error; op is kept as it is. `: strerror` is appended if sys_errno is not 0. err may be NULL. */
int32_t error_set(rt_error *err, int32_t status, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int32_t error_vset(rt_error *err, int32_t status, int sys_errno, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));
/* Puts `text: ` in front of the message. */
int32_t error_wrap(rt_error *err, int32_t status, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
void error_reset(rt_error *err, const char *op);

/* Copies into a caller's rt_error as much as it has room for, at most room bytes in all; the message stays terminated.
 */
void error_copy(rt_error *theirs, size_t room, const rt_error *ours);

/* The status that an errno stands for where nothing more is known. */
int32_t error_status(int sys_errno);

#endif
