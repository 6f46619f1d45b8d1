/* Contract S1 to S4 and S7 to S9: what a session's shell keeps, gives and survives. Each in every shell there is. */
#include "sessions.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

/* ---- S1 ---- */

SESSION_TEST(S1_state_lasts)
{
    EXPECT_RUN(in(s, "x='a b'; f() { echo \"f $1 $x\"; }; cd /usr; umask 027; set -u"), 0, "");
    EXPECT_RUN(in(s, "pwd; f 1; umask; case $- in *u*) echo u ;; esac"), 0, "/usr\nf 1 a b\n0027\nu\n");
    EXPECT_RUN(in(s, "set +u; alias hi='echo aliased'; export y=exported"), 0, "");
    EXPECT_RUN(in(s, "hi; sh -c 'echo $y'"), 0, "aliased\nexported\n");
    EXPECT_RUN(in(s, "(exit 7)"), 7, "");
    EXPECT_RUN(in(s, "echo $?"), 0, "7\n");
    EXPECT_RUN(in(s, "nosuchcommand; echo $?"), 0, "127\n");
    EXPECT_RUN(in(s, "echo $?; false"), 1, "0\n");
}

SESSION_TEST(S1_background_jobs_last)
{
    const char *marker = marker_new();

    EXPECT_RUN(in(s, "sleep %s & pid=$!; echo started", marker), 0, "started\n");
    cr_expect(AWAIT(strstr(box_processes("box"), marker))); /* the job may be a copy of the shell yet */
    EXPECT_RUN(in(s, "kill -0 $pid && kill $pid; wait $pid; echo $?"), 0, "143\n");
    cr_expect(!strstr(box_processes("box"), marker));
}

/* Its end comes while the shell waits for a command, and is no end of the session. */
SESSION_TEST(S1_a_background_job_ends)
{
    const char *marker = marker_new();
    pid_t pid;

    EXPECT_RUN(in(s, "x=kept; sleep %s & job=$!", marker), 0, "");
    cr_assert(proc_await(marker, 1, &pid) == 1);
    HOST_MUST(kill(pid, SIGKILL) == 0);
    cr_assert(proc_await(marker, 0, NULL) == 0);
    EXPECT_RUN(in(s, "echo $x; wait $job; echo $?"), 0, "kept\n137\n");
}

/* A background child that keeps the command's pipes: the command is over all the same, and the child lives on (X9). */
SESSION_TEST(S1_background_writer_blocks_nobody)
{
    const struct run *r = in(s, "{ while echo noise; do :; done; } 2>/dev/null & pid=$!; echo first");

    cr_expect(r->status == RT_OK && r->code == 0 && strstr(r->out, "first\n"), "%s", run_describe(r));
    EXPECT_RUN(in(s, "echo second"), 0, "second\n");
    EXPECT_RUN(in(s, "kill -0 $pid && kill -9 $pid; echo third"), 0, "third\n");
}

/* ---- S2 ---- */

SESSION_TEST(S2_streams_are_the_commands_own)
{
    const struct run *r;

    r = in(s, "echo out; echo err >&2; (exit 3)");
    cr_expect(r->status == RT_OK && r->code == 3 && !strcmp(r->out, "out\n") && !strcmp(r->err, "err\n"), "%s",
              run_describe(r));
    r = in(s, ":");
    cr_expect(r->status == RT_OK && r->code == 0 && !r->out_len && !r->err_len, "%s", run_describe(r));
    r = in(s, "printf 'no newline'; printf '\\000\\377' >&2");
    cr_expect(r->out_len == 10 && r->err_len == 2 && !memcmp(r->err, "\0\377", 3), "%s", run_describe(r));
    EXPECT_RUN(in(s, "cat; read -r line || echo no input"), 0, "no input\n");
}

