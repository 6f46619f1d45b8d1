#include "bench.h"

#include "host/measure/rounds.h"
#include "host/measure/stats.h"

#include <cjson/cJSON.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *report;

double bench_now_ms(void)
{
    return measure_now_ms();
}

void bench_check(int32_t status, const rt_call *call)
{
    if (status == RT_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", call->error.op, call->error.message);
    exit(1);
}

/* One side of a bench. */
struct side {
    bench_fn *work;
    void *arg;
    struct samples samples;
};

static bool side_run(void *arg, bool keep)
{
    struct side *side = arg;
    double value = side->work(side->arg);

    return !keep || samples_add(&side->samples, value);
}

static double side_median(struct side *side)
{
    struct stats stats;

    if (!stats_of(&side->samples, &stats) || !stats.n)
        exit(1);
    samples_release(&side->samples);
    return stats.median;
}

bool bench_is_wanted(const char *name)
{
    const char *pattern = getenv("BENCH");

    return !pattern || fnmatch(pattern, name, 0) == 0;
}

bool bench_any_is_wanted(const char *prefix)
{
    const char *pattern = getenv("BENCH");
    size_t len = strlen(prefix), plain = pattern ? strcspn(pattern, "*?[\\") : 0;

    return !pattern || strncmp(pattern, prefix, plain < len ? plain : len) == 0;
}

/* At most as many as BENCH_ROUNDS in the environment says, if it does. */
static unsigned capped(int rounds)
{
    const char *text = getenv("BENCH_ROUNDS");
    int most = text ? atoi(text) : 0;

    return (unsigned)(most > 0 && most < rounds ? most : rounds);
}

void bench_run(const struct bench *bench)
{
    static uint64_t random;
    struct side ours = { .work = bench->ours, .arg = bench->arg };
    struct side baseline = { .work = bench->baseline, .arg = bench->arg };
    struct round_item items[] = { { .run = side_run, .arg = &ours }, { .run = side_run, .arg = &baseline } };
    double our_median, base_median;
    cJSON *row;

    if (!bench_is_wanted(bench->name))
        return;
    rounds_run(&(struct rounds){ .items = items,
                                 .n = 2,
                                 .warm_up = capped(bench->warm_up),
                                 .rounds = capped(bench->rounds),
                                 .random = &random });
    our_median = side_median(&ours);
    base_median = side_median(&baseline);
    printf("%-24s ours %10.3f  baseline %10.3f %-6s ratio %.3f%s\n", bench->name, our_median, base_median, bench->unit,
           our_median / base_median, bench->more_is_better ? " (more is better)" : "");
    fflush(stdout);
    row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "name", bench->name);
    cJSON_AddNumberToObject(row, "ours", our_median);
    cJSON_AddNumberToObject(row, "baseline", base_median);
    cJSON_AddStringToObject(row, "unit", bench->unit);
    cJSON_AddNumberToObject(row, "ratio", our_median / base_median);
    if (!report)
        report = cJSON_CreateArray();
    cJSON_AddItemToArray(report, row);
}

int bench_write(const char *file)
{
    char *text = report ? cJSON_Print(report) : NULL;
    FILE *out = fopen(file, "w");
    int failed = !text || !out || fputs(text, out) < 0 || fputc('\n', out) == EOF;

    if (out && fclose(out))
        failed = 1;
    free(text);
    cJSON_Delete(report);
    return failed;
}
