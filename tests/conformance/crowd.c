/* Many sandboxes that come and go at once, of two hosts on one state directory (contract L5, R3, threads). */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

#define HOSTS   2
#define THREADS 25 /* of each host */
#define ROUNDS  2  /* so that some end while others begin */

struct member {
    pthread_t thread;
    char id[24];
    const char *failed; /* the step that did; NULL = none */
    char message[600];
};

static int32_t member_exec(const struct member *member, rt_call *call)
{
    const rt_exec_request request = { .size = sizeof request, .argv = ARGV("echo", member->id) };
    rt_exec_result *result = NULL;
    int32_t status = fx.ops->exec(fx.rt, member->id, &request, call, &result);

    if (status)
        return status;
    if (strncmp(result->stdout_data, member->id, strlen(member->id)) != 0)
        status = RT_E_INTERNAL;
    fx.ops->exec_result_free(result);
    return status;
}

static const char *member_round(struct member *member, int32_t lifetime, rt_call *call)
{
    rt_sandbox_spec spec = box_spec(member->id);

    spec.lifetime = lifetime;
    if (fx.ops->create(fx.rt, &spec, call, NULL))
        return "create";
    if (fx.ops->start(fx.rt, member->id, call))
        return "start";
    if (member_exec(member, call))
        return "exec";
    if (fx.ops->destroy(fx.rt, member->id, call))
        return "destroy";
    return NULL;
}

static void *member_run(void *arg)
{
    struct member *member = arg;
    rt_call call = RT_CALL_INIT;

    for (int round = 0; round < ROUNDS && !member->failed; round++)
        member->failed = member_round(member, round % 2 ? RT_LIFETIME_HOST : RT_LIFETIME_PERSISTENT, &call);
    snprintf(member->message, sizeof member->message, "%s", call.error.message);
    return NULL;
}

/* How many failed: Criterion takes no assertions from a process that it did not start. */
static int host_run(int host)
{
    static struct member members[THREADS];
    int failed = 0;

    fixture_reopen();
    for (int i = 0; i < THREADS; i++) {
        snprintf(members[i].id, sizeof members[i].id, "crowd-%d-%d", host, i);
        HOST_MUST(pthread_create(&members[i].thread, NULL, member_run, &members[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(members[i].thread, NULL);
        if (!members[i].failed)
            continue;
        failed++;
        fprintf(stderr, "%s: %s: %s\n", members[i].id, members[i].failed, members[i].message);
    }
    fixture_close();
    return failed;
}

CONFORMANCE_TEST_WITHIN(900, crowd, R3_fifty_come_and_go_at_once)
{
    pid_t pids[HOSTS];
    rt_sandbox_list *list = NULL;

    fixture_close();
    for (int i = 0; i < HOSTS; i++) {
        pids[i] = fork();
        HOST_MUST(pids[i] >= 0);
        if (!pids[i])
            _exit(host_run(i));
    }
    for (int i = 0; i < HOSTS; i++) {
        int status = -1;

        HOST_MUST(waitpid(pids[i], &status, 0) == pids[i]);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "host %d: wait status %#x", i, (unsigned)status);
    }
    fixture_reopen();
    ASSERT_STATUS(RT_OK, fx.ops->list(fx.rt, CALL, &list));
    cr_expect(list->n == 0, "%zu sandboxes are left", list->n);
    fx.ops->sandbox_list_free(list);
}
