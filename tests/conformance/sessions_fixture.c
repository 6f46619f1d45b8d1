#include "sessions.h"

#include <stdio.h>

const char *fx_shell;

static void session_up_spec(const rt_session_spec *spec)
{
    ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", spec, CALL, NULL));
}

void session_up(const char *id, const char *shell)
{
    session_up_spec(&(const rt_session_spec){ .size = sizeof(rt_session_spec), .id = id, .shell = shell });
}

void session_up_tty(const char *id, const char *shell, uint16_t rows, uint16_t cols)
{
    session_up_spec(&(const rt_session_spec){
        .size = sizeof(rt_session_spec), .id = id, .shell = shell, .flags = RT_EXEC_TTY, .rows = rows, .cols = cols });
}

void sessions_each(void (*body)(const char *session))
{
    /* busybox goes by the name that it is called by. */
    static const char *const shells[] = { "/bin/bash", "/bin/dash", "/bin/sh", "/workspace/ash" };
    char id[16];

    HOST_MUST(tree_symlink("/bin/busybox", fx.codebase, "ash"));
    BOX_UP("box", WRITE_ALL);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        const struct run *r = run_argv("box", ARGV("/bin/sh", "-c", "test -x \"$1\"", "sh", shells[i]));

        cr_assert(r->status == RT_OK, "%s", run_describe(r));
        if (r->code != 0)
            continue;
        fx_shell = shells[i];
        snprintf(id, sizeof id, "s%zu", i);
        session_up(id, shells[i]);
        body(id);
        /* What the test leaves in the workspace is not the next one's. */
        cr_assert(sh("box", "for f in * .[!.]*; do [ \"$f\" = ash ] || rm -rf \"$f\"; done")->code == 0);
    }
    cr_assert(fx_shell, "the sandbox has no shell");
}
