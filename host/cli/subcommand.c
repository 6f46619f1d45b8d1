#include "subcommand.h"

#include "cli.h"

#include <string.h>

void subcommands_print(FILE *stream, const struct subcommand *table)
{
    for (; table->name; table++)
        fprintf(stream, "  %-11s %s\n", table->name, table->summary);
}

int subcommand_run(const char *parent, const struct subcommand *table, int argc, char **argv)
{
    char name[64];

    for (; table->name; table++) {
        if (strcmp(argv[0], table->name))
            continue;
        /* What argp calls the program in its messages and its help. */
        snprintf(name, sizeof name, "%s %s", parent, table->name);
        argv[0] = name;
        report_as(strchr(name, ' ') + 1);
        return table->run(argc, argv);
    }
    return report_error("'%s' is no subcommand; see %s --help", argv[0], parent);
}
