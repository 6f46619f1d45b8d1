/* What measured values say: medians, how sure they are, and their spread. Pure; no function keeps anything. */
#ifndef STOCKADE_MEASURE_STATS_H
#define STOCKADE_MEASURE_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* A growing list of values. {0} is an empty one. */
struct samples {
    double *values;
    size_t n, cap;
};

bool samples_add(struct samples *samples, double value); /* false if memory runs out */
void samples_release(struct samples *samples);

/* All in the values' unit. */
struct stats {
    size_t n; /* 0: everything else is 0 too */
    double min, p5, p25, median, p75, p95, p99, max;
    double mad;       /* median of the distances from the median */
    double low, high; /* where the true median lies with 95 % confidence, see stats_of() */
};

/*
 * Percentiles are interpolated linearly between the two nearest values (Hyndman and Fan's type 7, as in R and NumPy).
 * low and high are order statistics, which asks nothing of the distribution: ranks n/2 -+ 0.98 sqrt(n), the binomial's
 * normal approximation; of fewer than six values they are the least and the largest.
 * Returns false if memory runs out. The values stay in their order.
 */
bool stats_of(const struct samples *samples, struct stats *ret);

/* p from 0 to 1 of n values in ascending order; 0 if there are none. */
double stats_percentile(const double *sorted, size_t n, double p);

/*
 * Whether chance makes the median meaningless: fewer than three values, or low and high further apart than
 * STATS_NOISY of the median. Values that are all 0 are not noisy.
 */
#define STATS_NOISY 0.3
bool stats_is_noisy(const struct stats *stats);

#endif
