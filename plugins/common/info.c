#include "info.h"

#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything of a snapshot in one block: the struct, its labels and rules, their texts. */
struct info_block {
    rt_sandbox_info info;
    _Alignas(rt_rule) char data[];
};

static size_t data_size(const struct record *record, const char *mnt)
{
    const struct spec *spec = &record->spec;
    const char *const texts[] = { spec->id,      spec->codebase, spec->codebase_id,  spec->workspace,    spec->image,
                                  spec->network, spec->user,     record->backend_id, record->last_error, mnt };
    size_t size = 64; /* the runtime's name */

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        size += strlen(texts[i]) + 1;
    for (size_t i = 0; i < spec->n_labels; i++)
        size += strlen(spec->labels[i].key) + strlen(spec->labels[i].value) + 2;
    for (size_t i = 0; i < spec->n_rules; i++)
        size += strlen(spec->rules[i].pattern) + 1;
    return size + spec->n_labels * (sizeof(rt_label) + sizeof(rt_label *)) +
           spec->n_rules * (sizeof(rt_rule) + sizeof(rt_rule *));
}

static const char *put(char **at, const char *text)
{
    const char *start = *at;

    *at = stpcpy(*at, text) + 1;
    return start;
}

static void info_fill(rt_sandbox_info *info, const struct record *record, const char *runtime, const char *mnt,
                      char *data)
{
    const struct spec *spec = &record->spec;
    rt_label *labels = (rt_label *)(void *)data;
    rt_rule *rules = (rt_rule *)(void *)(labels + spec->n_labels);
    const rt_label **label_pointers = (const rt_label **)(void *)(rules + spec->n_rules);
    const rt_rule **rule_pointers = (const rt_rule **)(void *)(label_pointers + spec->n_labels);
    char *at = (char *)(rule_pointers + spec->n_rules);

    *info = (rt_sandbox_info){ .size = sizeof *info,
                               .status = record->status,
                               .lifetime = spec->lifetime,
                               .workspace_mode = spec->workspace_mode,
                               .commit_policy = spec->commit_policy,
                               .created_ns = record->created_us * 1000,
                               .started_ns = record->started_us * 1000,
                               .stopped_ns = record->stopped_us * 1000,
                               .limits = spec->limits,
                               .n_labels = spec->n_labels,
                               .labels = label_pointers,
                               .flags = spec->flags,
                               .n_rules = spec->n_rules,
                               .rules = rule_pointers };
    info->id = put(&at, spec->id);
    info->codebase = put(&at, spec->codebase);
    info->codebase_id = put(&at, spec->codebase_id);
    info->workspace = put(&at, spec->workspace);
    info->runtime = put(&at, runtime);
    info->image = put(&at, spec->image);
    info->network = put(&at, spec->network);
    info->user = put(&at, spec->user);
    info->backend_id = put(&at, record->backend_id);
    info->mount_point = put(&at, mnt);
    info->last_error = put(&at, record->last_error);
    for (size_t i = 0; i < spec->n_labels; i++) {
        labels[i] = (rt_label){ .size = sizeof *labels, .key = put(&at, spec->labels[i].key) };
        labels[i].value = put(&at, spec->labels[i].value);
        label_pointers[i] = &labels[i];
    }
    for (size_t i = 0; i < spec->n_rules; i++) {
        rules[i] = spec->rules[i];
        rules[i].pattern = put(&at, spec->rules[i].pattern);
        rule_pointers[i] = &rules[i];
    }
}

int32_t info_from_record(struct op *op, const struct record *record, rt_sandbox_info **ret)
{
    bool runs = record_runs(record);
    cleanup_free char *mnt = NULL;
    struct info_block *block;

    if (!runs)
        mnt = strdup("");
    else
        mnt = runtime_mount_point(op->rt, record->spec.id);
    block = mnt ? malloc(sizeof *block + data_size(record, mnt)) : NULL;
    if (!block)
        return op_fail(op, RT_E_NOMEM, 0, "a snapshot of '%s'", record->spec.id);
    info_fill(&block->info, record, op->rt->backend->name, mnt, block->data);
    *ret = &block->info;
    return RT_OK;
}

void info_free(rt_sandbox_info *info)
{
    free(info);
}

static int info_order(const void *a, const void *b)
{
    const rt_sandbox_info *ia = *(rt_sandbox_info *const *)a, *ib = *(rt_sandbox_info *const *)b;

    if (ia->created_ns != ib->created_ns)
        return ia->created_ns < ib->created_ns ? -1 : 1;
    return strcmp(ia->id, ib->id);
}

struct list_block {
    rt_sandbox_list list;
    rt_sandbox_info *items[];
};

int32_t list_from_infos(struct op *op, rt_sandbox_info **infos, size_t n, rt_sandbox_list **ret)
{
    struct list_block *block = malloc(sizeof *block + n * sizeof *block->items);

    if (!block) {
        for (size_t i = 0; i < n; i++)
            info_free(infos[i]);
        return op_fail(op, RT_E_NOMEM, 0, "the list of sandboxes");
    }
    if (n) {
        memcpy(block->items, infos, n * sizeof *infos);
        qsort(block->items, n, sizeof *block->items, info_order);
    }
    block->list =
        (rt_sandbox_list){ .size = sizeof block->list, .n = n, .items = (const rt_sandbox_info *const *)block->items };
    *ret = &block->list;
    return RT_OK;
}

void list_free(rt_sandbox_list *list)
{
    struct list_block *block = (struct list_block *)list;

    for (size_t i = 0; block && i < list->n; i++)
        info_free(block->items[i]);
    free(block);
}
