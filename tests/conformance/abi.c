/* The ABI's own rules (runtime_api.h): the tables, errors, calls, structs of other minors, and a plugin's manners. */
#include "fixture.h"

#include "options.h"

#include <cjson/cJSON.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

CONFORMANCE_TEST(abi, A1_plugin_description)
{
    const rt_plugin *info = fx.plugin.info;
    char *path = strdup(getenv(OPTION_PLUGIN)), want[64];

    cr_expect(info->abi_major == RT_ABI_MAJOR && info->size >= sizeof(rt_plugin));
    snprintf(want, sizeof want, "%s.so", info->name);
    cr_expect(!strcmp(basename(path), want), "the name is %s, the file %s", info->name, path);
    cr_expect(info->name[0] >= 'a' && info->name[0] <= 'z' && strlen(info->name) <= 32);
    cr_expect(strspn(info->name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(info->name));
    cr_expect(info->version && info->version[0] && info->summary && info->summary[0] && !strchr(info->summary, '\n'));
    if (info->abi_minor == RT_ABI_MINOR)
        cr_expect((info->capabilities & ~(RT_CAP_TTL * 2 - 1)) == 0, "unknown capabilities %#llx",
                  (unsigned long long)info->capabilities);
    free(path);
}

CONFORMANCE_TEST(abi, A1_every_op_is_there)
{
    const char *at = (const char *)fx.ops + offsetof(rt_ops, open);

    cr_assert(fx.ops->size >= sizeof(rt_ops), "%zu bytes, at least %zu wanted", fx.ops->size, sizeof(rt_ops));
    for (size_t i = 0; at < (const char *)fx.ops + sizeof(rt_ops); i++, at += sizeof(void (*)(void))) {
        void *op;

        memcpy(&op, at, sizeof op);
        cr_expect(op != NULL, "op %zu is missing", i);
    }
}

/* The default config is the config: it opens, and it has the schema's keys, no more and no fewer. */
CONFORMANCE_TEST(abi, A1_schema_and_default_config)
{
    cJSON *schema = cJSON_Parse(fx.plugin.info->config_schema), *config = cJSON_Parse(fx.plugin.info->default_config);
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties"), *item;
    rt_runtime *rt = NULL;
    char state[4096];

    cr_assert(cJSON_IsObject(schema) && cJSON_IsObject(config) && cJSON_IsObject(properties));
    cJSON_ArrayForEach (item, properties)
        cr_expect(cJSON_HasObjectItem(config, item->string), "%s", item->string);
    cJSON_ArrayForEach (item, config)
        cr_expect(cJSON_HasObjectItem(properties, item->string), "%s", item->string);
    snprintf(state, sizeof state, "%s/other", fx.dir);
    ASSERT_STATUS(RT_OK, plugin_open(&fx.plugin, state, fx.plugin.info->default_config, CALL, &rt));
    fx.ops->close(rt);
    cJSON_Delete(schema);
    cJSON_Delete(config);
}

/* ---- errors ---------------------------------------------------------------------------------------------------- */

/* An error names its op and says something in one line; ret is left alone. */
static void error_expect(int32_t got, int32_t want, const char *op, const void *ret, const void *untouched)
{
    const rt_error *error = &fx.call.error;

    cr_expect(got == want, "%s: %s, wanted %s: %s", op, status_name(got), status_name(want), error->message);
    cr_expect(error->status == got && !strcmp(error->op, op), "the error says %s of '%s', the op %s was %s",
              status_name(error->status), error->op, op, status_name(got));
    cr_expect(error->message[0] && !strchr(error->message, '\n'), "%s: '%s'", op, error->message);
    cr_expect(ret == untouched, "%s wrote ret although it failed", op);
}

#define MARK ((void *)fx.state)

/* Every op that takes a sandbox, given one that there is not. */
CONFORMANCE_TEST(abi, A2_sandbox_not_found)
{
    const rt_ops *ops = fx.ops;
    const int32_t want = RT_E_SANDBOX_NOT_FOUND;
    const rt_rule rule = WRITE_ALL;
    rt_sandbox_info *info = MARK;
    rt_exec_result *result = MARK;

    error_expect(ops->get(fx.rt, "absent", CALL, &info), want, "get", info, MARK);
    error_expect(ops->start(fx.rt, "absent", CALL), want, "start", NULL, NULL);
    error_expect(ops->stop(fx.rt, "absent", CALL), want, "stop", NULL, NULL);
    error_expect(ops->destroy(fx.rt, "absent", CALL), want, "destroy", NULL, NULL);
    EXPECT_NAMES("absent");
    error_expect(ops->exec(fx.rt, "absent", REQUEST(.shell = "true"), CALL, &result), want, "exec", result, MARK);
    if (fx.plugin.info->capabilities & RT_CAP_RULES_UPDATE)
        error_expect(ops->rules_update(fx.rt, "absent", &rule, 1, CALL), want, "rules_update", NULL, NULL);
}

static int32_t output_ignore(void *user, int32_t stream, const void *data, size_t len)
{
    (void)user;
    (void)stream;
    (void)data;
    (void)len;
    return 1;
}

#define UNSUPPORTED(capability, op, name, ret)                                                                         \
    do {                                                                                                               \
        if (!(fx.plugin.info->capabilities & (capability)))                                                            \
            error_expect(op, RT_E_UNSUPPORTED, name, ret, (ret) ? MARK : NULL);                                        \
    } while (0)

/* What a plugin does not claim to do says so, on a sandbox that runs. */
CONFORMANCE_TEST(abi, A2_missing_capabilities_answer_unsupported)
{
    const rt_ops *ops = fx.ops;
    const rt_session_spec session_spec = { .size = sizeof session_spec };
    const rt_rule rule = WRITE_ALL;
    const rt_exec_request *req = REQUEST(.shell = "true");
    rt_session_info *session = MARK;
    rt_session_list *sessions = MARK;
    rt_exec_result *result = MARK;
    rt_process *process = MARK;
    rt_changes *changes = MARK;
    rt_stats *stats = MARK;
    rt_exit how = RT_EXIT_INIT;

    BOX_UP("box", WRITE_ALL);
    UNSUPPORTED(RT_CAP_STREAM, ops->exec_stream(fx.rt, "box", req, output_ignore, NULL, CALL, &how), "exec_stream",
                NULL);
    UNSUPPORTED(RT_CAP_SESSION, ops->session_create(fx.rt, "box", &session_spec, CALL, &session), "session_create",
                session);
    UNSUPPORTED(RT_CAP_SESSION, ops->session_destroy(fx.rt, "box", "s", CALL), "session_destroy", NULL);
    UNSUPPORTED(RT_CAP_SESSION, ops->session_get(fx.rt, "box", "s", CALL, &session), "session_get", session);
    UNSUPPORTED(RT_CAP_SESSION, ops->session_list(fx.rt, "box", CALL, &sessions), "session_list", sessions);
    UNSUPPORTED(RT_CAP_SESSION, ops->session_exec(fx.rt, "box", "s", req, CALL, &result), "session_exec", result);
    UNSUPPORTED(RT_CAP_SESSION, ops->session_exec_stream(fx.rt, "box", "s", req, output_ignore, NULL, CALL, &how),
                "session_exec_stream", NULL);
    UNSUPPORTED(RT_CAP_PROCESS, ops->process_spawn(fx.rt, "box", req, CALL, &process), "process_spawn", process);
    UNSUPPORTED(RT_CAP_RULES_UPDATE, ops->rules_update(fx.rt, "box", &rule, 1, CALL), "rules_update", NULL);
    UNSUPPORTED(RT_CAP_DELTA, ops->changes_list(fx.rt, "box", CALL, &changes), "changes_list", changes);
    UNSUPPORTED(RT_CAP_DELTA, ops->changes_commit(fx.rt, "box", NULL, CALL, &changes), "changes_commit", changes);
    UNSUPPORTED(RT_CAP_DELTA, ops->changes_discard(fx.rt, "box", NULL, CALL), "changes_discard", NULL);
    UNSUPPORTED(RT_CAP_PAUSE, ops->pause(fx.rt, "box", CALL), "pause", NULL);
    UNSUPPORTED(RT_CAP_PAUSE, ops->resume(fx.rt, "box", CALL), "resume", NULL);
    UNSUPPORTED(RT_CAP_STATS, ops->stats(fx.rt, "box", CALL, &stats), "stats", stats);
    if (!(fx.plugin.info->capabilities & RT_CAP_TTY))
        EXPECT_RUN_STATUS(RT_E_UNSUPPORTED, run_request("box", REQUEST(.shell = "true", .flags = RT_EXEC_TTY)));
}

CONFORMANCE_TEST(abi, A2_success_clears_the_error)
{
    rt_sandbox_spec spec = box_spec("box");

    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    fx.call.error.status = RT_E_INTERNAL;
    fx.call.error.sys_errno = 5;
    strcpy(fx.call.error.message, "stale");
    cr_expect(fx.ops->start(fx.rt, "box", &fx.call) == RT_OK);
    cr_expect(fx.call.error.status == RT_OK && fx.call.error.sys_errno == 0 && !fx.call.error.message[0]);
}

/* Nobody has to ask for details, nor for what an op returns where that is optional. */
CONFORMANCE_TEST(abi, A2_null_call)
{
    rt_sandbox_spec spec = box_spec("box");
    rt_sandbox_info *info = NULL;
    rt_sandbox_list *list = NULL;
    rt_exec_result *result = NULL;
    rt_probe *probe = NULL;
    const rt_ops *ops = fx.ops;

    cr_expect(ops->create(fx.rt, &spec, NULL, NULL) == RT_OK && ops->create(fx.rt, &spec, NULL, NULL) == RT_E_EXISTS);
    cr_expect(ops->start(fx.rt, "box", NULL) == RT_OK && ops->start(fx.rt, "box", NULL) == RT_E_ALREADY_RUNNING);
    cr_expect(ops->exec(fx.rt, "box", REQUEST(.shell = "true"), NULL, &result) == RT_OK);
    cr_expect(ops->get(fx.rt, "box", NULL, &info) == RT_OK && ops->list(fx.rt, NULL, &list) == RT_OK);
    cr_expect(ops->probe(fx.rt, NULL, &probe) == RT_OK);
    cr_expect(ops->stop(fx.rt, "box", NULL) == RT_OK && ops->stop(fx.rt, "box", NULL) == RT_E_NOT_RUNNING);
    cr_expect(ops->destroy(fx.rt, "box", NULL) == RT_OK &&
              ops->get(fx.rt, "box", NULL, &info) == RT_E_SANDBOX_NOT_FOUND);
    ops->sandbox_info_free(info);
    ops->sandbox_list_free(list);
    ops->exec_result_free(result);
    ops->probe_free(probe);
    fixture_close();
    cr_expect(plugin_open(&fx.plugin, fx.state, "{\"no_such_key\": 1}", NULL, &fx.rt) == RT_E_CONFIG && !fx.rt);
}

CONFORMANCE_TEST(abi, A2_freeing_nothing_and_after_close)
{
    rt_sandbox_list *list = NULL;
    const rt_ops *ops = fx.ops;

    ops->close(NULL);
    ops->probe_free(NULL);
    ops->sandbox_info_free(NULL);
    ops->sandbox_list_free(NULL);
    ops->exec_result_free(NULL);
    ops->session_info_free(NULL);
    ops->session_list_free(NULL);
    ops->changes_free(NULL);
    ops->stats_free(NULL);
    ops->process_release(fx.rt, NULL);
    ASSERT_STATUS(RT_OK, ops->list(fx.rt, CALL, &list));
    fixture_close();
    cr_expect(list->n == 0);
    ops->sandbox_list_free(list);
}

CONFORMANCE_TEST(abi, A2_probe)
{
    rt_probe *probe = NULL;

    ASSERT_STATUS(RT_OK, fx.ops->probe(fx.rt, CALL, &probe));
    cr_assert(probe->n_checks > 0);
    cr_expect(probe->usable == 1 && probe->backend_version, "the probe says that the plugin cannot work here");
    for (size_t i = 0; i < probe->n_checks; i++) {
        const rt_check *check = probe->checks[i];

        cr_expect(check->name && check->name[0] && check->detail && check->remedy, "check %zu", i);
        cr_expect(check->result == RT_CHECK_OK || check->remedy[0], "%s: no remedy for: %s", check->name,
                  check->detail);
        cr_expect(check->result != RT_CHECK_FAIL, "%s: %s: %s", check->name, check->detail, check->remedy);
    }
    fx.ops->probe_free(probe);
}

/* ---- deadlines and cancelling ---------------------------------------------------------------------------------- */

/* Every op whose call is over before it begins, with this status. The sandbox can still be handled. */
static void calls_expect(int32_t want, int64_t deadline_ns, int32_t cancel_fd)
{
    const rt_ops *ops = fx.ops;
    rt_sandbox_spec spec = box_spec("late");
    rt_sandbox_info *info = NULL;
    rt_sandbox_list *list = NULL;
    rt_exec_result *result = NULL;
    rt_probe *probe = NULL;
    rt_runtime *rt = NULL;
    int32_t (*const by_id[])(rt_runtime *, const char *, rt_call *) = { ops->stop, ops->destroy };

#define OVER (fixture_call()->deadline_ns = deadline_ns, fx.call.cancel_fd = cancel_fd, &fx.call)
    error_expect(plugin_open(&fx.plugin, fx.state, NULL, OVER, &rt), want, "open", rt, NULL);
    ops->close(rt);
    error_expect(ops->probe(fx.rt, OVER, &probe), want, "probe", probe, NULL);
    ops->probe_free(probe);
    error_expect(ops->create(fx.rt, &spec, OVER, NULL), want, "create", NULL, NULL);
    cr_expect(box_status("late") == -1, "made all the same");
    error_expect(ops->get(fx.rt, "box", OVER, &info), want, "get", info, NULL);
    ops->sandbox_info_free(info);
    error_expect(ops->list(fx.rt, OVER, &list), want, "list", list, NULL);
    ops->sandbox_list_free(list);
    EXPECT_STATUS(want, ops->exec(fx.rt, "box", REQUEST(.shell = "touch ran; sleep 100"), OVER, &result));
    ops->exec_result_free(result);
    for (size_t i = 0; i < sizeof by_id / sizeof *by_id; i++)
        EXPECT_STATUS(want, by_id[i](fx.rt, "box", OVER));
    EXPECT_STATUS(want, ops->start(fx.rt, "pending", OVER));
    cr_expect(box_status("pending") != RT_SANDBOX_RUNNING);
    EXPECT_STATUS(RT_OK, ops->start(fx.rt, "pending", CALL));
    EXPECT_STATUS(RT_OK, ops->destroy(fx.rt, "pending", CALL));
#undef OVER
}

CONFORMANCE_TEST(abi, A3_deadline_in_the_past)
{
    rt_sandbox_spec spec = box_spec("pending");

    BOX_UP("box", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    calls_expect(RT_E_TIMEOUT, 1, -1);
}

CONFORMANCE_TEST(abi, A3_cancelled_before_it_begins)
{
    int fd = eventfd(1, EFD_CLOEXEC);
    rt_sandbox_spec spec = box_spec("pending");

    BOX_UP("box", WRITE_ALL);
    ASSERT_STATUS(RT_OK, fx.ops->create(fx.rt, &spec, CALL, NULL));
    calls_expect(RT_E_CANCELLED, 0, fd);
    close(fd);
}

/* ---- hosts of another minor ------------------------------------------------------------------------------------ */

/* What lies beyond a struct's size is not read, whatever is there. */
CONFORMANCE_TEST(abi, A4_older_structs)
{
    rt_sandbox_spec spec = box_spec("box");
    rt_exec_request req = { .size = offsetof(rt_exec_request, env), .shell = "echo $TEST_A; cat; pwd" };
    rt_exec_result *result = NULL;

    HOST_MUST(tree_put(fx.codebase, "file", "x"));
    spec.size = offsetof(rt_sandbox_spec, rules);
    spec.rules = (const rt_rule *)(uintptr_t)8;
    spec.n_rules = 99;
    spec.limits = (const rt_limits *)(uintptr_t)8;
    spec.lifetime = 77;
    spec.flags = ~0u;
    spec.timeout_ms = -99;
    box_up_spec(&spec);
    req.env = (const char *const *)(uintptr_t)8;
    req.cwd = (const char *)(uintptr_t)8;
    req.stdin_data = (const void *)(uintptr_t)8;
    req.stdin_len = 99;
    req.timeout_ms = 1;
    ASSERT_STATUS(RT_OK, fx.ops->exec(fx.rt, "box", &req, CALL, &result));
    cr_expect(!strcmp(result->stdout_data, "\n/workspace\n"), "%s", result->stdout_data);
    fx.ops->exec_result_free(result);
    EXPECT_RUN(sh("box", "ls -A"), 0, "");
}

/* A newer host's larger elements have a larger stride. */
CONFORMANCE_TEST(abi, A4_newer_structs)
{
    struct {
        rt_rule rule;
        char more[40];
    } rules[3];
    struct {
        rt_label label;
        uint64_t more[3];
    } labels[2];
    rt_sandbox_spec spec = box_spec("box");
    rt_sandbox_info *info = NULL;

    memset(rules, 0xff, sizeof rules);
    memset(labels, 0xff, sizeof labels);
    rules[0].rule = WRITE_ALL;
    rules[1].rule = GLOB("hidden", RT_PERM_NONE);
    rules[2].rule = GLOB("read", RT_PERM_READ);
    for (int i = 0; i < 3; i++)
        rules[i].rule.size = sizeof rules[0];
    labels[0].label = (rt_label){ sizeof labels[0], "a", "1" };
    labels[1].label = (rt_label){ sizeof labels[0], "b", "2" };
    HOST_MUST(tree_put(fx.codebase, "hidden", "x") && tree_put(fx.codebase, "read", "x"));
    spec.rules = &rules[0].rule;
    spec.n_rules = 3;
    spec.labels = &labels[0].label;
    spec.n_labels = 2;
    box_up_spec(&spec);
    EXPECT_RUN(sh("box", "ls -A; echo y 2>/dev/null > read || echo refused"), 0, "read\nrefused\n");
    ASSERT_STATUS(RT_OK, fx.ops->get(fx.rt, "box", CALL, &info));
    cr_expect(info->n_labels == 2 && !strcmp(info->labels[1]->value, "2"));
    fx.ops->sandbox_info_free(info);
}

/* A caller with a shorter rt_call or rt_error gets what fits, if anything, and not a byte more. */
CONFORMANCE_TEST(abi, A4_short_calls)
{
    rt_sandbox_info *info = NULL;
    rt_call call, before;

    memset(&call, 0x5a, sizeof call);
    call.size = offsetof(rt_call, error);
    call.deadline_ns = 0;
    call.cancel_fd = -1;
    call.reserved = 0;
    call.error.size = sizeof call.error;
    before = call;
    cr_expect(fx.ops->get(fx.rt, "absent", &call, &info) == RT_E_SANDBOX_NOT_FOUND);
    cr_expect(!memcmp(&call, &before, sizeof call), "wrote beyond the call's size");

    call = (rt_call)RT_CALL_INIT;
    memset(call.error.message, 0x5a, sizeof call.error.message);
    call.error.size = offsetof(rt_error, message) + 16;
    cr_expect(fx.ops->get(fx.rt, "absent", &call, &info) == RT_E_SANDBOX_NOT_FOUND);
    for (size_t i = 16; i < sizeof call.error.message; i++)
        cr_assert(call.error.message[i] == 0x5a, "wrote byte %zu, beyond the error's size", i);
}

/* ---- manners --------------------------------------------------------------------------------------------------- */

static void life_lead(void)
{
    rt_sandbox_info *info = NULL;

    BOX_UP("life", WRITE_ALL);
    EXPECT_RUN(sh("life", "echo lived"), 0, "lived\n");
    EXPECT_RUN_STATUS(RT_E_TIMEOUT, run_request("life", REQUEST(.shell = "sleep 100", .timeout_ms = 200)));
    cr_expect(fx.ops->get(fx.rt, "absent", CALL, &info) == RT_E_SANDBOX_NOT_FOUND);
    ASSERT_STATUS(RT_OK, fx.ops->stop(fx.rt, "life", CALL));
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "life", CALL));
}

