#include "bench.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static cJSON *report;

double bench_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

void bench_check(int32_t status, const rt_call *call)
{
    if (status == RT_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", call->error.op, call->error.message);
    exit(1);
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, order);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void bench_run(const struct bench *bench)
{
    double *ours = calloc((size_t)bench->rounds, sizeof *ours),
           *baseline = calloc((size_t)bench->rounds, sizeof *baseline);
    double our_median, base_median;
    cJSON *row = cJSON_CreateObject();

    if (!ours || !baseline || !row)
        exit(1);
    for (int i = -bench->warm_up; i < bench->rounds; i++) {
        double base = bench->baseline(bench->arg), our = bench->ours(bench->arg);

        if (i < 0)
            continue;
        baseline[i] = base;
        ours[i] = our;
    }
    our_median = median(ours, bench->rounds);
    base_median = median(baseline, bench->rounds);
    printf("%-24s ours %10.3f  baseline %10.3f %-6s ratio %.3f%s\n", bench->name, our_median, base_median, bench->unit,
           our_median / base_median, bench->more_is_better ? " (more is better)" : "");
    fflush(stdout);
    cJSON_AddStringToObject(row, "name", bench->name);
    cJSON_AddNumberToObject(row, "ours", our_median);
    cJSON_AddNumberToObject(row, "baseline", base_median);
    cJSON_AddStringToObject(row, "unit", bench->unit);
    cJSON_AddNumberToObject(row, "ratio", our_median / base_median);
    if (!report)
        report = cJSON_CreateArray();
    cJSON_AddItemToArray(report, row);
    free(ours);
    free(baseline);
}

int bench_write(const char *file)
{
    char *text = cJSON_Print(report);
    FILE *out = fopen(file, "w");
    int failed = !text || !out || fputs(text, out) < 0 || fputc('\n', out) == EOF;

    if (out && fclose(out))
        failed = 1;
    free(text);
    cJSON_Delete(report);
    return failed;
}
