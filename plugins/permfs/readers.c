#include "readers.h"

#include "clock.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

/* This thread's, and of whom. */
static _Thread_local struct reader *self;
static _Thread_local struct readers *mine;

unsigned readers_places(void)
{
    cpu_set_t cpus;
    unsigned n = sched_getaffinity(0, sizeof cpus, &cpus) < 0 ? 2 * READERS_MAX : (unsigned)CPU_COUNT(&cpus);

    return n < 4 ? 1 : n / 2 < READERS_MAX ? n / 2 : READERS_MAX;
}

void readers_init(struct readers *readers, unsigned places)
{
    *readers = (struct readers){ .places = places };
    pthread_mutex_init(&readers->lock, NULL);
    pthread_cond_init(&readers->stands_by, NULL);
}

void readers_release(struct readers *readers)
{
    pthread_cond_destroy(&readers->stands_by);
    pthread_mutex_destroy(&readers->lock);
}

static void take_place(struct readers *readers)
{
    self->placed = true;
    atomic_fetch_add(&readers->n_placed, 1);
}

static void leave_place(struct readers *readers)
{
    self->placed = false;
    atomic_fetch_sub(&readers->n_placed, 1);
}

/* Whether all that have a place have been at the same request since the last look. */
static bool all_are_held_up(struct readers *readers, bool *ret_quiet)
{
    bool held_up = true, quiet = true;

    for (unsigned i = 0; i < readers->n_threads; i++) {
        struct reader *reader = &readers->threads[i];
        const unsigned steps = atomic_load(&reader->steps);

        if (reader->placed) {
            held_up = held_up && steps % 2 && steps == reader->seen;
            quiet = quiet && !(steps % 2) && steps == reader->seen;
        }
        reader->seen = steps;
    }
    *ret_quiet = quiet;
    return held_up;
}

/* Looks at those that have a place, and takes one if all are held up. */
static void look(struct readers *readers)
{
    bool quiet;

    if (all_are_held_up(readers, &quiet)) {
        take_place(readers);
        pthread_cond_signal(&readers->stands_by); /* the next one is to look now */
    } else if (quiet) {
        atomic_store(&readers->busy, false); /* before looking again: see readers_took */
        (void)all_are_held_up(readers, &quiet);
        atomic_store(&readers->busy, !quiet);
    }
}

static void unlock(void *arg)
{
    struct readers *readers = arg;

    pthread_mutex_unlock(&readers->lock);
}

static void stand_by(struct readers *readers)
{
    const int64_t at = clock_ns(CLOCK_MONOTONIC) + READERS_HELD_UP_MS * INT64_C(1000000);
    const struct timespec until = { at / 1000000000, at % 1000000000 };
    int r;

    if (readers->watched || !atomic_load(&readers->busy)) {
        pthread_cond_wait(&readers->stands_by, &readers->lock);
        return;
    }
    readers->watched = true;
    do
        r = pthread_cond_clockwait(&readers->stands_by, &readers->lock, CLOCK_MONOTONIC, &until);
    while (!r);
    readers->watched = false;
    look(readers);
}

static void join(struct readers *readers)
{
    mine = readers;
    self = readers->n_threads < READERS_MAX ? &readers->threads[readers->n_threads++] : NULL;
}

static void wait_for_place(struct readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    pthread_cleanup_push(unlock, readers);
    if (mine != readers)
        join(readers);
    if (self && self->placed && atomic_load(&readers->n_placed) > readers->places)
        leave_place(readers);
    if (self && !self->placed && atomic_load(&readers->n_placed) < readers->places)
        take_place(readers);
    while (self && !self->placed)
        stand_by(readers);
    pthread_cleanup_pop(true);
}

void readers_enter(struct readers *readers)
{
    if (mine == readers && self && atomic_load(&self->steps) % 2)
        atomic_fetch_add(&self->steps, 1);
    if (mine != readers || !self || !self->placed ||
        atomic_load_explicit(&readers->n_placed, memory_order_relaxed) > readers->places)
        wait_for_place(readers);
}

void readers_took(struct readers *readers)
{
    if (!self)
        return;
    atomic_fetch_add(&self->steps, 1);
    if (atomic_load(&readers->busy))
        return;
    pthread_mutex_lock(&readers->lock);
    atomic_store(&readers->busy, true);
    pthread_cond_signal(&readers->stands_by);
    pthread_mutex_unlock(&readers->lock);
}
