#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool samples_add(struct samples *samples, double value)
{
    if (samples->n == samples->cap) {
        size_t cap = samples->cap ? 2 * samples->cap : 32;
        double *values = reallocarray(samples->values, cap, sizeof *values);

        if (!values)
            return false;
        samples->values = values;
        samples->cap = cap;
    }
    samples->values[samples->n++] = value;
    return true;
}

void samples_release(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){ 0 };
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double stats_percentile(const double *sorted, size_t n, double p)
{
    double rank = p * (double)(n - 1);
    size_t below = (size_t)rank;

    if (!n)
        return 0;
    if (below + 1 >= n)
        return sorted[n - 1];
    return sorted[below] + (rank - (double)below) * (sorted[below + 1] - sorted[below]);
}

static void median_bounds(const double *sorted, size_t n, struct stats *ret)
{
    double half = 0.98 * sqrt((double)n), middle = (double)n / 2;
    size_t first = middle > half ? (size_t)(middle - half) : 0, last = (size_t)ceil(middle + half);

    if (n < 6 || last >= n)
        last = n - 1;
    if (n < 6)
        first = 0;
    ret->low = sorted[first];
    ret->high = sorted[last];
}

static void sorted_fill(double *sorted, size_t n, struct stats *ret)
{
    *ret = (struct stats){
        .n = n,
        .min = sorted[0],
        .p5 = stats_percentile(sorted, n, 0.05),
        .p25 = stats_percentile(sorted, n, 0.25),
        .median = stats_percentile(sorted, n, 0.5),
        .p75 = stats_percentile(sorted, n, 0.75),
        .p95 = stats_percentile(sorted, n, 0.95),
        .p99 = stats_percentile(sorted, n, 0.99),
        .max = sorted[n - 1],
    };
    median_bounds(sorted, n, ret);
    for (size_t i = 0; i < n; i++)
        sorted[i] = fabs(sorted[i] - ret->median);
    qsort(sorted, n, sizeof *sorted, order);
    ret->mad = stats_percentile(sorted, n, 0.5);
}

bool stats_of(const struct samples *samples, struct stats *ret)
{
    size_t bytes = samples->n * sizeof(double);
    double *sorted = malloc(bytes + 1);

    if (!sorted)
        return false;
    *ret = (struct stats){ 0 };
    if (samples->n) {
        memcpy(sorted, samples->values, bytes);
        qsort(sorted, samples->n, sizeof *sorted, order);
        sorted_fill(sorted, samples->n, ret);
    }
    free(sorted);
    return true;
}

bool stats_is_noisy(const struct stats *stats)
{
    return stats->n < 3 || stats->high - stats->low > STATS_NOISY * fabs(stats->median);
}
