/* A look at a shared object before the dynamic linker gets it: a cut-off file would end the process in there. */
#ifndef STOCKADE_HOST_ELF_CHECK_H
#define STOCKADE_HOST_ELF_CHECK_H

#include "runtime_api.h"

/*
 * Checks that file is a regular file holding a shared object for this machine, with all that its program headers name.
 * Returns RT_OK or RT_E_UNAVAILABLE; the message is the reason without the file's name.
 */
int32_t host_elf_check(const char *file, rt_error *err);

#endif
