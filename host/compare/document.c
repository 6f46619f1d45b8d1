/* The outcome as JSON. */
#include "compare.h"
#include "host/cli/capabilities.h"
#include "host/cli/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define FORMAT 1 /* raised when a reader of the last one would misunderstand */

/* Five significant digits: more is noise. */
static cJSON *number_json(double value)
{
    char text[32];

    snprintf(text, sizeof text, "%.5g", value);
    return cJSON_CreateNumber(strtod(text, NULL));
}

static bool number_add(cJSON *object, const char *key, double value)
{
    cJSON *number = number_json(value);

    if (number && cJSON_AddItemToObject(object, key, number))
        return true;
    cJSON_Delete(number);
    return false;
}

/* ---- the machine ----------------------------------------------------------------------------------------------- */

static void cpu_model(char *text, size_t cap)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(text, cap, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');

        if (!colon || strncmp(line, "model name", 10))
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, cap, "%s", colon + 1 + (colon[1] == ' '));
        break;
    }
    if (file)
        (void)fclose(file);
}

static bool machine_add(cJSON *document)
{
    cJSON *machine = cJSON_AddObjectToObject(document, "machine");
    struct utsname name = { 0 };
    double load[1] = { 0 };
    char model[128];

    cpu_model(model, sizeof model);
    (void)uname(&name);
    (void)getloadavg(load, 1);
    return machine && json_add_text(machine, "kernel", name.release) && json_add_text(machine, "arch", name.machine) &&
           json_add_text(machine, "cpu", model) && number_add(machine, "cpus", (double)sysconf(_SC_NPROCESSORS_ONLN)) &&
           number_add(machine, "memory_mib",
                      floor((double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 20))) &&
           number_add(machine, "load", load[0]);
}

/* ---- subjects -------------------------------------------------------------------------------------------------- */

static const char *check_name(int32_t result)
{
    static const char *const names[] = { "ok", "warn", "fail" };

    return result >= RT_CHECK_OK && result <= RT_CHECK_FAIL ? names[result] : "unknown";
}

static bool capabilities_add(cJSON *item, const rt_plugin *plugin)
{
    cJSON *list = cJSON_AddArrayToObject(item, "capabilities");
    size_t i = 0;

    for (const struct capability *can = capability_at(i); list && can; can = capability_at(++i))
        if ((plugin->capabilities & can->bit) && !json_append_text(list, can->name))
            return false;
    return list != NULL;
}

static bool checks_add(cJSON *item, const rt_probe *probe)
{
    cJSON *list = cJSON_AddArrayToObject(item, "checks");

    for (size_t i = 0; list && i < probe->n_checks; i++) {
        cJSON *check = cJSON_CreateObject();

        if (!cJSON_AddItemToArray(list, check))
            return false;
        if (!json_add_text(check, "name", probe->checks[i]->name) ||
            !json_add_text(check, "result", check_name(probe->checks[i]->result)) ||
            !json_add_text(check, "detail", probe->checks[i]->detail))
            return false;
    }
    return list != NULL;
}

static bool subject_add(cJSON *list, const struct subject *subject)
{
    const rt_plugin *plugin = subject->sb ? subject->sb->plugin : NULL;
    cJSON *item = cJSON_CreateObject();

    if (!cJSON_AddItemToArray(list, item))
        return false;
    return json_add_text(item, "name", subject->name) &&
           json_add_text(item, "kind", subject->is_host ? "host" : "runtime") &&
           json_add_text(item, "error", *subject->error ? subject->error : NULL) &&
           (!plugin ||
            (json_add_text(item, "version", plugin->version) && json_add_text(item, "summary", plugin->summary) &&
             json_add_text(item, "file", subject->sb->file) && json_add_text(item, "image", subject->image) &&
             capabilities_add(item, plugin))) &&
           (!subject->probe || (json_add_text(item, "backend_version", subject->probe->backend_version) &&
                                checks_add(item, subject->probe)));
}

/* ---- figures --------------------------------------------------------------------------------------------------- */

