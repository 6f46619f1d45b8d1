/*
 * Contract R5: file descriptors, processes and the state directory's disk run out in the midst of an op. It works or
 * gives a clear error; with room again, all that there was is there, and nothing else.
 */
#include "box_ops.h"
#include "disk.h"
#include "fixture.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- what runs out ----------------------------------------------------------------------------------------------- */

#define NUMBERS 256 /* of fds, under the walk: more than any op needs, and quickly filled */

static int fillers[NUMBERS], n_fillers;
static struct rlimit limit_before;

static void limit_set(int resource, rlim_t soft)
{
    struct rlimit limit;

    HOST_MUST(getrlimit(resource, &limit_before) == 0);
    limit = limit_before;
    limit.rlim_cur = soft;
    HOST_MUST(setrlimit(resource, &limit) == 0);
}

static void fds_begin(int n)
{
    int fd;

    limit_set(RLIMIT_NOFILE, NUMBERS);
    for (n_fillers = 0; (fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0;)
        fillers[n_fillers++] = fd;
    while (n-- > 0)
        close(fillers[--n_fillers]);
}

static void fds_end(void)
{
    while (n_fillers > 0)
        close(fillers[--n_fillers]);
    HOST_MUST(setrlimit(RLIMIT_NOFILE, &limit_before) == 0);
}

/* Threads of this user's processes, which is what RLIMIT_NPROC counts. */
static size_t user_threads(void)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    size_t n = 0;

    HOST_MUST(dir != NULL);
    while ((entry = readdir(dir))) {
        struct stat st;
        char path[300];

        snprintf(path, sizeof path, "/proc/%s/task", entry->d_name);
        if (isdigit((unsigned char)entry->d_name[0]) && stat(path, &st) == 0 && st.st_uid == getuid())
            n += st.st_nlink - 2;
    }
    closedir(dir);
    return n;
}

static void processes_begin(int n)
{
    limit_set(RLIMIT_NPROC, user_threads() + (rlim_t)n);
}

static void processes_end(void)
{
    HOST_MUST(setrlimit(RLIMIT_NPROC, &limit_before) == 0);
}

static const struct shortage fds = { .name = "fds", .begin = fds_begin, .end = fds_end };
static const struct shortage processes = {
    .name = "processes", .begin = processes_begin, .end = processes_end, .lasts = true
};

/* ---- ops on sandbox "box" ---------------------------------------------------------------------------------------- */

static int32_t do_create(rt_call *call)
{
    rt_sandbox_spec spec = box_spec("box");

    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    spec.lifetime = RT_LIFETIME_PERSISTENT;
    return fx.ops->create(fx.rt, &spec, call, NULL);
}

/* Another host on the same state directory. */
static int32_t do_open(rt_call *call)
{
    rt_runtime *other = NULL;
    int32_t status = plugin_open(&fx.plugin, disk_path() ? disk_path() : fx.state, NULL, call, &other);

    if (status == RT_OK)
        fx.ops->close(other);
    return status;
}

static int32_t do_list(rt_call *call)
{
    rt_sandbox_list *list = NULL;
    int32_t status = fx.ops->list(fx.rt, call, &list);

    fx.ops->sandbox_list_free(list);
    return status;
}

/* What a command said that ended as if all were well. */
static char said[32];

static int32_t result_take(int32_t status, rt_exec_result *result)
{
    if (status == RT_OK)
        snprintf(said, sizeof said, "%d %s", (int)result->exit.exit_code, result->stdout_data);
    fx.ops->exec_result_free(result);
    return status;
}

static int32_t do_exec(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->exec(fx.rt, "box", REQUEST(.shell = "echo hello"), call, &result);

    return result_take(status, result);
}

static int32_t do_session(rt_call *call)
{
    const rt_session_spec spec = { .size = sizeof spec, .id = "s" };

    return fx.ops->session_create(fx.rt, "box", &spec, call, NULL);
}

static int32_t do_session_exec(rt_call *call)
{
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->session_exec(fx.rt, "box", "kept", REQUEST(.shell = "echo hello"), call, &result);

    return result_take(status, result);
}

static int32_t do_rules(rt_call *call)
{
    return fx.ops->rules_update(fx.rt, "box", &WRITE_ALL, 1, call);
}

/* ---- walks ------------------------------------------------------------------------------------------------------- */

enum state { NONE, PENDING, RUNNING };

