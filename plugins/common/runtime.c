/* Opening and closing a runtime, and what its calls share. */
#include "runtime.h"

#include "audit.h"
#include "box.h"
#include "children.h"
#include "error.h"
#include "json.h"
#include "structs.h"
#include "sweep.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define CONFIG_MAX ((size_t)1 << 20)

static const struct settings settings_common = {
    .default_timeout_ms = 30000,
    .kill_grace_ms = 2000,
    .stop_grace_ms = 500,
    .cache_time_ms = 1000,
    .max_output_bytes = 16 << 20,
    .passthrough = true,
    .watch = true,
    .epochs = true,
    .fuse_mount_base = "",
};

void runtime_log(struct runtime *rt, int32_t level, const char *format, ...)
{
    char message[1024];
    va_list args;

    if (!rt->log)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    rt->log(rt->log_user, level, message);
}

/* In a common directory the name tells this state directory's sandboxes from another's: FNV-1a of its path. */
char *runtime_mount_point(struct runtime *rt, const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    char *path;
    int n;

    for (const char *at = rt->dir; *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    if (rt->mount_base)
        n = asprintf(&path, "%s/%016llx-%s", rt->mount_base, (unsigned long long)hash, id);
    else
        n = asprintf(&path, "%s/boxes/%s/mnt", rt->dir, id);
    return n < 0 ? NULL : path;
}

void runtime_enter(struct runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    rt->in_flight++;
    pthread_mutex_unlock(&rt->lock);
}

void runtime_leave(struct runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    if (--rt->in_flight == 0)
        pthread_cond_broadcast(&rt->idle);
    pthread_mutex_unlock(&rt->lock);
}

void runtime_own(struct runtime *rt, const char *id)
{
    struct owned *owned = calloc(1, sizeof *owned);

    if (!owned)
        return; /* the next open's sweep, or the lease, ends it instead */
    strcpy(owned->id, id);
    pthread_mutex_lock(&rt->lock);
    owned->next = rt->owned;
    rt->owned = owned;
    pthread_mutex_unlock(&rt->lock);
}

void runtime_disown(struct runtime *rt, const char *id)
{
    struct owned *found = NULL;

    pthread_mutex_lock(&rt->lock);
    for (struct owned **at = &rt->owned; *at; at = &(*at)->next) {
        if (strcmp((*at)->id, id))
            continue;
        found = *at;
        *at = found->next;
        break;
    }
    pthread_mutex_unlock(&rt->lock);
    free(found);
}

/* ---- open ---- */

static int32_t open_config(struct runtime *rt, const char *text, rt_error *err)
{
    const struct backend *backend = rt->backend;

    if (text && strnlen(text, CONFIG_MAX + 1) > CONFIG_MAX)
        return error_set(err, RT_E_CONFIG, 0, "the config is larger than %zu bytes", CONFIG_MAX);
    rt->config = text ? json_parse_object(text, strlen(text)) : cJSON_CreateObject();
    rt->settings = calloc(1, backend->settings_size);
    if (!rt->settings)
        return error_set(err, RT_E_NOMEM, 0, "the config");
    if (!rt->config)
        return error_set(err, RT_E_CONFIG, 0, "the config: expected a JSON object");
    *rt->settings = settings_common;
    backend->settings_default(rt->settings);
    return config_fill(rt->config, backend->keys, backend->n_keys, rt->settings, err);
}

static int make_directories(const char *path)
{
    cleanup_free char *copy = strdup(path);
    int err = copy ? 0 : -ENOMEM;

    for (char *at = copy ? copy + 1 : NULL; !err && (at = strchr(at, '/')); at++) {
        *at = '\0';
        err = dir_make(AT_FDCWD, copy, 0755);
        *at = '/';
    }
    return err ? err : dir_make(AT_FDCWD, copy, 0700);
}

/* Ours, and nobody else may write there: its sockets and records are trusted. */
static int32_t directory_check(const char *path, const char *what, rt_error *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return error_set(err, error_status(errno), errno, "%s %s", what, path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, RT_E_IO, ENOTDIR, "%s %s", what, path);
    if (st.st_uid != geteuid())
        return error_set(err, RT_E_PERMISSION, 0, "%s %s belongs to uid %u, not to %u", what, path, st.st_uid,
                         geteuid());
    if (st.st_mode & 022)
        return error_set(err, RT_E_PERMISSION, 0, "%s %s can be written by others (mode %03o)", what, path,
                         st.st_mode & 0777);
    return RT_OK;
}

static int32_t open_state(struct runtime *rt, const char *state_dir, rt_error *err)
{
    cleanup_free char *absolute = NULL;
    int32_t status;
    int failed;

    if (!state_dir || !*state_dir)
        return error_set(err, RT_E_INVAL, 0, "state_dir: none given");
    failed = make_directories(state_dir);
    if (failed)
        return error_set(err, error_status(-failed), -failed, "make the state directory %s", state_dir);
    absolute = realpath(state_dir, NULL);
    if (!absolute)
        return error_set(err, error_status(errno), errno, "state directory %s", state_dir);
    status = directory_check(absolute, "state directory", err);
    if (status)
        return status;
    if (asprintf(&rt->dir, "%s/%s", absolute, rt->backend->name) < 0) {
        rt->dir = NULL;
        return error_set(err, RT_E_NOMEM, 0, "the state directory");
    }
    failed = dir_make(AT_FDCWD, rt->dir, 0700);
    if (failed)
        return error_set(err, error_status(-failed), -failed, "make %s", rt->dir);
    rt->dir_fd = open(rt->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (rt->dir_fd < 0)
        return error_set(err, error_status(errno), errno, "open %s", rt->dir);
    failed = dir_make(rt->dir_fd, "boxes", 0700);
    return failed ? error_set(err, error_status(-failed), -failed, "make %s/boxes", rt->dir) : RT_OK;
}

static int32_t open_mount_base(struct runtime *rt, rt_error *err)
{
    const char *base = rt->settings->fuse_mount_base;
    int failed = base[0] ? make_directories(base) : 0;

    if (failed)
        return error_set(err, error_status(-failed), -failed, "fuse_mount_base: make %s", base);
    if (!base[0])
        return RT_OK;
    rt->mount_base = realpath(base, NULL); /* as mount tables have it */
    if (!rt->mount_base)
        return error_set(err, error_status(errno), errno, "fuse_mount_base: %s", base);
    return directory_check(rt->mount_base, "fuse_mount_base", err);
}

/* LIB/stockade/x.so has its helpers in LIB/../libexec/stockade. */
static int32_t open_libexec(struct runtime *rt, const char *given, rt_error *err)
{
    Dl_info self;
    char *at;

    if (given) {
        rt->libexec = strdup(given);
        return rt->libexec ? RT_OK : error_set(err, RT_E_NOMEM, 0, "libexec_dir");
    }
    if (!dladdr(&settings_common, &self) || !self.dli_fname)
        return error_set(err, RT_E_INTERNAL, 0, "the plugin cannot tell where it lies; give libexec_dir");
    rt->libexec = malloc(strlen(self.dli_fname) + sizeof "/../../../libexec/stockade");
    if (!rt->libexec)
        return error_set(err, RT_E_NOMEM, 0, "libexec_dir");
    strcpy(rt->libexec, self.dli_fname);
    at = strrchr(rt->libexec, '/');
    strcpy(at ? at : rt->libexec, at ? "/../../libexec/stockade" : "../../libexec/stockade");
    at = realpath(rt->libexec, NULL);
    if (at) {
        free(rt->libexec);
        rt->libexec = at;
    }
    return RT_OK;
}

static void runtime_free(struct runtime *rt)
{
    while (rt->owned)
        runtime_disown(rt, rt->owned->id);
    if (rt->backend->close)
        rt->backend->close(rt);
    fd_closep(&rt->dir_fd);
    fd_closep(&rt->closing_fd);
    cJSON_Delete(rt->config);
    free(rt->settings);
    free(rt->dir);
    free(rt->libexec);
    free(rt->mount_base);
    pthread_cond_destroy(&rt->idle);
    pthread_mutex_destroy(&rt->lock);
    free(rt);
}

/* The steps of open that can fail; what is made by then is runtime_free()'s. */
static int32_t open_steps(struct runtime *rt, struct op *op, const rt_open_params *params)
{
    int32_t status;

    rt->closing_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rt->closing_fd < 0)
        return op_fail(op, error_status(errno), errno, "eventfd");
    status = op_check(op);
    if (!status)
        status = open_config(rt, params->config, op->err);
    if (!status)
        status = open_state(rt, params->state_dir, op->err);
    if (!status)
        status = open_mount_base(rt, op->err);
    if (!status)
        status = open_libexec(rt, params->libexec_dir, op->err);
    if (!status && rt->backend->open)
        status = rt->backend->open(rt, op->err);
    return status;
}

int32_t runtime_open(const struct backend *backend, const rt_open_params *params, rt_call *call, rt_runtime **ret)
{
    rt_open_params own;
    struct runtime *rt = NULL;
    struct op op, sweep;
    int32_t status;

    op_init(&op, NULL, call, "open");
    if (!params || !struct_read(&own, sizeof own, params))
        return op_report(&op, op_fail(&op, RT_E_INVAL, 0, "no params given, or some without a size"));
    rt = calloc(1, sizeof *rt);
    if (!rt)
        return op_report(&op, op_fail(&op, RT_E_NOMEM, 0, "a runtime"));
    op.rt = rt;
    rt->backend = backend;
    rt->dir_fd = -1;
    rt->log = own.log;
    rt->log_user = own.log_user;
    pthread_mutex_init(&rt->lock, NULL);
    pthread_cond_init(&rt->idle, NULL);
    status = open_steps(rt, &op, &own);
    if (status) {
        runtime_free(rt);
        return op_report(&op, status);
    }
    op_init_quiet(&sweep, rt);
    sweep.deadline_ns = op.deadline_ns; /* what is not cleaned in time is for the next open */
    sweep.cancel_fd = op.cancel_fd;
    sweep_all(&sweep);
    *ret = (rt_runtime *)rt;
    return op_report(&op, RT_OK);
}

/* ---- close ---- */

static void close_owned(struct runtime *rt)
{
    while (rt->owned) {
        char id[ID_MAX + 1];
        struct op op;

        strcpy(id, rt->owned->id);
        op_init_quiet(&op, rt);
        if (box_destroy(&op, id) && op.err->status != RT_E_SANDBOX_NOT_FOUND)
            runtime_log(rt, RT_LOG_WARN, "closing: %s", op.err->message);
        runtime_disown(rt, id);
    }
}

void runtime_close(rt_runtime *opaque)
{
    struct runtime *rt = (struct runtime *)opaque;
    struct live *live, *next;
    uint64_t drained;

    if (!rt)
        return;
    (void)!write(rt->closing_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    pthread_mutex_lock(&rt->lock);
    while (rt->in_flight)
        pthread_cond_wait(&rt->idle, &rt->lock);
    pthread_mutex_unlock(&rt->lock);
    (void)!read(rt->closing_fd, &drained, sizeof drained); /* what follows is our own work, not to be cancelled */
    close_owned(rt);
    children_reap();
    HASH_ITER (hh, rt->lives, live, next) {
        HASH_DEL(rt->lives, live);
        live_unref(live);
    }
    audit_close(rt);
    runtime_free(rt);
}
