/* Names of a plugin's capability bits. */
#ifndef STOCKADE_CLI_CAPABILITIES_H
#define STOCKADE_CLI_CAPABILITIES_H

#include <stddef.h>
#include <stdint.h>

struct capability {
    uint64_t bit; /* RT_CAP_* */
    const char *name;
    const char *what; /* for people */
};

/* The i-th, in the order of the bits; NULL past the last. */
const struct capability *capability_at(size_t i);

#endif