/* Whatever a protocol in the output might be made of comes through as it is. */
SESSION_TEST(S2_looks_like_a_protocol)
{
    static const char text[] =
        "$ \n# \n> \n\033]0;title\007\033[?2004h\n0\n1 0\nEXIT:0\n__END__ 0\n\1\2\3\4\n\r\b\b--\n";
    const struct run *r;

    HOST_MUST(tree_put(fx.codebase, "protocol", text));
    for (int i = 0; i < 3; i++)
        EXPECT_RUN(in(s, "cat protocol"), 0, text);
    r = in(s, "set -x; cat protocol; { set +x; } 2>/dev/null");
    cr_expect(!strcmp(r->out, text) && strstr(r->err, "cat protocol") && !strstr(r->err, "/proc/"), "%s",
              run_describe(r));
    EXPECT_RUN(in(s, "PS1='prompt> ' PS2='more> '; echo x"), 0, "x\n");
    r = in(s, "echo y");
    cr_expect(!strcmp(r->out, "y\n") && !r->err_len, "%s", run_describe(r));
    r = in(s, "set -v");
    r = in(s, "echo z");
    cr_expect(!strcmp(r->out, "z\n") && !strstr(r->err, "/proc/"), "%s", run_describe(r));
}

SESSION_TEST(S2_output_of_any_size)
{
    const struct run *r = in(s, "head -c 5000003 /dev/zero; head -c 70001 /dev/zero >&2");

    cr_expect(r->status == RT_OK && r->out_len == 5000003 && r->err_len == 70001, "%zu %zu", r->out_len, r->err_len);
    r = session_call(s, REQUEST(.shell = "head -c 1000000 /dev/zero; echo end >&2", .max_output_bytes = 1000), NULL);
    cr_expect(r->status == RT_OK && r->out_len == 1000 && (r->flags & RT_RESULT_STDOUT_TRUNCATED) &&
                  !strcmp(r->err, "end\n"),
              "%s", run_describe(r));
}

SESSION_TEST(S2_stdin)
{
    size_t size = 3000000;
    char *data = calloc(1, size);
    const struct run *r;

    HOST_MUST(data != NULL);
    r = session_call(s, REQUEST(.shell = "wc -c; cat", .stdin_data = data, .stdin_len = size), NULL);
    cr_expect(r->status == RT_OK && strstr(r->out, "3000000"), "%s", run_describe(r));
    r = session_call(s, REQUEST(.shell = "exec 0<&-; echo closed", .stdin_data = data, .stdin_len = size), NULL);
    cr_expect(run_is(r, 0, "closed\n"), "%s", run_describe(r));
    EXPECT_RUN(
        session_call(s, REQUEST(.shell = "read -r a; echo \"[$a]\"", .stdin_data = "x y\nz", .stdin_len = 5), NULL), 0,
        "[x y]\n");
    free(data);
}

/* ---- S3 ---- */

SESSION_TEST(S3_any_text)
{
    EXPECT_RUN(in(s, "echo a\necho b\n\n\necho c"), 0, "a\nb\nc\n");
    EXPECT_RUN(in(s, "cat <<'E'\n$x `y` \\ \"'\nE\necho after # a comment"), 0, "$x `y` \\ \"'\nafter\n");
    EXPECT_RUN(in(s, "# only a comment"), 0, "");
    EXPECT_RUN(in(s, "%s", ""), 0, "");
    EXPECT_RUN(in(s, "echo 'two\nlines'; echo \"it's\""), 0, "two\nlines\nit's\n");
    EXPECT_RUN(in(s, "for i in 1 2; do\n  if [ $i = 2 ]; then\n    echo $i\n  fi\ndone"), 0, "2\n");
    EXPECT_RUN(in(s, "echo caf\xc3\xa9 \xff; : \x01"), 0, "caf\xc3\xa9 \xff\n");
    EXPECT_RUN(in(s, "return 4"), 4, "");
    EXPECT_RUN(in(s, "printf '%%s\\n' \"$?\""), 0, "4\n");
}

SESSION_TEST(S3_syntax_errors_end_nothing)
{
    static const char *const texts[] = {
        "echo 'unbalanced", "echo \"unbalanced", "if", "echo $(", "echo `x",  "for", ")",
        "while :; do",      "case x in",         "{",  "echo ${", "echo $((", "&&",  "fi done"
    };

    in(s, "keep=kept");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct run *r = in(s, "%s", texts[i]);

        cr_expect(r->status == RT_OK && r->code != 0 && !r->out_len && r->err_len, "%s: %s", texts[i], run_describe(r));
        EXPECT_RUN(in(s, "echo $keep"), 0, "kept\n");
    }
}

