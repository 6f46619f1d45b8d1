/*
 * Contract R5: the pages that a user may have in pipes run out. The kernel then makes new pipes with room for two
 * packets (pipe(7), pipe-user-pages-soft), and nothing may rely on more.
 */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGE    4096
#define LITTLE  (2 * PAGE)
#define MUCH    (1 << 20)
#define LAST_FD 1000

/* Whose the sandbox's processes are on this machine. */
static uid_t box_uid(void)
{
    const char *marker = marker_new();
    char path[32];
    struct stat st;
    pid_t pid = 0;

    EXPECT_RUN(sh("box", "sleep %s >/dev/null 2>&1 &", marker), 0, "");
    cr_assert(proc_await(marker, 1, &pid) == 1);
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    HOST_MUST(stat(path, &st) == 0);
    return st.st_uid;
}

/* Makes pipes, as large as they may be, until there is next to no room in new ones. */
static bool pages_take(void)
{
    int pair[2] = { -1, -1 };

    while (pair[1] < LAST_FD && pipe2(pair, O_CLOEXEC) == 0) {
        if (fcntl(pair[1], F_GETPIPE_SZ) <= LITTLE)
            return true;
        (void)fcntl(pair[1], F_SETPIPE_SZ, MUCH);
    }
    return false;
}

static _Noreturn void hold(uid_t uid, int ready)
{
    bool held =
        (getuid() == uid || setresuid(uid, uid, uid) == 0) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && pages_take();

    if (write(ready, held ? "y" : "n", 1) == 1 && held)
        pause();
    _exit(1);
}

/* A process of that user which holds all the pages there are. */
static pid_t holder_start(uid_t uid)
{
    char answer = '\0';
    int ready[2];
    pid_t pid;

    HOST_MUST(pipe2(ready, O_CLOEXEC) == 0);
    pid = fork();
    HOST_MUST(pid >= 0);
    if (!pid)
        hold(uid, ready[1]);
    close(ready[1]);
    HOST_MUST(read(ready[0], &answer, 1) == 1);
    close(ready[0]);
    cr_assert(answer == 'y', "uid %d has room in pipes yet", (int)uid);
    return pid;
}

CONFORMANCE_TEST(exhaustion, R5_no_room_in_pipes)
{
    rt_sandbox_spec spec = box_spec("box");
    char id[16];
    pid_t holder;

    NEED(RT_CAP_SESSION);
    spec.rules = &WRITE_ALL;
    spec.n_rules = 1;
    if (geteuid() == 0)
        spec.user = "54321"; /* nobody else's pipes */
    box_up_spec(&spec);
    holder = holder_start(box_uid());
    for (int i = 0; i < 20; i++) {
        const rt_session_spec session = { .size = sizeof session, .id = id };

        snprintf(id, sizeof id, "s%d", i);
        ASSERT_STATUS(RT_OK, fx.ops->session_create(fx.rt, "box", &session, CALL, NULL));
        for (int n = 1; n <= 5; n++) {
            char text[8];

            snprintf(text, sizeof text, "%d\n", n);
            EXPECT_RUN(in(id, "n=$((n + 1)); echo $n"), 0, text);
        }
    }
    EXPECT_RUN(sh("box", "yes | head -n 100000 | wc -l"), 0, "100000\n");
    kill(holder, SIGKILL);
    HOST_MUST(waitpid(holder, NULL, 0) == holder);
}
