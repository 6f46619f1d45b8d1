/* Reading a comparison's document (compare_document()). */
#ifndef STOCKADE_COMPARE_VIEW_H
#define STOCKADE_COMPARE_VIEW_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#define VIEW_HOST "bare host" /* the baseline's name, which no plugin can have */

const char *view_text(const cJSON *object, const char *key); /* "" where there is none */
double view_number(const cJSON *object, const char *key);    /* 0 where there is none */
bool view_flag(const cJSON *object, const char *key);
bool view_is_host(const cJSON *subject);
bool view_is_measured(const cJSON *result); /* NULL is not */
/* A subject's result of a figure; NULL if the figure means nothing there. */
const cJSON *view_result(const cJSON *figure, const char *subject);
/* "yes", "no", or "?" for a runtime that could not even be loaded. */
const char *view_capability(const cJSON *subject, const char *name);

#endif
