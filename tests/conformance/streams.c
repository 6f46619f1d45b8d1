/* Contract X2, X4, X10 and X11: what goes into a command and what comes out of it. */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#define MIB ((size_t)1 << 20)

/* Whether data is the probe's pattern from its start; see pattern_write() in probe/main.c. */
static bool pattern_is(const char *data, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = i / 8 * UINT64_C(0x9E3779B97F4A7C15) + seed;

        if (memcmp(data + i, &word, len - i < 8 ? len - i : 8) != 0)
            return false;
    }
    return true;
}

static void box_with_probe(void)
{
    probe_install();
    BOX_UP("box", WRITE_ALL, PROBE_RULE);
}

CONFORMANCE_TEST(streams, X2_apart_and_byte_exact)
{
    const struct run *r;

    HOST_MUST(tree_put_bytes(fx.codebase, "bytes", "a\0b\xff\xfe\r\n\n\0", 9));
    BOX_UP("box", WRITE_ALL);
    r = sh("box", "cat bytes; echo err >&2; cat bytes >&2");
    cr_expect(r->out_len == 9 && !memcmp(r->out, "a\0b\xff\xfe\r\n\n\0", 10), "%s", run_describe(r));
    cr_expect(r->err_len == 13 && !memcmp(r->err, "err\na\0b\xff\xfe\r\n\n\0", 14), "%s", run_describe(r));
    r = sh("box", "true");
    cr_expect(r->out_len == 0 && r->err_len == 0 && r->out[0] == '\0' && r->err[0] == '\0');
    EXPECT_RUN(sh("box", "printf 'no newline'"), 0, "no newline");
}

/* The cap's own neighbourhood, and sizes around what pipes and buffers hold. */
CONFORMANCE_TEST(streams, X2_sizes)
{
    static const size_t sizes[] = { 1, 4095, 4096, 4097, 65535, 65536, 65537, 1048577, 5000003 };

    box_with_probe();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char text[32];
        const struct run *r;

        snprintf(text, sizeof text, "%zu", sizes[i]);
        r = run_argv("box", ARGV(PROBE, "pattern", text, text));
        cr_expect(r->status == RT_OK && r->code == 0 && r->flags == 0, "%s", run_describe(r));
        cr_expect(r->out_len == sizes[i] && pattern_is(r->out, r->out_len, 1), "%zu of %zu", r->out_len, sizes[i]);
        cr_expect(r->err_len == sizes[i] && pattern_is(r->err, r->err_len, 2), "%zu of %zu", r->err_len, sizes[i]);
    }
}

CONFORMANCE_TEST(streams, X2_sixty_four_mib_on_both_at_once)
{
    const struct run *r;

    box_with_probe();
    r = run_request("box", REQUEST(.argv = ARGV(PROBE, "pattern", "67108864", "67108864"), .max_output_bytes = 64 * MIB,
                                   .timeout_ms = 100000));
    cr_expect(r->status == RT_OK && r->code == 0 && r->flags == 0, "flags %#x", (unsigned)r->flags);
    cr_expect(r->out_len == 64 * MIB && pattern_is(r->out, r->out_len, 1), "%zu", r->out_len);
    cr_expect(r->err_len == 64 * MIB && pattern_is(r->err, r->err_len, 2), "%zu", r->err_len);
}

CONFORMANCE_TEST(streams, X10_a_gib_with_a_cap_of_one_mib)
{
    const struct run *r;

    box_with_probe();
    r = run_request("box", REQUEST(.argv = ARGV(PROBE, "pattern", "1073741824", "5"), .max_output_bytes = MIB,
                                   .timeout_ms = 100000));
    cr_expect(r->status == RT_OK && r->code == 0 && r->signal == 0, "%s", r->message);
    cr_expect(r->flags == RT_RESULT_STDOUT_TRUNCATED, "flags %#x", (unsigned)r->flags);
    cr_expect(r->out_len == MIB && pattern_is(r->out, r->out_len, 1) && r->out[MIB] == '\0', "%zu", r->out_len);
    cr_expect(r->err_len == 5);
}

CONFORMANCE_TEST(streams, X10_caps_exactly)
{
    const struct run *r;

    box_with_probe();
    r = run_request("box", REQUEST(.argv = ARGV(PROBE, "pattern", "5000", "5001"), .max_output_bytes = 5000));
    cr_expect(r->status == RT_OK && r->out_len == 5000 && r->err_len == 5000, "%s", r->message);
    cr_expect(r->flags == RT_RESULT_STDERR_TRUNCATED, "flags %#x", (unsigned)r->flags);
    r = run_request("box", REQUEST(.shell = "printf xy", .max_output_bytes = 1));
    cr_expect(r->out_len == 1 && r->out[0] == 'x' && r->flags == RT_RESULT_STDOUT_TRUNCATED);
    r = run_argv("box", ARGV(PROBE, "pattern", "16777217")); /* the default cap and one byte */
    cr_expect(r->status == RT_OK && r->out_len == 16 * MIB && r->flags == RT_RESULT_STDOUT_TRUNCATED, "%zu",
              r->out_len);
    cr_expect(pattern_is(r->out, r->out_len, 1));
}

