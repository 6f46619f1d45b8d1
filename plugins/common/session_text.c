#include "session_text.h"

#include "error.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* POSIX shell quoting: nothing is special between single quotes but the quote itself. */
static void put_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    }
    fputc('\'', out);
}

static void put_before(FILE *out, const rt_exec_request *req, const char *cwd)
{
    if (cwd) {
        fputs("\\command cd -- ", out);
        put_quoted(out, cwd);
        fputs("||return;", out);
    }
    for (const char *const *env = req->env; env && *env; env++) {
        const char *equals = strchr(*env, '=');

        fprintf(out, "\\export %.*s=", (int)(equals - *env), *env);
        put_quoted(out, equals + 1);
        fputc(';', out);
    }
    if (cwd || (req->env && *req->env))
        fputc('\n', out);
}

char *session_text(const rt_exec_request *req, const char *cwd, size_t *ret_len)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        return NULL;
    put_before(out, req, cwd);
    if (req->shell)
        fputs(req->shell, out);
    for (const char *const *arg = req->argv; arg && *arg; arg++) {
        if (arg != req->argv)
            fputc(' ', out);
        put_quoted(out, *arg);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    *ret_len = len;
    return text;
}

int32_t session_env_check(const char *const *env, rt_error *err)
{
    for (size_t i = 0; env && env[i]; i++) {
        const char *at = env[i];

        if (isalpha((unsigned char)*at) || *at == '_')
            while (isalnum((unsigned char)*at) || *at == '_')
                at++;
        if (at == env[i] || *at != '=')
            return error_set(err, RT_E_INVAL, 0,
                             "env[%zu]: '%.100s' does not begin with a shell variable's name and =", i, env[i]);
    }
    return RT_OK;
}
