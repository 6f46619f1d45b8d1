/* The docker command on the Engine under test, for doing to containers what no sandbox's host would. */
#ifndef STOCKADE_TEST_ENGINE_CONTAINER_H
#define STOCKADE_TEST_ENGINE_CONTAINER_H

#include <stdbool.h>
#include <sys/types.h>

/* Runs `docker ...`; its stdout without the last newline, to be freed. Fails the test if it does not exit with 0. */
char *docker_text(const char *const *args);
#define DOCKER(...) free(docker_text((const char *const[]){ "docker", __VA_ARGS__, NULL }))

/* docker_host of the run's config; to be freed. */
char *docker_host(void);

/* The backend id of a running sandbox: its container; to be freed. */
char *container_of(const char *sandbox);
/* The init of a running container, as this machine knows it. */
pid_t init_of(const char *container);
/* Containers that this test's sandbox of that id has, also ended ones; NULL: of all its sandboxes. */
int containers_of(const char *sandbox);
/* Waits until the sandbox is in this state, at most HANG_MS; the last error, to be freed. */
char *await_status(const char *sandbox, int status);

#endif
