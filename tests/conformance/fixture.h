/*
 * What the tests share: a plugin opened on a private state directory, a codebase, shorthand for sandboxes and
 * commands, and the guard that nothing is left when a test is over.
 */
#ifndef STOCKADE_CONFORMANCE_FIXTURE_H
#define STOCKADE_CONFORMANCE_FIXTURE_H

#include "host.h"
#include "proc.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One test's world; a process runs one test. */
struct fixture {
    char *dir;      /* everything of this test, removed at its end */
    char *state;    /* dir/state */
    char *codebase; /* dir/code */
    struct plugin plugin;
    const rt_ops *ops;   /* plugin.ops, or NULL when it is unloaded */
    rt_runtime *rt;      /* opened on state; a test that closes it sets it to NULL or opens another */
    rt_call call;        /* of the main thread, see CALL */
    uid_t owner;         /* of codebases */
    char secret[48];     /* the value of a variable that the host's environment has */
    size_t fds, threads; /* before the plugin was loaded */
    char *state_files;   /* in state after open */
};

extern struct fixture fx;

/*
 * Defines a test: `CONFORMANCE_TEST(suite, id_name) { ... }`, its name beginning with the contract's line. After the
 * body the guard checks that nothing is left; after a failed body fixture_end() only cleans up. One that hangs is ended
 * after five minutes; CONFORMANCE_TEST_LONG is for those that may need more on a busy machine.
 */
