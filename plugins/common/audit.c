#include "audit.h"

#include "error.h"
#include "record.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LINE_MAX_BYTES (64 << 10) /* more than the longest line of permfs's (permfs/audit_line.h) */
#define STACK_SIZE     (256 << 10)

struct audit_reader {
    struct audit_reader *next; /* of the runtime's, under its lock */
    struct runtime *rt;
    pthread_t thread;
    int sock;
    atomic_bool ended;
};

/* ---- the thread ------------------------------------------------------------------------------------------------ */

/* A daemon may lie: what is no level and no text is passed over. */
static void line_log(struct runtime *rt, char *line, size_t len)
{
    int32_t level = len ? line[0] : 0;

    if (len < 2 || level < RT_LOG_DEBUG || level > RT_LOG_ERROR || memchr(line + 1, '\0', len - 1))
        return;
    line[len] = '\0';
    rt->log(rt->log_user, level, line + 1);
}

static void *reader_run(void *arg)
{
    struct audit_reader *reader = arg;
    char *line = malloc(LINE_MAX_BYTES + 1);
    ssize_t n;

    while (line && (n = recv(reader->sock, line, LINE_MAX_BYTES, 0)) != 0) {
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            line_log(reader->rt, line, (size_t)n);
    }
    free(line);
    atomic_store(&reader->ended, true);
    return NULL;
}

/* The host's signals are for the host's threads. */
static int thread_start(struct audit_reader *reader)
{
    pthread_attr_t attr;
    sigset_t all;
    int err;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    err = pthread_attr_setsigmask_np(&attr, &all);
    if (!err)
        err = pthread_create(&reader->thread, &attr, reader_run, reader);
    pthread_attr_destroy(&attr);
    return err;
}

static void reader_free(struct audit_reader *reader)
{
    close(reader->sock);
    free(reader);
}

/* Takes those off the list that have ended, or all, which are told to end. */
static struct audit_reader *readers_take(struct runtime *rt, bool all)
{
    struct audit_reader *taken = NULL, **at = &rt->audits;

    pthread_mutex_lock(&rt->lock);
    while (*at) {
        struct audit_reader *reader = *at;

        if (!all && !atomic_load(&reader->ended)) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        reader->next = taken;
        taken = reader;
    }
    pthread_mutex_unlock(&rt->lock);
    return taken;
}

static void readers_join(struct audit_reader *readers)
{
    while (readers) {
        struct audit_reader *next = readers->next;

        (void)shutdown(readers->sock, SHUT_RDWR); /* what has come by now is still read */
        pthread_join(readers->thread, NULL);
        reader_free(readers);
        readers = next;
    }
}

static int32_t reader_start(struct op *op, int *ret_sock)
{
    struct audit_reader *reader = calloc(1, sizeof *reader);
    int pair[2], err;

    readers_join(readers_take(op->rt, false));
    if (!reader)
        return op_fail(op, RT_E_NOMEM, 0, "the audit's reader");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        err = errno;
        free(reader);
        return op_fail(op, error_status(err), err, "the audit's socket");
    }
    reader->rt = op->rt;
    reader->sock = pair[0];
    err = thread_start(reader);
    if (err) {
        reader_free(reader);
        close(pair[1]);
        return op_fail(op, RT_E_RESOURCE, err, "start the audit's reader");
    }
    pthread_mutex_lock(&op->rt->lock);
    reader->next = op->rt->audits;
    op->rt->audits = reader;
    pthread_mutex_unlock(&op->rt->lock);
    *ret_sock = pair[1];
    return RT_OK;
}

void audit_close(struct runtime *rt)
{
    readers_join(readers_take(rt, true));
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

/* In the codebase the sandbox could read, or write, what is written about it. fd is of the file's directory. */
static bool is_inside(int fd, const char *codebase)
{
    char link[32], path[PATH_MAX + 1];
    size_t len = strlen(codebase);
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return true;
    path[n] = '\0';
    return !strncmp(path, codebase, len) && (!path[len] || path[len] == '/' || codebase[len - 1] == '/');
}

static int32_t given_open(struct op *op, const char *given, const char *codebase, int *ret)
{
    const char *name = strrchr(given, '/') + 1; /* absolute: checked at create */
    cleanup_free char *dir = strndup(given, (size_t)(name - given));
    cleanup_fd int dir_fd = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    if (dir_fd < 0)
        return op_fail(op, error_status(errno), errno, "audit_file %s", given);
    if (is_inside(dir_fd, codebase))
        return op_fail(op, RT_E_INVAL, 0, "audit_file %s lies in the codebase, for the sandbox to write", given);
    *ret = openat(dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    return *ret < 0 ? op_fail(op, error_status(errno), errno, "audit_file %s", given) : RT_OK;
}

static int32_t file_open(struct op *op, const struct record *record, int box_fd, int *ret)
{
    const char *given = record->spec.audit_file;

    if (given[0])
        return given_open(op, given, record->spec.codebase, ret);
    *ret = openat(box_fd, AUDIT_FILE, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *ret < 0 ? op_fail(op, error_status(errno), errno, "make the audit's file") : RT_OK;
}

int32_t audit_open(struct op *op, const struct record *record, int box_fd, struct audit_fds *ret)
{
    int32_t status;

    *ret = (struct audit_fds){ -1, -1 };
    if (!(record->spec.flags & RT_SANDBOX_AUDIT))
        return RT_OK;
    status = file_open(op, record, box_fd, &ret->file);
    if (!status && op->rt->log)
        status = reader_start(op, &ret->sock);
    if (status)
        fd_closep(&ret->file);
    return status;
}
