#include "audit.h"

#include "clock.h"
#include "privilege.h"
#include "runtime_api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS (INT64_C(1000000000) / AUDIT_RATE)
#define STACK_SIZE  (128 << 10)

/* A line on its way: the level, the text, a newline. */
struct audit_entry {
    size_t len; /* of the text */
    char data[];
};

static struct audit_entry *entry_new(const struct audit *audit, const struct audit_event *event)
{
    struct audit_event now = *event;
    char buf[AUDIT_LINE_MAX];
    struct audit_entry *entry;
    size_t len;

    now.time_ns = clock_ns(CLOCK_REALTIME);
    len = audit_line(buf, audit->sandbox, &now);
    entry = malloc(sizeof *entry + len + 2);
    if (!entry)
        return NULL;
    entry->len = len;
    entry->data[0] = event->kind == AUDIT_WRITE || event->kind == AUDIT_RULES ? RT_LOG_INFO : RT_LOG_WARN;
    memcpy(entry->data + 1, buf, len);
    entry->data[len + 1] = '\n';
    return entry;
}

/* ---- coming in ------------------------------------------------------------------------------------------------- */

bool audit_admit(struct audit *audit)
{
    const int64_t now = clock_ns(CLOCK_MONOTONIC);
    bool admitted;

    pthread_mutex_lock(&audit->lock);
    if (audit->next_ns < now)
        audit->next_ns = now;
    admitted = !audit->ending && audit->next_ns - now < AUDIT_BURST * INTERVAL_NS;
    if (admitted)
        audit->next_ns += INTERVAL_NS;
    else if (audit->suppressed++ == 0)
        pthread_cond_signal(&audit->more);
    pthread_mutex_unlock(&audit->lock);
    return admitted;
}

void audit_put(struct audit *audit, const struct audit_event *event)
{
    struct audit_entry *entry = entry_new(audit, event);

    pthread_mutex_lock(&audit->lock);
    if (entry && audit->n < AUDIT_QUEUE && !audit->ending) {
        audit->queue[(audit->first + audit->n++) % AUDIT_QUEUE] = entry;
        entry = NULL;
    } else {
        audit->suppressed++;
    }
    pthread_cond_signal(&audit->more);
    pthread_mutex_unlock(&audit->lock);
    free(entry);
}

/* ---- going out ------------------------------------------------------------------------------------------------- */

struct sinks {
    struct audit *audit;
    uint64_t unsent, unwritten; /* lines that the socket's reader, and the file, did not take */
    bool torn;                  /* the file ends in half a line */
};

static bool file_write(struct sinks *s, const struct audit_entry *entry)
{
    struct audit *audit = s->audit;
    struct iovec iov[] = { { (char[]){ '\n' }, s->torn }, { (void *)(uintptr_t)(entry->data + 1), entry->len + 1 } };
    const size_t whole = iov[0].iov_len + iov[1].iov_len;
    struct stat st;
    ssize_t n;

    if (audit->file_max && (fstat(audit->file, &st) < 0 || st.st_size + (off_t)whole > audit->file_max))
        return false;
    do
        n = writev(audit->file, iov, 2);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        s->torn = (size_t)n < whole;
    return n == (ssize_t)whole;
}

/* A reader that is gone is not asked again; one that is slow misses lines. */
static bool sock_write(struct sinks *s, const struct audit_entry *entry)
{
    if (s->audit->sock < 0 || send(s->audit->sock, entry->data, entry->len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (errno == EPIPE || errno == ECONNRESET)
        s->audit->sock = -1;
    return s->audit->sock < 0;
}

/* Puts a line of what a sink has missed before the next one that it takes. */
static void sink(struct sinks *s, const struct audit_entry *entry, uint64_t *missed,
                 bool (*write_to)(struct sinks *s, const struct audit_entry *entry))
{
    const struct audit_event event = { .kind = AUDIT_SUPPRESSED, .count = *missed };
    struct audit_entry *note = *missed ? entry_new(s->audit, &event) : NULL;

    if (note && write_to(s, note))
        *missed = 0;
    free(note);
    if (*missed || !write_to(s, entry))
        ++*missed;
}

static void write_out(struct sinks *s, const struct audit_entry *entry)
{
    if (s->audit->file >= 0)
        sink(s, entry, &s->unwritten, file_write);
    sink(s, entry, &s->unsent, sock_write);
}

/* Waits for what there is to write; takes a line, or the count of those that were left out. False at the end. */
static bool take(struct audit *audit, struct audit_entry **ret, uint64_t *ret_suppressed)
{
    pthread_mutex_lock(&audit->lock);
    while (!audit->n && !audit->suppressed && !audit->ending)
        pthread_cond_wait(&audit->more, &audit->lock);
    *ret = NULL;
    *ret_suppressed = 0;
    if (audit->n) {
        *ret = audit->queue[audit->first];
        audit->first = (audit->first + 1) % AUDIT_QUEUE;
        audit->n--;
    } else {
        *ret_suppressed = audit->suppressed;
        audit->suppressed = 0;
    }
    pthread_mutex_unlock(&audit->lock);
    return *ret || *ret_suppressed;
}

/* The count of what was left out: once a second at most, while it goes on. */
static void write_suppressed(struct sinks *s, uint64_t count)
{
    const struct audit_event event = { .kind = AUDIT_SUPPRESSED, .count = count };
    struct audit_entry *entry = entry_new(s->audit, &event);
    struct timespec until;

    if (entry)
        write_out(s, entry);
    free(entry);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&s->audit->lock);
    while (!s->audit->ending && !s->audit->n &&
           pthread_cond_timedwait(&s->audit->more, &s->audit->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&s->audit->lock);
}

static void *audit_run(void *arg)
{
    struct sinks s = { .audit = arg };
    struct audit_entry *entry;
    uint64_t suppressed;

    (void)privilege_drop_all(); /* what cannot be given up was never there */

    while (take(s.audit, &entry, &suppressed)) {
        if (entry)
            write_out(&s, entry);
        else
            write_suppressed(&s, suppressed);
        free(entry);
    }
    return NULL;
}

int audit_start(struct audit *audit, const char *sandbox, int file, int sock, int64_t file_max)
{
    pthread_attr_t attr;
    int r;

    *audit = (struct audit){ .sandbox = sandbox, .file = file, .sock = sock, .file_max = file_max };
    pthread_mutex_init(&audit->lock, NULL);
    pthread_cond_init(&audit->more, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    r = -pthread_create(&audit->thread, &attr, audit_run, audit);
    pthread_attr_destroy(&attr);
    audit->running = r == 0;
    return r;
}

void audit_stop(struct audit *audit)
{
    if (!audit->running)
        return;
    pthread_mutex_lock(&audit->lock);
    audit->ending = true;
    pthread_cond_signal(&audit->more);
    pthread_mutex_unlock(&audit->lock);
    pthread_join(audit->thread, NULL);
}
