/* The plan and the outcome for a terminal. */
#include "compare.h"
#include "host/cli/capabilities.h"
#include "host/cli/table.h"
#include "view.h"

#include <stdio.h>
#include <string.h>

void text_plan(const struct compare *compare)
{
    printf("Compared are");
    for (size_t i = 0; i < compare->n_subjects; i++) {
        printf(i ? ", " : " ");
        text_print(compare->subjects[i].is_host ? "a bare process on the host" : compare->subjects[i].name);
    }
    printf(", in turns and in random order:\n");
    for (size_t i = 0; i < compare->n_tasks; i++) {
        const struct task *task = &compare->tasks[i];

        if (!task_is_wanted(compare, task))
            continue;
        printf("  %-14s %4u rounds after %u to warm up: ", task->id, task->rounds, task->warm_up);
        text_print(task->what);
        printf("%s\n", task->workload && !task->on_host ? " (not on the host; --bare would)" : "");
    }
    for (size_t i = 0; i < compare->n_subjects; i++)
        if (*compare->subjects[i].error) {
            text_print(compare->subjects[i].name);
            printf(" cannot be measured: ");
            text_print(compare->subjects[i].error);
            putchar('\n');
        }
    putchar('\n');
    (void)fflush(stdout); /* before progress, which goes elsewhere */
}

/* ---- figures --------------------------------------------------------------------------------------------------- */

static void cell_text(const cJSON *result, char *text, size_t cap)
{
    char ratio[32] = "";

    if (!view_is_measured(result)) {
        snprintf(text, cap, "%s", result ? "none" : "-");
        return;
    }
    if (cJSON_IsNumber(cJSON_GetObjectItem(result, "ratio")) && strcmp(view_text(result, "subject"), VIEW_HOST))
        snprintf(ratio, sizeof ratio, " (%.3gx)", view_number(result, "ratio"));
    snprintf(text, cap, "%.4g%s%s", view_number(result, "median"), ratio, view_flag(result, "noisy") ? " ~" : "");
}

static bool figures_print(const cJSON *document)
{
    const cJSON *subjects = cJSON_GetObjectItem(document, "subjects"), *figure;
    size_t n = (size_t)cJSON_GetArraySize(subjects);
    struct table table = { .columns = n + 2 };
    const char *row[TABLE_COLUMNS_MAX] = { "median of", "unit" };
    char cells[TABLE_COLUMNS_MAX][64];
    bool fits;

    for (size_t i = 0; i < n; i++)
        row[i + 2] = view_text(cJSON_GetArrayItem(subjects, (int)i), "name");
    fits = table_add(&table, row);
    cJSON_ArrayForEach (figure, cJSON_GetObjectItem(document, "figures")) {
        row[0] = view_text(figure, "title");
        row[1] = view_text(figure, "unit");
        for (size_t i = 0; i < n; i++) {
            cell_text(view_result(figure, view_text(cJSON_GetArrayItem(subjects, (int)i), "name")), cells[i],
                      sizeof cells[i]);
            row[i + 2] = cells[i];
        }
        fits = fits && table_add(&table, row);
    }
    if (fits)
        table_print(&table);
    table_release(&table);
    return fits;
}

/* ---- what they offer ------------------------------------------------------------------------------------------- */

static bool capabilities_print(const cJSON *document)
{
    const cJSON *subjects = cJSON_GetObjectItem(document, "subjects"), *subject;
    const char *row[TABLE_COLUMNS_MAX] = { "offered by" };
    struct table table = { .columns = (size_t)cJSON_GetArraySize(subjects) };
    const struct capability *can;
    size_t n = 1, i = 0;
    bool fits;

    cJSON_ArrayForEach (subject, subjects)
        if (!view_is_host(subject))
            row[n++] = view_text(subject, "name");
    fits = table_add(&table, row);
    for (can = capability_at(i); can; can = capability_at(++i)) {
        n = 1;
        row[0] = can->what;
        cJSON_ArrayForEach (subject, subjects)
            if (!view_is_host(subject))
                row[n++] = view_capability(subject, can->name);
        fits = fits && table_add(&table, row);
    }
    putchar('\n');
    if (fits)
        table_print(&table);
    table_release(&table);
    return fits;
}

/* ---- notes ----------------------------------------------------------------------------------------------------- */

static void note_print(const char *figure, const char *subject, const char *text)
{
    text_print(figure);
    printf(", ");
    text_print(subject);
    printf(": ");
    text_print(text);
    putchar('\n');
}

static void notes_print(const cJSON *document)
{
    const cJSON *figure, *result;
    bool is_noisy = false;

    putchar('\n');
    cJSON_ArrayForEach (figure, cJSON_GetObjectItem(document, "figures")) {
        cJSON_ArrayForEach (result, cJSON_GetObjectItem(figure, "results")) {
            is_noisy = is_noisy || view_flag(result, "noisy");
            if (*view_text(result, "error"))
                note_print(view_text(figure, "title"), view_text(result, "subject"), view_text(result, "error"));
        }
    }
    printf("(x): times a bare process's on the host\n");
    if (is_noisy)
        printf("~: too noisy to mean anything; try again with the machine at rest, or with more --runs\n");
}

bool text_report(const cJSON *document)
{
    bool fits = figures_print(document) && capabilities_print(document);

    notes_print(document);
    return fits;
}
