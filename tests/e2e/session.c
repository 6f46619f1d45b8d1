/* session create, exec, ls and destroy: against the mock plugin (session_mock) and against bubblewrap (session). */
#include "proc.h"
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the command does, whatever the backend --------------------------------------------------------------- */

static void mock_world(void)
{
    world_make();
    world_env("STOCKADE_RUNTIME=mock");
    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
}

TestSuite(session_mock, .init = mock_world, .fini = world_remove, .timeout = 300);

Test(session_mock, arguments)
{
    static const char *const subcommands[] = { "create", "exec", "ls", "destroy" };

    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++) {
        struct command_result help = STOCKADE("session", subcommands[i], "--help");

        cr_expect_eq(help.code, 0);
        cr_expect(strstr(help.out, "Usage: stockade session "), "%s", help.out);
        command_result_release(&help);
    }
    EXPECT(125, "", "create, exec, ls or destroy?", "session");
    EXPECT(125, "", "'x' is no subcommand; see stockade session --help", "session", "x");
    EXPECT(125, "", "no sandbox is given", "session", "create");
    EXPECT(125, "", "no sandbox is given", "session", "ls");
    EXPECT(125, "", "no sandbox is given", "session", "exec");
    EXPECT(125, "", "no session is given", "session", "exec", "box");
    EXPECT(125, "", "no command is given", "session", "exec", "box", "s");
    EXPECT(125, "", "no session is given", "session", "destroy", "box");
    EXPECT(125, "", "'t' is too much", "session", "destroy", "box", "s", "t");
    EXPECT(125, "", "'s' is too much", "session", "create", "box", "s");
    EXPECT(125, "", "--timeout 'x'", "session", "exec", "--timeout", "x", "box", "s", "y");
}

Test(session_mock, what_does_not_exist_is_named)
{
    EXPECT(125, "", "no sandbox 'x'", "session", "create", "x");
    EXPECT(125, "", "no sandbox 'x'", "session", "ls", "x");
    EXPECT(125, "", "no sandbox 'x'", "session", "exec", "x", "s", "y");
    EXPECT(125, "", "no session 's'", "session", "exec", "box", "s", "y");
    EXPECT(125, "", "no session 's'", "session", "destroy", "box", "s");
}

Test(session_mock, made_shown_and_ended)
{
    struct command_result result;
    const cJSON *first;
    cJSON *json;

    EXPECT(0, "session-1\n", NULL, "session", "create", "box");
    EXPECT(0, "s\n", NULL, "session", "create", "--name", "s", "--shell", "/bin/dash", "-w", "/tmp", "-e", "A=1", "-e",
           "B=x y", "box");
    EXPECT(125, "", "session 's' exists", "session", "create", "box", "--name", "s");
    EXPECT(0, "/tmp\nA=1\nB=x y\n", NULL, "session", "exec", "box", "s", "env");
    result = STOCKADE("session", "ls", "box");
    cr_expect_eq(strncmp(result.out, "ID         STATUS  CREATED ", 27), 0, "%s", result.out);
    cr_expect(strstr(result.out, "/bin/dash\n"), "%s", result.out);
    command_result_release(&result);
    result = STOCKADE("session", "ls", "--json", "box");
    json = json_of(&result);
    cr_assert_eq(cJSON_GetArraySize(json), 2);
    first = cJSON_GetArrayItem(json, 1);
    cr_expect_str_eq(json_text(first, "id"), "s");
    cr_expect_str_eq(json_text(first, "sandbox"), "box");
    cr_expect_str_eq(json_text(first, "status"), "idle");
    cr_expect_str_eq(json_text(first, "shell"), "/bin/dash");
    cr_expect_eq(cJSON_GetObjectItem(first, "commands")->valueint, 1);
    cr_expect(strchr(json_text(first, "created"), 'T'));
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, "s\n", NULL, "session", "destroy", "box", "s");
    EXPECT(125, "", "no session 's'", "session", "destroy", "box", "s");
    result = STOCKADE("session", "create", "--json", "box", "--name", "t");
    json = json_of(&result);
    cr_expect_str_eq(json_text(json, "id"), "t");
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, NULL, NULL, "session", "destroy", "box", "session-1");
    EXPECT(0, NULL, NULL, "session", "destroy", "box", "t");
    EXPECT(0, "[]\n", NULL, "session", "ls", "box", "--json");
}