static char *environment_text(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    for (char **variable = environ; *variable; variable++)
        fprintf(out, "%s\n", *variable);
    fclose(out);
    return text;
}

CONFORMANCE_TEST(abi, A5_the_host_process_is_left_as_it_was)
{
    struct sigaction before[65], now;
    sigset_t mask_before, mask_now;
    char *cwd = getcwd(NULL, 0), *cwd_now, *env = environment_text(), *env_now;
    char *locale = strdup(setlocale(LC_ALL, NULL));
    mode_t mask = umask(0057);

    fixture_close();
    for (int i = 1; i < 65; i++)
        sigaction(i, NULL, &before[i]);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    fixture_reopen();
    life_lead();
    fixture_close();
    sigprocmask(SIG_BLOCK, NULL, &mask_now);
    for (int i = 1; i < 65; i++) {
        if (sigaction(i, NULL, &now) == 0)
            cr_expect(now.sa_handler == before[i].sa_handler && now.sa_flags == before[i].sa_flags, "signal %d", i);
        cr_expect(sigismember(&mask_now, i) == sigismember(&mask_before, i), "signal %d in the mask", i);
    }
    cr_expect(umask(mask) == 0057, "the umask changed");
    cwd_now = getcwd(NULL, 0);
    env_now = environment_text();
    cr_expect(!strcmp(cwd, cwd_now) && !strcmp(env, env_now) && !strcmp(locale, setlocale(LC_ALL, NULL)));
    free(cwd);
    free(cwd_now);
    free(env);
    free(env_now);
    free(locale);
}

