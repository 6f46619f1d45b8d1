/* The command against the mock plugin: options, exit codes, output, errors, whatever the backend. */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(command, .init = world_make, .fini = world_remove, .timeout = 300);

/* ---- the frame ------------------------------------------------------------------------------------------------- */

Test(command, help_and_version)
{
    static const char *const subcommands[] = { "run",    "shell",   "create",  "start",   "exec",     "session",
                                               "stop",   "destroy", "ls",      "inspect", "runtimes", "doctor",
                                               "config", "rules",   "changes", "commit",  "discard" };
    struct command_result all = STOCKADE("--help");

    cr_expect_eq(all.code, 0);
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++) {
        struct command_result one = STOCKADE(subcommands[i], "--help"), brief = STOCKADE(subcommands[i], "-h");

        cr_expect(strstr(all.out, subcommands[i]));
        cr_expect_eq(one.code, 0);
        cr_expect_eq(brief.code, 0);
        cr_expect(strstr(one.out, "Usage: stockade "), "%s", one.out);
        cr_expect_str_eq(one.out, brief.out);
        command_result_release(&one);
        command_result_release(&brief);
    }
    command_result_release(&all);
    EXPECT(0, NULL, NULL, "--version");
    EXPECT(125, "", "'frobnicate' is no subcommand", "frobnicate");
}

Test(command, bad_options_are_125)
{
    EXPECT(125, "", "unrecognized option", "run", "--nonsense", "true");
    EXPECT(125, "", "no command is given", "run", "--runtime", "mock");
    EXPECT(125, "", "exclude each other", "run", "-c", "true", "true");
    EXPECT(125, "", "--memory '1x'", "run", "-m", "1x", "true");
    EXPECT(125, "", "--memory '0'", "run", "-m", "0", "true");
    EXPECT(125, "", "--memory '-1m'", "run", "-m", "-1m", "true");
    EXPECT(125, "", "--memory '99999999999g'", "run", "-m", "99999999999g", "true");
    EXPECT(125, "", "--cpus '0'", "run", "--cpus", "0", "true");
    EXPECT(125, "", "--cpus '1.5.2'", "run", "--cpus", "1.5.2", "true");
    EXPECT(125, "", "--cpu-shares '1'", "run", "--cpu-shares", "1", "true");
    EXPECT(125, "", "--pids-limit '0'", "run", "--pids-limit", "0", "true");
    EXPECT(125, "", "--timeout '5'", "run", "--timeout", "5", "true");
    EXPECT(125, "", "--timeout '0s'", "run", "--timeout", "0s", "true");
    EXPECT(125, "", "--label '=x'", "run", "-l", "=x", "true");
    EXPECT(125, "", "--env '=x'", "run", "-e", "=x", "true");
    EXPECT(125, "", "--env-file '/nonexistent'", "run", "--env-file", "/nonexistent", "true");
    EXPECT(125, "", "rule 'x'", "run", "--runtime", "mock", "--rule", "x", "echo");
    EXPECT(125, "", "no preset 'x'", "run", "--runtime", "mock", "--preset", "x", "echo");
    EXPECT(125, "", "unclosed '['", "run", "--runtime", "mock", "--preset", "agent-safe", "--rule", "[=read", "echo");
    EXPECT(125, "", "no sandbox is given", "stop");
    EXPECT(125, "", "no sandbox is given", "exec");
    EXPECT(125, "", "no command is given", "exec", "x");
    EXPECT(125, "", "show, check or schema?", "config");
    EXPECT(125, "", "neither show, check nor schema", "config", "x");
}

