#include "lacks.h"

#include <criterion/internal/ordered-set.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lack {
    struct lack *next;
    char *name; /* "suite/name"; the reason behind it */
    const char *reason;
};

static struct lack *lacks, **last = &lacks;

static struct criterion_test *test_find(struct criterion_test_set *tests, const char *name)
{
    char full[256];

    FOREACH_SET(struct criterion_suite_set * suite, tests->suites)
    {
        FOREACH_SET(struct criterion_test * test, suite->tests)
        {
            snprintf(full, sizeof full, "%s/%s", test->category, test->name);
            if (!strcmp(full, name))
                return test;
        }
    }
    return NULL;
}

static bool line_take(const char *line, struct criterion_test_set *tests)
{
    struct lack *lack = calloc(1, sizeof *lack);
    struct criterion_test *test;
    char *space;

    if (!lack || !(lack->name = strdup(line)))
        return false;
    *last = lack;
    last = &lack->next;
    space = strchr(lack->name, ' ');
    if (!space || !space[strspn(space, " ")]) {
        fprintf(stderr, "conformance: no reason is given for '%s'\n", line);
        return false;
    }
    lack->reason = space + strspn(space, " ");
    *space = '\0';
    test = test_find(tests, lack->name);
    if (!test) {
        fprintf(stderr, "conformance: there is no test '%s'\n", lack->name);
        return false;
    }
    test->data->disabled = true;
    return true;
}

bool lacks_apply(const char *path, struct criterion_test_set *tests)
{
    FILE *file = fopen(path, "re");
    char line[512];
    bool ok = true;

    if (!file) {
        fprintf(stderr, "conformance: %s: %s\n", path, strerror(errno));
        return false;
    }
    while (ok && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] && line[0] != '#')
            ok = line_take(line, tests);
    }
    fclose(file);
    return ok;
}

void lacks_report(void)
{
    for (const struct lack *lack = lacks; lack; lack = lack->next)
        fprintf(stderr, "[NOT OFFERED] %s: %s\n", lack->name, lack->reason);
}