Test(session_mock, one_word_is_a_text_and_several_are_a_command)
{
    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
    EXPECT(0, "cd /tmp; x=1", NULL, "session", "exec", "box", "s", "cd /tmp; x=1");
    EXPECT(0, "--help", NULL, "session", "exec", "box", "s", "--", "--help");
    EXPECT(0, "a b; c\n", NULL, "session", "exec", "box", "s", "echo", "a", "b; c");
    EXPECT(0, "-x --timeout\n", NULL, "session", "exec", "box", "s", "echo", "-x", "--timeout");
    EXPECT(0, "", "to stderr\n", "session", "exec", "box", "s", "err", "to", "stderr");
    EXPECT(42, "", "", "session", "exec", "box", "s", "--", "exit", "42");
    EXPECT(125, "", "the mock was told to fail", "session", "exec", "box", "s", "fail");
}

Test(session_mock, input_when_asked)
{
    static const char data[] = "a\0b\xFF\n";
    struct command_result result;

    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
    result = stockade_feed(data, sizeof data,
                           (const char *const[]){ "session", "exec", "-i", "box", "s", "cat", "-", NULL });
    cr_expect_eq(result.out_len, sizeof data);
    cr_expect_eq(memcmp(result.out, data, sizeof data), 0);
    command_result_release(&result);
    result = stockade_feed(data, sizeof data, (const char *const[]){ "session", "exec", "box", "s", "cat", "-", NULL });
    cr_expect_eq(result.out_len, 0);
    command_result_release(&result);
}

Test(session_mock, timeout_is_124)
{
    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
    EXPECT(124, "hanging\n", "timed out after 300ms\n", "session", "exec", "--timeout", "300ms", "box", "s", "hang");
    EXPECT(0, "a b\n", NULL, "session", "exec", "box", "s", "echo", "a", "b");
}

Test(session_mock, a_signal_cancels_the_command_and_not_the_session)
{
    static const int signals[] = { SIGINT, SIGTERM };

    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
    for (size_t i = 0; i < 2; i++) {
        struct command_running running = START(false, "session", "exec", "box", "s", "hang");
        struct command_result result;

        cr_assert(command_await(running.out, "hanging"));
        cr_assert_eq(kill(running.pid, signals[i]), 0);
        command_finish(&running, &result);
        cr_expect_not(result.late);
        cr_expect_eq(result.code, 128 + signals[i], "%d %s", result.code, result.err);
        command_result_release(&result);
    }
    EXPECT(0, "a b\n", NULL, "session", "exec", "box", "s", "echo", "a", "b");
}

/* A signal while we still wait for the input that the command is to have. */
Test(session_mock, a_signal_ends_the_wait_for_input)
{
    struct command_running running;
    struct command_result result;

    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
    running = START(true, "session", "exec", "-i", "box", "s", "cat", "-");
    cr_assert(command_await(running.err, "mock warning")); /* it has opened the runtime */
    cr_assert_eq(kill(running.pid, SIGTERM), 0);
    command_finish(&running, &result);
    cr_expect_eq(result.code, 128 + SIGTERM, "%d %s", result.code, result.err);
    command_result_release(&result);
}

Test(session_mock, S4_exit_closes_it_and_a_terminal_is_told)
{
    struct pty pty;
    struct pty_news news = { 0 };

    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
    EXPECT(0, "t\n", NULL, "session", "create", "box", "--name", "t");
    pty = TERMINAL("session", "exec", "box", "s", "exit 3");
    cr_expect(pty_await(&pty, "session 's' is closed"), "%s", pty.text);
    cr_expect(pty_wait(&pty, &news));
    cr_expect_eq(WEXITSTATUS(news.status), 3);
    pty_end(&pty);
    EXPECT(125, "", "session 's' is closed", "session", "exec", "box", "s", "echo", "x");
    EXPECT(3, "", "", "session", "exec", "box", "t", "exit 3");
    EXPECT(0, "s\n", NULL, "session", "destroy", "box", "s");
}

