/*
 * Starts the permfs daemon itself, without a plugin, over a codebase of the test's own, and talks to it by its
 * protocol. The daemon is the build's, or $STOCKADE_TEST_PERMFS.
 */
#ifndef STOCKADE_TEST_PERMFS_HARNESS_H
#define STOCKADE_TEST_PERMFS_HARNESS_H

#include "msg.h"
#include "permfs_proto.h"
#include "runtime_api.h"
#include "wire.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct rule {
    char pattern[64];
    int type, permission, priority;
};

struct harness_options {
    uint32_t cache_ms;
    uint32_t flags; /* PERMFS_* */
    int lock;       /* for PERMFS_LOCK */
    uid_t owner_uid, shown_uid;
    gid_t owner_gid, shown_gid;
};

struct harness {
    char dir[32];   /* private to the test; base, mnt and the socket are in it */
    char base[48];  /* the codebase, to be filled before harness_start */
    char mnt[80];   /* the workspace */
    int owner;      /* the owner's connection; -1 = closed */
    pid_t pid;      /* 0 = not running */
    uint32_t error; /* of a start that failed */
    char why[256];
};

/* For the host's changes: less than the minute after which even what the kernel was told for long is asked for anew. */
#define SEEN_MS 30000

#define HARNESS_BUF   4096
#define HARNESS_PLAIN (PERMFS_NO_PASSTHROUGH | PERMFS_NO_WATCH | PERMFS_NO_EPOCH)

#define N(a) (sizeof(a) / sizeof *(a))

/* Checks that a call answers a negative value with errno err, or that it does not. */
#define FAILS(err, call)                                                                                               \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        cr_expect((call) < 0 && errno == (err), "%s: %s, wanted %s", #call, strerror(errno), strerror(err));           \
    } while (0)
#define WORKS(call) cr_expect((call) >= 0, "%s: %s", #call, strerror(errno))

/*
 * Every suite of the filesystem's behaviour comes twice: as fast as this kernel and user can have it, and "_plain",
 * with each fast path forced off, as where neither can. FS_SUITES takes the names of setup and teardown from the file;
 * FS_TEST is Criterion's Test for both.
 */
extern uint32_t harness_flags; /* PERMFS_* that harness_options adds */
#define FS_SUITES(suite, seconds)                                                                                      \
    static void suite##_setup_plain(void)                                                                              \
    {                                                                                                                  \
        harness_flags = HARNESS_PLAIN;                                                                                 \
        setup();                                                                                                       \
    }                                                                                                                  \
    TestSuite(suite, .init = setup, .fini = teardown, .timeout = (seconds));                                           \
    TestSuite(suite##_plain, .init = suite##_setup_plain, .fini = teardown, .timeout = (seconds))
#define FS_TEST(suite, name)                                                                                           \
    static void suite##_##name(void);                                                                                  \
    Test(suite, name)                                                                                                  \
    {                                                                                                                  \
        suite##_##name();                                                                                              \
    }                                                                                                                  \
    Test(suite##_plain, name)                                                                                          \
    {                                                                                                                  \
        suite##_##name();                                                                                              \
    }                                                                                                                  \
    static void suite##_##name(void)

struct harness_options harness_options(void);          /* one second, a lease, owned by and shown as this user */
void harness_skip(struct harness *h, const char *why); /* ends the test; its teardown would not run */
void harness_init(struct harness *h);                  /* makes the directories */
/*
 * For tests that mount: skips them unless they are root's. What is mounted from here on is seen by the test and its
 * daemons alone, and goes with them, however they end; so do the loop devices below it.
 */
void harness_mounts(struct harness *h);
void harness_mount_tmpfs(const char *place, const char *options);
/* An image of its own, in h->dir, of this many MiB. The test is skipped where mkfs.TYPE is missing. */
void harness_mount_image(struct harness *h, const char *place, const char *type, int mib);
/* Runs a shell command, and skips the test, telling what it is, where that fails. */
void harness_run(struct harness *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Starts with n rules. Returns whether the daemon said that it is ready; else error and why say why not. */
bool harness_start(struct harness *h, const struct rule *rules, size_t n, const struct harness_options *options);
/* Where the writes go with PERMFS_DELTA: static storage. The codebase below is as it is otherwise. */
const char *harness_delta(const struct harness *h);
/* The same, with everything writable. */
bool harness_start_open(struct harness *h);
/* Sends a request on a connection and receives the answer into buf. Returns 0 or -errno. */
int harness_ask(int sock, uint32_t type, const void *body, size_t len, char buf[HARNESS_BUF], struct msg *ret);
/* Sends a request on the owner's connection; returns the answer's type, 0 if there is none. */
uint32_t harness_request(struct harness *h, uint32_t type, const void *body, size_t len);
int harness_connect(const struct harness *h);                                  /* to the listening socket */
void harness_set_rules(struct harness *h, const struct rule *rules, size_t n); /* while it runs */
/* Waits until the daemon has ended and nothing is mounted, at most HANG_MS (proc.h). */
bool harness_await_end(struct harness *h);
/* Asks the daemon to quit if it still runs, and checks that nothing is left: mount, process. */
void harness_stop(struct harness *h);
void harness_release(struct harness *h); /* harness_stop, and removes the directories */

#endif
