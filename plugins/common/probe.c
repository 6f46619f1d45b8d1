/* Collecting what a probe finds, and the findings that every backend asks for. */
#include "info.h"
#include "runtime.h"
#include "util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CHECKS_MAX 32

struct probe_list {
    rt_probe probe; /* first: the host's rt_probe is the list itself, finished */
    rt_check checks[CHECKS_MAX];
    const rt_check *pointers[CHECKS_MAX];
    char *texts[CHECKS_MAX * 3 + 1];
    size_t n_texts;
    bool failed;
};

static const char *keep(struct probe_list *list, const char *text)
{
    char *copy = list->n_texts < ARRAY_LEN(list->texts) ? strdup(text) : NULL;

    if (!copy) {
        list->failed = true;
        return "";
    }
    list->texts[list->n_texts++] = copy;
    return copy;
}

struct probe_list *probe_list_new(void)
{
    struct probe_list *list = calloc(1, sizeof *list);

    if (list)
        list->probe =
            (rt_probe){ .size = sizeof list->probe, .usable = 1, .backend_version = "", .checks = list->pointers };
    return list;
}

void probe_list_version(struct probe_list *list, const char *version)
{
    list->probe.backend_version = keep(list, version);
}

void probe_list_add(struct probe_list *list, int32_t result, const char *name, const char *detail, const char *remedy)
{
    size_t n = list->probe.n_checks;

    if (n == CHECKS_MAX) {
        list->failed = true;
        return;
    }
    list->checks[n] = (rt_check){ .size = sizeof *list->checks,
                                  .result = result,
                                  .name = keep(list, name),
                                  .detail = keep(list, detail),
                                  .remedy = keep(list, remedy) };
    list->pointers[n] = &list->checks[n];
    list->probe.n_checks++;
    if (result == RT_CHECK_FAIL)
        list->probe.usable = 0;
}

int32_t probe_list_finish(struct op *op, struct probe_list *list, rt_probe **ret)
{
    if (list->failed) {
        probe_free(&list->probe);
        return op_fail(op, RT_E_NOMEM, 0, "the probe's findings");
    }
    *ret = &list->probe;
    return RT_OK;
}

void probe_free(rt_probe *probe)
{
    struct probe_list *list = (struct probe_list *)probe;

    if (!list)
        return;
    for (size_t i = 0; i < list->n_texts; i++)
        free(list->texts[i]);
    free(list);
}

void probe_fuse(struct probe_list *list)
{
    cleanup_fd int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        probe_list_add(list, RT_CHECK_FAIL, "fuse", "/dev/fuse does not exist", "modprobe fuse");
    else if (fd < 0)
        probe_list_add(list, RT_CHECK_FAIL, "fuse", "/dev/fuse cannot be opened", "chmod 0666 /dev/fuse, as udev does");
    else
        probe_list_add(list, RT_CHECK_OK, "fuse", "/dev/fuse", "");
}

void probe_helpers(const struct runtime *rt, struct probe_list *list)
{
    static const char *const helpers[] = { "permfs", "agent" };

    for (size_t i = 0; i < ARRAY_LEN(helpers); i++) {
        char path[PATH_MAX];

        snprintf(path, sizeof path, "%s/%s", rt->libexec, helpers[i]);
        if (access(path, X_OK) == 0)
            probe_list_add(list, RT_CHECK_OK, helpers[i], path, "");
        else
            probe_list_add(list, RT_CHECK_FAIL, helpers[i], path, "reinstall stockade, or give libexec_dir");
    }
}
