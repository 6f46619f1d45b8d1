/*
 * An Engine that is killed, stopped or stands still in the middle of what it was asked for (contract R4): faults.sh
 * starts it, in a directory of its own, for these tests alone.
 */
#include "box_ops.h"
#include "cgroups.h"
#include "container.h"
#include "engine_daemon.h"
#include "fixture.h"
#include "stalled_registry.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#define PATIENT_NS INT64_C(1000000000) /* so long an Engine that stands still is waited for */

static const char *engine_dir(void)
{
    const char *dir = getenv("STOCKADE_TEST_ENGINE_DIR");

    cr_assert(dir, "STOCKADE_TEST_ENGINE_DIR must name the directory of an Engine that may be killed");
    return dir;
}

/* ---- what befalls the Engine ---- */

static void engine_hit(int sig)
{
    pid_t pid = engine_daemon_pid(engine_dir());

    cr_assert(pid, "no Engine runs");
    HOST_MUST(kill(pid, sig) == 0);
    if (sig == SIGSTOP || sig == SIGCONT)
        return;
    cr_assert(AWAIT(kill(pid, 0) < 0), "the Engine does not end");
}

/* Podman's service is none of its containers' parents: they live on whatever becomes of it. */
static bool is_podman(void)
{
    char *name = proc_read(engine_daemon_pid(engine_dir()), "comm");
    bool is = name && !strncmp(name, "podman", 6);

    free(name);
    return is;
}

static void engine_back(const char *args)
{
    char said[2000];

    cr_assert(engine_daemon_again(engine_dir(), args, said, sizeof said), "the Engine does not come back: %s", said);
}

#define LIVE_RESTORE "--live-restore"

/* Makes it one that runs with these arguments. */
static void engine_is(const char *args)
{
    char *command = proc_read(engine_daemon_pid(engine_dir()), "cmdline");
    bool lives = command && strstr(command, LIVE_RESTORE);

    free(command);
    if (lives == (args[0] != '\0') || is_podman())
        return;
    engine_hit(SIGKILL);
    engine_back(args);
}

/* ---- what must hold then ---- */

static rt_sandbox_spec lasting(const char *id)
{
    static const rt_rule rules[] = { { .size = sizeof(rt_rule), .pattern = "**", .permission = RT_PERM_WRITE } };
    rt_sandbox_spec spec = box_spec(id);

    spec.lifetime = RT_LIFETIME_PERSISTENT;
    spec.rules = rules;
    spec.n_rules = 1;
    return spec;
}

static void lasting_up(const char *id)
{
    const rt_sandbox_spec spec = lasting(id);

    box_up_spec(&spec);
}

/* The cgroups of a container, as the host sees them; to be freed. */
static char *cgroups_of_container(const char *container)
{
    char *cgroups = cgroups_of(init_of(container));

    cr_assert(cgroups[0], "the container has no cgroups");
    return cgroups;
}

static void cgroups_expect_gone(char *cgroups)
{
    char *save = NULL;

    for (char *path = strtok_r(cgroups, "\n", &save); path; path = strtok_r(NULL, "\n", &save))
        cr_expect(AWAIT(!cgroup_exists(path)), "cgroup %s is left", path);
}

/* With an Engine that works the sandbox can be started, used and destroyed; nothing is left, also after a new open. */
static void sound(const char *id)
{
    char *container, *cgroups;

    if (box_status(id) != RT_SANDBOX_RUNNING)
        ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, id, CALL));
    EXPECT_RUN(run_argv(id, ARGV("echo", "sound")), 0, "sound\n");
    container = container_of(id);
    cgroups = cgroups_of_container(container);
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, id, CALL));
    cr_expect(containers_of(id) == 0, "destroyed, and a container is left");
    cgroups_expect_gone(cgroups);
    free(container);
    free(cgroups);
}

/* What an Engine that stood still was asked for, it may do only now: any open after that cleans. */
static void nothing_left(void)
{
    int left = 1;

    for (int ms = 0; left && ms < HANG_MS; ms += 200) {
        fixture_reopen();
        left = containers_of(NULL);
        if (left)
            sleep_ms(200);
    }
    cr_expect(left == 0, "%d containers are left", left);
}

/* ---- in the middle of an exec ---- */

static void runner_await(struct runner *runner, const char *shell)
{
    runner_start(runner, "box", shell);
    cr_assert(tree_await(fx.codebase, "begun"));
}

