/* Contract R1 to R3: hosts that are killed, what they leave, and records that are none. */
#include "cgroups.h"
#include "fixture.h"

#include "options.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define FUSECTL_MAGIC 0x65735543 /* linux/magic.h lacks it */

/* ---- the state directory ---------------------------------------------------------------------------------------- */

/* What the runtime has logged since the last log_open(). */
static char log_text[16384];

static void log_take(void *user, int32_t level, const char *message)
{
    size_t len = strlen(log_text);

    (void)user;
    (void)level;
    snprintf(log_text + len, sizeof log_text - len, "%s\n", message);
}

static void log_open(void)
{
    const rt_open_params params = {
        .size = sizeof params,
        .config = getenv(OPTION_CONFIG),
        .state_dir = fx.state,
        .libexec_dir = getenv(OPTION_LIBEXEC),
        .log = log_take,
    };

    fixture_close();
    log_text[0] = '\0';
    ASSERT_STATUS(RT_OK, fx.ops->open(&params, CALL, &fx.rt));
}

static void box_create(const char *id, int32_t lifetime)
{
    rt_sandbox_spec spec = box_spec(id);

    spec.lifetime = lifetime;
    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
}

/* The sandbox's directory below fx.state; the test ends where a plugin keeps its sandboxes otherwise. */
static const char *box_dir(const char *id)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/boxes/%s", fx.plugin.info->name, id);
    if (!tree_exists(fx.state, path))
        cr_skip_test("the plugin keeps its sandboxes elsewhere");
    return path;
}

static char *record_path(const char *id)
{
    static char path[300];

    snprintf(path, sizeof path, "%s/box.json", box_dir(id));
    return path;
}

/* The directory that `id` was set aside as, below fx.state/PLUGIN/boxes; "" if there is none. */
static const char *torn_name(const char *id)
{
    static char name[4400];
    char prefix[100], path[4096];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "%s/%s/boxes", fx.state, fx.plugin.info->name);
    snprintf(prefix, sizeof prefix, ".torn-%s-", id);
    name[0] = '\0';
    dir = opendir(path);
    HOST_MUST(dir != NULL);
    while ((entry = readdir(dir)))
        if (!strncmp(entry->d_name, prefix, strlen(prefix)))
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    closedir(dir);
    return name;
}

/* ---- R2 --------------------------------------------------------------------------------------------------------- */

static void put_text(const char *text)
{
    HOST_MUST(tree_put(fx.state, record_path("box"), text));
}

static void damage_empty(void)
{
    put_text("");
}

static void damage_truncate(void)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", fx.state, record_path("box"));
    HOST_MUST(stat(path, &st) == 0 && truncate(path, st.st_size / 2) == 0);
}

static void damage_foreign(void)
{
    put_text("{\"hello\": [1, 2, 3]}");
}

static void damage_other_text(void)
{
    put_text("#!/bin/sh\nexit 1\n");
}

static void damage_bytes(void)
{
    HOST_MUST(tree_put_bytes(fx.state, record_path("box"), "\0\xff{}\0\0", 6));
}

static void damage_oversize(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", fx.state, record_path("box"));
    HOST_MUST(truncate(path, INT64_C(1) << 40) == 0);
}

static void damage_anothers(void)
{
    char *other = tree_read(fx.state, record_path("other"), NULL);

    HOST_MUST(other != NULL);
    put_text(other);
    free(other);
}

/* A member of another type than it has. */
static void damage_type(void)
{
    char *text = tree_read(fx.state, record_path("box"), NULL), *at = text ? strstr(text, "\"status\":") : NULL;

    HOST_MUST(at && at[9] == '\t');
    memcpy(at + 9, "[]", 2);
    put_text(text);
    free(text);
}

