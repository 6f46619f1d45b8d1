/* Contract L1 to L7: what sandboxes are, from create to destroy. */
#include "cgroups.h"
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/timerfd.h>

CONFORMANCE_TEST(lifecycle, L1_create_is_pending_and_starts_nothing)
{
    size_t before, after;
    rt_sandbox_info *info = NULL;
    rt_sandbox_spec spec = box_spec("pending");

    proc_children(&before, NULL);
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, &info));
    cr_assert(info != NULL);
    cr_expect(info->status == RT_SANDBOX_PENDING && info->started_ns == 0 && info->stopped_ns == 0);
    cr_expect(!strcmp(info->mount_point, "") && !strcmp(info->backend_id, ""), "'%s' '%s'", info->mount_point,
              info->backend_id);
    fx.ops->sandbox_info_free(info);
    proc_children(&after, NULL);
    cr_expect(after == before, "create started %zu processes", after - before);
    cr_expect(proc_mount_below(fx.dir) == NULL);
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("pending", "true"));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->stop(fx.rt, "pending", CALL));
}

CONFORMANCE_TEST(lifecycle, L2_ids_that_are_allowed)
{
    static const char *const good[] = { "a", "0", "A.b_c-9", "a..b",
                                        "a123456789b123456789c123456789d123456789e123456789f123456789xyz" };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        rt_sandbox_spec spec = box_spec(good[i]);

        EXPECT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
        cr_expect(box_status(good[i]) == RT_SANDBOX_PENDING, "%s", good[i]);
    }
}

CONFORMANCE_TEST(lifecycle, L2_ids_that_smuggle)
{
    static const char *const bad[] = { "",      ".",
                                       "..",    "../x",
                                       "a/b",   "/x",
                                       "-x",    "_x",
                                       ".x",    "a\nb",
                                       "a b",   "a\n",
                                       "a:b",   "caf\xc3\xa9",
                                       "a\x01", "a%2fb",
                                       "a*",    "a\xff",
                                       "a\\b",  "$(id)",
                                       "a;b",   "a123456789b123456789c123456789d123456789e123456789f123456789wxyz" };
    rt_sandbox_list *list = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rt_sandbox_spec spec = box_spec(bad[i]);

        EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
        cr_expect(fx.call.error.message[0], "id %zu: no message", i);
        cr_expect(box_status(bad[i]) == -1);
        cr_expect(fx.ops->start(fx.rt, bad[i], CALL) != RT_OK);
        cr_expect(fx.ops->destroy(fx.rt, bad[i], CALL) != RT_OK);
    }
    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_expect(list->n == 0);
    fx.ops->sandbox_list_free(list);
}

CONFORMANCE_TEST(lifecycle, L2_made_up_ids_differ)
{
    rt_sandbox_spec spec = box_spec(NULL);
    rt_sandbox_info *a = NULL, *b = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, &a));
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, &b));
    cr_expect(a->id[0] && strcmp(a->id, b->id) != 0, "'%s' '%s'", a->id, b->id);
    cr_expect(strspn(a->id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == strlen(a->id));
    cr_expect(box_status(a->id) == RT_SANDBOX_PENDING);
    fx.ops->sandbox_info_free(a);
    fx.ops->sandbox_info_free(b);
}

CONFORMANCE_TEST(lifecycle, L2_duplicates)
{
    rt_sandbox_spec spec = box_spec("twin");
    rt_sandbox_info *info = (rt_sandbox_info *)&spec;

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_STATUS(RT_E_EXISTS, fx.ops->create(fx.rt, &spec, CALL, &info));
    EXPECT_NAMES("twin");
    cr_expect(info == (rt_sandbox_info *)&spec, "ret was touched");
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "twin", CALL));
    EXPECT_STATUS(RT_E_EXISTS, fx.ops->create(fx.rt, &spec, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "twin", CALL));
    EXPECT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
}

CONFORMANCE_TEST(lifecycle, L2_codebases_that_will_not_do)
{
    rt_sandbox_spec spec = box_spec("bad");
    char path[4096];

    HOST_MUST(tree_put(fx.dir, "a-file", "x"));
    HOST_MUST(tree_symlink("nowhere", fx.dir, "dangling"));
    snprintf(path, sizeof path, "%s/absent", fx.dir);
    spec.codebase = path;
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_NAMES(path);
    snprintf(path, sizeof path, "%s/a-file", fx.dir);
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_NAMES(path);
    snprintf(path, sizeof path, "%s/dangling", fx.dir);
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    EXPECT_NAMES(path);
    spec.codebase = NULL;
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    spec.codebase = "";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->create(fx.rt, &spec, CALL, NULL));
    cr_expect(box_status("bad") == -1);
}