/* The Engine ends by the signal while a command runs, and comes back. Where containers live on, so does the command. */
static void in_an_exec(int sig, bool lives)
{
    const char *args = lives ? LIVE_RESTORE : "";
    struct runner runner;

    engine_is(args);
    if (is_podman() && lives)
        cr_skip_test("Podman's service has no such option: its containers live on without it");
    lives = lives || is_podman();
    lasting_up("box");
    runner_await(&runner, "touch begun; while ! [ -e go ]; do sleep 0.1; done; echo whole");
    engine_hit(sig);
    if (sig == SIGKILL || lives)
        EXPECT_RUN(run_argv("box", ARGV("echo", "without")), 0, "without\n");
    engine_back(args);
    if (lives) {
        HOST_MUST(tree_put(fx.codebase, "go", ""));
        EXPECT_RUN(runner_join(&runner), 0, "whole\n");
        cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
    } else {
        char *why = await_status("box", RT_SANDBOX_ERROR);

        EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, runner_join(&runner));
        cr_expect(strstr(why, "its container"), "%s", why);
        free(why);
    }
    sound("box");
    nothing_left();
}

CONFORMANCE_TEST(faults, R4_killed_in_an_exec)
{
    in_an_exec(SIGKILL, false);
}

CONFORMANCE_TEST(faults, R4_stopped_in_an_exec)
{
    in_an_exec(SIGTERM, false);
}

CONFORMANCE_TEST(faults, R4_killed_in_an_exec_with_live_restore)
{
    in_an_exec(SIGKILL, true);
}

CONFORMANCE_TEST(faults, R4_stopped_in_an_exec_with_live_restore)
{
    in_an_exec(SIGTERM, true);
}

/* A command that the Engine leads to ends with it, and all that it started; the sandbox lives on. */
CONFORMANCE_TEST(faults, R4_killed_in_an_exec_of_its_own)
{
    const char *marker = marker_new();
    struct runner runner;
    char shell[100];

    engine_is(LIVE_RESTORE);
    fixture_reopen_with("exec_transport", "\"engine\"");
    lasting_up("box");
    snprintf(shell, sizeof shell, "setsid sleep %s & touch begun; sleep %s", marker, marker);
    runner_await(&runner, shell);
    engine_hit(SIGKILL);
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, runner_join(&runner));
    cr_expect(proc_await(marker, 0, NULL) == 0, "what the command started is left");
    EXPECT_RUN_STATUS(RT_E_UNAVAILABLE, run_argv("box", ARGV("true")));
    engine_back(LIVE_RESTORE);
    sound("box");
    nothing_left();
}

/* ---- that stands still ---- */

static rt_call *patient(void)
{
    rt_call *call = CALL;

    call->deadline_ns = now_ns() + PATIENT_NS;
    return call;
}

#define GUARD_NS (20 * PATIENT_NS) /* beyond which no deadline has been kept */

static void still_without_it(void)
{
    int64_t began = now_ns();

    EXPECT_STATUS(RT_E_TIMEOUT, fx.ops->start(fx.rt, "other", patient()));
    cr_expect(now_ns() - began < GUARD_NS, "a start outlasts its deadline");
    cr_expect(box_status("other") == RT_SANDBOX_ERROR);
    EXPECT_STATUS(RT_E_TIMEOUT, fx.ops->pause(fx.rt, "box", patient()));
    EXPECT_RUN(run_argv("box", ARGV("echo", "without")), 0, "without\n");
    EXPECT_STATUS(RT_OK, do_stop(patient()));
    EXPECT_STATUS(RT_E_TIMEOUT, do_start(patient()));
    EXPECT_STATUS(RT_OK, do_destroy(patient()));
    EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "other", patient()));
}

CONFORMANCE_TEST(faults, R4_standing_still)
{
    const rt_sandbox_spec other = lasting("other");

    engine_is("");
    lasting_up("box");
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &other, CALL, NULL));
    engine_hit(SIGSTOP);
    still_without_it();
    engine_hit(SIGCONT);
    lasting_up("box");
    sound("box");
    nothing_left();
}

#define SLOW_MS 12000 /* as long as a busy Engine waits by itself for the end of what it has killed */

static void *engine_goes_on(void *arg)
{
    (void)arg;
    sleep_ms(SLOW_MS);
    engine_hit(SIGCONT);
    return NULL;
}

