/*
 * The children of this process that sandboxes stand on. Such a child may end by itself, or by another host, and its
 * sandbox may outlive the runtime that started it: so they are of all runtimes of the plugin together. Thread-safe.
 */
#ifndef STOCKADE_CHILDREN_H
#define STOCKADE_CHILDREN_H

#include <sys/types.h>

/* Notes one that nobody waits for otherwise; 0 is none. Where that cannot be done, for want of memory, it stays
 * a zombie until its sandbox's box_down(). */
void children_add(pid_t pid);
void children_reap(void); /* those that have ended; never blocks */

#endif