#define CONFORMANCE_TEST(suite, name, ...)      CONFORMANCE_TEST_WITHIN(300, suite, name, ##__VA_ARGS__)
#define CONFORMANCE_TEST_LONG(suite, name, ...) CONFORMANCE_TEST_WITHIN(3600, suite, name, ##__VA_ARGS__)
#define CONFORMANCE_TEST_WITHIN(seconds, suite, name, ...)                                                             \
    static void suite##_##name(void);                                                                                  \
    Test(suite, name, .init = fixture_begin, .fini = fixture_end, .timeout = (seconds), ##__VA_ARGS__)                 \
    {                                                                                                                  \
        suite##_##name();                                                                                              \
        fixture_check();                                                                                               \
    }                                                                                                                  \
    static void suite##_##name(void)

void fixture_begin(void);
void fixture_check(void); /* destroys all sandboxes, closes, unloads, and expects nothing to be left */
void fixture_end(void);

void fixture_close(void);  /* closes the runtime */
void fixture_reopen(void); /* closes it if it is open, and opens it again on the same state */
/* The same with more keys in the config, those of a JSON object; with one, value is JSON. */
void fixture_reopen_merged(const char *keys);
void fixture_reopen_with(const char *key, const char *value);
/* Whether the plugin's config has this key, by its default config. */
bool fixture_has_key(const char *key);

/* A test of what the plugin does not claim to do ends here, named with the reason. */
#define NEED(capability)                                                                                               \
    do {                                                                                                               \
        if (!(fx.plugin.info->capabilities & (capability)))                                                            \
            cr_skip_test("the plugin does not declare " #capability);                                                  \
    } while (0)

/* ---- calls ----------------------------------------------------------------------------------------------------- */

/* A fresh rt_call of the main thread, for one op: `fx.ops->get(fx.rt, id, CALL, &info)`. */
#define CALL fixture_call()
rt_call *fixture_call(void);

#define STATUS_IS(check, want, expr)                                                                                   \
    do {                                                                                                               \
        int32_t got_ = (expr);                                                                                         \
        check(got_ == (want), "%s: %s, wanted %s: %s", #expr, status_name(got_), status_name(want),                    \
              fx.call.error.message);                                                                                  \
    } while (0)
/* For ops given CALL: the message goes into the failure. */
#define EXPECT_STATUS(want, expr) STATUS_IS(cr_expect, want, expr)
#define ASSERT_STATUS(want, expr) STATUS_IS(cr_assert, want, expr)

/* The last error's message names something. */
#define EXPECT_NAMES(text)                                                                                             \
    cr_expect(strstr(fx.call.error.message, text), "the message should name '%s': %s", text, fx.call.error.message)

/* For what the host must be able to do, or the test says nothing. */
#define HOST_MUST(expr) cr_assert(expr, "%s: %s", #expr, strerror(errno))

/* ---- sandboxes ------------------------------------------------------------------------------------------------- */

#define RULE_OF(kind, what, may)                                                                                       \
    ((rt_rule){ .size = sizeof(rt_rule), .pattern = (what), .type = (kind), .permission = (may) })
#define GLOB(what, may)      RULE_OF(RT_RULE_GLOB, what, may)
#define DIRECTORY(what, may) RULE_OF(RT_RULE_DIRECTORY, what, may)
#define FILE_RULE(what, may) RULE_OF(RT_RULE_FILE, what, may)
#define WRITE_ALL            GLOB("**", RT_PERM_WRITE)
#define READ_ALL             GLOB("**", RT_PERM_READ)

/* The run's spec for a sandbox on fx.codebase: image and size set, no rules. */
rt_sandbox_spec box_spec(const char *id);
/* Creates and starts; the test ends if that fails. The codebase is given to fx.owner first. */
void box_up_spec(const rt_sandbox_spec *spec);
void box_up_rules(const char *id, const rt_rule *rules, size_t n);
#define RULES_COUNT(...) (sizeof((const rt_rule[]){ __VA_ARGS__ }) / sizeof(rt_rule))
#define BOX_UP(id, ...)  box_up_rules(id, (const rt_rule[]){ __VA_ARGS__ }, RULES_COUNT(__VA_ARGS__))
int32_t box_status(const char *id); /* by get(); -1 if there is none */

/* Puts the probe into the codebase as `.probe`, for rules that let it be read: before BOX_UP. */
void probe_install(void);
#define PROBE_RULE                                                                                                     \
    ((rt_rule){ .size = sizeof(rt_rule),                                                                               \
                .pattern = ".probe",                                                                                   \
                .type = RT_RULE_FILE,                                                                                  \
                .permission = RT_PERM_READ,                                                                            \
                .priority = 1000000 })
#define PROBE "./.probe"

/* ---- commands -------------------------------------------------------------------------------------------------- */

/* How an exec went. Lives until the test ends. out and err are never NULL. */
struct run {
    int32_t status;
    int32_t code, signal;
    uint32_t flags;
    size_t out_len, err_len;
    const char *out, *err;
    const char *message;
    rt_exec_result *result; /* NULL if there was none */
    rt_call call;
    struct run *next;
};

#define REQUEST(...) (&(const rt_exec_request){ .size = sizeof(rt_exec_request), __VA_ARGS__ })
#define ARGV(...)    ((const char *const[]){ __VA_ARGS__, NULL })

/*
 * None of these asserts, so that threads may use them too. call may be NULL: none but the error is wanted. Those that
 * take no request give the command HANG_MS.
 */
const struct run *run_call(const char *id, const rt_exec_request *req, const rt_call *call);
const struct run *run_request(const char *id, const rt_exec_request *req);
const struct run *run_argv(const char *id, const char *const *argv);
const struct run *sh(const char *id, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same in session `session` of sandbox "box". */
const struct run *session_call(const char *session, const rt_exec_request *req, const rt_call *call);
const struct run *in(const char *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *run_describe(const struct run *run); /* for failures; static storage of the thread */
int run_is(const struct run *run, int32_t code, const char *out);

/* A command of a sandbox's that runs in a thread of its own, without a timeout. */
struct runner {
    pthread_t thread;
    const char *sandbox, *shell; /* borrowed */
    const struct run *run;
};
void runner_start(struct runner *runner, const char *sandbox, const char *shell);
const struct run *runner_join(struct runner *runner);

/*
 * The timeout of a command that is to be ended by it and has something to do before, which a busy machine takes its
 * time for; and a grace that nothing needs which ends at the first word.
 */
#define ENOUGH_MS  3000
#define PATIENT_MS 20000

/* RT_OK with this exit code, and stdout is exactly this. */
#define EXPECT_RUN(expr, exit_code, text)                                                                              \
    do {                                                                                                               \
        const struct run *run_ = (expr);                                                                               \
        cr_expect(run_is(run_, exit_code, text), "%s\nwanted %d with \"%s\": %s", #expr, exit_code, text,              \
                  run_describe(run_));                                                                                 \
    } while (0)
#define EXPECT_RUN_STATUS(want, expr)                                                                                  \
    do {                                                                                                               \
        const struct run *run_ = (expr);                                                                               \
        cr_expect(run_->status == (want), "%s\nwanted %s: %s", #expr, status_name(want), run_describe(run_));          \
    } while (0)

/* System calls that the probe makes inside (probe/ops.c) and what each must answer: "ok" or an errno's name. */
struct op_case {
    const char *op, *want;
};
void ops_expect(const char *id, const struct op_case *cases, size_t n);
#define EXPECT_OPS(id, ...)                                                                                            \
    ops_expect(id, (const struct op_case[]){ __VA_ARGS__ },                                                            \
               sizeof((const struct op_case[]){ __VA_ARGS__ }) / sizeof(struct op_case))
/* What the probe answered to one op: "ok", an errno's name, or "" if the op is not in the run's output. */
const char *ops_result(const struct run *run, const char *op);

/* A child of this process by its name, which is how plugins run their helpers; the test ends if there is none. */
pid_t helper_pid(const char *name);

/* A number that no other process of this machine has on its command line, for sleep(1). */
const char *marker_new(void);
/* The command lines of all processes in the sandbox, a line each. */
const char *box_processes(const char *id);

/* Waits until dir/path is there, at most HANG_MS. */
bool tree_await(const char *dir, const char *path);

#endif