/* What would lead a backend elsewhere. */
static void damage_backend(void)
{
    static const char key[] = "\"backend_id\":\t\"";
    char *text = tree_read(fx.state, record_path("box"), NULL), *at = text ? strstr(text, key) : NULL, *spliced;

    HOST_MUST(at != NULL);
    at += sizeof key - 1;
    HOST_MUST(asprintf(&spliced, "%.*s../images/x?force=1&y=%s", (int)(at - text), text, at) > 0);
    put_text(spliced);
    free(spliced);
    free(text);
}

static void damage_remove(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", fx.state, record_path("box"));
    HOST_MUST(unlink(path) == 0);
}

static void damage_link(void)
{
    char path[4096], other[4096];

    snprintf(other, sizeof other, "%s/%s", fx.state, record_path("other"));
    damage_remove();
    snprintf(path, sizeof path, "%s", record_path("box"));
    HOST_MUST(tree_symlink(other, fx.state, path));
}

static void damage_directory(void)
{
    damage_remove();
    HOST_MUST(tree_mkdir(fx.state, record_path("box")));
}

static void damage_whole(void)
{
    char path[4096], name[256];

    snprintf(path, sizeof path, "%s/%s", fx.state, box_dir("box"));
    snprintf(name, sizeof name, "%s", box_dir("box"));
    HOST_MUST(tree_remove(path) && tree_put(fx.state, name, "a file"));
}

static const struct damage {
    const char *name;
    void (*deal)(void);
} damages[] = {
    { "empty", damage_empty },        { "truncated", damage_truncate },   { "foreign", damage_foreign },
    { "no JSON", damage_other_text }, { "bytes", damage_bytes },          { "a terabyte", damage_oversize },
    { "another's", damage_anothers }, { "a member's type", damage_type }, { "a backend's id", damage_backend },
    { "missing", damage_remove },     { "a symlink", damage_link },       { "a directory", damage_directory },
    { "no directory", damage_whole },
};

static void damage_expect(const struct damage *damage)
{
    const char *aside;
    rt_sandbox_list *list = NULL;

    box_create("box", RT_LIFETIME_PERSISTENT);
    damage->deal();
    log_open();
    aside = torn_name("box");
    cr_expect(strstr(log_text, "boxes/box") && strstr(log_text, ".torn-box-"), "%s: the log says: %s", damage->name,
              log_text);
    cr_expect(aside[0], "%s: it was not set aside", damage->name);
    EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->destroy(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_expect(list->n == 1 && !strcmp(list->items[0]->id, "other"), "%s: %zu are listed", damage->name, list->n);
    fx.ops->sandbox_list_free(list);
    box_create("box", RT_LIFETIME_PERSISTENT); /* the id is free again */
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    if (aside[0])
        HOST_MUST(tree_remove(aside));
}

CONFORMANCE_TEST(recovery, R2_what_is_no_record_is_set_aside)
{
    box_create("other", RT_LIFETIME_PERSISTENT);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        damage_expect(&damages[i]);
}

/* Before the next open: an answer, and no crash. */
CONFORMANCE_TEST(recovery, R2_ops_on_a_torn_record)
{
    rt_sandbox_info *info = NULL;
    char *whole;

    box_create("box", RT_LIFETIME_PERSISTENT);
    whole = tree_read(fx.state, record_path("box"), NULL);
    damage_truncate();
    EXPECT_STATUS(RT_E_PROTOCOL, fx.ops->get(fx.rt, "box", CALL, &info));
    EXPECT_NAMES("box.json");
    EXPECT_STATUS(RT_E_PROTOCOL, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_PROTOCOL, fx.ops->stop(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_PROTOCOL, fx.ops->destroy(fx.rt, "box", CALL));
    EXPECT_RUN_STATUS(RT_E_PROTOCOL, sh("box", "true"));
    put_text(whole);
    free(whole);
}

CONFORMANCE_TEST(recovery, R2_what_a_torn_record_left_running_ends)
{
    const char *marker = marker_new();
    const char *aside;

    box_create("box", RT_LIFETIME_PERSISTENT);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "sleep %s >/dev/null 2>&1 & echo up", marker), 0, "up\n");
    cr_expect(proc_await(marker, 1, NULL) == 1);
    damage_truncate();
    log_open();
    cr_expect(proc_await(marker, 0, NULL) == 0, "it still runs");
    aside = torn_name("box");
    cr_expect(aside[0], "it was not set aside: %s", log_text);
    cr_expect(proc_mount_below(fx.dir) == NULL, "it is still mounted");
    if (aside[0])
        HOST_MUST(tree_remove(aside));
}