Test(command, errors_are_one_line_without_control_characters)
{
    struct command_result result = STOCKADE("run", "--runtime", "/no\n\033[31m/x.so", "true");
    char *newline = strchr(result.err, '\n');

    cr_expect_eq(result.code, 125);
    cr_expect_eq(strncmp(result.err, "stockade: run: ", 15), 0, "%s", result.err);
    cr_assert(newline);
    cr_expect_eq(newline[1], '\0', "more than one line: %s", result.err);
    cr_expect_null(strchr(result.err, '\033'));
    command_result_release(&result);
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

Test(command, run_gives_output_and_exit_code)
{
    world_env("STOCKADE_RUNTIME=mock");
    EXPECT(0, "hello world\n", NULL, "run", "echo", "hello", "world");
    EXPECT(0, "-e --x -- y\n", NULL, "run", "--", "echo", "-e", "--x", "--", "y");
    EXPECT(0, "-e\n", NULL, "run", "echo", "-e");
    EXPECT(0, "", "to stderr\n", "run", "err", "to", "stderr");
    EXPECT(42, "", NULL, "run", "exit", "42");
    EXPECT(127, "", NULL, "run", "unknown");
    EXPECT(0, "echo a b", NULL, "run", "--shell", "echo a b");
    EXPECT(0, "x\n", NULL, "run", "--rm", "echo", "x");
}

Test(command, run_feeds_stdin_only_when_asked)
{
    static const char data[] = "a\0b\xFF\n";
    struct command_result result;

    world_env("STOCKADE_RUNTIME=mock");
    result = stockade_feed(data, sizeof data, (const char *const[]){ "run", "-i", "cat", NULL });
    cr_expect_eq(result.code, 0);
    cr_expect_eq(result.out_len, sizeof data);
    cr_expect_eq(memcmp(result.out, data, sizeof data), 0);
    command_result_release(&result);
    result = stockade_feed(data, sizeof data, (const char *const[]){ "run", "cat", NULL });
    cr_expect_eq(result.out_len, 0);
    command_result_release(&result);
}

Test(command, environment_is_what_was_asked_for)
{
    world_env("STOCKADE_RUNTIME=mock");
    world_env("TAKEN=from here");
    world_env("SECRET=must not leak");
    cr_assert(tree_put(world.workspace, "env", "# comment\n\nA=1\nTAKEN\nABSENT\nB=x y=z\r\n"));
    EXPECT(0, "X=1\nTAKEN=from here\nY=\n", NULL, "run", "-e", "X=1", "-e", "TAKEN", "-e", "ABSENT", "-e", "Y=", "env");
    EXPECT(0, "A=1\nTAKEN=from here\nB=x y=z\n", NULL, "run", "--env-file", "env", "env");
    EXPECT(0, "", NULL, "run", "env");
}

Test(command, timeout_is_124)
{
    world_env("STOCKADE_RUNTIME=mock");
    EXPECT(124, "", "stockade: timed out after 300ms\n", "run", "--timeout", "300ms", "hang");
    EXPECT(124, "", "stockade: timed out after 1s\n", "run", "--timeout", "1s", "hang");
    EXPECT(0, "x\n", NULL, "run", "--timeout", "none", "echo", "x");
}

Test(command, signals_end_a_command_that_cannot_be_sent_any)
{
    struct command_running running;
    struct command_result result;

    world_env("STOCKADE_RUNTIME=mock");
    running = START(false, "run", "hang");
    cr_assert(command_await(running.err, "mock warning"));
    usleep(100000);
    cr_assert_eq(kill(running.pid, SIGTERM), 0);
    command_finish(&running, &result);
    cr_expect_not(result.late);
    cr_expect_eq(result.code, 128 + SIGTERM, "%d %s", result.code, result.err);
    command_result_release(&result);
}

Test(command, output_that_cannot_be_written_is_125)
{
    static const char *const args[] = { "/bin/sh", "-c", "exec \"$0\" run spam >/dev/full", NULL };
    const char *argv[] = { args[0], args[1], args[2], world.stockade, NULL };
    struct command command = { .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
    struct command_result result;

    world_env("STOCKADE_RUNTIME=mock");
    cr_assert(command_run(&command, &result));
    cr_expect_eq(result.code, 125);
    cr_expect(strstr(result.err, "No space left on device"), "%s", result.err);
    command_result_release(&result);
    argv[2] = "\"$0\" runtimes >/dev/full";
    cr_assert(command_run(&command, &result));
    cr_expect_eq(result.code, 125);
    cr_expect(strstr(result.err, "No space left on device"), "%s", result.err);
    command_result_release(&result);
}

Test(command, closed_standard_streams_are_survived)
{
    const char *argv[] = { "/bin/sh", "-c", "exec \"$0\" run echo hello 0<&- 2>&-", world.stockade, NULL };
    struct command command = { .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
    struct command_result result;

    world_env("STOCKADE_RUNTIME=mock");
    cr_assert(command_run(&command, &result));
    cr_expect_eq(result.code, 0);
    cr_expect_str_eq(result.out, "hello\n");
    command_result_release(&result);
}

/* ---- create and what shows it ---------------------------------------------------------------------------------- */

Test(command, create_prints_the_id)
{
    struct command_result result;
    cJSON *json;

    world_env("STOCKADE_RUNTIME=mock");
    EXPECT(0, "box-1\n", NULL, "create", "--name", "box-1");
    EXPECT(0, "mock-1\n", NULL, "create", "--start");
    result = STOCKADE("create", "--json", "--name", "b");
    json = json_of(&result);
    cr_expect_str_eq(json_text(json, "id"), "b");
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(125, "", "too much", "create", "x");
}

Test(command, unknown_sandboxes_are_named)
{
    world_env("STOCKADE_RUNTIME=mock");
    EXPECT(125, "", "no sandbox 'x'", "start", "x");
    EXPECT(125, "", "no sandbox 'x'", "stop", "x");
    EXPECT(125, "", "no sandbox 'x'", "destroy", "x");
    EXPECT(125, "", "no sandbox 'x'", "exec", "x", "true");
    EXPECT(125, "[]\n", "no sandbox 'x'", "inspect", "x");
    EXPECT(125, "", "no sandbox 'x'", "rules", "x");
    EXPECT(125, NULL, "no sandbox 'y'", "destroy", "--json", "x", "y");
    EXPECT(0, "[]\n", NULL, "ls", "--json");
    EXPECT(0, "", NULL, "ls", "-q");
}

/* ---- runtimes and doctor --------------------------------------------------------------------------------------- */

static const cJSON *item_named(const cJSON *array, const char *name)
{
    const cJSON *item;

    cJSON_ArrayForEach (item, array)
        if (!strcmp(json_text(item, "name"), name))
            return item;
    cr_assert_fail("'%s' is not listed", name);
    return NULL;
}

Test(command, B2_runtimes_lists_good_and_bad)
{
    struct command_result result = STOCKADE("runtimes", "--json");
    cJSON *json = json_of(&result);
    const cJSON *mock = item_named(json, "mock"), *bad = item_named(json, "wrong_abi");

    cr_expect_eq(result.code, 0);
    cr_expect_str_eq(json_text(mock, "version"), "1.0.0");
    cr_expect_str_eq(json_text(mock, "abi"), "1.1");
    cr_expect(cJSON_IsNull(cJSON_GetObjectItem(mock, "error")));
    cr_expect_str_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(mock, "capabilities"), 0)->valuestring, "stream");
    cr_expect(strstr(json_text(bad, "error"), "made for ABI 42.7"));
    cr_expect(strstr(json_text(bad, "file"), "wrong_abi.so"));
    item_named(json, "bwrap");
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, NULL, NULL, "runtimes");
}

