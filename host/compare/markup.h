/* Text as HTML has it. */
#ifndef STOCKADE_COMPARE_MARKUP_H
#define STOCKADE_COMPARE_MARKUP_H

#include <stdio.h>

/* As an element's content or a quoted attribute: & < > " ' escaped, control characters shown as U+FFFD. */
void markup_text(FILE *out, const char *text);
/* JSON within a script element, which nothing in a string may end. */
void markup_json(FILE *out, const char *json);

#endif
