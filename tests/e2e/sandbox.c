/* The command against bubblewrap: what stays, what goes, what does not leak. */
#include "proc.h"
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void sandbox_world(void)
{
    world_make();
    world_need_bwrap();
}

TestSuite(sandbox, .init = sandbox_world, .fini = world_remove, .timeout = 300);

/* ---- exit codes and output ------------------------------------------------------------------------------------- */

Test(sandbox, exit_codes)
{
    cr_assert(tree_put(world.workspace, "text", "no program"));
    EXPECT(0, "", "", "run", "--", "true");
    EXPECT(3, "out\n", "err\n", "run", "-c", "echo out; echo err >&2; exit 3");
    EXPECT(127, "", "nonexistent", "run", "nonexistent");
    EXPECT(126, "", NULL, "run", "/etc/passwd");
    EXPECT(128 + SIGKILL, "", NULL, "run", "-c", "kill -9 $$");
    EXPECT(128 + SIGTERM, "", NULL, "run", "-c", "kill -15 $$");
    EXPECT(125, "", "workdir", "run", "-w", "/nonexistent", "true");
    EXPECT(125, "", "/nonexistent", "run", "--workspace", "/nonexistent", "true");
}

Test(sandbox, B1_bad_config_of_the_real_plugin)
{
    cr_assert(tree_put(world.workspace, "c.json", "{ \"runtimes\": { \"bwrap\": { \"default_timeuot\": \"30s\" } } }"));
    EXPECT(125, "", "runtimes.bwrap.default_timeuot: unknown key", "run", "--config", "c.json", "true");
    cr_assert(
        tree_put(world.workspace, "c.json", "{ \"runtimes\": { \"bwrap\": { \"default_timeout\": \"soon\" } } }"));
    EXPECT(125, "", "runtimes.bwrap.default_timeout", "run", "--config", "c.json", "true");
    cr_assert(tree_put(world.workspace, "c.json", "{ \"runtimes\": { \"bwrap\": { \"default_timeout\": \"5s\" } } }"));
    EXPECT(0, "", NULL, "run", "--config", "c.json", "true");
}

Test(sandbox, output_of_64_mib)
{
    struct command_result result = STOCKADE("run", "head", "-c", "67108864", "/dev/zero");

    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_expect_eq(result.out_len, (size_t)64 << 20);
    command_result_release(&result);
}

