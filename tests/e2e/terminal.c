/* run, exec and shell on a real terminal, against bubblewrap. */
#include "proc.h"
#include "world.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void terminal_world(void)
{
    world_make();
    world_need_bwrap();
}

TestSuite(terminal, .init = terminal_world, .fini = world_remove, .timeout = 300);

/* ---- what the tests are made of -------------------------------------------------------------------------------- */

static void await(struct pty *pty, const char *text)
{
    if (pty_await(pty, text))
        return;
    cr_expect_fail("'%s' does not appear in: %s", text, pty->text ? pty->text : "");
    pty_end(pty);
    cr_assert_fail("no use in going on");
}

static void send(struct pty *pty, const char *keys)
{
    cr_assert(pty_send(pty, keys), "the terminal takes no keys");
}

/* Expects that it ends with the exit code and has left the terminal as it was; ends the driver. */
static void expect_end(struct pty *pty, int code)
{
    struct pty_news news;

    if (!pty_wait(pty, &news))
        cr_expect_fail("it does not end; output: %s", pty->text ? pty->text : "");
    else
        cr_expect(WIFEXITED(news.status) && WEXITSTATUS(news.status) == code, "status %#x, expected exit code %d: %s",
                  news.status, code, pty->text ? pty->text : "");
    cr_expect(pty_is_as_before(pty), "the terminal is not what it was");
    pty_end(pty);
}

#define BASH "-e", "PS1=ps1> ", "--", "bash", "--norc", "--noprofile"

static struct pty bash_start(void)
{
    struct pty pty = TERMINAL("run", "-it", BASH);

    await(&pty, "ps1> ");
    return pty;
}

/* A command line of sleep(1) that is like no other's. */
static const char *sleep_line(void)
{
    static char line[32];

    snprintf(line, sizeof line, "sleep 300.%d", (int)getpid());
    return line;
}

/* Waits until it runs in the foreground of its terminal. */
static bool foreground_await(const char *line)
{
    int64_t end = now_ns() + INT64_C(1000000) * HANG_MS;
    bool is_there = false;
    pid_t pid;

    if (proc_await(line, 1, &pid) != 1)
        return false;
    while (!is_there && now_ns() < end) {
        char *stat = proc_read(pid, "stat"), *rest = stat ? strrchr(stat, ')') : NULL, state = '?';
        int group = 0, front = 0;

        is_there = rest && sscanf(rest + 1, " %c %*d %d %*d %*d %d", &state, &group, &front) == 3 && state == 'S' &&
                   group == front;
        free(stat);
        sleep_ms(2);
    }
    return is_there;
}

/* ---- the terminal's modes -------------------------------------------------------------------------------------- */

Test(terminal, raw_while_the_command_has_it)
{
    struct pty pty = bash_start();

    cr_expect(pty_is_raw(&pty));
    send(&pty, "exit 7\r");
    expect_end(&pty, 7);
}

Test(terminal, exit_status_is_the_commands)
{
    struct pty pty = TERMINAL("run", "-it", "true");

    expect_end(&pty, 0);
    pty = TERMINAL("run", "-it", "-c", "kill -9 $$");
    expect_end(&pty, 128 + SIGKILL);
    pty = TERMINAL("run", "-it", "--timeout", "500ms", "sleep", "300");
    await(&pty, "timed out after 500ms");
    expect_end(&pty, 124);
    pty = TERMINAL("run", "-it", "nonexistent");
    await(&pty, "the command was not found");
    expect_end(&pty, 127);
    pty = TERMINAL("run", "-it", "/etc/passwd");
    await(&pty, "the command cannot be executed");
    expect_end(&pty, 126);
    pty = TERMINAL("run", "-it", "-w", "/nonexistent", "true");
    await(&pty, "workdir '/nonexistent'");
    expect_end(&pty, 125);
    EXPECT(0, "", NULL, "ls", "-q");
}

static void signal_expect(int sig)
{
    struct pty pty = bash_start();

    cr_assert_eq(kill(pty.pid, sig), 0);
    expect_end(&pty, 128 + sig);
    EXPECT(0, "", NULL, "ls", "-q");
}

