/* The dockerd of a directory of tests/engine.sh: to be hit, and to be started again. */
#ifndef STOCKADE_TEST_ENGINE_DAEMON_H
#define STOCKADE_TEST_ENGINE_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

pid_t engine_daemon_pid(const char *dir); /* 0 = none runs */
/*
 * Starts it again after its end, with these further arguments of dockerd's; what was said if that failed is in said. It
 * becomes no child of this process, which may be a subreaper. The working directory is the top of the source.
 */
bool engine_daemon_again(const char *dir, const char *args, char *said, size_t size);

#endif
