/* stats: what sandboxes use. */
#include "args.h"
#include "json.h"
#include "table.h"

#include <stdio.h>

struct stats_args {
    struct open_args open;
    struct json_args json;
    struct strv ids;
};

/* One sandbox's figures, and where they go. */
struct figure {
    const char *key;
    uint64_t value;
};

#define FIGURES 7

static void figures_of(const rt_stats *stats, struct figure ret[FIGURES])
{
    const struct figure figures[FIGURES] = {
        { "memory_bytes", stats->memory_bytes },
        { "memory_peak_bytes", stats->memory_peak_bytes },
        { "cpu_ns", stats->cpu_ns },
        { "pids", stats->pids },
        { "io_read_bytes", stats->io_read_bytes },
        { "io_write_bytes", stats->io_write_bytes },
        { "oom_kills", stats->oom_kills },
    };

    for (size_t i = 0; i < FIGURES; i++)
        ret[i] = figures[i];
}

/* What cannot be told is null. */
static bool json_append(cJSON *array, const char *id, const rt_stats *stats)
{
    struct figure figures[FIGURES];
    cJSON *json = cJSON_CreateObject();
    bool ok = json && json_add_text(json, "id", id);

    figures_of(stats, figures);
    for (size_t i = 0; ok && i < FIGURES; i++)
        ok = figures[i].value == UINT64_MAX
                 ? cJSON_AddNullToObject(json, figures[i].key) != NULL
                 : cJSON_AddNumberToObject(json, figures[i].key, (double)figures[i].value) != NULL;
    if (ok && cJSON_AddItemToArray(array, json))
        return true;
    cJSON_Delete(json);
    return false;
}

/* A number of bytes with three digits or so, "-" if it cannot be told. */
static const char *bytes_text(uint64_t bytes, char text[24])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes;
    size_t unit = 0;

    if (bytes == UINT64_MAX)
        return "-";
    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    snprintf(text, 24, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

static bool row_add(struct table *table, const char *id, const rt_stats *stats)
{
    char cpu[32] = "-", pids[24] = "-", texts[4][24], memory[64], io[64];
    const char *row[] = { id, memory, cpu, pids, io };

    snprintf(memory, sizeof memory, "%s / %s", bytes_text(stats->memory_bytes, texts[0]),
             bytes_text(stats->memory_peak_bytes, texts[1]));
    snprintf(io, sizeof io, "%s / %s", bytes_text(stats->io_read_bytes, texts[2]),
             bytes_text(stats->io_write_bytes, texts[3]));
    if (stats->cpu_ns != UINT64_MAX)
        snprintf(cpu, sizeof cpu, "%.2f s", (double)stats->cpu_ns / 1e9);
    if (stats->pids != UINT64_MAX)
        snprintf(pids, sizeof pids, "%llu", (unsigned long long)stats->pids);
    return table_add(table, row);
}

/* Goes on after a sandbox that has no figures. */
static int stats_show(struct host *host, const struct stats_args *args)
{
    static const char *const head[] = { "ID", "MEMORY / PEAK", "CPU", "PIDS", "READ / WRITTEN" };
    struct table table = { .columns = sizeof head / sizeof *head };
    cJSON *array = cJSON_CreateArray();
    bool fits = array && table_add(&table, head);
    int code = EXIT_OK, printed;

    for (size_t i = 0; fits && i < args->ids.n; i++) {
        const char *id = args->ids.items[i];
        rt_stats *stats;

        if (host->sb->ops->stats(host->sb->rt, id, &host->call, &stats)) {
            code = report_error("%s", host->call.error.message);
            continue;
        }
        fits = args->json.json ? json_append(array, id, stats) : row_add(&table, id, stats);
        host->sb->ops->stats_free(stats);
    }
    if (!fits) {
        printed = report_error("out of memory");
        cJSON_Delete(array);
    } else if (args->json.json) {
        printed = json_print(array);
    } else {
        table_print(&table);
        printed = report_finish(EXIT_OK);
        cJSON_Delete(array);
    }
    table_release(&table);
    return code ? code : printed;
}

int cmd_stats(int argc, char **argv)
{
    struct stats_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .ids = &args.ids,
        .args_doc = "ID...",
        .doc = "Shows what sandboxes use: memory now and at its peak, CPU time, processes, block I/O.",
    };
    struct host host = HOST_INIT;
    int code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    if (host_open(&host, &args.open))
        code = stats_show(&host, &args);
    host_close(&host);
    strv_release(&args.ids);
    return code;
}