/* Who sets no limit is told of the end once it is one. */
CONFORMANCE_TEST(faults, R4_slow_in_a_destroy)
{
    pthread_t thread;

    engine_is("");
    lasting_up("box");
    engine_hit(SIGSTOP);
    HOST_MUST(pthread_create(&thread, NULL, engine_goes_on, NULL) == 0);
    EXPECT_STATUS(RT_OK, do_destroy(CALL));
    cr_expect(containers_of("box") == 0, "destroyed, and a container is left");
    pthread_join(thread, NULL);
    nothing_left();
}

CONFORMANCE_TEST(faults, R4_standing_still_in_an_exec_of_its_own)
{
    const char *marker = marker_new();
    struct runner runner;
    char shell[100];

    engine_is("");
    fixture_reopen_with("exec_transport", "\"engine\"");
    lasting_up("box");
    snprintf(shell, sizeof shell, "setsid sleep %s & touch begun; sleep %s", marker, marker);
    runner_await(&runner, shell);
    engine_hit(SIGSTOP);
    EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("box", REQUEST(.shell = "true", .timeout_ms = 500)));
    EXPECT_STATUS(RT_OK, do_stop(patient()));
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, runner_join(&runner));
    cr_expect(proc_await(marker, 0, NULL) == 0, "what the command started is left");
    engine_hit(SIGCONT);
    sound("box");
    nothing_left();
}

/* ---- in the middle of a pull ---- */

struct starter {
    pthread_t thread;
    rt_call call;
    int32_t status;
};

static void *starter_run(void *arg)
{
    struct starter *starter = arg;

    starter->status = do_start(&starter->call);
    return NULL;
}

static void in_a_pull(int sig, int32_t want)
{
    struct stalled_registry *registry = stalled_registry_start();
    struct pollfd begun = { .fd = stalled_registry_begun_fd(registry), .events = POLLIN };
    struct starter starter = { .call = RT_CALL_INIT };
    rt_sandbox_spec spec = lasting("box");
    char image[100];

    engine_is("");
    snprintf(image, sizeof image, "%s/stalled/image:1", stalled_registry_address(registry));
    spec.image = image;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    if (sig == SIGSTOP)
        starter.call.deadline_ns = now_ns() + 5 * PATIENT_NS;
    HOST_MUST(pthread_create(&starter.thread, NULL, starter_run, &starter) == 0);
    cr_assert(poll(&begun, 1, HANG_MS) == 1, "the pull does not begin");
    engine_hit(sig);
    pthread_join(starter.thread, NULL);
    cr_expect(starter.status == want && strstr(starter.call.error.message, image), "%s: %s",
              status_name(starter.status), starter.call.error.message);
    cr_expect(box_status("box") == RT_SANDBOX_ERROR);
    if (sig == SIGSTOP)
        engine_hit(SIGCONT);
    else
        engine_back("");
    EXPECT_STATUS(RT_OK, do_destroy(CALL));
    nothing_left();
    stalled_registry_stop(registry);
}

CONFORMANCE_TEST(faults, R4_killed_in_a_pull)
{
    in_a_pull(SIGKILL, RT_E_UNAVAILABLE);
}

CONFORMANCE_TEST(faults, R4_standing_still_in_a_pull)
{
    in_a_pull(SIGSTOP, RT_E_TIMEOUT);
}

/* ---- in the middle of a start ---- */

/* A process inside of this test's sandbox; 0 = none. */
static pid_t inside_find(bool (*is_wanted)(pid_t pid))
{
    char boot[4200];
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;

    HOST_MUST(dir != NULL);
    snprintf(boot, sizeof boot, "%s/state/docker/boxes/box/boot /run/stockade/boot ", strrchr(fx.dir, '/'));
    while (!found && (entry = readdir(dir))) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        bool is = pid > 1 && (!is_wanted || is_wanted(pid));
        char *mounts = is ? proc_read(pid, "mountinfo") : NULL;

        if (mounts && strstr(mounts, boot))
            found = pid;
        free(mounts);
    }
    closedir(dir);
    return found;
}

/* Whether it is an OCI runtime's init that waits to be told to go on: a thread of it opens a fifo for that. */
static bool waits_for_its_start(pid_t pid)
{
    char path[64], *name = proc_read(pid, "comm");
    bool waits = false, is = name && !strncmp(name, "runc:[", 6);
    DIR *dir;
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = is ? opendir(path) : NULL;
    while (dir && !waits && (entry = readdir(dir))) {
        char *wchan = proc_read((pid_t)atoi(entry->d_name), "wchan");

        waits = wchan && !strcmp(wchan, "wait_for_partner");
        free(wchan);
    }
    if (dir)
        closedir(dir);
    free(name);
    return waits;
}