/* ---- sessions in bubblewrap ------------------------------------------------------------------------------------ */

static void session_world(void)
{
    world_make();
    world_need_bwrap();
    world_need_capability("bwrap", "session");
    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
    EXPECT(0, "s\n", NULL, "session", "create", "box", "--name", "s");
}

static void session_world_remove(void)
{
    if (tree_exists(world.dir, "state/bwrap"))
        EXPECT(0, "box\n", NULL, "destroy", "box");
    world_remove();
}

TestSuite(session, .init = session_world, .fini = session_world_remove, .timeout = 300);

#define SESSION(...) "session", "exec", "box", "s", __VA_ARGS__

/* Each of these is a process of its own. */
Test(session, S1_state_lasts_across_processes)
{
    EXPECT(0, "", "", SESSION("cd /tmp; x='a  b'; f() { echo f:$1; }; set -u; export E=1"));
    EXPECT(0, "/tmp a  b\n", "", SESSION("echo \"$PWD $x\""));
    EXPECT(0, "f:y\n", "", SESSION("f y"));
    EXPECT(0, "1\n", "", SESSION("sh", "-c", "echo $E"));
    EXPECT(1, "", "unbound", SESSION("echo $nothing_of_that_name"));
    EXPECT(0, "/tmp\n", "", SESSION("pwd"));
}

Test(session, S2_streams_and_code_are_the_commands)
{
    EXPECT(3, "out\n", "err\n", SESSION("echo out; echo err >&2; (exit 3)"));
    EXPECT(127, "", "nonexistent", SESSION("nonexistent"));
    EXPECT(0, "$(x) 'y\" ; z\n", "", SESSION("printf", "%s\n", "$(x) 'y\" ; z"));
    EXPECT(0, "no newline", "", SESSION("printf 'no newline'"));
    EXPECT(128 + SIGKILL, "", NULL, SESSION("sh", "-c", "kill -9 $$"));
}

Test(session, S3_any_text)
{
    EXPECT(0, "1\n2\n", "", SESSION("echo 1\necho 2 # and a comment"));
    EXPECT(0, "here\n", "", SESSION("cat <<X\nhere\nX"));
    EXPECT(0, "a'b\"c\n", "", SESSION("echo \"a'b\\\"c\""));
}

Test(session, S3_a_syntax_error_is_survived)
{
    struct command_result result = STOCKADE(SESSION("x=1; echo 'unbalanced"));

    cr_expect(result.code != 0 && result.code != 125, "%d %s", result.code, result.err);
    command_result_release(&result);
    EXPECT(0, "lives\n", "", SESSION("echo lives"));
}

Test(session, S4_exit_closes_it)
{
    EXPECT(7, "before\n", "", SESSION("echo before; exit 7"));
    EXPECT(125, "", "closed", SESSION("echo after"));
    EXPECT(0, "s\n", NULL, "session", "destroy", "box", "s");
}

Test(session, S5_timeout_is_124_and_it_goes_on)
{
    char mark[64];

    snprintf(mark, sizeof mark, "sleep 300.%d", (int)getpid());
    EXPECT(0, "", "", SESSION("x=kept"));
    EXPECT(124, "", "timed out after 500ms\n", "session", "exec", "--timeout", "500ms", "box", "s", mark);
    cr_expect_eq(proc_await(mark, 0, NULL), 0, "the command lives on");
    EXPECT(124, "", "timed out after 500ms\n", "session", "exec", "--timeout", "500ms", "box", "s",
           "while :; do :; done");
    EXPECT(0, "kept\n", "", SESSION("echo $x"));
}

