/*
 * Measuring several things against each other: in turns within one run, so that a noisy machine is noisy for all, and
 * each round in another order, so that none always comes after the same one.
 */
#ifndef STOCKADE_MEASURE_ROUNDS_H
#define STOCKADE_MEASURE_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Does the work once. keep: this is a round that counts, its values go where the item keeps them; otherwise a warm-up.
 * Returns false if it failed: it is not asked again.
 */
typedef bool round_fn(void *arg, bool keep);

struct round_item {
    round_fn *run;
    void *arg;
    bool has_failed; /* out; also set by the caller for an item that is to be left out */
};

struct rounds {
    struct round_item *items;
    size_t n;
    unsigned warm_up, rounds;
    uint64_t *random; /* state of the order's generator, any value; one run goes on with it */
    /* Called before each round, with the number of the round, warm-up included; false ends it all. NULL = nothing. */
    bool (*before_round)(void *user, unsigned round);
    void *user;
};

/* Returns false if before_round() ended it. Runs on the calling thread. */
bool rounds_run(const struct rounds *rounds);

double measure_now_ms(void); /* CLOCK_MONOTONIC */

#endif
