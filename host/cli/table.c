#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char text_shown(char c)
{
    return (unsigned char)c < ' ' || c == 0x7F ? '?' : c;
}

void text_print(const char *text)
{
    for (; *text; text++)
        putchar(text_shown(*text));
}

bool table_add(struct table *table, const char *const *row)
{
    char **cells = reallocarray(table->cells, table->n + table->columns, sizeof *cells);

    if (!cells)
        return false;
    table->cells = cells;
    for (size_t i = 0; i < table->columns; i++) {
        char *copy = strdup(row[i]);

        if (!copy)
            return false;
        for (char *at = copy; *at; at++)
            *at = text_shown(*at);
        cells[table->n++] = copy;
    }
    return true;
}

void table_print(const struct table *table)
{
    size_t widths[TABLE_COLUMNS_MAX] = { 0 };

    for (size_t i = 0; i < table->n; i++) {
        size_t len = strlen(table->cells[i]), *width = &widths[i % table->columns];

        *width = len > *width ? len : *width;
    }
    for (size_t i = 0; i < table->n; i++) {
        size_t column = i % table->columns;

        if (column + 1 == table->columns)
            printf("%s\n", table->cells[i]);
        else
            printf("%-*s  ", (int)widths[column], table->cells[i]);
    }
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->n; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){ 0 };
}

const char *time_text(int64_t ns, char *text, size_t cap)
{
    time_t seconds = ns / 1000000000;
    struct tm tm;

    if (!localtime_r(&seconds, &tm) || !strftime(text, cap, "%Y-%m-%d %H:%M:%S", &tm))
        return "?";
    return text;
}
