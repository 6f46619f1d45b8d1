/* doctor: whether each runtime works here, and if not, what to do. */
#include "args.h"
#include "json.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct doctor_args {
    struct open_args open;
    struct json_args json;
};

/* ---- results --------------------------------------------------------------------------------------------------- */

/* The outcome of one runtime: either its probe or why there is none. */
struct diagnosis {
    const char *name;
    const rt_probe *probe;
    const char *error;
};

static const char *result_name(int32_t result)
{
    static const char *const names[] = { "ok", "warn", "fail" };

    return result >= RT_CHECK_OK && result <= RT_CHECK_FAIL ? names[result] : "unknown";
}

/* A coloured word on a terminal, unless NO_COLOR is set. */
static void result_print(int32_t result)
{
    static const char *const colours[] = { "32", "33", "31" };
    const char *name = result_name(result);

    if (isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && result >= RT_CHECK_OK && result <= RT_CHECK_FAIL)
        printf("  \033[%sm%-4s\033[0m  ", colours[result], name);
    else
        printf("  %-4s  ", name);
}

static void check_print(int32_t result, const char *name, const char *detail, const char *remedy)
{
    result_print(result);
    text_print(name);
    printf(": ");
    text_print(detail);
    if (*remedy) {
        printf("\n        -> ");
        text_print(remedy);
    }
    putchar('\n');
}

static void diagnosis_print(const struct diagnosis *diagnosis)
{
    const rt_probe *probe = diagnosis->probe;

    text_print(diagnosis->name);
    if (!probe) {
        printf(": cannot be used\n");
        check_print(RT_CHECK_FAIL, "load", diagnosis->error, "");
        return;
    }
    printf(": %s", probe->usable ? "works here" : "does not work here");
    if (*probe->backend_version) {
        printf(" (");
        text_print(probe->backend_version);
        putchar(')');
    }
    putchar('\n');
    for (size_t i = 0; i < probe->n_checks; i++)
        check_print(probe->checks[i]->result, probe->checks[i]->name, probe->checks[i]->detail,
                    probe->checks[i]->remedy);
}

static bool checks_add_json(cJSON *item, const rt_probe *probe)
{
    cJSON *checks = cJSON_AddArrayToObject(item, "checks");

    for (size_t i = 0; checks && probe && i < probe->n_checks; i++) {
        const rt_check *check = probe->checks[i];
        cJSON *entry = cJSON_CreateObject();

        if (!entry || !cJSON_AddItemToArray(checks, entry) || !json_add_text(entry, "name", check->name) ||
            !json_add_text(entry, "result", result_name(check->result)) ||
            !json_add_text(entry, "detail", check->detail) || !json_add_text(entry, "remedy", check->remedy))
            return false;
    }
    return checks != NULL;
}

static bool diagnosis_add_json(cJSON *array, const struct diagnosis *diagnosis)
{
    const rt_probe *probe = diagnosis->probe;
    cJSON *item = cJSON_CreateObject();

    if (item && json_add_text(item, "name", diagnosis->name) &&
        cJSON_AddBoolToObject(item, "usable", probe && probe->usable) &&
        json_add_text(item, "backend_version", probe ? probe->backend_version : NULL) &&
        json_add_text(item, "error", diagnosis->error) && checks_add_json(item, probe) &&
        cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

struct doctor {
    const struct doctor_args *args;
    struct host host; /* its config is what all are opened with */
    cJSON *array;
    bool is_usable; /* any of them */
    bool is_full;   /* out of memory */
};

static void diagnosis_take(struct doctor *doctor, const struct diagnosis *diagnosis)
{
    if (diagnosis->probe && diagnosis->probe->usable)
        doctor->is_usable = true;
    if (!doctor->args->json.json)
        diagnosis_print(diagnosis);
    else if (!diagnosis_add_json(doctor->array, diagnosis))
        doctor->is_full = true;
}

/* target is what to open: a name or a file. */
static void runtime_diagnose(struct doctor *doctor, const char *name, const char *target)
{
    stockade_options options = STOCKADE_OPTIONS_INIT;
    struct diagnosis diagnosis = { .name = name };
    rt_call call = RT_CALL_INIT;
    stockade_runtime *sb = NULL;
    rt_probe *probe = NULL;

    options.runtime = target;
    options.config = doctor->host.config;
    options.state_dir = doctor->args->open.state_dir;
    options.log = report_log;
    if (!stockade_open(&options, &call, &sb) && !sb->ops->probe(sb->rt, &call, &probe))
        diagnosis.probe = probe;
    else
        diagnosis.error = call.error.message;
    diagnosis_take(doctor, &diagnosis);
    if (sb)
        sb->ops->probe_free(probe);
    stockade_close(sb);
}

static bool all_diagnose(struct doctor *doctor)
{
    rt_error err = RT_ERROR_INIT;
    stockade_found_list *list;

    if (stockade_plugin_find_all(doctor->host.config, &err, &list))
        return report_error("%s", err.message), false;
    for (size_t i = 0; i < list->n; i++) {
        const stockade_found *found = &list->items[i];

        if (found->plugin)
            runtime_diagnose(doctor, found->name, found->file);
        else
            diagnosis_take(doctor, &(struct diagnosis){ .name = found->name, .error = found->error.message });
    }
    if (!list->n)
        report_note("no plugin was found; STOCKADE_PLUGIN_PATH or plugin_path in the config says where to look");
    stockade_found_list_free(list);
    return true;
}

static int doctor_run(struct doctor *doctor)
{
    const char *runtime = doctor->args->open.runtime;
    int code, printed;

    doctor->array = cJSON_CreateArray();
    if (!doctor->array)
        return report_error("out of memory");
    if (runtime)
        runtime_diagnose(doctor, runtime, runtime);
    else if (!all_diagnose(doctor))
        return cJSON_Delete(doctor->array), EXIT_OURS;
    code = doctor->is_usable ? EXIT_OK : EXIT_UNUSABLE;
    if (!doctor->args->json.json) {
        cJSON_Delete(doctor->array);
        return report_finish(code);
    }
    if (doctor->is_full) {
        cJSON_Delete(doctor->array);
        return report_error("out of memory");
    }
    printed = json_print(doctor->array);
    return printed ? printed : code;
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor_args args = { 0 };
    const struct args_group groups[] = { { &open_argp, &args.open }, { &json_argp, &args.json }, { 0 } };
    const struct args_frame frame = {
        .groups = groups,
        .doc = "Says of each runtime that is found, or of the one that --runtime names, whether it works here, and if "
               "not, what to do.\vExit status: 0 if a runtime works, 1 if none does.",
    };
    struct doctor doctor = { .args = &args, .host = HOST_INIT };
    int code = EXIT_OURS;

    args_parse(&frame, argc, argv);
    if (host_load_config(&doctor.host, &args.open))
        code = doctor_run(&doctor);
    host_close(&doctor.host);
    return code;
}