/* ---- stdin ----------------------------------------------------------------------------------------------------- */

CONFORMANCE_TEST(streams, X4_no_stdin_is_dev_null)
{
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "cat; echo $?; stat -L -c %%t:%%T /proc/self/fd/0"), 0, "0\n1:3\n");
    EXPECT_RUN(run_request("box", REQUEST(.argv = ARGV("cat"), .stdin_data = "", .stdin_len = 0)), 0, "");
}

CONFORMANCE_TEST(streams, X4_thirty_two_mib_through_cat)
{
    size_t len = 32 * MIB + 17;
    char *data = malloc(len);
    const struct run *r;

    HOST_MUST(data != NULL);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((i * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
    BOX_UP("box", WRITE_ALL);
    r = run_request("box", REQUEST(.argv = ARGV("cat"), .stdin_data = data, .stdin_len = len, .max_output_bytes = len,
                                   .timeout_ms = 100000));
    cr_expect(r->status == RT_OK && r->code == 0 && r->flags == 0, "%s flags %#x", r->message, (unsigned)r->flags);
    cr_expect(r->out_len == len && !memcmp(r->out, data, len), "%zu of %zu", r->out_len, len);
    free(data);
}

CONFORMANCE_TEST(streams, X4_stdin_bytes_and_its_end)
{
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    r = run_request("box", REQUEST(.shell = "cat; echo end", .stdin_data = "a\0\xff\n", .stdin_len = 4));
    cr_expect(r->out_len == 8 && !memcmp(r->out, "a\0\xff\nend\n", 8), "%s", run_describe(r));
    EXPECT_RUN(run_request("box", REQUEST(.shell = "read a; read b; echo \"$b-$a\"", .stdin_data = "one\ntwo\n",
                                          .stdin_len = 8)),
               0, "two-one\n");
}

/* A host with SIGPIPE at its default must survive a command that does not read what it is given. */
CONFORMANCE_TEST(streams, X4_stdin_that_nobody_reads)
{
    static char data[4 << 20];
    const struct run *r;

    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(run_request("box", REQUEST(.shell = "exec <&-; sleep 1; echo closed", .stdin_data = data,
                                          .stdin_len = sizeof data)),
               0, "closed\n");
    EXPECT_RUN(run_request("box", REQUEST(.argv = ARGV("true"), .stdin_data = data, .stdin_len = sizeof data)), 0, "");
    r = run_request("box", REQUEST(.argv = ARGV("head", "-c", "10"), .stdin_data = data, .stdin_len = sizeof data));
    cr_expect(r->status == RT_OK && r->code == 0 && r->out_len == 10, "%s", run_describe(r));
    EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("box", REQUEST(.argv = ARGV("sleep", "100"), .stdin_data = data,
                                                               .stdin_len = sizeof data, .timeout_ms = 300)));
    EXPECT_RUN(sh("box", "echo well"), 0, "well\n");
}

/* A child that keeps stdin open does not keep its command's result. */
CONFORMANCE_TEST(streams, X4_stdin_held_by_a_child)
{
    static char data[4 << 20];

    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(run_request("box", REQUEST(.shell = "exec 3<&0; (sleep 30 <&3 &); echo done", .stdin_data = data,
                                          .stdin_len = sizeof data)),
               0, "done\n");
}

/* ---- exec_stream ----------------------------------------------------------------------------------------------- */

/* Bytes that grow; data is NULL before the first, and has a NUL behind the last. */
struct bytes {
    char *data;
    size_t len, cap;
};

static void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    if (bytes->len + len + 1 > bytes->cap) {
        bytes->cap = (bytes->len + len + 1) * 2;
        bytes->data = realloc(bytes->data, bytes->cap);
        if (!bytes->data)
            abort();
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    bytes->data[bytes->len] = '\0';
}

/* What a callback was given. */
struct sink {
    struct bytes out, err;
    size_t chunks;
    int pause_ms;      /* before it returns */
    size_t stop_after; /* says no once it has so many bytes of stdout; 0 = never */
    const char *inner; /* the first call runs a command by itself */
    bool inner_ok;
};

static int32_t sink_take(void *user, int32_t stream, const void *data, size_t len)
{
    struct sink *sink = user;

    if (sink->inner && sink->chunks == 0)
        sink->inner_ok = run_is(run_request("box", REQUEST(.shell = sink->inner)), 0, "inner\n");
    sink->chunks++;
    bytes_add(stream == RT_STDOUT ? &sink->out : &sink->err, data, len);
    if (sink->pause_ms)
        sleep_ms(sink->pause_ms);
    return !sink->stop_after || sink->out.len < sink->stop_after;
}

static void sink_release(struct sink *sink)
{
    free(sink->out.data);
    free(sink->err.data);
}

static int32_t stream_run(struct sink *sink, const rt_exec_request *req, rt_exit *ret)
{
    return fx.ops->exec_stream(fx.rt, "box", req, sink_take, sink, CALL, ret);
}

CONFORMANCE_TEST(streams, X2_streamed)
{
    struct sink sink = { 0 }, large = { 0 };
    rt_exit how = RT_EXIT_INIT;

    NEED(RT_CAP_STREAM);
    box_with_probe();
    EXPECT_STATUS(RT_OK, stream_run(&sink, REQUEST(.shell = "echo a; echo b >&2; exit 3"), &how));
    cr_expect(sink.out.data && sink.err.data && !strcmp(sink.out.data, "a\n") && !strcmp(sink.err.data, "b\n") &&
              how.exit_code == 3);
    EXPECT_STATUS(RT_OK,
                  stream_run(&large,
                             REQUEST(.argv = ARGV(PROBE, "pattern", "100000000", "3000000"), .timeout_ms = RT_FOREVER),
                             &how));
    cr_expect(large.out.len == 100000000 && pattern_is(large.out.data, large.out.len, 1), "%zu", large.out.len);
    cr_expect(large.err.len == 3000000 && pattern_is(large.err.data, large.err.len, 2), "%zu", large.err.len);
    cr_expect(how.exit_code == 0 && how.duration_ns > 0);
    EXPECT_STATUS(RT_OK, stream_run(&sink, REQUEST(.shell = "true"), NULL));
    sink_release(&sink);
    sink_release(&large);
}

/* Output is there before the command ends: the command waits for what the callback does with it. */
CONFORMANCE_TEST(streams, X11_output_appears_at_once)
{
    struct sink sink = { .inner = "touch go; echo inner" };
    rt_exit how = RT_EXIT_INIT;

    NEED(RT_CAP_STREAM);
    BOX_UP("box", WRITE_ALL);
    EXPECT_STATUS(
        RT_OK, stream_run(&sink, REQUEST(.shell = "echo first; until [ -e go ]; do sleep 1; done; echo last"), &how));
    cr_expect(sink.inner_ok, "an op called from the callback failed");
    cr_expect(sink.out.data && !strcmp(sink.out.data, "first\nlast\n"), "%s", sink.out.data);
    sink_release(&sink);
}

CONFORMANCE_TEST(streams, X11_a_slow_reader)
{
    struct sink sink = { .pause_ms = 20 };
    rt_exit how = RT_EXIT_INIT;

    NEED(RT_CAP_STREAM);
    box_with_probe();
    EXPECT_STATUS(RT_OK, stream_run(&sink, REQUEST(.argv = ARGV(PROBE, "pattern", "3000000")), &how));
    cr_expect(sink.out.len == 3000000 && pattern_is(sink.out.data, sink.out.len, 1), "%zu", sink.out.len);
    sink_release(&sink);
}

struct stalled {
    pthread_t thread;
    pthread_barrier_t there, go;
    int calls;
    int32_t status;
};

static int32_t stalled_take(void *user, int32_t stream, const void *data, size_t len)
{
    struct stalled *me = user;

    (void)stream;
    (void)data;
    (void)len;
    if (me->calls++ == 0) {
        pthread_barrier_wait(&me->there);
        pthread_barrier_wait(&me->go);
    }
    return 1;
}

static void *stalled_run(void *arg)
{
    struct stalled *me = arg;

    me->status = fx.ops->exec_stream(fx.rt, "box", REQUEST(.shell = "head -c 3000000 /dev/zero; touch all-written"),
                                     stalled_take, me, NULL, NULL);
    return NULL;
}

/* While a callback does not return, its command is held back, and nothing else is. */
CONFORMANCE_TEST(streams, X11_a_stalled_reader_stalls_nobody_else)
{
    struct stalled stalled = { 0 };

    NEED(RT_CAP_STREAM);
    pthread_barrier_init(&stalled.there, NULL, 2);
    pthread_barrier_init(&stalled.go, NULL, 2);
    BOX_UP("box", WRITE_ALL);
    HOST_MUST(pthread_create(&stalled.thread, NULL, stalled_run, &stalled) == 0);
    pthread_barrier_wait(&stalled.there);
    for (int i = 0; i < 10; i++)
        EXPECT_RUN(sh("box", "echo flows"), 0, "flows\n");
    BOX_UP("other", WRITE_ALL);
    EXPECT_RUN(sh("other", "echo too"), 0, "too\n");
    sleep_ms(500);
    cr_expect(!tree_exists(fx.codebase, "all-written"), "somebody buffers without bound");
    pthread_barrier_wait(&stalled.go);
    pthread_join(stalled.thread, NULL);
    cr_expect(stalled.status == RT_OK && tree_exists(fx.codebase, "all-written"));
}

CONFORMANCE_TEST(streams, X11_a_callback_that_says_no)
{
    struct sink sink = { .stop_after = 10000 };
    const char *marker = marker_new();
    rt_exit how = RT_EXIT_INIT;
    char text[128];

    NEED(RT_CAP_STREAM);
    BOX_UP("box", WRITE_ALL);
    snprintf(text, sizeof text, "(setsid sleep %s &); while :; do echo line; done; : %s", marker, marker);
    EXPECT_STATUS(RT_E_CANCELLED,
                  stream_run(&sink, REQUEST(.shell = text, .timeout_ms = RT_FOREVER, .grace_ms = 300), &how));
    cr_expect(sink.out.len >= 10000 && (how.flags & RT_RESULT_TIMED_OUT));
    cr_expect(proc_count(marker, NULL) == 0, "it lives on");
    sink_release(&sink);
}

CONFORMANCE_TEST(streams, X7_streamed_timeout)
{
    struct sink sink = { 0 };
    const char *marker = marker_new();
    rt_exit how = RT_EXIT_INIT;
    char text[128];

    NEED(RT_CAP_STREAM);
    BOX_UP("box", WRITE_ALL);
    snprintf(text, sizeof text, "(setsid sleep %s &); echo so far; sleep %s", marker, marker);
    EXPECT_STATUS(RT_E_TIMEOUT, stream_run(&sink, REQUEST(.shell = text, .timeout_ms = ENOUGH_MS), &how));
    cr_expect(sink.out.data && !strcmp(sink.out.data, "so far\n") && (how.flags & RT_RESULT_TIMED_OUT));
    cr_expect(proc_count(marker, NULL) == 0, "it lives on");
    sink_release(&sink);
}

/* ---- process_spawn --------------------------------------------------------------------------------------------- */

/* Starts it and polls its exit_fd, as a host's event loop does; returns what process_wait() then says at once. */
static rt_exit spawn_and_poll(const rt_exec_request *req, rt_process **ret)
{
    rt_exit how = RT_EXIT_INIT;
    struct pollfd pfd = { .events = POLLIN };
    int32_t status = fx.ops->process_spawn(fx.rt, "box", req, CALL, ret);

    cr_assert(status == RT_OK, "process_spawn: %s: %s", status_name(status), fx.call.error.message);
    pfd.fd = (*ret)->exit_fd;
    cr_assert(poll(&pfd, 1, HANG_MS) == 1, "exit_fd never became readable");
    fixture_call()->deadline_ns = 1; /* long past: waiting is not needed any more */
    status = fx.ops->process_wait(fx.rt, *ret, &fx.call, &how);
    cr_expect(status == RT_OK, "process_wait: %s: %s", status_name(status), fx.call.error.message);
    cr_expect(poll(&pfd, 1, 0) == 1, "exit_fd is not readable any more");
    return how;
}

CONFORMANCE_TEST(streams, X3_exit_fd_tells_of_every_end)
{
    rt_process *process;
    rt_exit how;

    NEED(RT_CAP_PROCESS);
    box_with_probe();
    how = spawn_and_poll(REQUEST(.shell = "exit 7"), &process);
    cr_expect(how.exit_code == 7);
    fx.ops->process_release(fx.rt, process);
    how = spawn_and_poll(REQUEST(.argv = ARGV("/no/such/program")), &process);
    cr_expect(how.exit_code == 127);
    cr_expect(fx.ops->process_signal(fx.rt, process, SIGTERM, CALL) == RT_E_NOT_RUNNING);
    fx.ops->process_release(fx.rt, process);
}

CONFORMANCE_TEST(streams, X4_null_stdin_of_a_process)
{
    rt_process *process;
    char text[64] = "";

    NEED(RT_CAP_PROCESS);
    box_with_probe();
    spawn_and_poll(REQUEST(.shell = "readlink /proc/self/fd/0", .flags = RT_EXEC_NULL_STDIN), &process);
    cr_expect(process->stdin_fd == -1);
    cr_assert(read(process->stdout_fd, text, sizeof text - 1) > 0);
    cr_expect(!strcmp(text, "/dev/null\n"), "%s", text);
    fx.ops->process_release(fx.rt, process);
}
