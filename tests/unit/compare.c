/* Parts of `stockade compare`: workload files, and text that must not become markup. */
#include "host/compare/compare.h"
#include "host/compare/markup.h"
#include "host/compare/view.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- workloads ---- */

static bool parse(const char *file, const char *text, struct workload *ret, char message[512])
{
    return workload_parse(file, text, strlen(text), ret, message, 512);
}

Test(workload, a_script_is_called_after_its_file)
{
    struct workload workload;
    char message[512];

    cr_assert(parse("some/where/job.sh", "make -s\n", &workload, message));
    cr_expect_str_eq(workload.name, "job.sh");
    cr_expect_str_eq(workload.command, "make -s\n");
    cr_expect(!workload.setup && !workload.cleanup);
    workload_release(&workload);
}

Test(workload, json)
{
    struct workload workload;
    char message[512];

    cr_assert(parse("a.json", "{\"name\": \"n\", \"setup\": \"s\", \"command\": \"c\", \"cleanup\": \"u\"}", &workload,
                    message));
    cr_expect_str_eq(workload.name, "n");
    cr_expect_str_eq(workload.setup, "s");
    cr_expect_str_eq(workload.command, "c");
    cr_expect_str_eq(workload.cleanup, "u");
    workload_release(&workload);
}

struct bad {
    char text[96], says[48];
};

ParameterizedTestParameters(workload, bad_json_is_named)
{
    static struct bad cases[] = {
        { "", "is empty" },
        { "[]", "expected a JSON object" },
        { "{\"name\": \"a\"", "expected a JSON object" },
        { "{\"name\": \"a\", \"command\": \"b\"} x", "expected a JSON object" },
        { "{\"command\": \"b\"}", "'name' is missing" },
        { "{\"name\": \"a\"}", "'command' is missing" },
        { "{\"name\": \"a\", \"command\": 7}", "'command' must be a text" },
        { "{\"name\": \"\", \"command\": \"b\"}", "'name' must be a text" },
        { "{\"name\": \"a\", \"command\": \"b\", \"runs\": 3}", "'runs' is not known" },
        { "{\"name\": \"a\", \"name\": \"b\", \"command\": \"b\"}", "'name' is there twice" },
        { "{\"name\": \"0123456789012345678901234567890123456789012345678901234567890123_\"}", "'name' is too long" },
    };

    return cr_make_param_array(struct bad, cases, sizeof cases / sizeof *cases);
}

ParameterizedTest(struct bad *bad, workload, bad_json_is_named)
{
    struct workload workload;
    char message[512] = "";

    cr_expect(!parse("dir/bad.json", bad->text, &workload, message), "%s", bad->text);
    cr_expect(strstr(message, "dir/bad.json") && strstr(message, bad->says), "%s: %s", bad->text, message);
    cr_expect(!workload.name && !workload.command, "nothing is kept");
}

Test(workload, a_file_that_is_not_there)
{
    struct workload workload;
    char message[512] = "";

    cr_expect(!workload_load("/nonexistent/w.sh", &workload, message, sizeof message));
    cr_expect(strstr(message, "/nonexistent/w.sh: No such file"), "%s", message);
}

/* ---- markup ---- */

static char *written(void (*write)(FILE *out, const char *text), const char *text)
{
    char *out = NULL;
    size_t len;
    FILE *stream = open_memstream(&out, &len);

    cr_assert(stream != NULL);
    write(stream, text);
    cr_assert(fclose(stream) == 0);
    return out;
}

Test(markup, text)
{
    char *out = written(markup_text, "<b a='1' c=\"2\">&amp;\x1b[1m\n\xC3\xA9");

    cr_expect_str_eq(out, "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;\xEF\xBF\xBD[1m\n\xC3\xA9");
    free(out);
}

Test(markup, json_ends_no_script)
{
    char *out = written(markup_json, "{\"a\":\"</script><!--&\"}");
    cJSON *json = cJSON_Parse(out);

    cr_expect(!strpbrk(out, "<>&"), "%s", out);
    cr_expect_str_eq(view_text(json, "a"), "</script><!--&", "it is the same JSON");
    cJSON_Delete(json);
    free(out);
}

/* ---- reports ---- */

/* The host and a runtime of a hostile name; one figure with values of both, another that failed. */
static cJSON *document_make(void)
{
    struct subject subjects[2] = { { .name = VIEW_HOST, .is_host = true }, { .name = "<script>alert(1)</script>" } };
    struct result exec[2] = { { .failure = "" } }, other[2] = { [1] = { .failure = "no </table> here" } };
    struct figure figures[2] = {
        { .id = "exec", .title = "exec", .unit = "ms", .baseline = 0, .results = exec },
        { .id = "other",
          .title = "other & more",
          .unit = "1/s",
          .more_is_better = true,
          .baseline = -1,
          .results = other },
    };
    struct compare compare = { .subjects = subjects, .n_subjects = 2, .figures = figures, .n_figures = 2, .runs = 3 };
    cJSON *document;

    for (int i = 1; i <= 3; i++)
        cr_assert(samples_add(&exec[0].samples, i) && samples_add(&exec[1].samples, 3 * i));
    document = compare_document(&compare);
    cr_assert(document != NULL);
    samples_release(&exec[0].samples);
    samples_release(&exec[1].samples);
    return document;
}

Test(document, its_form)
{
    cJSON *document = document_make(), *figures = cJSON_GetObjectItem(document, "figures");
    const cJSON *exec = cJSON_GetArrayItem(figures, 0), *other = cJSON_GetArrayItem(figures, 1);
    const cJSON *result = view_result(exec, "<script>alert(1)</script>");

    cr_expect(view_number(document, "format") == 1);
    cr_expect(view_number(result, "median") == 6 && view_number(result, "n") == 3);
    cr_expect(view_number(result, "ratio") == 3, "6 of one, 2 of the other");
    cr_expect(view_number(view_result(exec, VIEW_HOST), "ratio") == 1);
    cr_expect(cJSON_GetArraySize(cJSON_GetObjectItem(result, "samples")) == 3);
    cr_expect_str_eq(view_text(exec, "better"), "less");
    cr_expect_str_eq(view_text(other, "better"), "more");
    cr_expect(!view_result(other, VIEW_HOST), "it means nothing there");
    cr_expect(!view_is_measured(cJSON_GetArrayItem(cJSON_GetObjectItem(other, "results"), 0)));
    cr_expect_str_eq(view_text(cJSON_GetArrayItem(cJSON_GetObjectItem(other, "results"), 0), "error"),
                     "no </table> here");
    cJSON_Delete(document);
}

Test(document, names_are_no_markup)
{
    cJSON *document = document_make();
    char *html = html_report(document);

    cr_assert(html != NULL);
    cr_expect(!strstr(html, "<script>alert(1)"), "a name became a script");
    cr_expect(strstr(html, "&lt;script&gt;alert(1)&lt;/script&gt;") != NULL);
    cr_expect(strstr(html, "no &lt;/table&gt; here") != NULL, "the reason is told");
    cr_expect(strstr(html, "other &amp; more") != NULL);
    free(html);
    cJSON_Delete(document);
}