/* Errors that end a script's shell but not one that people type into. */
SESSION_TEST(S3_other_errors_end_nothing)
{
    const struct run *r;

    in(s, "keep=kept");
    r = in(s, "echo ${nope?is not set}; echo not reached");
    cr_expect(r->status == RT_OK && r->code != 0 && !r->out_len && strstr(r->err, "is not set"), "%s", run_describe(r));
    r = in(s, "set -u; echo $nope; echo not reached");
    cr_expect(r->status == RT_OK && r->code != 0 && !r->out_len, "%s", run_describe(r));
    r = in(s, "set +u; readonly ro=1; ro=2; echo $ro");
    cr_expect(r->status == RT_OK, "%s", run_describe(r));
    r = in(s, ". /nonexistent/file");
    cr_expect(r->status == RT_OK && r->code != 0, "%s", run_describe(r));
    r = in(s, "echo x >/nonexistent/file; exec 3</nonexistent");
    cr_expect(r->status == RT_OK && r->code != 0, "%s", run_describe(r));
    r = in(s, "kill -INT $$; :");
    cr_expect(r->status == RT_OK, "%s", run_describe(r));
    EXPECT_RUN(in(s, "echo $keep"), 0, "kept\n");
}

/* A here-document without its end takes what there is of it, and nothing of ours. */
SESSION_TEST(S3_here_document_without_end)
{
    const struct run *r = in(s, "cat <<E\nbody");

    cr_expect(r->status == RT_OK && r->code == 0 && (!strcmp(r->out, "body\n") || !strcmp(r->out, "body")), "%s",
              run_describe(r));
    r = in(s, "echo end\\");
    cr_expect(r->status == RT_OK && r->code == 0 && !strncmp(r->out, "end", 3) && r->out_len <= 5, "%s",
              run_describe(r));
    EXPECT_RUN(in(s, "echo on"), 0, "on\n");
}

SESSION_TEST(S3_closed_fds)
{
    EXPECT_RUN(in(s, "exec 0<&- 1>&- 2>&- 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-"), 0, "");
    EXPECT_RUN(in(s, "echo on"), 0, "on\n");
    /* Only some shells know numbers of two digits; to the others that is a command's name. */
    if (strstr(fx_shell, "bash")) {
        EXPECT_RUN(in(s, "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do eval \"exec $i>&-\"; done"),
                   0, "");
        EXPECT_RUN(in(s, "echo on; echo err >&2"), 0, "on\n");
        EXPECT_RUN(in(s, "exec 10<&- 11>&- 12>&-; echo ${nope?x}"), 1, "");
    }
    EXPECT_RUN(in(s, "cat; echo still on"), 0, "still on\n");
}

SESSION_TEST(S3_removed_directory)
{
    EXPECT_RUN(in(s, "mkdir gone; cd gone; rmdir ../gone; echo in it"), 0, "in it\n");
    EXPECT_RUN(in(s, "echo still; cd /; pwd"), 0, "still\n/\n");
}

SESSION_TEST(S3_long_text)
{
    size_t size = (size_t)4 << 20;
    char *text = malloc(size + 64);
    const struct run *r;

    HOST_MUST(text != NULL);
    strcpy(text, "x='");
    memset(text + 3, 'y', size);
    strcpy(text + 3 + size, "'; echo ${#x}");
    r = session_call(s, REQUEST(.shell = text), NULL);
    cr_expect(run_is(r, 0, "4194304\n"), "%s", run_describe(r));
    EXPECT_RUN(in(s, "echo ${#x}; unset x"), 0, "4194304\n");
    free(text);
}

SESSION_TEST(S3_argv_is_quoted)
{
    EXPECT_RUN(session_call(s, REQUEST(.argv = ARGV("printf", "<%s>", "a b", "it's", "$x", "\n", "", "*", "\\")), NULL),
               0, "<a b><it's><$x><\n><><*><\\>");
}

SESSION_TEST(S3_cwd_and_env_of_a_request)
{
    const struct run *r;

    EXPECT_RUN(
        session_call(s, REQUEST(.shell = "pwd; echo $v; sh -c 'echo $v'", .cwd = "/usr/bin", .env = ARGV("v=it's $x")),
                     NULL),
        0, "/usr/bin\nit's $x\nit's $x\n");
    EXPECT_RUN(in(s, "pwd"), 0, "/usr/bin\n");
    HOST_MUST(tree_mkdir(fx.codebase, "sub dir"));
    EXPECT_RUN(session_call(s, REQUEST(.shell = "pwd", .cwd = "sub dir"), NULL), 0, "/workspace/sub dir\n");
    r = session_call(s, REQUEST(.shell = "echo x", .cwd = "nowhere"), NULL);
    cr_expect(r->status == RT_E_INVAL && strstr(r->message, "nowhere"), "%s", run_describe(r));
    EXPECT_RUN(in(s, "pwd"), 0, "/workspace/sub dir\n");
    r = session_call(s, REQUEST(.shell = "echo x", .env = ARGV("a-b=1")), NULL);
    cr_expect(r->status == RT_E_INVAL && strstr(r->message, "a-b"), "%s", run_describe(r));
}

