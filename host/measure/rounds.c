#include "rounds.h"

#include <time.h>

double measure_now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* splitmix64 (Steele, Lea, Flood 2014): any state will do, also 0. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void items_shuffle(struct round_item *items, size_t n, uint64_t *random)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(random_next(random) % i);
        struct round_item item = items[i - 1];

        items[i - 1] = items[j];
        items[j] = item;
    }
}

bool rounds_run(const struct rounds *rounds)
{
    for (unsigned i = 0; i < rounds->warm_up + rounds->rounds; i++) {
        if (rounds->before_round && !rounds->before_round(rounds->user, i))
            return false;
        items_shuffle(rounds->items, rounds->n, rounds->random);
        for (size_t k = 0; k < rounds->n; k++) {
            struct round_item *item = &rounds->items[k];

            if (!item->has_failed && !item->run(item->arg, i >= rounds->warm_up))
                item->has_failed = true;
        }
    }
    return true;
}
