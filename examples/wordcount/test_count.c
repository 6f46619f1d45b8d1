#include "count.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void expect(const char *text, size_t lines, size_t words)
{
    for (size_t cut = 0; cut <= strlen(text); cut++) { /* whatever the chunks, the count is the same */
        struct count count = { 0 };

        count_add(&count, text, cut);
        count_add(&count, text + cut, strlen(text) - cut);
        if (count.lines == lines && count.words == words && count.bytes == strlen(text))
            continue;
        printf("FAIL: '%s' cut at %zu: %zu lines, %zu words\n", text, cut, count.lines, count.words);
        failures++;
    }
}

int main(void)
{
    expect("", 0, 0);
    expect("word", 0, 1);
    expect("two words\n", 1, 2);
    expect("  leading\tand\ttrailing  \n\n", 2, 3);
    printf(failures ? "%d failed\n" : "all tests passed\n", failures);
    return failures != 0;
}