/* A relative codebase means the host's cwd at create, whatever that is later; a symlink is resolved then too. */
CONFORMANCE_TEST(lifecycle, L2_codebases_are_resolved_at_create)
{
    rt_sandbox_spec spec = box_spec("relative");
    rt_sandbox_info *info = NULL;
    char link[4096], *real = realpath(fx.codebase, NULL), *cwd = getcwd(NULL, 0);

    HOST_MUST(real && cwd && tree_put(fx.codebase, "here", "found"));
    HOST_MUST(tree_symlink("code", fx.dir, "link") && chdir(fx.dir) == 0);
    spec.codebase = "code";
    spec.rules = &READ_ALL;
    spec.n_rules = 1;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, &info));
    cr_expect(!strcmp(info->codebase, real), "%s, not %s", info->codebase, real);
    fx.ops->sandbox_info_free(info);
    HOST_MUST(chdir(cwd) == 0);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "relative", CALL));
    EXPECT_RUN(sh("relative", "cat here"), 0, "found");

    snprintf(link, sizeof link, "%s/link", fx.dir);
    spec.id = "linked";
    spec.codebase = link;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, &info));
    cr_expect(!strcmp(info->codebase, real), "%s, not %s", info->codebase, real);
    fx.ops->sandbox_info_free(info);
    HOST_MUST(unlink(link) == 0 && tree_symlink("/", fx.dir, "link"));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "linked", CALL));
    EXPECT_RUN(sh("linked", "cat here; ls"), 0, "foundhere\n");
    free(real);
    free(cwd);
}

CONFORMANCE_TEST(lifecycle, L3_start_on_running)
{
    BOX_UP("box", WRITE_ALL);
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
    EXPECT_STATUS(RT_E_ALREADY_RUNNING, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_NAMES("box");
    EXPECT_RUN(sh("box", "echo still"), 0, "still\n");
}

struct starter {
    pthread_t thread;
    int32_t status;
};

static void *starter_run(void *arg)
{
    struct starter *me = arg;

    me->status = fx.ops->start(fx.rt, "box", NULL);
    return NULL;
}

CONFORMANCE_TEST(lifecycle, L3_eight_starts_at_once)
{
    struct starter starters[8];
    int ok = 0, already = 0;
    rt_sandbox_spec spec = box_spec("box");

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    for (int i = 0; i < 8; i++)
        HOST_MUST(pthread_create(&starters[i].thread, NULL, starter_run, &starters[i]) == 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(starters[i].thread, NULL);
        ok += starters[i].status == RT_OK;
        already += starters[i].status == RT_E_ALREADY_RUNNING;
    }
    cr_expect(ok == 1 && already == 7, "%d started it, %d found it running", ok, already);
    EXPECT_RUN(sh("box", "echo one"), 0, "one\n");
}

CONFORMANCE_TEST(lifecycle, L3_start_after_stop_keeps_the_workspace)
{
    HOST_MUST(tree_put(fx.codebase, "file", "host"));
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "echo inside > made; cat file"), 0, "host");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    cr_expect(box_status("box") == RT_SANDBOX_STOPPED);
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, sh("box", "true"));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->stop(fx.rt, "box", CALL));
    HOST_MUST(tree_put(fx.codebase, "while-stopped", "new"));
    for (int i = 0; i < 3; i++) {
        ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
        EXPECT_RUN(sh("box", "cat file made while-stopped"), 0, "hostinside\nnew");
        ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    }
}

/* Starts commands that never end, and waits until each has begun. */
static void runners_start(struct runner *runners, int n, const char *marker)
{
    char text[256];

    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s; touch up%d; echo so far; sleep %s", i % 2 ? "trap '' TERM" : ":", i, marker);
        runner_start(&runners[i], "box", strdup(text));
    }
    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "up%d", i);
        cr_assert(tree_await(fx.codebase, text), "command %d did not begin", i);
    }
}

static void runners_expect(struct runner *runners, int n, const char *marker)
{
    for (int i = 0; i < n; i++) {
        EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, runner_join(&runners[i]));
        free((char *)runners[i].shell);
    }
    cr_expect(proc_count(marker, NULL) == 0, "processes of the sandbox live on");
}

CONFORMANCE_TEST(lifecycle, L4_stop_ends_execs)
{
    struct runner runners[4];
    const char *marker = marker_new();

    BOX_UP("box", WRITE_ALL);
    runners_start(runners, 4, marker);
    EXPECT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    runners_expect(runners, 4, marker);
    cr_expect(box_status("box") == RT_SANDBOX_STOPPED);
    cr_expect(proc_mount_below(fx.dir) == NULL, "stopped, and still mounted");
}