Test(session, a_signal_cancels_the_command_and_not_the_session)
{
    static const int signals[] = { SIGINT, SIGTERM };

    EXPECT(0, "", "", SESSION("x=kept"));
    for (size_t i = 0; i < 2; i++) {
        struct command_running running = START(false, SESSION("echo ready; sleep 300"));
        struct command_result result;

        cr_assert(command_await(running.out, "ready"));
        cr_assert_eq(kill(running.pid, signals[i]), 0);
        command_finish(&running, &result);
        cr_expect_not(result.late);
        cr_expect_eq(result.code, 128 + signals[i], "%d %s", result.code, result.err);
        command_result_release(&result);
    }
    EXPECT(0, "kept\n", "", SESSION("echo $x"));
}

Test(session, S6_one_after_the_other)
{
    struct command_running first, second;
    struct command_result result;

    EXPECT(0, "", NULL, "exec", "box", "mkfifo", "/tmp/gate");
    first = START(false, SESSION("echo ready; read x </tmp/gate; n=${n:-0}1; echo first $n"));
    cr_assert(command_await(first.out, "ready"));
    second = START(false, SESSION("n=${n:-0}2; echo second $n"));
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", "echo go >/tmp/gate");
    command_finish(&first, &result);
    cr_expect_str_eq(result.out, "first 01\n", "%s%s", result.out, result.err);
    command_result_release(&result);
    command_finish(&second, &result);
    cr_expect_str_eq(result.out, "second 012\n", "%s%s", result.out, result.err);
    command_result_release(&result);
}

Test(session, S7_shell)
{
    EXPECT(0, "bash\n", "", SESSION("echo ${BASH_VERSION:+bash}"));
    EXPECT(0, "d\n", NULL, "session", "create", "box", "--name", "d", "--shell", "/bin/sh", "-w", "/tmp", "-e", "A=1");
    EXPECT(0, "/tmp 1\n", "", "session", "exec", "box", "d", "echo $PWD $A");
    EXPECT(125, "", "/nonexistent", "session", "create", "box", "--shell", "/nonexistent");
    EXPECT(125, "", NULL, "session", "create", "box", "--name", "d");
}

Test(session, S8_destroy_kills_its_tree)
{
    char mark[64], text[160];

    snprintf(mark, sizeof mark, "sleep 301.%d", (int)getpid());
    snprintf(text, sizeof text, "%s & setsid %s &", mark, mark);
    EXPECT(0, NULL, NULL, SESSION(text));
    cr_expect_eq(proc_await(mark, 2, NULL), 2, "jobs last");
    EXPECT(0, "s\n", NULL, "session", "destroy", "box", "s");
    cr_expect_eq(proc_await(mark, 0, NULL), 0, "a process of the session lives on");
    EXPECT(0, "[]\n", NULL, "session", "ls", "--json", "box");
}

Test(session, S9_output_streams_as_it_appears)
{
    struct command_running running;
    struct command_result result;

    EXPECT(0, "", NULL, "exec", "box", "mkfifo", "/tmp/gate");
    running = START(false, SESSION("echo ready; read x </tmp/gate; echo $x"));
    cr_expect(command_await(running.out, "ready"));
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", "echo go >/tmp/gate");
    command_finish(&running, &result);
    cr_expect_str_eq(result.out, "go\n", "%s", result.err);
    command_result_release(&result);
}

Test(session, input_of_any_byte)
{
    static const char data[] = "a\0b\xFF\n";
    struct command_result result =
        stockade_feed(data, sizeof data, (const char *const[]){ "session", "exec", "-i", "box", "s", "cat", NULL });

    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_expect_eq(result.out_len, sizeof data);
    cr_expect_eq(memcmp(result.out, data, sizeof data), 0);
    command_result_release(&result);
    EXPECT(0, "", "", SESSION("cat"));
}

Test(session, reader_that_goes_away_ends_the_command_and_not_the_session)
{
    const char *argv[] = { "/bin/sh", "-c", "\"$0\" session exec box s yes | head -n 1", world.stockade, NULL };
    struct command command = { .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
    struct command_result result;

    cr_assert(command_run(&command, &result));
    cr_expect_not(result.late);
    cr_expect_str_eq(result.out, "y\n");
    command_result_release(&result);
    EXPECT(0, "lives\n", "", SESSION("echo lives"));
}
