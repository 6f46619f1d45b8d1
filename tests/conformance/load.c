/* Contract X2, X11 and X12 under load: many commands at once, streams without end, readers that are not there. */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#define AT_ONCE 500

/* Each says that it is there, and waits on a pipe that nobody writes to. */
static void *held_command(void *number)
{
    char text[160], want[16];
    const struct run *r;

    snprintf(text, sizeof text, "echo %d >>arrived; read -r x <gate; echo %d", *(int *)number, *(int *)number);
    snprintf(want, sizeof want, "%d\n", *(int *)number);
    r = run_request("box", REQUEST(.shell = text, .timeout_ms = 200000));
    cr_expect(run_is(r, 0, want), "%s", run_describe(r));
    return NULL;
}

/* Opens the pipe for whoever waits at it, also for those that come late. */
static void *gate_keeper(void *unused)
{
    (void)unused;
    EXPECT_RUN(
        run_request("box", REQUEST(.shell = "until [ -e done ]; do : 4<>gate; sleep 0.1; done", .timeout_ms = 200000)),
        0, "");
    return NULL;
}

static size_t lines_of(const char *path)
{
    char *text = tree_read(fx.codebase, path, NULL);
    size_t n = 0;

    for (char *at = text; at && *at; at++)
        n += *at == '\n';
    free(text);
    return n;
}

CONFORMANCE_TEST(load, X12_five_hundred_at_once)
{
    static int numbers[AT_ONCE];
    static pthread_t threads[AT_ONCE];
    pthread_attr_t small;
    pthread_t keeper;
    struct rlimit files;
    int64_t until;

    HOST_MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    HOST_MUST(setrlimit(RLIMIT_NOFILE, &files) == 0);
    HOST_MUST(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 << 10) == 0);
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "mkfifo gate"), 0, "");
    for (int i = 0; i < AT_ONCE; i++) {
        numbers[i] = i;
        HOST_MUST(pthread_create(&threads[i], &small, held_command, &numbers[i]) == 0);
    }
    for (until = now_ns() + INT64_C(150) * 1000000000; lines_of("arrived") < AT_ONCE && now_ns() < until;)
        sleep_ms(50);
    cr_expect(lines_of("arrived") == AT_ONCE, "%zu commands run at once", lines_of("arrived"));
    HOST_MUST(pthread_create(&keeper, NULL, gate_keeper, NULL) == 0);
    for (int i = 0; i < AT_ONCE; i++)
        pthread_join(threads[i], NULL);
    HOST_MUST(tree_put(fx.codebase, "done", ""));
    pthread_join(keeper, NULL);
    pthread_attr_destroy(&small);
    EXPECT_RUN(sh("box", "echo on"), 0, "on\n");
}

static int32_t count(void *user, int32_t stream, const void *data, size_t len)
{
    (void)stream, (void)data;
    *(uint64_t *)user += len;
    return 1;
}

CONFORMANCE_TEST_LONG(load, X2_five_gib_in_constant_memory)
{
    struct rusage before, after;
    uint64_t total = 0;

    BOX_UP("box", WRITE_ALL);
    HOST_MUST(getrusage(RUSAGE_SELF, &before) == 0);
    ASSERT_STATUS(RT_OK, fx.ops->exec_stream(fx.rt, "box",
                                             REQUEST(.shell = "head -c 5368709120 /dev/zero", .timeout_ms = RT_FOREVER),
                                             count, &total, CALL, NULL));
    HOST_MUST(getrusage(RUSAGE_SELF, &after) == 0);
    cr_expect(total == UINT64_C(5368709120), "%llu", (unsigned long long)total);
    cr_expect(after.ru_maxrss - before.ru_maxrss < 32 << 10, "%ld KiB more", after.ru_maxrss - before.ru_maxrss);
}

/* A terminal that nobody reads, with a child of its command that has the marker. */
static rt_process *terminal_without_a_reader(const char *marker)
{
    rt_process *process = NULL;
    char variable[64];

    BOX_UP("box", WRITE_ALL);
    snprintf(variable, sizeof variable, "MARKER=%s", marker); /* the sleep alone has it in its command line */
    ASSERT_STATUS(RT_OK, fx.ops->process_spawn(
                             fx.rt, "box",
                             REQUEST(.shell = "sleep $MARKER & exec yes", .env = ARGV(variable), .flags = RT_EXEC_TTY),
                             CALL, &process));
    cr_expect(proc_await(marker, 1, NULL) == 1);
    return process;
}