CONFORMANCE_TEST(lifecycle, L5_destroy_ends_execs)
{
    struct runner runners[4];
    const char *marker = marker_new();

    BOX_UP("box", WRITE_ALL);
    runners_start(runners, 4, marker);
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    runners_expect(runners, 4, marker);
    cr_expect(box_status("box") == -1);
}

CONFORMANCE_TEST(lifecycle, L5_destroy_in_every_state_and_twice)
{
    rt_sandbox_spec pending = box_spec("pending");

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &pending, CALL, NULL));
    BOX_UP("running", WRITE_ALL);
    BOX_UP("stopped", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "stopped", CALL));
    for (int i = 0; i < 3; i++) {
        static const char *const ids[] = { "pending", "running", "stopped" };

        EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->destroy(fx.rt, ids[i], CALL));
        EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->start(fx.rt, ids[i], CALL));
        EXPECT_NAMES(ids[i]);
    }
}

CONFORMANCE_TEST(lifecycle, L5_destroy_leaves_nothing)
{
    const char *marker = marker_new();
    rt_sandbox_info *info = NULL;
    pid_t pid = 0;
    char *cgroups, *files, *save = NULL;

    BOX_UP("traces", WRITE_ALL);
    EXPECT_RUN(sh("traces", "sleep %s >/dev/null 2>&1 & echo up", marker), 0, "up\n");
    cr_assert(proc_await(marker, 1, &pid) == 1, "the host does not see the sandbox's process");
    cgroups = cgroups_of(pid);
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "traces", CALL, &info));
    cr_expect(info->mount_point[0] == '/' && info->backend_id[0]);
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "traces", CALL));
    cr_expect(proc_count(marker, NULL) == 0);
    cr_expect(proc_mount_below(info->mount_point) == NULL, "%s is mounted", info->mount_point);
    for (char *path = strtok_r(cgroups, "\n", &save); path; path = strtok_r(NULL, "\n", &save))
        cr_expect(!cgroup_exists(path), "cgroup %s is left", path);
    files = tree_list(fx.state, true);
    cr_expect(!strstr(files, "traces"), "%s", files);
    cr_expect(tree_exists(fx.codebase, "."), "the codebase is gone");
    fx.ops->sandbox_info_free(info);
    free(cgroups);
    free(files);
}

CONFORMANCE_TEST(lifecycle, L6_get_tells_what_was_given)
{
    const rt_label labels[] = { { sizeof *labels, "team", "red" }, { sizeof *labels, "note", "a=b, \"c\"\n\xc3\xa9" } };
    rt_sandbox_spec spec = box_spec("told");
    rt_sandbox_info *info = NULL, *later = NULL;

    spec.codebase_id = "project-7";
    spec.workspace = "/srv/work";
    spec.labels = labels;
    spec.n_labels = 2;
    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    box_up_spec(&spec);
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "told", CALL, &info));
    cr_expect(!strcmp(info->id, "told") && !strcmp(info->codebase_id, "project-7"));
    cr_expect(!strcmp(info->workspace, "/srv/work") && !strcmp(info->runtime, fx.plugin.info->name));
    cr_expect(!strcmp(info->network, "none"), "%s", info->network);
    cr_expect(info->image && info->user && info->last_error && !info->last_error[0]);
    cr_expect(info->status == RT_SANDBOX_RUNNING && info->lifetime == RT_LIFETIME_HOST);
    cr_expect(info->workspace_mode == RT_WORKSPACE_DIRECT && info->commit_policy == RT_COMMIT_MANUAL);
    cr_expect(info->created_ns > 0 && info->started_ns >= info->created_ns && info->stopped_ns == 0);
    cr_assert(info->n_labels == 2);
    for (int i = 0; i < 2; i++)
        cr_expect(!strcmp(info->labels[i]->key, labels[i].key) && !strcmp(info->labels[i]->value, labels[i].value));
    EXPECT_RUN(sh("told", "pwd"), 0, "/srv/work\n");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "told", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "told", CALL, &later));
    cr_expect(info->status == RT_SANDBOX_RUNNING && info->stopped_ns == 0, "a snapshot changed");
    cr_expect(later->status == RT_SANDBOX_STOPPED && later->stopped_ns >= later->started_ns);
    cr_expect(later->created_ns == info->created_ns && !later->backend_id[0] && !later->mount_point[0]);
    fx.ops->sandbox_info_free(info);
    fx.ops->sandbox_info_free(later);
}

