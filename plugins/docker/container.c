/* A sandbox's container: from nothing to a running agent, and back. */
#include "docker.h"

#include "error.h"
#include "info.h"
#include "json.h"
#include "mounts.h"
#include "relay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define SETTLE_MS       2000 /* how much longer an answer that changes something is awaited after a cancel */
#define START_LIMIT_MS  120000
#define END_LIMIT_MS    30000 /* of removing a container: 12 s the Engine itself waits for a killed one, and storage */
#define REMOVE_TRIES    3
#define REMOVE_PAUSE_MS 100
#define SCARCE_PIDS     32 /* as many as an OCI runtime's threads may come to on a large machine */
#define SCARCE_TRIES    5
#define SWEEP_LIMIT_MS  5000
#define SWEEP_WAIT_MS   100             /* for sandboxes that somebody is at work on, all of them together */
#define SILENT_NS       (30 * NS_PER_S) /* so long an Engine that did not answer in time is given ... */
#define SILENT_LIMIT_MS 1000            /* ... no more than this by calls that can do without its answer */

static int32_t call_settled(struct op *op, const char *method, const char *name, const char *suffix, int64_t limit_ms,
                            int64_t settle_ms, struct engine_answer *ret)
{
    cleanup_free char *path = NULL;
    struct engine_request request = { .method = method, .limit_ms = limit_ms, .settle_ms = settle_ms };

    *ret = (struct engine_answer){ 0 };
    if (asprintf(&path, "/containers/%s%s", name, suffix) < 0) {
        path = NULL;
        return op_fail(op, RT_E_NOMEM, 0, "a request to the Engine");
    }
    request.path = path;
    return engine_call(op, docker_of(op)->engine, &request, ret);
}

int32_t container_call(struct op *op, const char *method, const char *name, const char *suffix, int64_t limit_ms,
                       struct engine_answer *ret)
{
    return call_settled(op, method, name, suffix, limit_ms, 0, ret);
}

int32_t container_patient_call(struct op *op, const char *method, const char *name, const char *suffix,
                               int64_t limit_ms, int64_t settle_ms, struct engine_answer *ret)
{
    _Atomic int64_t *silent_until = &docker_of(op)->silent_until_ns;
    bool silent = now_ns() < atomic_load(silent_until);
    int32_t status = call_settled(op, method, name, suffix, silent ? SILENT_LIMIT_MS : limit_ms, settle_ms, ret);

    if (ret->http)
        atomic_store(silent_until, 0);
    else if (status == RT_E_TIMEOUT && !op_check(op))
        atomic_store(silent_until, now_ns() + SILENT_NS);
    return status;
}

/* ---- ending ---- */

/* Podman has an error of its own for one that goes while it is at it. */
static bool is_gone(const struct op *op, long http)
{
    return http == 404 || (http == 500 && strstr(op->err->message, "no such container"));
}

static int32_t remove_once(struct op *op, const char *name, long *ret_http)
{
    struct engine_answer answer;
    int32_t status = container_patient_call(op, "DELETE", name, "?force=1&v=1", END_LIMIT_MS, SETTLE_MS, &answer);

    relays_end(docker_of(op)->relays, name);
    if (answer.http == 409) { /* the Engine itself is at it: AutoRemove */
        engine_answer_release(&answer);
        status = container_patient_call(op, "POST", name, "/wait?condition=removed", END_LIMIT_MS, SETTLE_MS, &answer);
    }
    *ret_http = answer.http;
    if (status && is_gone(op, answer.http))
        status = RT_OK;
    engine_answer_release(&answer);
    return status;
}

/*
 * Kills it if it runs, and removes it with its volumes. RT_OK if there is none. Podman fails where the container ends
 * by itself at that moment, and can remove it a moment later.
 */
static int32_t container_remove(struct op *op, const char *name)
{
    for (int tries = 1;; tries++) {
        long http;
        int32_t status = remove_once(op, name, &http);

        if (!status || http != 500 || tries == REMOVE_TRIES || op_sleep_ms(op, REMOVE_PAUSE_MS))
            return status;
    }
}

