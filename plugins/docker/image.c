/* Image references, and pulling an image that is not there. */
#include "docker.h"

#include "error.h"
#include "json.h"

#include <stdio.h>
#include <string.h>

#define REFERENCE_MAX 512
#define PULL_QUIET_MS (5 * 60 * 1000)
#define PROGRESS_NS   NS_PER_S
#define LAYERS_MAX    256

bool image_valid(const char *reference)
{
    size_t len = strlen(reference);

    return len && len <= REFERENCE_MAX && reference[0] != '-' && reference[0] != '/' &&
           strspn(reference, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") == len;
}

const char *image_tag(const char *reference, size_t *ret_name_len)
{
    const char *digest = strchr(reference, '@'), *slash = strrchr(reference, '/'),
               *colon = strchr(slash ? slash : reference, ':'), *at = digest ? digest : colon;

    *ret_name_len = at ? (size_t)(at - reference) : strlen(reference);
    return at ? at + 1 : "latest";
}

/* What has come of each layer so far. */
struct layer {
    char id[16];
    int64_t current, total;
};

struct pull {
    struct op *op;
    const char *reference;
    char failed[300];
    char last[128]; /* status that was logged last, so as to say it once */
    int64_t logged_ns;
    struct layer layers[LAYERS_MAX];
    size_t n_layers;
};

static struct layer *layer_find(struct pull *pull, const char *id)
{
    for (size_t i = 0; i < pull->n_layers; i++)
        if (!strncmp(pull->layers[i].id, id, sizeof pull->layers[i].id - 1))
            return &pull->layers[i];
    if (pull->n_layers == LAYERS_MAX)
        return NULL;
    snprintf(pull->layers[pull->n_layers].id, sizeof pull->layers[0].id, "%s", id);
    return &pull->layers[pull->n_layers++];
}

static void log_progress(struct pull *pull)
{
    int64_t current = 0, total = 0;

    if (now_ns() < pull->logged_ns + PROGRESS_NS)
        return;
    pull->logged_ns = now_ns();
    for (size_t i = 0; i < pull->n_layers; i++) {
        current += pull->layers[i].current;
        total += pull->layers[i].total;
    }
    runtime_log(pull->op->rt, RT_LOG_INFO, "pulling %s: %.1f of %.1f MB", pull->reference, (double)current / 1e6,
                (double)total / 1e6);
}

/* {"status", "id", "progressDetail": {"current", "total"}} or {"error"}; all as the Engine likes. */
static bool pull_line(void *arg, const cJSON *line)
{
    struct pull *pull = arg;
    const cJSON *detail = cJSON_GetObjectItemCaseSensitive(line, "progressDetail");
    bool ok = true;
    const char *error = json_str(line, "error", NULL, &ok), *status = json_str(line, "status", "", &ok),
               *id = json_str(line, "id", "", &ok);
    int64_t current = json_int(detail, "current", 0, JSON_INT_MAX, -1, &ok),
            total = json_int(detail, "total", 0, JSON_INT_MAX, -1, &ok);
    struct layer *layer;

    if (!ok)
        return false;
    if (error) {
        engine_line(error, pull->failed, sizeof pull->failed);
    } else if (current >= 0 && total >= 0 && !strcmp(status, "Downloading") && (layer = layer_find(pull, id))) {
        layer->current = current;
        layer->total = total;
        log_progress(pull);
    } else if (!id[0] && strcmp(pull->last, status)) {
        char shown[sizeof pull->last];

        snprintf(pull->last, sizeof pull->last, "%s", status);
        engine_line(status, shown, sizeof shown);
        runtime_log(pull->op->rt, RT_LOG_INFO, "pulling %s: %s", pull->reference, shown);
    }
    return true;
}

static char *pull_path(const char *reference)
{
    size_t len;
    const char *tag = image_tag(reference, &len);
    cleanup_free char *name = strndup(reference, len);
    cleanup_free char *escaped = name ? engine_escape(name) : NULL, *escaped_tag = engine_escape(tag);
    char *path;

    if (!escaped || !escaped_tag || asprintf(&path, "/images/create?fromImage=%s&tag=%s", escaped, escaped_tag) < 0)
        return NULL;
    return path;
}

int32_t image_pull(struct op *op, const char *reference)
{
    struct pull pull = { .op = op, .reference = reference };
    struct json_lines lines = { .take = pull_line, .arg = &pull };
    cleanup_free char *path = pull_path(reference);
    const struct engine_request request = { .method = "POST",
                                            .path = path,
                                            .limit_ms = RT_FOREVER,
                                            .quiet_ms = PULL_QUIET_MS,
                                            .sink = json_lines_feed,
                                            .sink_arg = &lines };
    struct engine_answer answer;
    int32_t status;
    bool whole;

    if (!path)
        return op_fail(op, RT_E_NOMEM, 0, "pull %s", reference);
    runtime_log(op->rt, RT_LOG_INFO, "pulling %s", reference);
    status = engine_call(op, docker_of(op)->engine, &request, &answer);
    whole = json_lines_end(&lines);
    engine_answer_release(&answer);
    if (!status && pull.failed[0])
        status = op_fail(op, engine_status(500, pull.failed), 0, "%s", pull.failed);
    else if (!status && !whole)
        status = op_fail(op, RT_E_PROTOCOL, 0, "the Engine's report is malformed");
    return status ? op_wrap(op, status, "pull %s", reference) : RT_OK;
}
