/*
 * The chaos test: several hosts at random work on the same sandboxes, while they, and what the sandboxes stand on, are
 * killed, and disks, fds and processes run out. After each round all is destroyed, and nothing may be left or lost.
 *
 * main.c     options and rounds          worker.c   a host at work
 * world.c    what a run stands on        faults.c   what is done to it        engine.c   and to an Engine
 * verify.c   what must hold after a round
 */
#ifndef STOCKADE_CHAOS_H
#define STOCKADE_CHAOS_H

#include "host.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKERS 4
#define BOXES   20 /* of each runtime; those with odd numbers are copy-on-write */

/* A runtime that workers work with: what plugin_load() is told. */
struct choice {
    char plugin[400], config[500];
};

struct world {
    char dir[256]; /* of this run; all else is below it, but for the cgroup */
    char state[300], code[300], libexec[300], committed[300], log[300];
    char prefix[32];  /* of the sandboxes' ids: nobody else's begin so */
    bool small_disks; /* state and code are small disks of their own */
    char cgroup[300]; /* of the hosts, with a limit of processes; "" = none */
    struct choice choices[2];
    unsigned n_choices;
    const char *docker_host; /* NULL = no Engine to ask for containers */
    const char *engine_dir;  /* of tests/engine.sh, for an Engine that may be killed; NULL = it may not */
    const char *image;
    uint64_t seed;
};

extern struct world world;

/* splitmix64: the same numbers from the same seed, everywhere. */
struct dice {
    uint64_t state;
};
struct dice dice_make(uint64_t round, uint64_t who);
unsigned dice_roll(struct dice *dice, unsigned sides); /* 0 to sides - 1 */

/* ---- world.c ---- */

/* libexec: of the build. Exits, with the reason, if there is no room for a run. */
void world_make(const char *libexec);
bool world_remove(void);                        /* false if something of it is still in use */
void world_choose(const struct choice *choice); /* for this process and its children */
/* Opens the plugin on the world's state directory. */
int32_t world_open(const struct plugin *plugin, rt_call *call, rt_runtime **ret);

void must(bool ok, const char *what); /* exits with errno's reason unless ok */
int64_t since_ms(void);               /* the run's begin */

/* A line in the log, with the time since the run's begin; one write each, from any process. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and on stderr; false. */
bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_forget(void);        /* what a round that went well has noted */
void log_show(unsigned last); /* so many lines, on stderr */

/* ---- worker.c ---- */

/* A file that a worker has made, as name and content: whole, wherever it is. */
#define FILE_NAME_MAX 64
#define FILE_LINES    500 /* its name, so often, where it begins with 'd'; once where with 'r' */

/* A host at work until the fd is at its end; returns the exit status of its process. */
int worker_run(unsigned round, unsigned number, int until_fd);

/* ---- faults.c, engine.c ---- */

/* One fault of the round's dice; pids of the workers, 0 = gone. */
void fault_deal(struct dice *dice, const pid_t pids[WORKERS]);
void faults_lift(void); /* what lasts: helpers that stand still */

void engine_fault(struct dice *dice);
/* Names of the run's containers, a line each, at most `size` bytes; false if the Engine does not say. */
bool engine_containers(char *names, size_t size);

/* Processes whose program is this file of the world's libexec; each is told to `take`. Returns how many there are. */
unsigned helpers_each(const char *name, void (*take)(pid_t pid, void *arg), void *arg);

/* ---- verify.c ---- */

/* Destroys all and looks for what is left. Complains, and returns false, if something is. */
bool verify_round(void);

#endif
