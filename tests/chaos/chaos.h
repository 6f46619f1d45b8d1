/*
 * The chaos test: several hosts at random work on the same sandboxes, while they, and what the sandboxes stand on, are
 * killed, and disks and fd tables are full. After each round all is destroyed, and nothing may be left or lost.
 *
 * main.c     rounds and options     worker.c   a host at work      faults.c   what is done to it
 * verify.c   what must hold after a round
 */
#ifndef STOCKADE_CHAOS_H
#define STOCKADE_CHAOS_H

#include "host.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKERS 4
#define BOXES   20

struct world {
    char dir[256]; /* of this run; all else is below it */
    char state[300], code[300], libexec[300], log[300];
    char prefix[32];         /* of the sandboxes' ids: nobody else's begin so */
    bool small_disks;        /* state and code are small disks of their own */
    const char *docker_host; /* NULL = no Engine to ask for containers */
    const char *image;
    uint64_t seed;
};

extern struct world world;

/* splitmix64: the same numbers from the same seed, everywhere. */
struct dice {
    uint64_t state;
};
struct dice dice_make(uint64_t round, uint64_t who);
uint64_t dice_next(struct dice *dice);
unsigned dice_roll(struct dice *dice, unsigned sides); /* 0 to sides - 1 */

/* A line in the log of the run, with the time since its start; one write each, from any process. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void noting_begin(void);

/* A host at work until the fd is at its end; returns the exit status of its process. */
int worker_run(unsigned round, unsigned number, int until_fd);
/* Opens the plugin on the world's state directory. */
int32_t world_open(const struct plugin *plugin, rt_call *call, rt_runtime **ret);

/* One fault of the round's dice; pids of the workers, 0 = gone. */
void fault_deal(struct dice *dice, const pid_t pids[WORKERS]);
void faults_lift(void); /* what lasts: full disks, helpers that stand still */

/* Processes whose program is this file (the same inode); each is told to `take`. Returns how many there are. */
unsigned helpers_each(const char *name, void (*take)(pid_t pid, void *arg), void *arg);

/* Destroys all and looks for what is left. Complains, and returns false, if something is. */
bool verify_round(void);

#endif