/* ---- S4 ---- */

SESSION_TEST(S4_exit_closes)
{
    const struct run *r;
    rt_session_info *info = NULL;

    EXPECT_RUN(in(s, "echo bye; exit 7"), 7, "bye\n");
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in(s, "echo x"));
    r = in(s, "echo x");
    cr_expect(r->status == RT_E_SESSION_CLOSED && strstr(r->message, s) && !r->result, "%s", run_describe(r));
    ASSERT_STATUS(RT_OK, fx.ops->session_get(fx.rt, "box", s, CALL, &info));
    cr_expect(info->status == RT_SESSION_CLOSED);
    fx.ops->session_info_free(info);
    EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", s, CALL));
    EXPECT_RUN_STATUS(RT_E_SESSION_NOT_FOUND, in(s, "echo x"));
}

SESSION_TEST(S4_traps_run_at_exit)
{
    EXPECT_RUN(in(s, "trap 'echo trapped >trap' EXIT"), 0, "");
    EXPECT_RUN(in(s, "exit 3"), 3, "");
    cr_expect(tree_is(fx.codebase, "trap", "trapped\n"));
}

SESSION_TEST(S4_exec_takes_the_shells_place)
{
    EXPECT_RUN(in(s, "exec sh -c 'echo other; exit 9'"), 9, "other\n");
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in(s, "echo x"));
}

SESSION_TEST(S4_errexit_closes)
{
    EXPECT_RUN(in(s, "set -e; true"), 0, "");
    EXPECT_RUN(in(s, "echo a; false; echo b"), 1, "a\n");
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in(s, "echo x"));
}

SESSION_TEST(S4_killed_from_inside)
{
    const struct run *r = in(s, "echo last; kill -9 $$; sleep 5");

    cr_expect(r->status == RT_OK && r->signal == SIGKILL && r->code == 137 && !strcmp(r->out, "last\n"), "%s",
              run_describe(r));
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in(s, "echo x"));
    EXPECT_RUN(sh("box", "echo on"), 0, "on\n");
}

/* Code inside may end all that is the session's; it ends no more than that. */
SESSION_TEST(S4_keeper_killed_from_inside)
{
    const struct run *r = in(s, "kill -9 $PPID; sleep 5");

    cr_expect(r->status == RT_E_SESSION_CLOSED, "%s", run_describe(r));
    EXPECT_RUN_STATUS(RT_E_SESSION_CLOSED, in(s, "echo x"));
    EXPECT_RUN(sh("box", "echo on"), 0, "on\n");
    EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", s, CALL));
    session_up("again", fx_shell);
    EXPECT_RUN(in("again", "echo on"), 0, "on\n");
    EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", "again", CALL));
}

/* ---- S8, S9 ---- */

SESSION_TEST(S8_destroy_kills_the_tree)
{
    const char *marker = marker_new();

    in(s, "trap '' TERM HUP INT; sleep %s & (sleep %s &); setsid sleep %s &", marker, marker, marker);
    in(s, "(setsid sh -c 'trap \"\" TERM; sleep %s; :' &)", marker);
    cr_expect(AWAIT(proc_count(marker, NULL) >= 4));
    EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", s, CALL));
    cr_expect(proc_count(marker, NULL) == 0);
    EXPECT_STATUS(RT_E_SESSION_NOT_FOUND, fx.ops->session_destroy(fx.rt, "box", s, CALL));
    EXPECT_RUN_STATUS(RT_E_SESSION_NOT_FOUND, in(s, ":"));
    EXPECT_RUN(sh("box", "ps -o stat= 2>/dev/null | grep -c Z"), 1, "0\n");
}

SESSION_TEST(S8_background_jobs_of_a_closed_session)
{
    const char *marker = marker_new();

    EXPECT_RUN(in(s, "sleep %s & exit 0", marker), 0, "");
    cr_expect(proc_await(marker, 1, NULL) == 1);
    EXPECT_STATUS(RT_OK, fx.ops->session_destroy(fx.rt, "box", s, CALL));
    cr_expect(proc_count(marker, NULL) == 0);
}

