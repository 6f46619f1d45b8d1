/* Counts lines, words and bytes, as wc(1) does. */
#ifndef COUNT_H
#define COUNT_H

#include <stddef.h>

struct count {
    size_t lines, words, bytes;
    int in_word; /* whether the last byte belonged to a word */
};

/* Adds the next len bytes of a text; start from a zeroed struct. */
void count_add(struct count *count, const char *text, size_t len);

#endif
