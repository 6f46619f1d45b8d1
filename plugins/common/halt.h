/*
 * Holding a sandbox's processes still by SIGSTOP, one by one from outside: where no cgroup can be had. Unlike a freezer
 * it shows: a parent inside that asks waitpid(2) for stopped children may be told of one.
 */
#ifndef STOCKADE_HALT_H
#define STOCKADE_HALT_H

#include "record.h"

/*
 * Stops all that runs, parents before their children, until nothing does: bounded. What was stopped before is left
 * alone. Each process is on the list before it is stopped, so that halt_end() finds them all whatever happens.
 * list_fd  open for appending; lines of "PID START"
 */
int32_t halt_all(struct op *op, const struct record *record, int list_fd);

/* Continues what the list names, children first; list is its text, NULL or cut short too. */
void halt_end(const char *list);

#endif