Test(terminal, restored_after_a_signal_to_us)
{
    signal_expect(SIGTERM);
    signal_expect(SIGHUP);
    signal_expect(SIGINT);
    signal_expect(SIGQUIT);
}

/* A command that ignores all it can does not hold the terminal. */
Test(terminal, restored_whatever_the_command_ignores)
{
    struct pty pty = TERMINAL("run", "-it", "-c", "trap '' HUP TERM INT; echo ready; while :; do sleep 1; done");

    await(&pty, "ready");
    cr_assert_eq(kill(pty.pid, SIGTERM), 0);
    expect_end(&pty, 128 + SIGTERM);
    EXPECT(0, "", NULL, "ls", "-q");
}

Test(terminal, restored_when_the_sandbox_ends_under_it)
{
    static const char *const how[] = { "stop", "destroy" };

    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
    for (size_t i = 0; i < 2; i++) {
        struct pty pty = TERMINAL("exec", "-it", "-e", "PS1=ps1> ", "box", "bash", "--norc");

        await(&pty, "ps1> ");
        EXPECT(0, "box\n", NULL, how[i], "box");
        expect_end(&pty, 125);
        if (i == 0)
            EXPECT(0, "box\n", NULL, "start", "box");
    }
}

Test(terminal, a_terminal_that_goes_away_ends_it)
{
    const char *argv[] = { "/bin/sh", "-c", "trap '' HUP; exec \"$0\" run -it sh -c 'echo ready; exec cat'",
                           world.stockade, NULL };
    struct command command = { .argv = argv, .env = (const char *const *)world.env, .cwd = world.workspace };
    struct pty pty = bash_start();
    struct pty_news news = { 0 };

    pty_hang_up(&pty);
    cr_expect(pty_wait(&pty, &news), "it goes on without a terminal");
    cr_expect_eq(WEXITSTATUS(news.status), 128 + SIGHUP, "%#x", news.status);
    pty_end(&pty);
    /* Not told by a signal, it sees its input end. */
    cr_assert(pty_start(&command, 24, 80, &pty));
    await(&pty, "ready");
    pty_hang_up(&pty);
    cr_expect(pty_wait(&pty, &news), "it goes on without a terminal");
    pty_end(&pty);
    EXPECT(0, "", NULL, "ls", "-q");
}

/* Nobody reads: the terminal is full, and still a signal is noticed. */
Test(terminal, a_signal_is_noticed_while_output_is_held_up)
{
    struct pty pty = TERMINAL("run", "-it", "yes");
    int64_t end = now_ns() + INT64_C(1000000) * HANG_MS;
    int before = -1, waiting = 0;

    await(&pty, "y\r\ny\r\n");
    pty.is_unread = true;
    while ((waiting < 4000 || waiting != before) && now_ns() < end) {
        before = waiting;
        sleep_ms(20);
        cr_assert_eq(ioctl(pty.master, FIONREAD, &waiting), 0);
    }
    cr_assert_eq(kill(pty.pid, SIGTERM), 0);
    expect_end(&pty, 128 + SIGTERM);
}

