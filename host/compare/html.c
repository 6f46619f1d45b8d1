/* The page: tables that say everything, and charts that a script adds. */
#include "assets.h"
#include "compare.h"
#include "host/cli/capabilities.h"
#include "markup.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>

/* An element of text, its class and scope given as they are to stand there. */
static void element(FILE *out, const char *open, const char *text, const char *close)
{
    fputs(open, out);
    markup_text(out, text);
    fputs(close, out);
}

static const cJSON *list_of(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void table_begin(FILE *out, const char *caption)
{
    element(out, "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"", caption, "\"><table>");
    element(out, "<caption>", caption, "</caption><thead><tr>");
}

static void heads(FILE *out, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        element(out, i ? "<th scope=\"col\">" : "<th scope=\"col\" class=\"text\">", names[i], "</th>");
}

static void table_end(FILE *out)
{
    fputs("</tbody></table></div>\n", out);
}

/* ---- the summary ----------------------------------------------------------------------------------------------- */

static void summary_cell(FILE *out, const cJSON *result)
{
    if (!view_is_measured(result)) {
        fputs(result ? "<td class=\"warn\">none</td>" : "<td>\xE2\x80\x93</td>", out);
        return;
    }
    fprintf(out, "<td%s>%.4g", view_flag(result, "noisy") ? " class=\"warn\"" : "", view_number(result, "median"));
    if (cJSON_IsNumber(list_of(result, "ratio")) && strcmp(view_text(result, "subject"), VIEW_HOST))
        fprintf(out, " (%.3g\xC3\x97)", view_number(result, "ratio"));
    fputs(view_flag(result, "noisy") ? " noisy</td>" : "</td>", out);
}

static void summary(FILE *out, const cJSON *document)
{
    static const char *const first[] = { "Median of", "Unit" };
    const cJSON *figure, *subject;

    table_begin(out, "Medians, and how many times the bare host's");
    heads(out, first, 2);
    cJSON_ArrayForEach (subject, list_of(document, "subjects")) {
        element(out, "<th scope=\"col\">", view_text(subject, "name"), "</th>");
    }
    fputs("</tr></thead><tbody>", out);
    cJSON_ArrayForEach (figure, list_of(document, "figures")) {
        element(out, "<tr><th scope=\"row\">", view_text(figure, "title"), "</th>");
        element(out, "<td>", view_text(figure, "unit"), "</td>");
        cJSON_ArrayForEach (subject, list_of(document, "subjects")) {
            summary_cell(out, view_result(figure, view_text(subject, "name")));
        }
        fputs("</tr>\n", out);
    }
    table_end(out);
    fputs("<p class=\"soft\">\xE2\x80\x9Cnoisy\xE2\x80\x9D: chance moves this median by so much that it means nothing; "
          "measure again with the machine at rest. \xE2\x80\x9Cnone\xE2\x80\x9D: see the figure for the reason.</p>\n",
          out);
}

/* ---- what they offer ------------------------------------------------------------------------------------------- */

static void capability_row(FILE *out, const cJSON *document, const struct capability *can)
{
    const cJSON *subject;

    element(out, "<tr><th scope=\"row\">", can->what, "</th>");
    cJSON_ArrayForEach (subject, list_of(document, "subjects")) {
        const char *has = view_capability(subject, can->name);

        if (view_is_host(subject))
            continue;
        element(out, "<td class=\"", has, "\">");
        element(out, "", has, "</td>");
    }
    fputs("</tr>\n", out);
}

static void capabilities(FILE *out, const cJSON *document)
{
    static const char *const first[] = { "Offered" };
    const struct capability *can;
    const cJSON *subject;
    size_t i = 0;

    table_begin(out, "What each runtime says that it offers");
    heads(out, first, 1);
    cJSON_ArrayForEach (subject, list_of(document, "subjects")) {
        if (!view_is_host(subject))
            element(out, "<th scope=\"col\">", view_text(subject, "name"), "</th>");
    }
    fputs("</tr></thead><tbody>", out);
    for (can = capability_at(i); can; can = capability_at(++i))
        capability_row(out, document, can);
    table_end(out);
}

static void error_row(FILE *out, const cJSON *subject)
{
    element(out, "<tr><th scope=\"row\">", view_text(subject, "name"), "</th><td class=\"text\"></td>");
    element(out, "<td class=\"warn\">not measured</td><td class=\"text\">", view_text(subject, "error"),
            "</td></tr>\n");
}

/* Isolation layers and what else the runtime found on this machine. */
static void checks(FILE *out, const cJSON *document)
{
    static const char *const names[] = { "Runtime", "Check", "Result", "Found" };
    const cJSON *subject, *check;

    table_begin(out, "What each runtime found on this machine");
    heads(out, names, 4);
    fputs("</tr></thead><tbody>", out);
    cJSON_ArrayForEach (subject, list_of(document, "subjects")) {
        if (*view_text(subject, "error"))
            error_row(out, subject);
        cJSON_ArrayForEach (check, list_of(subject, "checks")) {
            element(out, "<tr><th scope=\"row\">", view_text(subject, "name"), "</th>");
            element(out, "<td class=\"text\">", view_text(check, "name"), "</td>");
            element(out, "<td>", view_text(check, "result"), "</td>");
            element(out, "<td class=\"text\">", view_text(check, "detail"), "</td></tr>\n");
        }
    }
    table_end(out);
}

/* ---- a figure -------------------------------------------------------------------------------------------------- */

static void result_row(FILE *out, const cJSON *result)
{
    static const char *const keys[] = { "median", "low", "high", "min", "p25", "p75", "p95", "p99", "max", "n" };

    element(out, "<tr><th scope=\"row\">", view_text(result, "subject"), "</th>");
    if (!view_is_measured(result)) {
        element(out, "<td class=\"text warn\" colspan=\"11\">", view_text(result, "error"), "</td></tr>\n");
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        fprintf(out, "<td>%.4g</td>", view_number(result, keys[i]));
    if (cJSON_IsNumber(list_of(result, "ratio")))
        fprintf(out, "<td>%.3g\xC3\x97</td></tr>\n", view_number(result, "ratio"));
    else
        fputs("<td>\xE2\x80\x93</td></tr>\n", out);
}

static bool is_any_measured(const cJSON *figure)
{
    const cJSON *result;

    cJSON_ArrayForEach (result, list_of(figure, "results")) {
        if (view_is_measured(result))
            return true;
    }
    return false;
}

static void figure_section(FILE *out, const cJSON *figure)
{
    static const char *const names[] = { "",    "Median", "95 % low", "95 % high", "Min",  "p25",
                                         "p75", "p95",    "p99",      "Max",       "Runs", "To host" };
    const cJSON *result;
    char caption[160];

    element(out, "<section><h3>", view_text(figure, "title"), "</h3>");
    if (is_any_measured(figure)) {
        element(out, "<figure><div data-figure=\"", view_text(figure, "id"), "\"></div>");
        element(out, "<figcaption class=\"soft\">", view_text(figure, "title"),
                ": each tick is one run; the box spans the quartiles, its line is the median.</figcaption></figure>");
    }
    snprintf(caption, sizeof caption, "%s, in %s; %s is better", view_text(figure, "title"), view_text(figure, "unit"),
             view_text(figure, "better"));
    table_begin(out, caption);
    heads(out, names, sizeof names / sizeof *names);
    fputs("</tr></thead><tbody>", out);
    cJSON_ArrayForEach (result, list_of(figure, "results")) {
        result_row(out, result);
    }
    table_end(out);
    fputs("</section>\n", out);
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static void head(FILE *out, const cJSON *document)
{
    const cJSON *machine = list_of(document, "machine");

    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          /* Nothing may be fetched, whatever a name in here would like. */
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
          "script-src 'unsafe-inline'; img-src data:\">\n"
          "<link rel=\"icon\" href=\"data:,\">\n<title>Stockade: runtimes compared</title>\n<style>\n",
          out);
    fputs(asset_style, out);
    fputs("</style></head><body>\n<header><h1>Runtimes compared</h1>\n<p class=\"soft\">", out);
    element(out, "Stockade ", view_text(document, "stockade"), ", ");
    element(out, "", view_text(document, "created"), "; ");
    element(out, "", view_text(machine, "cpu"), ", ");
    fprintf(out, "%g CPUs, %g MiB, load %.2f; ", view_number(machine, "cpus"), view_number(machine, "memory_mib"),
            view_number(machine, "load"));
    element(out, "Linux ", view_text(machine, "kernel"), "</p></header>\n<main>\n");
}

static void page(FILE *out, const cJSON *document, const char *json)
{
    const cJSON *figure;

    head(out, document);
    fputs("<h2>Summary</h2>\n", out);
    summary(out, document);
    fputs("<h2>Capabilities</h2>\n", out);
    capabilities(out, document);
    checks(out, document);
    fputs("<h2>Figures</h2>\n<noscript><p class=\"warn\">The charts are drawn by a script, which does not run here; "
          "the tables hold all figures.</p></noscript>\n",
          out);
    cJSON_ArrayForEach (figure, list_of(document, "figures")) {
        figure_section(out, figure);
    }
    fputs("</main>\n<script type=\"application/json\" id=\"data\">", out);
    markup_json(out, json);
    fputs("</script>\n<script>", out);
    fputs(asset_charts, out);
    fputs("</script>\n</body></html>\n", out);
}

char *html_report(const cJSON *document)
{
    char *json = cJSON_PrintUnformatted(document), *text = NULL;
    size_t len = 0;
    FILE *out = json ? open_memstream(&text, &len) : NULL;
    bool fits = out != NULL;

    if (out) {
        page(out, document, json);
        fits = !ferror(out);
        fits = !fclose(out) && fits;
    }
    free(json);
    if (fits)
        return text;
    free(text);
    return NULL;
}