struct arrival {
    char text[256];
    int chunks;
};

/* The command goes on only after its first output was seen here. */
static int32_t arrive(void *user, int32_t stream, const void *data, size_t len)
{
    struct arrival *arrival = user;

    arrival->chunks++;
    strncat(arrival->text, stream == RT_STDOUT ? "o:" : "e:", sizeof arrival->text - strlen(arrival->text) - 1);
    strncat(arrival->text, data, len < 100 ? len : 100);
    if (!tree_exists(fx.codebase, "seen"))
        tree_put(fx.codebase, "seen", "");
    return 1;
}

SESSION_TEST(S9_output_arrives_as_it_appears)
{
    struct arrival arrival = { "", 0 };
    rt_exit end = RT_EXIT_INIT;

    ASSERT_STATUS(RT_OK,
                  fx.ops->session_exec_stream(
                      fx.rt, "box", s,
                      REQUEST(.shell = "echo one; until [ -e seen ]; do sleep 0.05; done; echo two >&2; (exit 5)"),
                      arrive, &arrival, CALL, &end));
    cr_expect(!strcmp(arrival.text, "o:one\ne:two\n"), "%s", arrival.text);
    cr_expect(end.exit_code == 5 && end.duration_ns > 0);
}

static int32_t refuse(void *user, int32_t stream, const void *data, size_t len)
{
    (void)user, (void)stream, (void)data, (void)len;
    return 0;
}

SESSION_TEST(S9_a_callback_that_has_enough)
{
    rt_exit end = RT_EXIT_INIT;

    in(s, "keep=kept");
    EXPECT_STATUS(RT_E_CANCELLED,
                  fx.ops->session_exec_stream(fx.rt, "box", s, REQUEST(.shell = "yes"), refuse, NULL, CALL, &end));
    cr_expect(end.flags & RT_RESULT_TIMED_OUT);
    EXPECT_RUN(in(s, "echo $keep"), 0, "kept\n");
}

/* ---- create, get, list ---- */

static const char *first_shell(void)
{
    return sh("box", "test -x /bin/bash")->code == 0 ? "/bin/bash" : "/bin/sh";
}

CONFORMANCE_TEST(sessions, S7_which_shell)
{
    rt_session_spec spec = { .size = sizeof spec, .id = "s" };
    rt_session_info *info = NULL;

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &spec, CALL, &info));
    cr_expect_str_eq(info->shell, first_shell());
    cr_expect(!strcmp(info->id, "s") && !strcmp(info->sandbox, "box") && info->status == RT_SESSION_IDLE &&
              info->commands == 0 && info->pid > 0 && info->created_ns > 0);
    EXPECT_RUN(in("s", "[ $$ = %d ] && echo right", info->pid), 0, "right\n");
    fx.ops->session_info_free(info);
    EXPECT_RUN(in("s", "case $- in *i*) echo interactive ;; esac; pwd"), 0, "interactive\n/workspace\n");

    spec = (rt_session_spec){ .size = sizeof spec, .id = "t", .shell = "/bin/sh", .cwd = "/usr", .env = ARGV("a=b c") };
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &spec, CALL, &info));
    cr_expect_str_eq(info->shell, "/bin/sh");
    fx.ops->session_info_free(info);
    EXPECT_RUN(in("t", "pwd; echo $a; env | grep -c STOCKADE_TEST_SECRET"), 1, "/usr\nb c\n0\n");
    EXPECT_RUN(in("t", "echo ${HOME+x}${PATH+x}; env | grep -c '^PS[12]='"), 1, "xx\n0\n");
}

CONFORMANCE_TEST(sessions, S7_what_is_no_shell)
{
    rt_session_spec spec = { .size = sizeof spec, .id = "s" };
    rt_session_list *list = NULL;

    NEED(RT_CAP_SESSION);
    HOST_MUST(tree_put(fx.codebase, "text", "no program\n"));
    BOX_UP("box", WRITE_ALL);
    spec.shell = "/nonexistent/sh";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    EXPECT_NAMES("/nonexistent/sh");
    spec.shell = "/workspace/text";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    EXPECT_NAMES("/workspace/text");
    spec.shell = "/bin/true";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    EXPECT_NAMES("/bin/true");
    spec.shell = "sh";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    spec.shell = NULL;
    spec.cwd = "nowhere";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    EXPECT_NAMES("nowhere");
    spec.cwd = NULL;
    spec.id = "../s";
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    spec.id = "s";
    spec.env = ARGV("noequals");
    EXPECT_STATUS(RT_E_INVAL, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->session_list(fx.rt, "box", CALL, &list));
    cr_expect(list->n == 0, "what failed is not there");
    fx.ops->session_list_free(list);
}