Test(terminal, stopped_and_continued_it_is_raw_again)
{
    struct pty pty = bash_start();
    struct pty_news news = { 0 };

    cr_assert_eq(kill(pty.pid, SIGSTOP), 0);
    cr_assert(pty_wait(&pty, &news));
    cr_assert(WIFSTOPPED(news.status));
    cr_expect_not(pty_is_raw(&pty), "the driver did not do as a shell does");
    pty_resize(&pty, 33, 99);
    pty_continue(&pty);
    cr_expect(pty_await_raw(&pty));
    send(&pty, "echo back-$((6*7))\r");
    await(&pty, "back-42");
    send(&pty, "stty size\r");
    await(&pty, "33 99");
    send(&pty, "exit\r");
    expect_end(&pty, 0);
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

Test(terminal, ctrl_c_ends_what_runs_and_not_the_shell)
{
    struct pty pty = bash_start();
    const char *line = sleep_line();

    send(&pty, line);
    send(&pty, "\r");
    cr_expect(foreground_await(line));
    send(&pty, "\003");
    await(&pty, "ps1> ");
    send(&pty, "echo code-$?-$((40+2))\r");
    await(&pty, "code-130-42");
    send(&pty, "exit\r");
    expect_end(&pty, 0);
}

Test(terminal, job_control)
{
    struct pty pty = bash_start();
    const char *line = sleep_line();

    send(&pty, line);
    send(&pty, "\r");
    cr_expect(foreground_await(line));
    send(&pty, "\032");
    await(&pty, "Stopped");
    await(&pty, "ps1> ");
    send(&pty, "jobs\r");
    await(&pty, "Stopped");
    await(&pty, "ps1> ");
    send(&pty, "fg\r");
    cr_expect(foreground_await(line));
    send(&pty, "\003");
    await(&pty, "ps1> ");
    send(&pty, "jobs; echo jobs-$((1+1))\r");
    await(&pty, "jobs-2");
    cr_expect_eq(proc_await(line, 0, NULL), 0);
    send(&pty, "exit\r");
    expect_end(&pty, 0);
}

Test(terminal, ctrl_d_ends_the_input)
{
    struct pty pty = TERMINAL("run", "-it", "-c", "echo ready; cat; echo end");

    await(&pty, "ready");
    send(&pty, "line\r");
    await(&pty, "line\r\nline\r\n");
    send(&pty, "\004");
    await(&pty, "end");
    expect_end(&pty, 0);
}

/* Without -i keys stay ours: Ctrl-C is a signal to us, and is passed on. */
Test(terminal, without_i_the_terminal_stays_cooked)
{
    struct pty pty =
        TERMINAL("run", "-t", "-c", "trap 'echo got INT; exit 7' INT; echo ready; while :; do sleep 0.05; done");

    await(&pty, "ready");
    cr_expect_not(pty_is_raw(&pty));
    send(&pty, "\003");
    await(&pty, "got INT");
    expect_end(&pty, 7);
}

/* ---- size and type --------------------------------------------------------------------------------------------- */

Test(terminal, size_follows)
{
    struct pty pty = TERMINAL(
        "run", "-it", "-c", "stty size; trap 'echo now $(stty size)' WINCH; echo ready; while :; do sleep 0.05; done");

    await(&pty, "24 80");
    await(&pty, "ready");
    pty_resize(&pty, 50, 132);
    await(&pty, "now 50 132");
    pty_resize(&pty, 1, 1);
    await(&pty, "now 1 1");
    send(&pty, "\003");
    expect_end(&pty, 128 + SIGINT);
}

Test(terminal, without_one_of_ours)
{
    EXPECT(0, "24 80\r\n", "", "run", "-t", "stty", "size");
    EXPECT(0, "tty\r\n", "", "run", "-t", "-c", "test -t 0 && test -t 1 && test -t 2 && echo tty");
    EXPECT(1, "", "", "run", "-i", "test", "-t", "0");
    EXPECT(125, "", "standard input is not a terminal", "run", "-i", "-t", "true");
    EXPECT(125, "", "standard input is not a terminal", "shell");
}

Test(terminal, its_type_is_ours)
{
    struct pty pty;

    EXPECT(0, "none\n", NULL, "run", "-c", "echo ${TERM:-none}");
    world_env("TERM=weird-term");
    EXPECT(0, "none\n", NULL, "run", "-c", "echo ${TERM:-none}");
    EXPECT(0, "weird-term\r\n", NULL, "run", "-t", "-c", "echo ${TERM:-none}");
    EXPECT(0, "other\r\n", NULL, "run", "-t", "-e", "TERM=other", "-c", "echo ${TERM:-none}");
    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
    pty = TERMINAL("exec", "-it", "box", "sh", "-c", "echo type $TERM");
    await(&pty, "type weird-term");
    expect_end(&pty, 0);
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

/* ---- what goes through it -------------------------------------------------------------------------------------- */

Test(terminal, output_of_16_mib_to_the_last_byte)
{
    const size_t len = (size_t)16 << 20;
    struct pty pty = TERMINAL("run", "-it", "-c", "head -c 16777216 /dev/zero | tr '\\0' x; echo; echo e''nd");
    size_t n = 0;

    await(&pty, "end\r\n");
    for (size_t i = 0; i < pty.len; i++)
        n += pty.text[i] == 'x';
    cr_expect_eq(n, len, "%zu bytes of %zu", n, len);
    expect_end(&pty, 0);
}

/* What was written right before the end is there, however often one tries. */
Test(terminal, nothing_is_lost_at_the_end)
{
    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
    for (int i = 0; i < 50; i++) {
        struct command_result result = STOCKADE("exec", "-t", "box", "sh", "-c", "head -c 5000 /dev/zero; echo last");

        cr_expect_eq(result.code, 0);
        cr_expect_eq(result.out_len, 5006, "%zu bytes", result.out_len);
        command_result_release(&result);
    }
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

/* A child in the background that goes on writing to the terminal does not hold it. */
Test(terminal, background_output_does_not_hold_it)
{
    struct pty pty = TERMINAL("run", "-it", "-c", "(trap '' HUP; exec yes) & sleep 0.1; echo e''nd; exit 3");

    expect_end(&pty, 3);
}

/* A command that lets go of its terminal and lives on is waited for without burning time. */
Test(terminal, a_command_that_leaves_its_terminal)
{
    struct pty pty = TERMINAL("run", "-it", "-c", "echo ready; exec 0<&- 1>&- 2>&-; sleep 4; exit 5");
    struct pty_news news = { 0 };

    await(&pty, "ready");
    cr_expect(pty_wait(&pty, &news));
    cr_expect_eq(WEXITSTATUS(news.status), 5, "%#x", news.status);
    cr_expect_lt(news.cpu_ns, INT64_C(2000000000), "%lld ms of CPU time", (long long)news.cpu_ns / 1000000);
    pty_end(&pty);
}

Test(terminal, a_full_screen_program)
{
    struct pty pty;

    if (access("/usr/bin/vim", X_OK) < 0)
        cr_skip_test("there is no vim here");
    world_env("TERM=xterm");
    pty = TERMINAL("run", "-it", "--preset", "full-access", "vim", "-u", "NONE", "-N", "-n", "new.txt");
    await(&pty, "\033["); /* it paints */
    await(&pty, "new.txt");
    send(&pty, "ihello\033:wq\r");
    expect_end(&pty, 0);
    cr_expect(tree_is(world.workspace, "new.txt", "hello\n"));
}

/* ---- shell ----------------------------------------------------------------------------------------------------- */

Test(terminal, shell_of_its_own)
{
    struct pty pty;

    cr_assert(tree_put(world.dir, "other/here", ""));
    pty = TERMINAL("shell", "../other");
    send(&pty, "echo $0-$((40+2)) $PWD; ls\r");
    await(&pty, "/bin/bash-42 /workspace");
    await(&pty, "here");
    cr_expect(pty_is_raw(&pty));
    send(&pty, "exit 4\r");
    expect_end(&pty, 4);
    EXPECT(0, "", NULL, "ls", "-q");
}

Test(terminal, shell_in_a_sandbox)
{
    struct pty pty;

    EXPECT(0, "box\n", NULL, "create", "--name", "box", "--start");
    pty = TERMINAL("shell", "-w", "/tmp", "--in", "box");
    send(&pty, "echo kept >file; echo $PWD-$((40+2))\r");
    await(&pty, "/tmp-42");
    send(&pty, "exit\r");
    expect_end(&pty, 0);
    EXPECT(0, "kept\n", NULL, "exec", "box", "cat", "/tmp/file");
    EXPECT(0, "box\n", NULL, "destroy", "box");
    pty = TERMINAL("shell", "--in", "box");
    await(&pty, "no sandbox");
    expect_end(&pty, 125);
}