Test(command, B2_doctor_says_what_works)
{
    struct command_result result = STOCKADE("doctor", "--json");
    cJSON *json = json_of(&result);
    const cJSON *mock = item_named(json, "mock"), *bad = item_named(json, "no_symbol");
    const cJSON *checks = cJSON_GetObjectItem(mock, "checks");

    cr_expect_eq(result.code, 0, "the mock works");
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItem(mock, "usable")));
    cr_assert_eq(cJSON_GetArraySize(checks), 2);
    cr_expect_str_eq(json_text(cJSON_GetArrayItem(checks, 1), "result"), "warn");
    cr_expect_str_eq(json_text(cJSON_GetArrayItem(checks, 1), "remedy"), "use bwrap");
    cr_expect(cJSON_IsFalse(cJSON_GetObjectItem(bad, "usable")));
    cr_expect(strstr(json_text(bad, "error"), "no symbol"));
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, NULL, NULL, "doctor", "--runtime", "mock");
    EXPECT(1, NULL, NULL, "doctor", "--runtime", "no_symbol");
    EXPECT(1, NULL, NULL, "doctor", "--runtime", "fails_in_open");
    EXPECT(1, NULL, NULL, "doctor", "--runtime", "absent");
}

/* ---- config ---------------------------------------------------------------------------------------------------- */

Test(command, B1_config_check)
{
    cr_assert(tree_put(world.workspace, "good.json", "{ // fine\n \"runtimes\": { \"mock\": { \"level\": 3 } } }"));
    cr_assert(tree_put(world.workspace, "range.json", "{ \"runtimes\": { \"mock\": { \"level\": 30 } } }"));
    cr_assert(tree_put(world.workspace, "absent.json", "{ \"runtimes\": { \"absent\": {} } }"));
    cr_assert(tree_put(world.workspace, "syntax.json", "{\n  nonsense }"));
    EXPECT(0, "good.json: ok\n", NULL, "config", "check", "good.json");
    EXPECT(0, NULL, NULL, "config", "check", "--json", "--config", "good.json");
    EXPECT(125, "", "range.json: runtimes.mock.level: expected a number from 1 to 9, got 30", "config", "check",
           "range.json");
    EXPECT(125, "", "runtimes.absent: no runtime 'absent'", "config", "check", "absent.json");
    EXPECT(125, "", "syntax.json:2:3: syntax error", "config", "check", "syntax.json");
    EXPECT(125, "", "No such file", "config", "check", "nonexistent.json");
    EXPECT(0, "no config file: ok\n", NULL, "config", "check");
}

Test(command, config_show_and_schema_are_json)
{
    struct command_result result;
    cJSON *json;

    cr_assert(tree_put(
        world.dir, "home/.config/stockade/config.json",
        "{ \"runtime\": \"mock\", \"preset\": \"read-only\", \"runtimes\": { \"mock\": { \"tag\": \"t\" } } }"));
    result = STOCKADE("config", "show");
    json = json_of(&result);
    cr_expect_str_eq(json_text(json, "runtime"), "mock");
    cr_expect_str_eq(json_text(json, "preset"), "read-only");
    cr_expect_str_eq(json_text(json, "state_dir"), world.state);
    cr_expect(strstr(json_text(json, "file"), "/home/.config/stockade/config.json"));
    cJSON_Delete(json);
    command_result_release(&result);
    result = STOCKADE("config", "schema");
    cJSON_Delete(json_of(&result));
    command_result_release(&result);
    result = STOCKADE("config", "schema", "mock");
    json = json_of(&result);
    cr_expect(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "properties"), "level"));
    cJSON_Delete(json);
    command_result_release(&result);
    /* And it is in force. */
    EXPECT(0, "hi\n", NULL, "run", "echo", "hi");
}
