/*
 * The probe: a static program that conformance tests copy into the codebase and run inside, for checks that a shell
 * cannot make. It prints what it saw and judges nothing: the tests do, often by running it outside too.
 */
#ifndef STOCKADE_PROBE_H
#define STOCKADE_PROBE_H

#include <stddef.h>

/* renameat2(2), for C libraries that lack it */
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE  2u
#endif

const char *errno_name(int number); /* "EACCES"; "0" for 0 */

int probe_ops(int argc, char **argv); /* ops.c: single system calls */
int probe_io(const char *dir);        /* io.c: how files behave, a line for each check */
int probe_steal(const char *pid);     /* steal.c: another process made to send its fds away */
int probe_links(const char *dir);     /* links.c: how names behave, a line for each check */
/* escape.c: what must not succeed; arg is for the groups of what the host has */
int probe_escape(const char *group, const char *arg);

#endif
