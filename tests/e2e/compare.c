/* `stockade compare` and `stockade conformance`, with a runtime that needs no processes, and with bwrap. */
#include "proc.h"
#include "world.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void compare_world(void)
{
    char pair[400];
    char *build;

    world_make();
    build = strdup(world.stockade);
    cr_assert(build != NULL);
    *strrchr(build, '/') = '\0';
    snprintf(pair, sizeof pair, "STOCKADE_PLUGIN_PATH=%s/tests/plugins", build);
    world_env(pair);
    free(build);
}

TestSuite(compare, .init = compare_world, .fini = world_remove, .timeout = 300);

Test(compare, a_plugin_by_its_name_alone)
{
    struct command_result result;
    cJSON *document, *figure;
    int measured = 0;

    cr_assert(tree_put(world.dir, "w.sh", "true"));
    result = STOCKADE("compare", "--runtimes", "mock", "--runs", "3", "--only", "life,workload", "--workload",
                      "../w.sh", "--json", "-");
    cr_expect(result.code == 0, "%d: %s", result.code, result.err);
    document = json_of(&result);
    cr_expect_str_eq(json_text(cJSON_GetArrayItem(cJSON_GetObjectItem(document, "subjects"), 1), "name"), "mock");
    cJSON_ArrayForEach (figure, cJSON_GetObjectItem(document, "figures")) {
        const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(figure, "results"), 0);

        if (!strcmp(json_text(figure, "id"), "create") || !strcmp(json_text(figure, "id"), "workload.w.sh"))
            measured += cJSON_GetArraySize(cJSON_GetObjectItem(first, "samples")) == 3;
    }
    cr_expect(measured == 2, "%d of 2 figures have three values", measured);
    cJSON_Delete(document);
    command_result_release(&result);
}

Test(compare, one_that_cannot_run_is_named_and_the_others_go_on)
{
    struct command_result result =
        STOCKADE("compare", "--runtimes", "mock,fails_in_open", "--runs", "3", "--only", "life", "--html", "page.html");

    cr_expect(result.code == 1, "%d: %s", result.code, result.err);
    cr_expect(strstr(result.out, "fails_in_open cannot be measured: "), "%s", result.out);
    cr_expect(strstr(result.out, "\ncreate "), "%s", result.out);
    cr_expect(tree_exists(world.workspace, "page.html"));
    command_result_release(&result);
}

Test(compare, nothing_to_compare)
{
    EXPECT(125, "", "cannot be used", "compare", "--runtimes", "fails_in_open");
    EXPECT(125, "", "twice", "compare", "--runtimes", "mock,mock");
    EXPECT(125, "", "expected a number from 3", "compare", "--runs", "0");
    EXPECT(125, "", "--check takes either", "compare", "--check");
    EXPECT(125, "", "go with --check only", "compare", "--runtimes", "mock", "true");
    EXPECT(125, "", "--only: no 'lif' is in the plan; there are life, ", "compare", "--runtimes", "mock", "--only",
           "life,lif");
    EXPECT(125, "", "--only: no '' is in the plan", "compare", "--runtimes", "mock", "--only", "");
    EXPECT(125, "", "nowhere.sh: No such file", "compare", "--runtimes", "mock", "--workload", "nowhere.sh");
}

Test(compare, check_shows_what_differs)
{
    struct command_result result;

    world_need_bwrap();
    EXPECT(0,
           "bwrap: ok, exit code 0, signal 0, 3 bytes on stdout, 0 on stderr\n"
           "mock: ok, exit code 0, signal 0, 3 bytes on stdout, 0 on stderr\nbwrap and mock: the same\n",
           NULL, "compare", "--runtimes", "bwrap,mock", "--check", "echo", "hi");
    result = STOCKADE("compare", "--runtimes", "bwrap,mock", "--check", "-c", "echo hi > made; printf 'a\\033b'");
    cr_expect(result.code == 1, "%d: %s", result.code, result.err);
    cr_expect(strstr(result.out, "-made -0644\n"), "the file is missing there: %s", result.out);
    cr_expect(strstr(result.out, "-a?b\n"), "what steers a terminal is not passed on: %s", result.out);
    cr_expect(!strchr(result.out, 033));
    command_result_release(&result);
}

Test(compare, check_takes_a_workspace_and_leaves_it_alone)
{
    cr_assert(tree_put(world.workspace, "a", "text"));
    world_need_bwrap();
    EXPECT(0, "bwrap: ok, exit code 0, signal 0, 4 bytes on stdout, 0 on stderr\n", NULL, "compare", "--runtimes",
           "bwrap", "--workspace", ".", "--check", "-c", "cat a; rm a");
    cr_expect(tree_exists(world.workspace, "a"));
}

