/* The statistics that bench and compare share, on values whose answers are known; and the order of rounds. */
#include "host/measure/rounds.h"
#include "host/measure/stats.h"

#include <criterion/criterion.h>
#include <math.h>

static struct samples samples_from(const double *values, size_t n)
{
    struct samples samples = { 0 };

    for (size_t i = 0; i < n; i++)
        cr_assert(samples_add(&samples, values[i]));
    return samples;
}

static struct stats stats_from(const double *values, size_t n)
{
    struct samples samples = samples_from(values, n);
    struct stats stats;

    cr_assert(stats_of(&samples, &stats));
    for (size_t i = 0; i < n; i++)
        cr_expect(samples.values[i] == values[i], "the values keep their order");
    samples_release(&samples);
    return stats;
}
#define STATS(...) stats_from((const double[]){ __VA_ARGS__ }, sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double))

static void expect_close(double got, double want, const char *what)
{
    cr_expect(fabs(got - want) < 1e-9, "%s: %g, wanted %g", what, got, want);
}

Test(stats, nothing)
{
    struct stats stats = stats_from(NULL, 0);

    cr_expect(stats.n == 0 && stats.median == 0 && stats.max == 0);
    cr_expect(stats_is_noisy(&stats), "no value is no answer");
}

Test(stats, one_value_is_every_percentile)
{
    struct stats stats = STATS(7);

    expect_close(stats.min, 7, "min");
    expect_close(stats.p5, 7, "p5");
    expect_close(stats.median, 7, "median");
    expect_close(stats.p99, 7, "p99");
    expect_close(stats.mad, 0, "mad");
}

Test(stats, even_count)
{
    struct stats stats = STATS(4, 1, 3, 2); /* R: quantile(c(4, 1, 3, 2), c(.25, .5, .75)) is 1.75 2.50 3.25 */

    expect_close(stats.p25, 1.75, "p25");
    expect_close(stats.median, 2.5, "median");
    expect_close(stats.p75, 3.25, "p75");
    expect_close(stats.mad, 1, "mad");
}

Test(stats, one_to_a_hundred_and_one)
{
    double values[101];
    struct stats stats;

    for (int i = 0; i < 101; i++)
        values[i] = 101 - i;
    stats = stats_from(values, 101);
    expect_close(stats.p5, 6, "p5");
    expect_close(stats.median, 51, "median");
    expect_close(stats.p95, 96, "p95");
    expect_close(stats.p99, 100, "p99");
    expect_close(stats.mad, 25, "mad");
    /* 50.5 -+ 0.98 * 10.05 is 40.65 and 60.35: the values of ranks 40 and 61, counted from 0 */
    expect_close(stats.low, 41, "low");
    expect_close(stats.high, 62, "high");
    cr_expect(stats_is_noisy(&stats), "21 of 51 is too much");
}

Test(stats, an_outlier_moves_the_median_nowhere)
{
    struct stats stats = STATS(10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 1e6);

    expect_close(stats.median, 10, "median");
    expect_close(stats.mad, 0, "mad");
    cr_expect(!stats_is_noisy(&stats));
}

Test(stats, few_values_are_as_sure_as_they_are_close)
{
    struct stats close = STATS(100, 101, 99), far = STATS(100, 150, 99), two = STATS(5, 5), zero = STATS(0, 0, 0);

    expect_close(far.low, 99, "low");
    expect_close(far.high, 150, "high");
    cr_expect(!stats_is_noisy(&close));
    cr_expect(stats_is_noisy(&far));
    cr_expect(stats_is_noisy(&two), "two values say nothing about chance");
    cr_expect(!stats_is_noisy(&zero));
}

/* ---- rounds ---- */

struct counted {
    unsigned warm, kept, fails_at;
    unsigned *clock, last; /* when it ran last */
};

static bool count(void *arg, bool keep)
{
    struct counted *counted = arg;

    counted->last = ++*counted->clock;
    if (keep)
        counted->kept++;
    else
        counted->warm++;
    return !counted->fails_at || counted->kept < counted->fails_at;
}

static bool until_four(void *user, unsigned round)
{
    (void)user;
    return round < 4;
}

Test(rounds, each_runs_in_each_round_until_it_fails)
{
    unsigned clock = 0;
    struct counted a = { .clock = &clock }, b = { .clock = &clock, .fails_at = 3 }, c = { .clock = &clock };
    struct round_item items[] = { { count, &a, false }, { count, &b, false }, { count, &c, true } };
    uint64_t random = 1;

    cr_expect(rounds_run(&(struct rounds){ .items = items, .n = 3, .warm_up = 2, .rounds = 9, .random = &random }));
    cr_expect(a.warm == 2 && a.kept == 9);
    cr_expect(b.warm == 2 && b.kept == 3, "it failed in its third round");
    cr_expect(c.warm == 0 && c.kept == 0, "it was to be left out");
    for (size_t i = 0; i < 3; i++)
        cr_expect(items[i].has_failed == (items[i].arg != &a), "what failed is marked, wherever it is by now");
}

static unsigned firsts, total;

static bool first_notice(void *user, unsigned round)
{
    struct counted *pair = user;

    if (round && pair[0].last < pair[1].last)
        firsts++;
    total = round;
    return true;
}

Test(rounds, the_order_changes)
{
    unsigned clock = 0;
    struct counted pair[] = { { .clock = &clock }, { .clock = &clock } };
    struct round_item items[] = { { count, &pair[0], false }, { count, &pair[1], false } };
    uint64_t random = 0;

    cr_expect(rounds_run(&(struct rounds){
        .items = items, .n = 2, .rounds = 400, .random = &random, .before_round = first_notice, .user = pair }));
    cr_expect(total == 399);
    cr_expect(firsts > 140 && firsts < 260, "the first of two came first in %u of 399 rounds", firsts);
}

Test(rounds, the_caller_can_end_it)
{
    unsigned clock = 0;
    struct counted a = { .clock = &clock };
    struct round_item items[] = { { count, &a, false } };
    uint64_t random = 0;

    cr_expect(!rounds_run(&(struct rounds){
        .items = items, .n = 1, .warm_up = 1, .rounds = 9, .random = &random, .before_round = until_four }));
    cr_expect(a.warm == 1 && a.kept == 3);
}