/* Its command stands still, and is ended all the same. */
CONFORMANCE_TEST(load, X11_a_terminal_without_a_reader)
{
    const char *marker = marker_new();
    rt_exit end = RT_EXIT_INIT;
    rt_process *process;

    NEED(RT_CAP_PROCESS | RT_CAP_TTY);
    process = terminal_without_a_reader(marker);
    EXPECT_RUN(sh("box", "echo on"), 0, "on\n");
    EXPECT_STATUS(RT_OK, fx.ops->process_signal(fx.rt, process, SIGKILL, CALL));
    EXPECT_STATUS(RT_OK, fx.ops->process_wait(fx.rt, process, CALL, &end));
    cr_expect(end.term_signal == SIGKILL, "signal %d, exit code %d", (int)end.term_signal, (int)end.exit_code);
    fx.ops->process_release(fx.rt, process);
    cr_expect(proc_await(marker, 0, NULL) == 0);
}

CONFORMANCE_TEST(load, X11_a_released_terminal_without_a_reader)
{
    const char *marker = marker_new();

    NEED(RT_CAP_PROCESS | RT_CAP_TTY);
    fx.ops->process_release(fx.rt, terminal_without_a_reader(marker));
    cr_expect(proc_await(marker, 0, NULL) == 0);
}

struct nap {
    int naps;
    uint64_t total;
};

static int32_t sleep_on_it(void *user, int32_t stream, const void *data, size_t len)
{
    struct nap *nap = user;

    (void)stream, (void)data;
    if (nap->naps++ < 5)
        sleep_ms(100);
    nap->total += len;
    return 1;
}

/* The command's timeout counts while the callback sleeps, and nothing that was written is lost. */
CONFORMANCE_TEST(load, X11_a_callback_that_sleeps)
{
    struct nap nap = { 0, 0 };
    rt_exit end = RT_EXIT_INIT;

    BOX_UP("box", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->exec_stream(fx.rt, "box", REQUEST(.shell = "head -c 3000000 /dev/zero; exit 3"),
                                             sleep_on_it, &nap, CALL, &end));
    cr_expect(nap.total == 3000000 && end.exit_code == 3, "%llu", (unsigned long long)nap.total);
}

/* All that was written to a terminal before the command's end is there, whoever still holds it. */
CONFORMANCE_TEST(load, X9_the_last_of_a_terminals_output)
{
    NEED(RT_CAP_TTY);
    BOX_UP("box", WRITE_ALL);
    for (int i = 0; i < 50; i++) {
        const struct run *r =
            run_request("box", REQUEST(.shell = "head -c 3000 /dev/zero | tr '\\0' x; echo end", .flags = RT_EXEC_TTY));

        cr_expect(r->status == RT_OK && r->out_len == 3005 && !strcmp(r->out + 3000, "end\r\n"), "%zu %s", r->out_len,
                  run_describe(r));
    }
    EXPECT_RUN(run_request("box", REQUEST(.shell = "trap '' HUP; { sleep 1; while echo more; do :; done; } & echo end",
                                          .flags = RT_EXEC_TTY)),
               0, "end\r\n");
}

static int32_t never_done(void *user, int32_t stream, const void *data, size_t len)
{
    (void)user, (void)stream, (void)data, (void)len;
    sleep_ms(5);
    return 1;
}

/* The deadline counts although there is always more to read. */
CONFORMANCE_TEST(load, X7_a_deadline_amid_output)
{
    rt_call call = RT_CALL_INIT;

    BOX_UP("box", WRITE_ALL);
    call.deadline_ns = now_ns() + INT64_C(300000000);
    EXPECT_STATUS(RT_E_TIMEOUT, fx.ops->exec_stream(fx.rt, "box", REQUEST(.shell = "yes", .timeout_ms = RT_FOREVER),
                                                    never_done, NULL, &call, NULL));
}
