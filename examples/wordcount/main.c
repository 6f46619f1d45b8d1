#include "count.h"

#include <stdio.h>

int main(void)
{
    struct count count = { 0 };
    char text[4096];
    size_t n;

    while ((n = fread(text, 1, sizeof text, stdin)) > 0)
        count_add(&count, text, n);
    printf("%zu %zu %zu\n", count.lines, count.words, count.bytes);
    return ferror(stdin) != 0;
}
