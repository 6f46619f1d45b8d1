/* Tables of subcommands: stockade's own, and those of a subcommand that has some. */
#ifndef STOCKADE_CLI_SUBCOMMAND_H
#define STOCKADE_CLI_SUBCOMMAND_H

#include <stdio.h>

struct subcommand {
    const char *name; /* the last one of a table has none */
    const char *summary;
    int (*run)(int argc, char **argv); /* returns the exit code */
};

void subcommands_print(FILE *stream, const struct subcommand *table);

/*
 * Runs the one that argv[0] names. parent: what the command line says before it. Returns its exit code; reports a name
 * that is not in the table.
 */
int subcommand_run(const char *parent, const struct subcommand *table, int argc, char **argv);

#endif
