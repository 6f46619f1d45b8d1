/* The list of rules, as presets fill it. */
#ifndef STOCKADE_HOST_RULES_H
#define STOCKADE_HOST_RULES_H

#include "../stockade.h"

/* Adds a rule, taking pattern over, also when it fails; NULL, as from a malloc() that failed, is RT_E_NOMEM. */
int32_t host_rules_take(stockade_rules *rules, char *pattern, int32_t type, int32_t permission, int32_t priority,
                        rt_error *err);

#endif