/* Whether a mount can be cut off: without fusectl only root can. */
static bool can_cut_off(void)
{
    struct statfs st;

    return geteuid() == 0 || (statfs("/sys/fs/fuse/connections", &st) == 0 && st.f_type == FUSECTL_MAGIC);
}

/* What waits for a filesystem that hangs is killed only by an answer, or by the end of the connection. */
CONFORMANCE_TEST(recovery, R2_a_torn_records_filesystem_hangs)
{
    const char *marker = marker_new(), *aside;
    char *cgroups, *save = NULL;
    pid_t daemon, pid = 0;

    box_create("box", RT_LIFETIME_PERSISTENT);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    daemon = helper_pid("permfs");
    /* So many that the daemon stops with a question of one of them in hand: who waits for that does not die. */
    EXPECT_RUN(sh("box",
                  "for i in 1 2 3 4; do (n=0; while :; do n=$((n + 1)); [ -e absent-%s-$i-$n ]; done) "
                  ">/dev/null 2>&1 & done; echo up",
                  marker),
               0, "up\n");
    HOST_MUST(AWAIT(proc_count(marker, &pid) >= 1));
    cgroups = cgroups_of(pid);
    HOST_MUST(kill(daemon, SIGSTOP) == 0);
    damage_truncate();
    log_open();
    if (!can_cut_off()) {
        cr_expect(strstr(log_text, "fusectl"), "the log says: %s", log_text);
        HOST_MUST(kill(daemon, SIGCONT) == 0);
    }
    cr_expect(proc_await(marker, 0, NULL) == 0, "it still runs");
    cr_expect(proc_mount_below(fx.dir) == NULL, "it is still mounted");
    for (char *path = strtok_r(cgroups, "\n", &save); can_cut_off() && path; path = strtok_r(NULL, "\n", &save))
        cr_expect(!cgroup_exists(path), "cgroup %s is left", path);
    aside = torn_name("box");
    cr_expect(aside[0], "it was not set aside: %s", log_text);
    if (aside[0])
        HOST_MUST(tree_remove(aside));
    (void)kill(daemon, SIGKILL);
    cr_expect(proc_await(fx.dir, 0, NULL) == 0, "what it ran in is left");
    free(cgroups);
}

CONFORMANCE_TEST(recovery, R2_a_later_versions_record_is_left_alone)
{
    char *whole, *later, *at;
    rt_sandbox_info *info = NULL;
    rt_sandbox_list *list = NULL;

    box_create("box", RT_LIFETIME_PERSISTENT);
    box_create("other", RT_LIFETIME_PERSISTENT);
    whole = tree_read(fx.state, record_path("box"), NULL);
    at = strstr(whole, "\"version\":\t");
    HOST_MUST(at != NULL);
    at += strlen("\"version\":\t");
    HOST_MUST(asprintf(&later, "%.*s99%s", (int)(at - whole), whole, at + 1) > 0);
    put_text(later);
    log_open();
    cr_expect(strstr(log_text, "format 99"), "the log says: %s", log_text);
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->get(fx.rt, "box", CALL, &info));
    EXPECT_NAMES("99");
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->stop(fx.rt, "box", CALL));
    EXPECT_STATUS(RT_E_UNSUPPORTED, fx.ops->destroy(fx.rt, "box", CALL));
    EXPECT_RUN_STATUS(RT_E_UNSUPPORTED, sh("box", "true"));
    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_expect(list->n == 1 && !strcmp(list->items[0]->id, "other"));
    fx.ops->sandbox_list_free(list);
    cr_expect(tree_is(fx.state, record_path("box"), later), "it was changed");
    put_text(whole);
    cr_expect(box_status("box") == RT_SANDBOX_PENDING);
    free(whole);
    free(later);
}