static bool starter_is_done(const struct starter *starter)
{
    return pthread_tryjoin_np(starter->thread, NULL) == 0;
}

/* Starts the sandbox, and kills the Engine as its init waits; false if that went by too fast. */
static bool killed_as_it_waits(struct starter *starter)
{
    HOST_MUST(pthread_create(&starter->thread, NULL, starter_run, starter) == 0);
    while (!starter_is_done(starter))
        if (inside_find(waits_for_its_start)) {
            engine_hit(SIGKILL);
            pthread_join(starter->thread, NULL);
            return true;
        }
    return false;
}

static void nobody_inside(void)
{
    pid_t left = 0;

    cr_expect(AWAIT_WITHIN(10000, !(left = inside_find(NULL))), "process %d is left", (int)left);
    if (left)
        kill(left, SIGKILL);
}

#define WAITING_ROUNDS 3

/* Of what was to start nobody is left, although the next Engine does not know of it. */
CONFORMANCE_TEST(faults, L7_killed_as_an_init_waits_for_its_start)
{
    rt_sandbox_spec spec = lasting("box");
    int met = 0;

    engine_is("");
    for (int tries = 0; met < WAITING_ROUNDS; tries++) {
        struct starter starter = { .call = RT_CALL_INIT };

        cr_assert(tries < 100, "an init that waits is never seen");
        ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
        if (killed_as_it_waits(&starter)) {
            met++;
            cr_expect(starter.status == RT_OK || starter.status == RT_E_UNAVAILABLE, "%s: %s",
                      status_name(starter.status), starter.call.error.message);
            if (starter.status)
                nobody_inside();
            engine_back("");
        }
        EXPECT_STATUS(RT_OK, do_destroy(CALL));
        nobody_inside();
    }
    nothing_left();
}

/* ---- in the middle of many creates and starts ---- */

#define MAKERS 6

struct maker {
    pthread_t thread;
    char id[16];
    unsigned made;
};

static atomic_bool makers_over;

static void maker_expect(const struct maker *maker, const char *what, int32_t status, const rt_call *call)
{
    cr_expect(status == RT_OK || status == RT_E_UNAVAILABLE, "%s %s: %s: %s", what, maker->id, status_name(status),
              call->error.message);
}

static void *maker_run(void *arg)
{
    const rt_exec_request request = { .size = sizeof request, .argv = ARGV("echo", "made") };
    struct maker *maker = arg;

    while (!atomic_load(&makers_over)) {
        const rt_sandbox_spec spec = lasting(maker->id);
        rt_exec_result *result = NULL;
        rt_call call = RT_CALL_INIT;
        int32_t status = fx.ops->create(fx.rt, &spec, &call, NULL);

        cr_expect(status == RT_OK, "create %s: %s", maker->id, call.error.message);
        status = fx.ops->start(fx.rt, maker->id, &call);
        maker_expect(maker, "start", status, &call);
        if (status == RT_OK) {
            status = fx.ops->exec(fx.rt, maker->id, &request, &call, &result);
            maker_expect(maker, "exec", status, &call);
            maker->made += status == RT_OK;
        }
        if (result)
            fx.ops->exec_result_free(result);
        status = fx.ops->destroy(fx.rt, maker->id, &call);
        cr_expect(status == RT_OK, "destroy %s: %s", maker->id, call.error.message);
    }
    return NULL;
}

CONFORMANCE_TEST(faults, R4_killed_in_creates_and_starts)
{
    static const char *const modes[] = { "", LIVE_RESTORE, "" };
    struct maker makers[MAKERS] = { 0 };
    unsigned made = 0;

    engine_is("");
    for (int i = 0; i < MAKERS; i++) {
        snprintf(makers[i].id, sizeof makers[i].id, "maker-%d", i);
        HOST_MUST(pthread_create(&makers[i].thread, NULL, maker_run, &makers[i]) == 0);
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        sleep_ms(700);
        engine_hit(SIGKILL);
        engine_back(modes[i]);
    }
    sleep_ms(700);
    atomic_store(&makers_over, true);
    for (int i = 0; i < MAKERS; i++) {
        pthread_join(makers[i].thread, NULL);
        made += makers[i].made;
    }
    cr_expect(made > 0, "nothing was made at all");
    nothing_left();
}