Test(sandbox, input_of_any_size_and_byte)
{
    size_t len = (size_t)8 << 20;
    struct command_result result;
    char *data = malloc(len);

    cr_assert(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((i * 2654435761u) >> 13);
    result = stockade_feed(data, len, (const char *const[]){ "run", "-i", "cat", NULL });
    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_assert_eq(result.out_len, len);
    cr_expect_eq(memcmp(result.out, data, len), 0);
    command_result_release(&result);
    result = stockade_feed(data, len, (const char *const[]){ "run", "-i", "true", NULL });
    cr_expect_eq(result.code, 0, "a command need not read its input: %s", result.err);
    command_result_release(&result);
    result = stockade_feed(data, len, (const char *const[]){ "run", "wc", "-c", NULL });
    cr_expect_str_eq(result.out, "0\n", "without -i there is no input");
    command_result_release(&result);
    free(data);
}

/* What it no longer reads is no error, and it goes on. */
Test(sandbox, input_closed_early_by_the_command)
{
    size_t len = (size_t)4 << 20;
    struct command_result result;
    char *data = calloc(1, len);

    cr_assert(data);
    data[0] = 'x';
    data[1] = '\n';
    result = stockade_feed(
        data, len,
        (const char *const[]){ "run", "-i", "-c", "read x; exec 0<&-; sleep 0.3; echo got $x; exit 6", NULL });
    cr_expect_eq(result.code, 6, "%d %s", result.code, result.err);
    cr_expect_str_eq(result.out, "got x\n");
    cr_expect_str_eq(result.err, "");
    command_result_release(&result);
    free(data);
}

Test(sandbox, output_appears_while_the_command_runs)
{
    struct command_running running = START(true, "run", "-i", "-c", "echo ready; read x; echo got $x");
    struct command_result result;

    cr_expect(command_await(running.out, "ready"));
    cr_expect_eq(write(running.in, "it\n", 3), 3);
    command_finish(&running, &result);
    cr_expect_not(result.late);
    cr_expect_eq(result.code, 0);
    cr_expect_str_eq(result.out, "got it\n");
    command_result_release(&result);
}

Test(sandbox, reader_that_goes_away_ends_it_quietly)
{
    const char *argv[] = { "/bin/sh", "-c", "\"$0\" run yes | head -n 1; \"$0\" ls -q", world.stockade, NULL };
    struct command command = { .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
    struct command_result result;

    cr_assert(command_run(&command, &result));
    cr_expect_not(result.late);
    cr_expect_str_eq(result.out, "y\n");
    cr_expect_str_eq(result.err, "");
    command_result_release(&result);
}

Test(sandbox, X9_background_child_does_not_hold_it)
{
    EXPECT(0, "done\n", NULL, "run", "-c", "sleep 3000 & echo done");
}

/* ---- timeouts and signals -------------------------------------------------------------------------------------- */

Test(sandbox, X7_timeout_is_124_and_ends_the_tree)
{
    char mark[64];

    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
    snprintf(mark, sizeof mark, "300.%d", (int)getpid());
    EXPECT(124, "before\n", "stockade: timed out after 3s\n", "exec", "--timeout", "3s", "box", "sh", "-c",
           "echo before; setsid sleep $0 & (sleep $0 & sleep $0)", mark);
    cr_expect_eq(proc_await(mark, 0, NULL), 0, "a process of the command lives on");
    EXPECT(0, "still here\n", NULL, "exec", "box", "echo", "still here");
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

static void signal_expect(int sig, const char *script, const char *out, int code)
{
    struct command_running running = START(false, "run", "-c", script);
    struct command_result result;

    cr_expect(command_await(running.out, "ready"));
    cr_assert_eq(kill(running.pid, sig), 0);
    command_finish(&running, &result);
    cr_expect_not(result.late);
    cr_expect_eq(result.code, code, "signal %d: exit code %d, signal %d: %s", sig, result.code, result.signal,
                 result.err);
    cr_expect_str_eq(result.out, out);
    command_result_release(&result);
}

Test(sandbox, signals_are_passed_on)
{
    signal_expect(SIGINT, "trap 'echo got INT; exit 7' INT; echo ready; while :; do sleep 0.05; done", "got INT\n", 7);
    signal_expect(SIGTERM, "trap 'echo got TERM; exit 8' TERM; echo ready; while :; do sleep 0.05; done", "got TERM\n",
                  8);
    signal_expect(SIGHUP, "trap 'echo got HUP; exit 9' HUP; echo ready; while :; do sleep 0.05; done", "got HUP\n", 9);
    signal_expect(SIGTERM, "echo ready; exec sleep 60", "", 128 + SIGTERM);
}

Test(sandbox, third_signal_kills)
{
    struct command_running running =
        START(false, "run", "-c", "trap 'echo passed on' INT; echo ready; while :; do sleep 0.05; done");
    struct command_result result;

    cr_expect(command_await(running.out, "ready"));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(kill(running.pid, SIGINT), 0);
        cr_expect(command_await(running.out, "passed on"));
    }
    cr_assert_eq(kill(running.pid, SIGINT), 0);
    command_finish(&running, &result);
    cr_expect_not(result.late);
    cr_expect_eq(result.code, 128 + SIGKILL, "%d %s", result.code, result.err);
    command_result_release(&result);
}

/* Signals at any moment of a run: it always ends, with the signal's code or the command's, and leaves nothing. */
Test(sandbox, signal_at_any_moment_leaves_nothing)
{
    for (int ms = 0; ms < 60; ms += 6) {
        struct command_running running = START(false, "run", "sleep", "60");
        struct command_result result;

        sleep_ms(ms);
        cr_assert_eq(kill(running.pid, SIGTERM), 0);
        command_finish(&running, &result);
        cr_expect_not(result.late, "after %d ms", ms);
        cr_expect(result.code == 128 + SIGTERM || result.signal == SIGTERM, "after %d ms: %d %s", ms, result.code,
                  result.err);
        command_result_release(&result);
    }
    EXPECT(0, "", NULL, "ls", "-q");
}

/* ---- what does not leak ---------------------------------------------------------------------------------------- */

Test(sandbox, X5_environment_does_not_leak)
{
    struct command_result result;

    world_env("SECRET_TOKEN=hunter2");
    world_env("ASKED=yes");
    result =
        STOCKADE("run", "-e", "ASKED", "-e", "GIVEN=1", "--", "sh", "-c", "env; cat /proc/*/environ 2>/dev/null; true");
    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_expect_null(memmem(result.out, result.out_len, "hunter2", 7));
    cr_expect(memmem(result.out, result.out_len, "ASKED=yes\n", 10));
    cr_expect(memmem(result.out, result.out_len, "GIVEN=1\n", 8));
    cr_expect_null(memmem(result.out, result.out_len, world.dir, strlen(world.dir)), "the host's paths are visible");
    command_result_release(&result);
}

Test(sandbox, descriptors_do_not_leak)
{
    const char *argv[] = {
        "/bin/sh", "-c",
        "exec 7</etc/passwd 9>/dev/null; exec \"$0\" run -- sh -c 'ls /proc/self/fd | sort -n | tr \"\\n\" \" \"'",
        world.stockade, NULL
    };
    struct command command = { .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
    struct command_result result;

    cr_assert(command_run(&command, &result));
    cr_expect_str_eq(result.out, "0 1 2 3 ", "3 is the directory that ls reads; stderr: %s", result.err);
    command_result_release(&result);
}

/* ---- rules ----------------------------------------------------------------------------------------------------- */

Test(sandbox, presets_and_rules)
{
    cr_assert(tree_put(world.workspace, "a.txt", "text\n"));
    cr_assert(tree_put(world.workspace, ".env", "secret\n"));
    cr_assert(tree_put(world.workspace, "d/secrets/k", "secret\n"));
    cr_assert(tree_put(world.workspace, "output/x", ""));
    EXPECT(0, "a.txt\nd\noutput\n", NULL, "run", "ls", "-A");
    EXPECT(1, "", "No such file", "run", "cat", ".env");
    EXPECT(1, "", "No such file", "run", "cat", "d/secrets/k");
    EXPECT(0, "text\n", NULL, "run", "cat", "a.txt");
    EXPECT(2, "", NULL, "run", "-c", "echo new > a.txt");
    EXPECT(0, "", NULL, "run", "-c", "echo new > output/y");
    cr_expect(tree_is(world.workspace, "output/y", "new\n"));
    EXPECT(0, "", NULL, "run", "--rule", "/a.txt=write", "-c", "echo new > a.txt");
    cr_expect(tree_is(world.workspace, "a.txt", "new\n"));
    EXPECT(0, "secret\n", NULL, "run", "--preset", "full-access", "cat", ".env");
    EXPECT(1, "", "Permission denied", "run", "--preset", "view-only", "cat", "a.txt");
    EXPECT(1, "", "No such file", "run", "--preset", "full-access", "--rule", "d/=none", "cat", "d/secrets/k");
    cr_assert(
        tree_put(world.workspace, "c.json",
                 "{ \"preset\": \"view-only\", \"rules\": [{ \"pattern\": \"a.*\", \"permission\": \"read\" }] }"));
    EXPECT(0, "new\n", NULL, "run", "--config", "c.json", "cat", "a.txt");
    EXPECT(1, "", "Permission denied", "run", "--config", "c.json", "cat", "output/y");
}

/* ---- sandboxes that stay --------------------------------------------------------------------------------------- */

Test(sandbox, life_across_processes)
{
    struct command_result result;
    cJSON *json;
    const cJSON *box;

    EXPECT(0, "box\n", NULL, "create", "--name", "box", "-l", "owner=me", "-l", "x", "-e", "IN=box");
    EXPECT(125, "", "box", "create", "--name", "box");
    EXPECT(125, "", "box", "exec", "box", "true");
    EXPECT(0, "box\n", NULL, "start", "box");
    EXPECT(125, "", "box", "start", "box");
    EXPECT(0, "box\n", NULL, "exec", "-e", "MORE=1", "box", "--", "sh", "-c", "echo $IN >/tmp/kept; cat /tmp/kept");
    EXPECT(0, "box\n", NULL, "exec", "box", "cat", "/tmp/kept");
    EXPECT(0, "/tmp\n", NULL, "exec", "-w", "/tmp", "box", "pwd");
    result = STOCKADE("inspect", "box");
    json = json_of(&result);
    box = cJSON_GetArrayItem(json, 0);
    cr_expect_str_eq(json_text(box, "status"), "running");
    cr_expect_str_eq(json_text(box, "runtime"), "bwrap");
    cr_expect_str_eq(json_text(box, "codebase"), world.workspace);
    cr_expect_str_eq(json_text(box, "lifetime"), "persistent");
    cr_expect_str_eq(json_text(cJSON_GetObjectItem(box, "labels"), "owner"), "me");
    cr_expect_str_eq(json_text(cJSON_GetObjectItem(box, "labels"), "x"), "");
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, "box\n", NULL, "ls", "-q");
    EXPECT(0, "box\n", NULL, "stop", "box");
    EXPECT(125, "", "box", "stop", "box");
    EXPECT(0, "box\n", NULL, "start", "box");
    EXPECT(0, "box\n", NULL, "destroy", "box");
    EXPECT(125, "", "no sandbox", "destroy", "box");
    EXPECT(0, "", NULL, "ls", "-q");
}

Test(sandbox, one_that_cannot_start_is_not_left_behind)
{
    cr_assert(
        tree_put(world.workspace, "c.json", "{ \"runtimes\": { \"bwrap\": { \"bwrap_path\": \"/bin/false\" } } }"));
    EXPECT(125, "", NULL, "create", "--config", "c.json", "--start", "--name", "box");
    EXPECT(0, "", NULL, "ls", "-q");
}

/* Names are bytes; JSON is UTF-8. */
Test(sandbox, json_is_valid_whatever_the_names)
{
    struct command_result result;
    char label[] = "k=\xFF\x01\xC3\xA9\"\\", path[400];
    cJSON *json;

    cr_assert(tree_mkdir(world.dir, "w\xFE\n\033x"));
    snprintf(path, sizeof path, "%s/w\xFE\n\033x", world.dir);
    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--workspace", path, "-l", label);
    result = STOCKADE("ls", "--json");
    json = json_of(&result);
    cr_expect_eq(strcmp(json_text(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "labels"), "k"),
                        "\xEF\xBF\xBD\x01\xC3\xA9\"\\"),
                 0);
    for (size_t i = 0; i < result.out_len; i++)
        cr_expect_neq((unsigned char)result.out[i], 0xFE);
    cJSON_Delete(json);
    command_result_release(&result);
    result = STOCKADE("ls");
    cr_expect_null(strchr(result.out, '\033'), "a name steers the terminal");
    command_result_release(&result);
    EXPECT(0, "[\"box\"]\n", NULL, "destroy", "--json", "box");
}

/* ---- nothing is left ------------------------------------------------------------------------------------------- */

/* What there is of ours: mounts of the test's directory, processes that name it, files in it. */
static char *leftovers(void)
{
    char *files = tree_list(world.state, true), *mount = proc_mount_below(world.dir), *text;

    cr_assert(asprintf(&text, "files:\n%s\nmounts: %s\nprocesses: %zu", files ? files : "", mount ? mount : "none",
                       proc_count(world.dir, NULL)) >= 0);
    free(files);
    free(mount);
    return text;
}

Test(sandbox, L5_run_leaves_no_process_mount_or_file)
{
    char *before, *after;

    EXPECT(0, "", NULL, "ls", "-q"); /* makes the state directory */
    before = leftovers();
    EXPECT(0, "", "", "run", "--", "true");
    after = leftovers();
    cr_expect_str_eq(after, before);
    free(after);
    EXPECT(127, "", NULL, "run", "nonexistent");
    EXPECT(124, NULL, NULL, "run", "--timeout", "300ms", "sleep", "60");
    after = leftovers();
    cr_expect_str_eq(after, before);
    free(after);
    free(before);
}

Test(sandbox, R1_kill_9_takes_the_sandbox_with_it)
{
    struct command_running running = START(false, "run", "-c", "echo ready; exec sleep 60");
    struct command_result result;

    cr_expect(command_await(running.out, "ready"));
    cr_assert_eq(kill(running.pid, SIGKILL), 0);
    command_finish(&running, &result);
    command_result_release(&result);
    cr_expect(AWAIT(!proc_is_mounted_below(world.dir)), "it is still mounted");
    EXPECT(0, "", NULL, "ls", "-q");
}

static bool has_expired(const char *id)
{
    struct command_result result = STOCKADE("inspect", id);
    bool is_over = strstr(result.out, "expired: ") != NULL;

    command_result_release(&result);
    return is_over;
}

Test(sandbox, L4_prune_removes_what_has_ended)
{
    EXPECT(0, "over\n", "", "create", "--start", "--name", "over", "--max-lifetime", "1ms");
    EXPECT(0, "hand\n", "", "create", "--start", "--name", "hand", "--idle-timeout", "1h");
    EXPECT(0, "runs\n", "", "create", "--start", "--name", "runs", "--max-lifetime", "none");
    EXPECT(0, "new\n", "", "create", "--name", "new");
    EXPECT(0, "hand\n", "", "stop", "hand");
    cr_assert(AWAIT(has_expired("over")));
    EXPECT(0, "", "", "prune", "--older-than", "1h");
    EXPECT(0, "over\n", "", "prune", "--dry-run");
    EXPECT(0, "[\"over\"]\n", "", "prune", "--json");
    EXPECT(0, "", "", "prune");
    EXPECT(0, "hand\n", "", "prune", "--all-stopped");
    EXPECT(0, "runs\nnew\n", "", "ls", "-q");
    EXPECT(125, "", "expected a duration", "prune", "--older-than", "soon");
    EXPECT(0, "runs\nnew\n", "", "destroy", "runs", "new");
}

/* ---- pause, resume, stats -------------------------------------------------------------------------------------- */

Test(sandbox, paused_and_resumed)
{
    world_need_capability("bwrap", "pause");
    EXPECT(0, "held\n", "", "create", "--start", "--name", "held");
    EXPECT(0, "held\n", "", "pause", "held");
    EXPECT(125, "", "paused", "exec", "held", "true");
    EXPECT(125, "", "paused", "pause", "held");
    EXPECT(0, "held\n", "", "resume", "held");
    EXPECT(0, "on\n", "", "exec", "held", "echo", "on");
    EXPECT(125, "", "is running", "resume", "held");
    EXPECT(0, "held\n", "", "pause", "held");
    EXPECT(0, "held\n", "", "destroy", "held");
}

Test(sandbox, stats_as_text_and_as_json)
{
    struct command_result result;
    cJSON *json;

    world_need_capability("bwrap", "stats");
    EXPECT(0, "busy\n", "", "create", "--start", "--name", "busy");
    /* A process with some memory: the kernel's count of a small one's pages may well be 0. */
    EXPECT(0, "", "", "exec", "busy", "sh", "-c",
           "x=$(head -c 8000000 /dev/zero | tr '\\0' x); (sleep 100; echo $x) </dev/null >/dev/null 2>&1 &");
    result = STOCKADE("stats", "busy");
    cr_expect(result.code == 0 && !strncmp(result.out, "ID ", 3) && strstr(result.out, "\nbusy "), "%s", result.out);
    command_result_release(&result);
    result = STOCKADE("stats", "--json", "busy");
    json = json_of(&result);
    cr_expect(cJSON_GetArraySize(json) == 1);
    cr_expect_str_eq(json_text(cJSON_GetArrayItem(json, 0), "id"), "busy");
    cr_expect(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "pids")) >= 1);
    cr_expect(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "memory_bytes")) > 4e6);
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(125, NULL, "absent", "stats", "absent");
    EXPECT(0, "busy\n", "", "stop", "busy");
    EXPECT(125, NULL, "stopped", "stats", "busy");
    EXPECT(0, "busy\n", "", "destroy", "busy");
}