CONFORMANCE_TEST(sessions, S1_list_get_and_names)
{
    rt_session_info *info = NULL;
    rt_session_list *list = NULL;
    rt_session_spec spec = { .size = sizeof spec, .id = "b" };

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    session_up("b", NULL);
    session_up("a", NULL);
    EXPECT_STATUS(RT_E_EXISTS, fx.ops->session_create(fx.rt, "box", &spec, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", NULL, CALL, &info));
    cr_expect(info->id[0] != '\0');
    fx.ops->session_info_free(info);
    in("a", "x=1");
    in("a", "x=2");
    in("b", "exit");
    ASSERT_STATUS(RT_OK, fx.ops->session_list(fx.rt, "box", CALL, &list));
    cr_assert(list->n == 3);
    cr_expect(!strcmp(list->items[0]->id, "b") && list->items[0]->status == RT_SESSION_CLOSED &&
              list->items[0]->commands == 1);
    cr_expect(!strcmp(list->items[1]->id, "a") && list->items[1]->status == RT_SESSION_IDLE &&
              list->items[1]->commands == 2);
    cr_expect(list->items[0]->created_ns <= list->items[1]->created_ns);
    fx.ops->session_list_free(list);
    EXPECT_STATUS(RT_E_SESSION_NOT_FOUND, fx.ops->session_get(fx.rt, "box", "c", CALL, &info));
    EXPECT_NAMES("c");
    EXPECT_STATUS(RT_E_SESSION_NOT_FOUND, fx.ops->session_get(fx.rt, "box", "", CALL, &info));
    EXPECT_STATUS(RT_E_SESSION_NOT_FOUND, fx.ops->session_get(fx.rt, "box", NULL, CALL, &info));
    EXPECT_STATUS(RT_E_SESSION_NOT_FOUND, fx.ops->session_destroy(fx.rt, "box", "../x", CALL));
    EXPECT_STATUS(RT_E_SANDBOX_NOT_FOUND, fx.ops->session_list(fx.rt, "nobox", CALL, &list));
    EXPECT_RUN(in("a", "echo $x"), 0, "2\n");
}

CONFORMANCE_TEST(sessions, L4_stop_ends_sessions)
{
    rt_session_list *list = NULL;

    NEED(RT_CAP_SESSION);
    BOX_UP("box", WRITE_ALL);
    session_up("s", NULL);
    EXPECT_RUN(in("s", "echo on"), 0, "on\n");
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "box", CALL));
    EXPECT_RUN_STATUS(RT_E_NOT_RUNNING, in("s", "echo x"));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->session_list(fx.rt, "box", CALL, &list));
    EXPECT_STATUS(RT_E_NOT_RUNNING, fx.ops->session_create(fx.rt, "box", NULL, CALL, NULL));
    ASSERT_STATUS(RT_OK, fx.ops->start(fx.rt, "box", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->session_list(fx.rt, "box", CALL, &list));
    cr_expect(list->n == 0);
    fx.ops->session_list_free(list);
    EXPECT_RUN_STATUS(RT_E_SESSION_NOT_FOUND, in("s", "echo x"));
}

/* A session belongs to its sandbox, not to who made it: another opener of the state directory finds it. */
CONFORMANCE_TEST(sessions, S1_lasts_beyond_its_maker)
{
    rt_sandbox_spec spec = box_spec("box");
    const rt_rule rules[] = { WRITE_ALL };

    NEED(RT_CAP_SESSION);
    spec.rules = rules;
    spec.n_rules = 1;
    spec.lifetime = RT_LIFETIME_PERSISTENT;
    box_up_spec(&spec);
    session_up("s", NULL);
    EXPECT_RUN(in("s", "x=kept; cd /usr"), 0, "");
    fixture_reopen();
    EXPECT_RUN(in("s", "echo $x; pwd"), 0, "kept\n/usr\n");
}