CONFORMANCE_TEST(lifecycle, L6_list_is_ordered)
{
    static const char *const ids[] = { "z", "m", "a", "q" };
    rt_sandbox_list *list = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_expect(list->n == 0);
    fx.ops->sandbox_list_free(list);
    for (int i = 0; i < 4; i++) {
        rt_sandbox_spec spec = box_spec(ids[i]);

        ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
        sleep_ms(2);
    }
    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_assert(list->n == 4);
    for (int i = 0; i < 4; i++)
        cr_expect(!strcmp(list->items[i]->id, ids[i]), "%d: %s", i, list->items[i]->id);
    fx.ops->sandbox_list_free(list);
}

CONFORMANCE_TEST(lifecycle, L7_failed_start_undoes_itself)
{
    rt_sandbox_spec spec = box_spec("fails");
    rt_sandbox_info *info = NULL;
    const struct run *r;
    size_t children;
    char moved[4096];

    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    snprintf(moved, sizeof moved, "%s/moved", fx.dir);
    HOST_MUST(tree_put(fx.codebase, "file", "back") && rename(fx.codebase, moved) == 0);
    cr_expect(fx.ops->start(fx.rt, "fails", CALL) != RT_OK);
    cr_expect(fx.call.error.status != RT_OK && !strcmp(fx.call.error.op, "start"));
    EXPECT_NAMES(fx.codebase);
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "fails", CALL, &info));
    cr_expect(info->status == RT_SANDBOX_ERROR && info->last_error[0], "status %d, '%s'", (int)info->status,
              info->last_error);
    fx.ops->sandbox_info_free(info);
    cr_expect(proc_mount_below(fx.dir) == NULL);
    proc_children(&children, NULL);
    cr_expect(children == 0, "%zu processes are left of a start that failed", children);
    r = sh("fails", "true"); /* either it does not run, or it tells why */
    cr_expect(r->status == RT_E_NOT_RUNNING || r->status == RT_E_UNAVAILABLE, "%s", run_describe(r));
    HOST_MUST(rename(moved, fx.codebase) == 0);
    EXPECT_STATUS(RT_OK, fx.ops->start(fx.rt, "fails", CALL));
    EXPECT_RUN(sh("fails", "cat file"), 0, "back");
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "fails", CALL, &info));
    cr_expect(info->status == RT_SANDBOX_RUNNING && !info->last_error[0], "'%s'", info->last_error);
    fx.ops->sandbox_info_free(info);
}

CONFORMANCE_TEST(lifecycle, L7_destroy_after_a_failed_start)
{
    rt_sandbox_spec spec = box_spec("fails");

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    HOST_MUST(tree_remove(fx.codebase) && tree_put(fx.dir, "code", "a file now"));
    cr_expect(fx.ops->start(fx.rt, "fails", CALL) != RT_OK);
    cr_expect(box_status("fails") == RT_SANDBOX_ERROR);
    /* stop() may have something to end here, or nothing. */
    cr_expect(fx.ops->stop(fx.rt, "fails", CALL) == RT_OK || fx.call.error.status == RT_E_NOT_RUNNING);
    cr_expect(box_status("fails") != RT_SANDBOX_RUNNING);
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "fails", CALL));
    cr_expect(box_status("fails") == -1);
}

/* Cancelled at every moment of its way up: no process stays, however little had been started. */
CONFORMANCE_TEST(lifecycle, L7_a_cancelled_start_leaves_nothing)
{
    int fallen = 0, step_told = 0;
    char id[32];

    snprintf(id, sizeof id, "cancelled-%d", (int)getpid());
    for (int ms = 0; ms < 30; ms++) {
        const struct itimerspec when = { .it_value = { 0, ms * 1000000 + 1 } };
        int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        rt_sandbox_spec spec = box_spec(id);
        char message[sizeof fx.call.error.message];
        rt_call *call;
        int32_t status;

        cr_assert(timer >= 0 && timerfd_settime(timer, 0, &when, NULL) == 0);
        ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
        call = fixture_call();
        call->cancel_fd = timer;
        status = fx.ops->start(fx.rt, id, call);
        cr_expect(status == RT_OK || status == RT_E_CANCELLED, "%s: %s", status_name(status), call->error.message);
        snprintf(message, sizeof message, "%s", call->error.message);
        call->cancel_fd = -1;
        if (box_status(id) == RT_SANDBOX_ERROR) {
            step_told += strstr(message, ": cancelled") != NULL;
            fallen++;
        }
        close(timer);
        ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, id, CALL));
    }
    cr_expect(step_told == fallen, "%d of %d starts tell where they were cancelled", step_told, fallen);
    cr_expect(proc_await(id, 0, NULL) == 0, "processes are left");
}