static bool is_container_id(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* The id of the container of that name; "" if there is none. */
static int32_t container_id(struct op *op, const char *name, char ret_id[80])
{
    struct engine_answer answer;
    bool ok = true;
    int32_t status = container_call(op, "GET", name, "/json", 0, &answer);
    const char *id = json_str(answer.json, "Id", "", &ok);

    ret_id[0] = '\0';
    if (status && is_gone(op, answer.http))
        status = RT_OK;
    else if (!status && is_container_id(id))
        strcpy(ret_id, id);
    else if (!status)
        status = op_fail(op, RT_E_PROTOCOL, 0, "the Engine's description of the container is malformed");
    engine_answer_release(&answer);
    return status;
}

/*
 * One that may be half made, by its name or its id. Of what an Engine began to start and was killed at, the next one
 * knows nothing: the OCI runtime's init waits to be told to go on for ever, and holds the sandbox's mounts.
 */
static int32_t leavings_remove(struct op *op, const char *name)
{
    char id[80];
    int32_t status = RT_OK;

    if (is_container_id(name))
        strcpy(id, name);
    else
        status = container_id(op, name, id);
    if (status || !id[0])
        return status;
    status = container_remove(op, id);
    host_container_kill(id);
    return status;
}

/* The Engine did not say that a container is gone: looked at again when it answers. */
static void left_behind(struct op *op)
{
    atomic_store(&docker_of(op)->left, true);
}

/* id is the sandbox that the caller is at work on: the sweep lets that be. */
static void left_clean(struct op *op, const char *id)
{
    cleanup_free char *name = NULL;
    struct op aside;

    if (!atomic_exchange(&docker_of(op)->left, false))
        return;
    op_init_aside(&aside, op);
    name = container_name(docker_of(op)->state_id, id);
    if (!name || leavings_remove(&aside, name))
        left_behind(op);
    docker_sweep(&aside);
}

int32_t docker_end(struct op *op, const struct record *record)
{
    struct op aside;
    int32_t status;
    int init_fd;

    op_init_aside(&aside, op);
    status = record->backend_id[0] ? container_remove(&aside, record->backend_id) : RT_OK;
    if (!status) {
        left_clean(op, record->spec.id);
        return RT_OK;
    }
    left_behind(op);
    init_fd = proc_id_open(&record->init);
    if (init_fd < 0) { /* nothing runs any more; what the Engine still knows of it is found by its labels */
        runtime_log(op->rt, RT_LOG_WARN, "container of '%s' is left for later: %s", record->spec.id,
                    aside.err->message);
        return RT_OK;
    }
    close(init_fd);
    return op_fail(op, status, 0, "remove the container: %s", aside.err->message);
}

/* Of a start that failed: what it made, or may have made. */
static void container_undo(struct op *op, const struct spec *spec, const char *name)
{
    struct op aside;

    op_init_aside(&aside, op);
    if (!leavings_remove(&aside, name))
        return;
    left_behind(op);
    runtime_log(op->rt, RT_LOG_WARN, "undoing the start of '%s': %s", spec->id, aside.err->message);
}

/* ---- booting ---- */

static bool is_missing_image(const struct op *op, long http)
{
    return (http == 404 || http == 500) &&
           (strcasestr(op->err->message, "no such image") || strcasestr(op->err->message, "image not known"));
}

/* Podman calls it an error of its own. */
static bool is_name_taken(const struct op *op, long http)
{
    return http == 409 || (http == 500 && strstr(op->err->message, "already in use"));
}

static int32_t create_once(struct op *op, const cJSON *body, const char *name, long *ret_http, char ret_id[80])
{
    cleanup_free char *path = NULL;
    struct engine_request request = { .method = "POST", .body = body, .settle_ms = SETTLE_MS };
    struct engine_answer answer;
    bool ok = true;
    int32_t status;

    if (asprintf(&path, "/containers/create?name=%s", name) < 0) {
        path = NULL;
        return op_fail(op, RT_E_NOMEM, 0, "create the container");
    }
    request.path = path;
    status = engine_call(op, docker_of(op)->engine, &request, &answer);
    *ret_http = answer.http;
    if (!status) {
        const char *id = json_str(answer.json, "Id", "", &ok);

        if (strlen(id) < 12 || strlen(id) > 64 || strspn(id, "0123456789abcdef") != strlen(id))
            status = op_fail(op, RT_E_PROTOCOL, 0, "the Engine's answer names no container");
        else
            strcpy(ret_id, id);
    }
    engine_answer_release(&answer);
    return status;
}

/* It may have made one all the same, or make one yet. */
static void create_doubted(struct op *op, const struct spec *spec, const char *name, long http)
{
    struct op aside;

    if (!http)
        left_behind(op);
    op_init_aside(&aside, op);
    if (!op_check(&aside)) /* else there is no time for it now */
        container_undo(op, spec, name);
}

static int32_t container_create(struct op *op, const cJSON *body, const struct spec *spec, const char *name,
                                char ret_id[80])
{
    bool pulled = strcmp(docker_settings_of(op)->pull, "missing") != 0, removed = false;

    for (;;) {
        long http = 0;
        int32_t status = create_once(op, body, name, &http, ret_id);

        if (!status)
            return RT_OK;
        if (!http || http >= 500)
            create_doubted(op, spec, name, http);
        if (is_missing_image(op, http) && !pulled) {
            pulled = true;
            status = image_pull(op, spec->image);
        } else if (is_name_taken(op, http) &&
                   !removed) { /* the name is this sandbox's alone: an earlier process's leavings */
            removed = true;
            status = leavings_remove(op, name);
        }
        if (status)
            return op_wrap(op, status, "create the container");
    }
}

/* State.Pid of one that has just started. */
static int32_t container_pid(struct op *op, const char *id, pid_t *ret)
{
    struct engine_answer answer;
    bool ok = true;
    int32_t status = container_call(op, "GET", id, "/json", 0, &answer);

    if (!status) {
        const cJSON *state = cJSON_GetObjectItemCaseSensitive(answer.json, "State");
        int64_t pid = json_int(state, "Pid", 0, INT32_MAX, -1, &ok),
                code = json_int(state, "ExitCode", 0, 255, -1, &ok);

        if (!ok || pid < 0)
            status = op_fail(op, RT_E_PROTOCOL, 0, "the Engine's description of the container is malformed");
        else if (pid < 2)
            status = op_fail(op, RT_E_UNAVAILABLE, 0, "the container ended at once, exit code %lld", (long long)code);
        else
            *ret = (pid_t)pid;
    }
    engine_answer_release(&answer);
    return status;
}

/*
 * An Engine elsewhere, or in a mount namespace of its own, has bound some other directory of that name: the sandbox
 * would work on nothing.
 */
static int32_t workspace_check(struct op *op, const struct boot *boot)
{
    cleanup_free char *within = mount_below_of(boot->init_pid, boot->spec->workspace);
    unsigned ours = 0, theirs = 0;

    if (within) /* the agent, perhaps, where the sandbox could rename what is above it */
        return op_fail(op, RT_E_UNSUPPORTED, 0,
                       "image '%.100s' has a symbolic link that leads into the workspace: '%.100s' is mounted there",
                       boot->spec->image, within);
    if (mount_find(boot->workspace_source, &ours) && mount_find_of(boot->init_pid, boot->spec->workspace, &theirs) &&
        ours == theirs)
        return RT_OK;
    return op_fail(op, RT_E_UNAVAILABLE, 0,
                   "the Engine at %s does not see the workspace's mount: it is on another machine or in another mount "
                   "namespace; or the image's %s is a symbolic link",
                   engine_name(docker_of(op)->engine), boot->spec->workspace);
}

/* An image's VOLUME would hide what the workspace has there; and the OCI runtime makes its directory in the codebase.
 */
static int32_t volumes_check(struct op *op, const struct boot *boot, const char *id)
{
    struct engine_answer answer;
    int32_t status = container_call(op, "GET", id, "/json", 0, &answer);
    const cJSON *mount;
    bool ok = true;

    cJSON_ArrayForEach (mount, cJSON_GetObjectItemCaseSensitive(answer.json, "Mounts")) {
        const char *target = json_str(mount, "Destination", "", &ok);

        if (!status && path_is_below(target, boot->spec->workspace))
            status = op_fail(op, RT_E_UNSUPPORTED, 0,
                             "image '%.100s' has a VOLUME at '%.100s', which would hide that part of the workspace",
                             boot->spec->image, target);
    }
    engine_answer_release(&answer);
    return status || ok ? status : op_fail(op, RT_E_PROTOCOL, 0, "the container's mounts are malformed");
}

static int32_t container_start(struct op *op, struct boot *boot, const char *id)
{
    struct engine_answer answer;
    int32_t status = container_call(op, "POST", id, "/start", START_LIMIT_MS, &answer);

    engine_answer_release(&answer);
    if (status)
        return op_wrap(op, status, "start the container");
    return container_pid(op, id, &boot->init_pid);
}

/* Where the agent has no socket: who ends it with its host, and whether it is there. */
static int32_t relay_up(struct op *op, struct boot *boot, const char *id)
{
    const struct whereabouts place = { boot->spec->id, id, boot->init_pid };
    int32_t status = RT_OK;

    if (boot->spec->lifetime == RT_LIFETIME_HOST)
        status = lease_start(op, boot->agent, boot->init_pid, &boot->monitor_pid, &boot->lease_fd);
    if (!status)
        status = relay_await(op, &place);
    if (status && boot->monitor_pid) {
        fd_closep(&boot->lease_fd); /* ends both */
        while (waitpid(boot->monitor_pid, NULL, 0) < 0 && errno == EINTR)
            ;
        boot->monitor_pid = 0;
    }
    return status;
}

/* What Podman's service would leave out without a word. */
static int32_t podman_check(struct op *op, const struct spec *spec)
{
    const char *runtime = container_runtime(docker_settings_of(op), spec);

    return runtime[0] ? op_fail(op, RT_E_UNSUPPORTED, 0,
                                "OCI runtime '%s': Podman's service runs every container by its own", runtime)
                      : RT_OK;
}

/* One that can be started. Its id is in id, whatever becomes of it. */
static int32_t container_make(struct op *op, const struct boot *boot, const struct container_terms *terms,
                              const char *name, char id[80])
{
    cJSON *body = container_body(docker_settings_of(op), boot, terms);
    int32_t status;

    if (!body)
        return op_fail(op, RT_E_NOMEM, 0, "describe the container");
    status = container_create(op, body, boot->spec, name, id);
    cJSON_Delete(body);
    return status ? status : volumes_check(op, boot, id);
}

/*
 * One that runs. The OCI runtime has threads of its own in it until the agent takes their place, now more of them, now
 * fewer: where the sandbox may have few processes, that fails at times.
 */
static int32_t container_up(struct op *op, struct boot *boot, const struct container_terms *terms, const char *name,
                            char id[80])
{
    uint32_t pids = boot->spec->limits.pids;

    for (int tries = 1;; tries++) {
        int32_t status = container_make(op, boot, terms, name, id);

        if (status)
            return status;
        status = container_start(op, boot, id);
        if (status != RT_E_UNAVAILABLE || !pids || pids > SCARCE_PIDS)
            return status;
        if (tries == SCARCE_TRIES)
            return op_wrap(op, RT_E_RESOURCE, "%d times with a limit of %u processes", tries, pids);
        status = leavings_remove(op, id);
        if (status)
            return op_wrap(op, status, "begin again with a limit of %u processes", pids);
    }
}

/*
 * An Engine that remaps users lets its containers write to their cgroups, also one that is not remapped: its root could
 * lift its own limits. Nothing but the agent has run in it yet.
 */
static int32_t cgroups_look(struct op *op, const struct boot *boot, bool *ret_writable)
{
    int writable = mount_is_writable_of(boot->init_pid, "cgroup");

    if (writable < 0)
        return op_fail(op, error_status(-writable) == RT_E_RESOURCE ? RT_E_RESOURCE : RT_E_UNAVAILABLE, -writable,
                       "look at the container's mounts");
    *ret_writable = writable;
    return RT_OK;
}

/* Where the Engine leaves its cgroups to it, one that does not see them. That is found out by the first. */
static int32_t container_boot(struct op *op, struct boot *boot, struct container_terms *terms, const char *name,
                              char id[80])
{
    atomic_bool *hide = &docker_of(op)->hide_cgroups;
    bool writable = false;
    int32_t status;

    for (;;) {
        terms->hide_cgroups = atomic_load(hide);
        status = container_up(op, boot, terms, name, id);
        if (!status)
            status = workspace_check(op, boot);
        if (!status)
            status = cgroups_look(op, boot, &writable);
        if (status || !writable)
            return status;
        if (terms->hide_cgroups)
            return op_fail(op, RT_E_UNSUPPORTED, 0, "the Engine lets the container write to its cgroups");
        atomic_store(hide, true);
        status = container_remove(op, id);
        if (status)
            return op_wrap(op, status, "hide the container's cgroups");
    }
}

int32_t docker_boot(struct op *op, struct boot *boot)
{
    struct docker *docker = docker_of(op);
    cleanup_free char *name = container_name(docker->state_id, boot->spec->id), *seccomp = NULL;
    char id[80] = "";
    struct container_terms terms = { .state_id = docker->state_id,
                                     .relayed = !strcmp(docker_settings_of(op)->exec_transport, "engine") };
    int32_t status = engine_ready(op, docker->engine, &terms.is_podman);

    if (!status && !name)
        status = op_fail(op, RT_E_NOMEM, 0, "name the container");
    if (!status)
        status = seccomp_choose(op, terms.is_podman, &seccomp);
    if (!status && terms.is_podman)
        status = podman_check(op, boot->spec);
    if (status)
        return status;
    left_clean(op, boot->spec->id);
    terms.seccomp = seccomp;
    status = container_boot(op, boot, &terms, name, id);
    if (!status && terms.relayed)
        status = relay_up(op, boot, id);
    if (status && id[0])
        container_undo(op, boot->spec, id);
    if (!status)
        strcpy(boot->backend_id, id);
    return status;
}

/* ---- what an earlier process left ---- */

/*
 * Whether the container is what the sandbox of that id runs in, or may yet: then it is let be. Who holds the sandbox's
 * lock is perhaps just starting it, and is waited for until then.
 */
static bool is_in_use(struct op *op, const char *sandbox, const char *container, int64_t until_ns)
{
    struct record record;
    struct locked locked;
    struct op quick = *op;
    bool used;
    int32_t status;

    status = record_load(op, sandbox, &record);
    if (status)
        return status != RT_E_SANDBOX_NOT_FOUND;
    used = !strcmp(record.backend_id, container);
    record_release(&record);
    if (used)
        return true;
    quick.deadline_ns = until_ns;
    status = record_lock(&quick, sandbox, &locked);
    if (status == RT_E_SANDBOX_NOT_FOUND)
        return false;
    if (status) {
        left_behind(op);
        return true;
    }
    used = !strcmp(locked.record.backend_id, container);
    if (!used && leavings_remove(op, container))
        runtime_log(op->rt, RT_LOG_WARN, "cleaning a container of '%s': %s", sandbox, op->err->message);
    record_unlock(&locked);
    return true;
}

static void sweep_one(struct op *op, const cJSON *item, int64_t until_ns)
{
    bool ok = true;
    const char *id = json_str(item, "Id", "", &ok), *sandbox;

    sandbox = json_str(cJSON_GetObjectItemCaseSensitive(item, "Labels"), LABEL_SANDBOX, "", &ok);
    if (!ok || !id_valid(sandbox) || !is_container_id(id))
        return;
    if (is_in_use(op, sandbox, id, until_ns))
        return;
    if (!leavings_remove(op, id)) {
        runtime_log(op->rt, RT_LOG_INFO, "removed the container that '%s' left", sandbox);
        return;
    }
    left_behind(op);
    runtime_log(op->rt, RT_LOG_WARN, "cleaning a container of '%s': %s", sandbox, op->err->message);
}

void docker_sweep(struct op *op)
{
    struct docker *docker = docker_of(op);
    cleanup_free char *path = NULL, *filters = NULL;
    struct engine_request request = { .method = "GET", .limit_ms = SWEEP_LIMIT_MS };
    struct engine_answer answer = { 0 };
    char text[100];
    const cJSON *item;

    snprintf(text, sizeof text, "{\"label\":[\"" LABEL_STATE "=%s\"]}", docker->state_id);
    filters = engine_escape(text);
    if (!filters || asprintf(&path, "/containers/json?all=1&filters=%s", filters) < 0) {
        path = NULL;
        return;
    }
    request.path = path;
    if (engine_call(op, docker->engine, &request, &answer)) { /* without an Engine there is nothing to be found */
        left_behind(op);
        runtime_log(op->rt, RT_LOG_DEBUG, "looking for containers: %s", op->err->message);
    } else {
        int64_t until = now_ns() + SWEEP_WAIT_MS * NS_PER_MS;

        cJSON_ArrayForEach (item, answer.json) {
            sweep_one(op, item, until);
        }
    }
    engine_answer_release(&answer);
}
