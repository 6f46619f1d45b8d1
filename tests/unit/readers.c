/* Who reads the kernel's requests: as many as have a place, and others while those are held up. */
#include "permfs/readers.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD_S 20

/* A request is posted to `asked`, and what it is to do is `work`. */
static struct readers readers;
static sem_t started, asked, answered, go_on;
static atomic_uint n_reading, most_reading, n_taken;
static enum { QUICK, HELD_UP } work;

static void note_most(unsigned n)
{
    unsigned most = atomic_load(&most_reading);

    while (n > most && !atomic_compare_exchange_weak(&most_reading, &most, n))
        continue;
}

static void *serve(void *arg)
{
    pid_t *tid = arg;

    *tid = (pid_t)syscall(SYS_gettid);
    sem_post(&started);
    for (;;) {
        readers_enter(&readers);
        note_most(atomic_fetch_add(&n_reading, 1) + 1);
        while (sem_wait(&asked) < 0)
            continue;
        atomic_fetch_sub(&n_reading, 1);
        readers_took(&readers);
        atomic_fetch_add(&n_taken, 1);
        if (work == HELD_UP)
            while (sem_wait(&go_on) < 0)
                continue;
        sem_post(&answered);
    }
    return NULL;
}

static void wait_or_die(sem_t *sem, const char *what)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GUARD_S;
    cr_assert(sem_timedwait(sem, &until) == 0, "%s", what);
}

static void wait_for(atomic_uint *count, unsigned n, const char *what)
{
    for (int i = 0; i < GUARD_S * 1000 && atomic_load(count) != n; i++)
        usleep(1000);
    cr_assert(atomic_load(count) == n, "%u %s, not %u", atomic_load(count), what, n);
}

static void wait_for_readers(unsigned n)
{
    wait_for(&n_reading, n, "read");
}

static void serve_one(void)
{
    sem_post(&asked);
    wait_or_die(&answered, "an answer");
}

static void start(unsigned places, unsigned n, pid_t tids[])
{
    pthread_t thread;

    sem_init(&started, 0, 0);
    sem_init(&asked, 0, 0);
    sem_init(&answered, 0, 0);
    sem_init(&go_on, 0, 0);
    readers_init(&readers, places);
    for (unsigned i = 0; i < n; i++)
        cr_assert(pthread_create(&thread, NULL, serve, &tids[i]) == 0);
    for (unsigned i = 0; i < n; i++)
        wait_or_die(&started, "a thread");
    wait_for_readers(places);
}

static void expect_no_more_than(unsigned places)
{
    pid_t tids[READERS_MAX];

    start(places, READERS_MAX, tids);
    for (int i = 0; i < 2000; i++)
        serve_one();
    wait_for_readers(places);
    cr_expect(atomic_load(&most_reading) == places, "%u read at once", atomic_load(&most_reading));
}

Test(readers, no_more_read_than_there_are_places)
{
    expect_no_more_than(1);
}

Test(readers, as_many_read_as_there_are_places)
{
    expect_no_more_than(2);
}

Test(readers, another_is_let_in_while_all_are_held_up)
{
    pid_t tids[READERS_MAX];

    work = HELD_UP;
    start(1, READERS_MAX, tids);
    for (unsigned held = 1; held < READERS_MAX; held++) {
        sem_post(&asked);
        wait_for(&n_taken, held, "are held up");
        wait_for_readers(1);
    }
    sem_post(&asked);
    wait_for_readers(0);
    for (unsigned i = 0; i < READERS_MAX; i++)
        sem_post(&go_on);
    for (unsigned i = 0; i < READERS_MAX; i++)
        wait_or_die(&answered, "an answer");
    wait_for_readers(1); /* the others stand by again */
}

static unsigned long switches_of(pid_t tid)
{
    char path[64], line[128];
    unsigned long n = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
    file = fopen(path, "r");
    cr_assert(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
            break;
    fclose(file);
    return n;
}

Test(readers, nobody_wakes_where_nothing_is_asked)
{
    pid_t tids[READERS_MAX];
    unsigned long before = 0, after = 0;
    bool quiet = false;

    start(1, READERS_MAX, tids);
    serve_one();
    for (int i = 0; i < GUARD_S * 10 && !quiet; i++) {
        before = after = 0;
        for (unsigned k = 0; k < READERS_MAX; k++)
            before += switches_of(tids[k]);
        usleep(READERS_HELD_UP_MS * 20000);
        for (unsigned k = 0; k < READERS_MAX; k++)
            after += switches_of(tids[k]);
        quiet = before == after;
    }
    cr_expect(quiet, "%lu wake-ups", after - before);
}

Test(readers, one_that_stands_by_can_be_cancelled)
{
    pthread_t thread;
    pid_t first, tid;
    void *result;

    start(1, 1, &first);
    cr_assert(pthread_create(&thread, NULL, serve, &tid) == 0);
    wait_or_die(&started, "a thread");
    usleep(READERS_HELD_UP_MS * 3000);
    cr_expect(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    serve_one();
}
