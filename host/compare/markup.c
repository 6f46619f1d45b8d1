#include "markup.h"

#include <string.h>

static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void markup_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = entity_of(*text);

        if (entity)
            fputs(entity, out);
        else if (((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') || *text == 0x7F)
            fputs("\xEF\xBF\xBD", out);
        else
            putc(*text, out);
    }
}

void markup_json(FILE *out, const char *json)
{
    for (; *json; json++)
        if (strchr("<>&", *json)) /* only ever within strings */
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*json);
        else
            putc(*json, out);
}
