/*
 * Which of libfuse's threads wait for the kernel's next request.
 *
 * The kernel wakes those that do in turns, so with several of them each request finds another thread, with nothing of
 * its own in the CPU's caches, and often a CPU that sleeps. So no more have a place than there is work for at once: a
 * thread keeps its place over reading a request and answering it, and the others stand by. They are let in while all
 * that have a place are held up by what they do: by a slow disk, or by a request that waits for another one.
 */
#ifndef STOCKADE_PERMFS_READERS_H
#define STOCKADE_PERMFS_READERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define READERS_MAX 4

/* Who takes so long over a request is held up; it is noticed within twice that time. */
#define READERS_HELD_UP_MS 2

struct readers {
    unsigned places;      /* constant */
    atomic_bool busy;     /* there were requests: one of those that stand by looks at the others from time to time */
    atomic_uint n_placed; /* written with the lock held */
    pthread_mutex_t lock; /* guards what follows; innermost */
    pthread_cond_t stands_by;
    bool watched; /* one of those that stand by is looking */
    unsigned n_threads;
    struct reader {
        bool placed;       /* written by its own thread alone, with the lock held */
        atomic_uint steps; /* odd while it is at a request */
        unsigned seen;     /* when it was looked at last */
    } threads[READERS_MAX];
};

unsigned readers_places(void); /* for this process: half of its CPUs, as the other half is who asks */

void readers_init(struct readers *readers, unsigned places);
void readers_release(struct readers *readers);
/* To be called before reading a request; returns when this thread may. A cancellation point. */
void readers_enter(struct readers *readers);
/* To be called with each request that was read. */
void readers_took(struct readers *readers);

#endif
