/* What a session's shell is given: proved by a shell. */
#include "plugins/common/session_text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(const rt_exec_request *req, const char *cwd)
{
    size_t len;
    char *text = session_text(req, cwd, &len);

    cr_assert(text && strlen(text) == len);
    return text;
}

/* Runs text in sh and gives its output. */
static const char *sh_says(const char *text)
{
    static char out[1024];
    char path[] = "/tmp/session_text.XXXXXX", command[64];
    FILE *file = fdopen(mkstemp(path), "w");
    FILE *pipe;
    size_t n;

    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
    snprintf(command, sizeof command, "sh %s", path);
    pipe = popen(command, "r");
    cr_assert(pipe != NULL);
    n = fread(out, 1, sizeof out - 1, pipe);
    out[n] = '\0';
    pclose(pipe);
    remove(path);
    return out;
}

Test(session_text, shell_text_is_left_alone)
{
    const rt_exec_request req = { .size = sizeof req, .shell = "echo 'a\nb' # c\\" };
    char *text = text_of(&req, NULL);

    cr_expect_str_eq(text, "echo 'a\nb' # c\\");
    free(text);
}

Test(session_text, argv_arrives_as_it_is)
{
    const char *argv[] = {
        "printf", "<%s>", "", "a b", "it's", "'", "''", "$HOME `x` \\", "\n", "*", "-e", "\xff", NULL
    };
    const rt_exec_request req = { .size = sizeof req, .argv = argv };
    char *text = text_of(&req, NULL);

    cr_expect_str_eq(sh_says(text), "<><a b><it's><'><''><$HOME `x` \\><\n><*><-e><\xff>");
    free(text);
}

Test(session_text, cwd_and_env_come_first)
{
    const char *env[] = { "a=it's $x", "b=", "c=1=2", NULL };
    const rt_exec_request req = { .size = sizeof req, .shell = "pwd; sh -c 'echo \"[$a][$b][$c]\"'", .env = env };
    char *text = text_of(&req, "/usr/bin");

    cr_expect_str_eq(sh_says(text), "/usr/bin\n[it's $x][][1=2]\n");
    free(text);
}

Test(session_text, what_cannot_be_entered_is_not_run_in)
{
    const rt_exec_request req = { .size = sizeof req, .shell = "echo run" };
    char *text = text_of(&req, "/nonexistent/it's");

    cr_expect(!strstr(sh_says(text), "run"));
    free(text);
}

Test(session_text, env_must_be_variables)
{
    static const char *const good[] = { "a=1", "_=", "A_9=x=y" }, *const bad[] = { "9a=1", "a-b=1", "a b=1",
                                                                                   "=1",   "a",     "" };
    rt_error err;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(session_env_check((const char *const[]){ good[i], NULL }, &err) == RT_OK, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(session_env_check((const char *const[]){ "ok=1", bad[i], NULL }, &err) == RT_E_INVAL &&
                      strstr(err.message, "env[1]"),
                  "%s", bad[i]);
    cr_expect(session_env_check(NULL, &err) == RT_OK);
}
