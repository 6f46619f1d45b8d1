/* A piece of work to measure: our own, or a file that the user gives. */
#ifndef STOCKADE_COMPARE_WORKLOAD_H
#define STOCKADE_COMPARE_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>

#define WORKLOAD_NAME_MAX  64
#define WORKLOAD_BYTES_MAX ((size_t)1 << 20)

/* All but name and command may be NULL. Each text is run by /bin/sh in the workspace. */
struct workload {
    char *name;
    char *setup;   /* once, before all runs */
    char *command; /* what is timed */
    char *cleanup; /* after each run, not timed */
};

/*
 * Reads a workload file of at most WORKLOAD_BYTES_MAX. One that ends in .json is an object with "name", "command" and,
 * if wanted, "setup" and "cleanup"; any other is a shell script, called after the file. Returns false with a message
 * that names the file and what is wrong with it.
 */
bool workload_load(const char *file, struct workload *ret, char *message, size_t cap);
/* The same from memory; file stands for the file's name. text is ended by a NUL that len does not count. */
bool workload_parse(const char *file, const char *text, size_t len, struct workload *ret, char *message, size_t cap);
void workload_release(struct workload *workload);

#endif