/* For what it makes for a while: an empty directory of the world's; the whole path. */
static char *scratch_make(void)
{
    char pair[320];

    cr_assert(tree_mkdir(world.dir, "scratch"));
    snprintf(pair, sizeof pair, "TMPDIR=%s/scratch", world.dir);
    world_env(pair);
    return strdup(strchr(pair, '=') + 1);
}

/* The mount of the first sandbox that is there; to be freed. */
static char *mount_await(const char *dir)
{
    char *mount;

    (void)AWAIT((mount = proc_mount_below(dir)) != NULL);
    return mount;
}

/* Interrupted, it ends as a shell would have it, and leaves nothing (nor in the world). */
static void expect_interrupted(struct command_running *running, const char *scratch)
{
    struct command_result result;
    char *left;

    cr_expect(kill(running->pid, SIGINT) == 0);
    command_finish(running, &result);
    cr_expect(result.code == 130, "%d, signal %d: %s%s", result.code, result.signal, result.out, result.err);
    left = tree_list(scratch, true);
    cr_expect_str_eq(left, "");
    free(left);
    command_result_release(&result);
}

Test(compare, an_interrupt_ends_it_and_leaves_nothing)
{
    const char *args[] = { "compare", "--runtimes", "bwrap", "--runs", "10000", "--only", "life", NULL };
    struct command_running running;
    char *scratch;

    world_need_bwrap();
    scratch = scratch_make();
    running = stockade_start(false, args);
    free(mount_await(scratch));
    expect_interrupted(&running, scratch);
    free(scratch);
}

/* ---- conformance ---- */

TestSuite(conformance_command, .init = compare_world, .fini = world_remove, .timeout = 300);

static void expect_file(const char *name, const char *has)
{
    char *text = tree_read(world.workspace, name, NULL);

    cr_expect(text && strstr(text, has), "%s: %s", name, text ? text : "is not there");
    free(text);
}

Test(conformance_command, bwrap_passes_and_tells_in_tap_and_junit)
{
    struct command_result result;

    world_need_bwrap();
    result = STOCKADE("conformance", "bwrap", "--filter", "lifecycle/L1_*", "--tap", "out.tap", "--junit", "out.xml");
    cr_expect(result.code == 0, "%d: %s%s", result.code, result.out, result.err);
    command_result_release(&result);
    expect_file("out.tap", "ok - lifecycle::L1_");
    expect_file("out.xml", "<testsuite name=\"lifecycle\"");
}

/* The name of the cgroups of the sandbox that is mounted there, as its record has it; NULL if it has none. */
static char *cgroup_name(const char *mount)
{
    char box[512], *name = NULL, *text = NULL;

    snprintf(box, sizeof box, "%.*s", (int)(strrchr(mount, '/') - mount), mount);
    for (int tries = 0; tries < 1000 && !(text && strstr(text, "\"permfs\"")); tries++) {
        free(text);
        text = tree_read(box, "box.json", NULL); /* which is written anew just behind the mount */
        usleep(10000);
    }
    name = text ? strstr(text, "/stockade/") : NULL;
    name = name ? strndup(name + 10, strcspn(name + 10, "\"")) : NULL;
    free(text);
    return name;
}

static size_t cgroups_named(const char *name)
{
    char pattern[256];
    glob_t found;
    size_t n;

    snprintf(pattern, sizeof pattern, "/sys/fs/cgroup/*/stockade/%s", name);
    n = glob(pattern, 0, NULL, &found) ? 0 : found.gl_pathc;
    globfree(&found);
    return n;
}

/* A host that is killed leaves its sandboxes' cgroups to whoever opens the state directory next. */
Test(conformance_command, an_interrupt_ends_it_and_leaves_nothing)
{
    const char *args[] = { "conformance", "bwrap", "--filter", "ttl/L4_idle_counts_sessions_commands", NULL };
    struct command_running running;
    char *scratch, *mount, *cgroup;

    world_need_bwrap();
    scratch = scratch_make();
    running = stockade_start(false, args);
    mount = mount_await(scratch);
    cgroup = mount ? cgroup_name(mount) : NULL;
    cr_expect(!cgroup || cgroups_named(cgroup) > 0, "%s", cgroup);
    expect_interrupted(&running, scratch);
    cr_expect(!cgroup || cgroups_named(cgroup) == 0, "cgroup %s is left", cgroup);
    free(cgroup);
    free(mount);
    free(scratch);
}

Test(conformance_command, a_bad_plugin_fails)
{
    struct command_result result = STOCKADE("conformance", "mock", "--filter", "exec/X3_exit_code_and_signal");

    cr_expect(result.code == 1, "%d: %s%s", result.code, result.out, result.err);
    command_result_release(&result);
    EXPECT(125, "", "no plugin is given", "conformance");
    EXPECT(125, "", "wrong_abi.so", "conformance", "wrong_abi");
}
