/* A runtime's config: a table of keys, checked exactly (contract B1). The same table serves every backend. */
#ifndef STOCKADE_CONFIG_H
#define STOCKADE_CONFIG_H

#include "runtime_api.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

enum config_type {
    CONFIG_STRING,   /* const char *, pointing into the JSON */
    CONFIG_DURATION, /* int64_t milliseconds, from "500ms", "30s", "5m" or "1h" */
    CONFIG_INT,      /* int64_t */
    CONFIG_BOOL,     /* bool */
    CONFIG_STRINGS,  /* const cJSON *, an array of strings in the JSON; NULL if not given */
};

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset;                     /* of the member in the struct to fill */
    int64_t min, max;                  /* of numbers and durations */
    const char *expect;                /* for the message: "an absolute path" */
    bool (*accept)(const char *value); /* of strings, each of them; NULL = any */
};

/*
 * Fills `into`, which holds the defaults, from config. RT_E_CONFIG names the key's path and what was expected:
 * for unknown keys, doubled keys, wrong types and values out of range.
 */
int32_t config_fill(const cJSON *config, const struct config_key *keys, size_t n_keys, void *into, rt_error *err);

bool config_is_absolute(const char *value);

#endif