/* A host with a strict umask: neither the plugin's own files nor those of commands may depend on it. */
CONFORMANCE_TEST(abi, A5_any_umask)
{
    mode_t mask = umask(0077);

    fixture_reopen();
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "umask; echo x > made && mkdir dir && stat -c %%a made dir"), 0, "0022\n644\n755\n");
    umask(mask);
}

CONFORMANCE_TEST(abi, A5_nothing_is_printed)
{
    char path[4096], *printed;
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), file;

    snprintf(path, sizeof path, "%s/printed", fx.dir);
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    HOST_MUST(out >= 0 && err >= 0 && file >= 0 && !getenv(OPTION_LOG));
    fixture_close();
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    fixture_reopen();
    life_lead();
    fixture_close();
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    printed = tree_read(fx.dir, "printed", NULL);
    cr_expect(printed && !printed[0], "printed: %s", printed);
    free(printed);
    close(out);
    close(err);
    close(file);
}

CONFORMANCE_TEST(abi, A5_closed_standard_fds)
{
    int saved[3];

    /* A daemon's host may have closed them; then fds 0 to 2 may become anything, and must still be handled. */
    fixture_close();
    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    fixture_reopen();
    life_lead();
    fixture_close();
    for (int fd = 0; fd < 3; fd++) {
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
}

CONFORMANCE_TEST(abi, A5_every_fd_is_close_on_exec)
{
    char *before, *running;

    before = proc_inheritable_fds();
    BOX_UP("box", WRITE_ALL);
    EXPECT_RUN(sh("box", "true"), 0, "");
    running = proc_inheritable_fds();
    cr_expect(!strcmp(before, running), "inheritable before:\n%s\nnow:\n%s", before, running);
    free(before);
    free(running);
}

CONFORMANCE_TEST(abi, A5_unloaded_and_loaded_again)
{
    for (int i = 0; i < 3; i++) {
        life_lead();
        fixture_close();
        cr_expect(proc_threads() == fx.threads, "a thread outlives close()");
        for (; fx.plugin.handle; fx.ops = NULL) {
            dlclose(fx.plugin.handle);
            fx.plugin.handle = NULL;
        }
        cr_expect(dlopen(getenv(OPTION_PLUGIN), RTLD_NOW | RTLD_NOLOAD) == NULL, "it stays loaded");
        cr_assert(plugin_load(&fx.plugin));
        fx.ops = fx.plugin.ops;
        fixture_reopen();
    }
}

CONFORMANCE_TEST(abi, A5_no_fds_and_children_gather)
{
    size_t fds, now, living, zombies;

    life_lead();
    fds = proc_fds_at_rest();
    for (int i = 0; i < 10; i++)
        life_lead();
    now = proc_fds_await(fds);
    cr_expect(now == fds, "%zu fds, %zu after ten more sandboxes", fds, now);
    BOX_UP("box", WRITE_ALL);
    sh("box", "true");
    fds = proc_fds_at_rest();
    for (int i = 0; i < 50; i++)
        sh("box", "true");
    now = proc_fds_await(fds);
    cr_expect(now == fds, "%zu fds, %zu after fifty more commands", fds, now);
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    fixture_close();
    proc_children(&living, &zombies);
    cr_expect(living == 0, "%zu children live on", living);
}