static const struct walked {
    const char *name;
    int32_t (*run)(rt_call *call);
    enum state before, after; /* after: if it worked; if not, as before, or no more than that */
} walked[] = {
    { "create", do_create, NONE, PENDING },
    { "start", do_start, PENDING, RUNNING },
    { "stop", do_stop, RUNNING, PENDING },
    { "destroy", do_destroy, RUNNING, NONE },
    { "open", do_open, RUNNING, RUNNING },
    { "get", do_get, RUNNING, RUNNING },
    { "list", do_list, RUNNING, RUNNING },
    { "exec", do_exec, RUNNING, RUNNING },
    { "session_create", do_session, RUNNING, RUNNING },
    { "session_exec", do_session_exec, RUNNING, RUNNING },
    { "rules_update", do_rules, RUNNING, RUNNING },
};

static enum state state_now(void)
{
    int32_t status = box_status("box");

    return status == -1 ? NONE : status == RT_SANDBOX_RUNNING ? RUNNING : PENDING;
}

/* From whatever there is to `want`; a sandbox that runs has the session "kept". */
static void state_enter(enum state want)
{
    const rt_session_spec kept = { .size = sizeof kept, .id = "kept" };

    if (want == NONE && state_now() != NONE)
        ASSERT_STATUS(RT_OK, do_destroy(CALL));
    if (want == PENDING && state_now() == RUNNING)
        ASSERT_STATUS(RT_OK, do_stop(CALL));
    if (want != NONE && state_now() == NONE)
        ASSERT_STATUS(RT_OK, do_create(CALL));
    if (want == RUNNING && state_now() == PENDING)
        ASSERT_STATUS(RT_OK, do_start(CALL));
    if (want == RUNNING && (fx.plugin.info->capabilities & RT_CAP_SESSION) &&
        fx.ops->session_create(fx.rt, "box", &kept, CALL, NULL) != RT_E_EXISTS)
        cr_assert(fx.call.error.status == RT_OK, "%s", fx.call.error.message);
}

/* With room again: what the op said is true, nothing was lost, and all works. */
static void aftermath_expect(const struct shortage *what, const struct walked *op, int32_t status, const char *where)
{
    enum state now = state_now();

    if (status == RT_OK)
        cr_expect(now == op->after, "%s: worked, and the state is %d", where, (int)now);
    else if (op->before == NONE || op->run == do_destroy)
        cr_expect(now == NONE || op->before != NONE, "%s: failed, and the state is %d", where, (int)now);
    else if (op->before == op->after || op->before == PENDING)
        cr_expect(now == op->before, "%s: failed, and the state is %d", where, (int)now);
    else
        cr_expect(now != NONE, "%s: failed, and the sandbox is gone", where);
    if (op->after == RUNNING && op->before != RUNNING && what->lasts)
        state_enter(PENDING);
    state_enter(RUNNING);
    EXPECT_RUN(sh("box", "cat keep"), 0, "kept");
    if (fx.plugin.info->capabilities & RT_CAP_SESSION) {
        EXPECT_RUN(in("kept", "echo on"), 0, "on\n");
        if (op->run == do_session) {
            int32_t ended = fx.ops->session_destroy(fx.rt, "box", "s", CALL);

            cr_expect(ended == (status == RT_OK ? RT_OK : RT_E_SESSION_NOT_FOUND), "%s: %s, and its end is %s", where,
                      status_name(status), status_name(ended));
        }
    }
}

static bool is_clear(const rt_call *call, int32_t status)
{
    return (status == RT_E_RESOURCE || status == RT_E_UNAVAILABLE) && call->error.status == status &&
           call->error.message[0];
}

static void op_walk(const struct shortage *what, const struct walked *op, int n)
{
    rt_call call = RT_CALL_INIT;
    char where[64];
    int32_t status;

    snprintf(where, sizeof where, "%s with %d %s", op->name, n, what->name);
    state_enter(op->before);
    said[0] = '\0';
    what->begin(n);
    status = op->run(&call);
    what->end();
    if (status == RT_OK)
        cr_expect(!said[0] || !strcmp(said, "0 hello\n"), "%s: it said '%s'", where, said);
    else
        cr_expect(is_clear(&call, status), "%s: %s: %s", where, status_name(status), call.error.message);
    aftermath_expect(what, op, status, where);
}

