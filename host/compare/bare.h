/* A bare process on the host: what every sandbox is compared with. */
#ifndef STOCKADE_COMPARE_BARE_H
#define STOCKADE_COMPARE_BARE_H

#include "subject.h"

/* As subject_run() has it. Standard error goes nowhere, as does standard output unless it is streamed. */
bool bare_run(const char *dir, const struct job *job, char why[SUBJECT_TEXT], size_t *ret_bytes);

#endif
