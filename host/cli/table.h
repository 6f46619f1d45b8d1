/* Text in columns, for people. */
#ifndef STOCKADE_CLI_TABLE_H
#define STOCKADE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_COLUMNS_MAX 18

struct table {
    size_t columns;
    size_t n; /* of cells */
    char **cells;
};

/* Adds a row of `columns` texts, copied, control characters shown as '?'. false if memory runs out. */
bool table_add(struct table *table, const char *const *row);
void table_print(const struct table *table); /* to stdout */
void table_release(struct table *table);

/* What is shown for a character: '?' for one that controls. */
char text_shown(char c);
/* Prints a text to stdout, control characters shown as '?': a name must not be able to steer a terminal. */
void text_print(const char *text);

/* A point in time (CLOCK_REALTIME) in the local zone, "?" if it cannot be told; returns a text that is text's or
 * static. */
const char *time_text(int64_t ns, char *text, size_t cap);

#endif