static bool stats_add(cJSON *item, const struct stats *stats)
{
    return number_add(item, "n", (double)stats->n) && number_add(item, "median", stats->median) &&
           number_add(item, "low", stats->low) && number_add(item, "high", stats->high) &&
           number_add(item, "mad", stats->mad) && number_add(item, "min", stats->min) &&
           number_add(item, "p5", stats->p5) && number_add(item, "p25", stats->p25) &&
           number_add(item, "p75", stats->p75) && number_add(item, "p95", stats->p95) &&
           number_add(item, "p99", stats->p99) && number_add(item, "max", stats->max) &&
           cJSON_AddBoolToObject(item, "noisy", stats_is_noisy(stats));
}

static bool samples_add_json(cJSON *item, const struct samples *samples)
{
    cJSON *list = cJSON_AddArrayToObject(item, "samples");

    for (size_t i = 0; list && i < samples->n; i++)
        if (!cJSON_AddItemToArray(list, number_json(samples->values[i])))
            return false;
    return list != NULL;
}

/* How many times the host's: of time, and of throughput too, where less than 1 is slower. */
static bool ratio_add(cJSON *item, const struct compare *compare, const struct figure *figure,
                      const struct stats *stats)
{
    struct stats host;

    if (figure->baseline < 0)
        return json_add_text(item, "ratio", NULL);
    if (!stats_of(&compare->figures[figure->baseline].results[0].samples, &host))
        return false;
    if (!host.n || host.median <= 0)
        return json_add_text(item, "ratio", NULL);
    return number_add(item, "ratio", stats->median / host.median);
}

static bool result_add(cJSON *list, const struct compare *compare, const struct figure *figure, size_t i)
{
    const struct result *result = &figure->results[i];
    const struct subject *subject = &compare->subjects[i];
    const char *failure = *subject->error ? subject->error : result->failure;
    struct stats stats;
    cJSON *item;

    if (subject->is_host && !result->samples.n)
        return true;
    item = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, item) || !json_add_text(item, "subject", subject->name) ||
        !json_add_text(item, "error", *failure ? failure : NULL))
        return false;
    if (!result->samples.n)
        return true;
    return stats_of(&result->samples, &stats) && stats_add(item, &stats) && ratio_add(item, compare, figure, &stats) &&
           samples_add_json(item, &result->samples);
}

/* Whether anything came of it at all: it was not to be measured, if not. */
static bool is_tried(const struct compare *compare, const struct figure *figure)
{
    for (size_t i = 0; i < compare->n_subjects; i++)
        if (figure->results[i].samples.n || *figure->results[i].failure)
            return true;
    return false;
}

static bool figure_add_json(cJSON *list, const struct compare *compare, const struct figure *figure)
{
    cJSON *item = cJSON_CreateObject(), *results;
    bool fits;

    if (!cJSON_AddItemToArray(list, item))
        return false;
    fits = json_add_text(item, "id", figure->id) && json_add_text(item, "title", figure->title) &&
           json_add_text(item, "unit", figure->unit) &&
           json_add_text(item, "better", figure->more_is_better ? "more" : "less");
    results = fits ? cJSON_AddArrayToObject(item, "results") : NULL;
    for (size_t i = 0; results && i < compare->n_subjects; i++)
        if (!result_add(results, compare, figure, i))
            return false;
    return results != NULL;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static bool head_add(cJSON *document, const struct compare *compare)
{
    time_t now = time(NULL);
    char text[32] = "";
    struct tm tm;

    if (gmtime_r(&now, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return number_add(document, "format", FORMAT) && json_add_text(document, "stockade", stockade_version()) &&
           json_add_text(document, "created", text) && number_add(document, "runs", compare->runs) &&
           machine_add(document);
}

cJSON *compare_document(const struct compare *compare)
{
    cJSON *document = cJSON_CreateObject(), *subjects, *figures;
    bool fits = document && head_add(document, compare);

    subjects = fits ? cJSON_AddArrayToObject(document, "subjects") : NULL;
    fits = subjects != NULL;
    for (size_t i = 0; fits && i < compare->n_subjects; i++)
        fits = subject_add(subjects, &compare->subjects[i]);
    figures = fits ? cJSON_AddArrayToObject(document, "figures") : NULL;
    fits = figures != NULL;
    for (size_t i = 0; fits && i < compare->n_figures; i++)
        fits = !is_tried(compare, &compare->figures[i]) || figure_add_json(figures, compare, &compare->figures[i]);
    if (fits)
        return document;
    cJSON_Delete(document);
    return NULL;
}