/* Every op, with each number from `from` in steps up to `to`. */
static void walk(const struct shortage *what, int from, int step, int to)
{
    size_t open_before, open_now;

    HOST_MUST(tree_put(fx.codebase, "keep", "kept"));
    state_enter(RUNNING);
    EXPECT_RUN(sh("box", "cat keep"), 0, "kept");
    EXPECT_RUN(in("kept", "echo on"), 0, "on\n");
    EXPECT_RUN(sh("box", ":"), 0, ""); /* as before each count: what that keeps for the next one counts too */
    open_before = proc_fds_at_rest();
    for (size_t i = 0; i < sizeof walked / sizeof *walked; i++) {
        if (strstr(walked[i].name, "session") && !(fx.plugin.info->capabilities & RT_CAP_SESSION))
            continue;
        for (int n = from; n <= to; n += step) {
            op_walk(what, &walked[i], n);
            EXPECT_RUN(sh("box", ":"), 0, "");
            open_now = proc_fds_await(open_before);
            cr_expect(open_now == open_before, "%s with %d %s: %zu fds are open, %zu were before", walked[i].name, n,
                      what->name, open_now, open_before);
            open_before = open_now;
        }
    }
    state_enter(NONE);
}

CONFORMANCE_TEST(exhaustion, R5_few_fds)
{
    walk(&fds, 2, 1, 2);
}

CONFORMANCE_TEST_LONG(exhaustion_full, R5_every_number_of_fds)
{
    walk(&fds, 0, 1, 60);
}

static void processes_need(void)
{
    if (getuid() == 0)
        cr_skip_test("RLIMIT_NPROC does not bind root");
}

CONFORMANCE_TEST(exhaustion, R5_few_processes)
{
    processes_need();
    walk(&processes, 2, 1, 2);
}

CONFORMANCE_TEST_LONG(exhaustion_full, R5_every_number_of_processes)
{
    processes_need();
    walk(&processes, 0, 1, 20);
}

CONFORMANCE_TEST(exhaustion, R5_a_full_disk)
{
    disk_mount();
    walk(&shortage_pages, 1, 1, 1);
    disk_unmount();
}

CONFORMANCE_TEST_LONG(exhaustion_full, R5_a_disk_ever_less_full)
{
    disk_mount();
    walk(&shortage_pages, 0, 1, 12);
    walk(&shortage_inodes, 0, 1, 16);
    disk_unmount();
}

/* ---- a state directory that cannot be written to ------------------------------------------------------------------
 */

static bool is_refused(int32_t status)
{
    return status != RT_OK && fx.call.error.message[0] && status != RT_E_INTERNAL && status != RT_E_PROTOCOL;
}

/* Nothing of it can be changed, all of it can be looked at; afterwards it is as it was. */
static void unwritable_expect(void)
{
    cr_expect(do_get(CALL) == RT_OK && do_list(CALL) == RT_OK, "%s", fx.call.error.message);
    cr_expect(is_refused(do_start(CALL)), "start: %s", fx.call.error.message);
    cr_expect(is_refused(do_destroy(CALL)), "destroy: %s", fx.call.error.message);
    cr_expect(is_refused(do_create(CALL)), "create: %s", fx.call.error.message);
    cr_expect(state_now() == PENDING);
    cr_expect(proc_mount_below(fx.codebase) == NULL);
}

CONFORMANCE_TEST(exhaustion, R5_a_read_only_state_directory)
{
    HOST_MUST(tree_put(fx.codebase, "keep", "kept"));
    disk_mount();
    state_enter(PENDING);
    HOST_MUST(mount(NULL, disk_path(), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
    unwritable_expect();
    HOST_MUST(mount(NULL, disk_path(), NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
    state_enter(RUNNING);
    EXPECT_RUN(sh("box", "cat keep"), 0, "kept");
    state_enter(NONE);
    disk_unmount();
}

static void modes_set(const char *where, mode_t mode)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/%s", fx.state, where);
    HOST_MUST(chmod(path, mode) == 0);
}

CONFORMANCE_TEST(exhaustion, R5_a_state_directory_without_leave_to_write)
{
    char boxes[64], box[80];

    if (geteuid() == 0)
        cr_skip_test("root may write everywhere");
    HOST_MUST(tree_put(fx.codebase, "keep", "kept"));
    state_enter(PENDING);
    snprintf(boxes, sizeof boxes, "%s/boxes", fx.plugin.info->name);
    snprintf(box, sizeof box, "%s/box", boxes);
    modes_set(box, 0500);
    modes_set(boxes, 0500);
    unwritable_expect();
    modes_set(boxes, 0700);
    modes_set(box, 0700);
    state_enter(RUNNING);
    EXPECT_RUN(sh("box", "cat keep"), 0, "kept");
}