/* ---- R1 --------------------------------------------------------------------------------------------------------- */

/* A host of its own, in a process that may be killed: it makes and starts `id`, runs sleep in it, and waits. */
static pid_t host_fork(const char *id, int32_t lifetime, const char *marker)
{
    pid_t pid = fork();

    HOST_MUST(pid >= 0);
    if (pid)
        return pid;
    fx.rt = NULL;
    fixture_reopen();
    box_create(id, lifetime);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, id, CALL));
    (void)sh(id, "sleep %s >/dev/null 2>&1 & true", marker);
    (void)tree_put(fx.codebase, "up", ""); /* by the host, which then knows that the command has ended */
    for (;;)
        pause();
}

static void host_kill(pid_t pid)
{
    HOST_MUST(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

CONFORMANCE_TEST(recovery, R1_a_killed_hosts_sandbox_ends)
{
    const char *marker = marker_new();
    pid_t pid = host_fork("box", RT_LIFETIME_HOST, marker);

    cr_assert(tree_await(fx.codebase, "up"));
    host_kill(pid);
    cr_expect(proc_await(marker, 0, NULL) == 0, "it still runs");
    cr_expect(AWAIT(!proc_is_mounted_below(fx.dir)), "it is still mounted");
    fixture_reopen();
    cr_expect(box_status("box") == -1, "the next open has not cleaned");
}

CONFORMANCE_TEST(recovery, R1_a_persistent_one_outlives_its_host)
{
    const char *marker = marker_new();
    pid_t pid = host_fork("box", RT_LIFETIME_PERSISTENT, marker);

    cr_assert(tree_await(fx.codebase, "up"));
    host_kill(pid);
    fixture_reopen();
    cr_expect(box_status("box") == RT_SANDBOX_RUNNING);
    cr_expect(proc_count(marker, NULL) == 1, "what ran in it has ended");
    EXPECT_RUN(sh("box", "ls"), 0, "up\n");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    EXPECT_RUN(sh("box", "ls"), 0, "up\n");
}

/* Killed on its way, wherever that is: what there is afterwards can be destroyed, and nothing else is left. */
static void kill_after_us(int64_t us, int32_t lifetime)
{
    const char *marker = marker_new();
    pid_t pid = host_fork("box", lifetime, marker);

    (void)usleep((useconds_t)us);
    host_kill(pid);
    fixture_reopen();
    if (lifetime == RT_LIFETIME_HOST)
        cr_expect(box_status("box") == -1, "killed after %" PRId64 " us: it is still there", us);
    else if (box_status("box") != -1)
        EXPECT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_expect(proc_await(marker, 0, NULL) == 0, "killed after %" PRId64 " us: it still runs", us);
    cr_expect(AWAIT(!proc_is_mounted_below(fx.dir)), "killed after %" PRId64 " us: it is still mounted", us);
    /* What was just being started, and is in no record yet, ends by itself when it finds nobody there. */
    sleep_ms(100);
    cr_expect(proc_await(fx.dir, 0, NULL) == 0, "killed after %" PRId64 " us: something of it still runs", us);
}

/* How long a host of its own takes until its sandbox runs a command. */
static int64_t way_us(void)
{
    int64_t began = now_ns(), way;
    pid_t pid = host_fork("box", RT_LIFETIME_HOST, marker_new());

    cr_assert(tree_await(fx.codebase, "up"));
    way = now_ns() - began;
    host_kill(pid);
    fixture_reopen();
    return way / 1000;
}

static void kill_on_its_way(int moments)
{
    int64_t way = way_us();

    for (int i = 0; i < moments; i++) {
        kill_after_us(way * i / moments, RT_LIFETIME_HOST);
        kill_after_us(way * i / moments, RT_LIFETIME_PERSISTENT);
    }
}

CONFORMANCE_TEST(recovery, R1_killed_on_its_way)
{
    kill_on_its_way(8);
}

CONFORMANCE_TEST_LONG(recovery_full, R1_killed_at_every_moment_of_its_way)
{
    kill_on_its_way(80);
}

/* ---- several hosts on one state directory ------------------------------------------------------------------------ */

#define HOSTS 4

/*
 * Rounds with a sandbox of its own, and attempts at one that all want. Returns what is wrong, or NULL: Criterion takes
 * no assertions from a process that it did not start.
 */
static const char *host_rounds(int number)
{
    rt_sandbox_spec own, shared = box_spec("shared");
    char id[16];

    snprintf(id, sizeof id, "own-%d", number);
    own = box_spec(id);
    own.lifetime = number % 2 ? RT_LIFETIME_HOST : RT_LIFETIME_PERSISTENT;
    shared.lifetime = RT_LIFETIME_PERSISTENT;
    for (int round = 0; round < 2; round++) {
        int32_t status;

        if (fx.ops->create(fx.rt, &own, CALL, NULL))
            return "create its own";
        if (fx.ops->start(fx.rt, id, CALL))
            return "start its own";
        if (!run_is(sh(id, "echo %s", id), 0, "") && !strstr(sh(id, "echo %s", id)->out, id))
            return "a command in its own";
        status = fx.ops->create(fx.rt, &shared, CALL, NULL);
        if (status != RT_OK && status != RT_E_EXISTS)
            return "create";
        status = fx.ops->start(fx.rt, "shared", CALL);
        if (status != RT_OK && status != RT_E_ALREADY_RUNNING && status != RT_E_SANDBOX_NOT_FOUND)
            return "start";
        status = fx.ops->destroy(fx.rt, "shared", CALL);
        if (status != RT_OK && status != RT_E_SANDBOX_NOT_FOUND)
            return "destroy";
        if (fx.ops->destroy(fx.rt, id, CALL))
            return "destroy its own";
    }
    return NULL;
}

CONFORMANCE_TEST(recovery, R3_several_hosts_on_one_state_directory)
{
    pid_t pids[HOSTS];

    fixture_close();
    for (int i = 0; i < HOSTS; i++) {
        pids[i] = fork();
        HOST_MUST(pids[i] >= 0);
        if (pids[i])
            continue;
        fixture_reopen();
        const char *wrong = host_rounds(i);

        if (wrong)
            fprintf(stderr, "host %d: %s: %s\n", i, wrong, fx.call.error.message);
        fixture_close();
        _exit(wrong != NULL);
    }
    for (int i = 0; i < HOSTS; i++) {
        int status = -1;

        HOST_MUST(waitpid(pids[i], &status, 0) == pids[i]);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "host %d: wait status %#x", i, (unsigned)status);
    }
    fixture_reopen();
    cr_expect(box_status("shared") == -1);
}

/* Another state directory's sandboxes are not touched, whatever this one cleans. */
CONFORMANCE_TEST(recovery, R3_another_state_directory_is_left_alone)
{
    char other[4096];
    rt_runtime *mine = fx.rt, *theirs = NULL;

    box_create("box", RT_LIFETIME_PERSISTENT);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    snprintf(other, sizeof other, "%s/other", fx.dir);
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, other, NULL, CALL, &theirs));
    fx.rt = theirs;
    cr_expect(box_status("box") == -1);
    box_create("box", RT_LIFETIME_HOST);
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    fx.ops->close(theirs);
    fx.rt = mine;
    EXPECT_RUN(sh("box", "echo mine"), 0, "mine\n");
}
