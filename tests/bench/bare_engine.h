/*
 * What a user of the Engine's API alone does, to compare with: by the plugin's own client, so that the difference is
 * not the client's. A call that fails ends the program with a message. Thread-safe.
 */
#ifndef BENCH_BARE_ENGINE_H
#define BENCH_BARE_ENGINE_H

#include <stddef.h>

struct bare_engine;

struct bare_engine *bare_engine_open(const char *docker_host);
void bare_engine_close(struct bare_engine *engine);

/* Runs a command as the Engine's own exec: create, start, its output to the end, inspect. All over kept connections.
 * The exit code must be 0. */
void bare_exec(struct bare_engine *engine, const char *container, const char *const *argv);
/* The same over a connection that the Engine turned into a stream; returns how many bytes of stdout came. */
size_t bare_exec_stream(struct bare_engine *engine, const char *container, const char *const *argv);

/* A running container as the docker plugin makes them, but for the agent and the workspace's filesystem: codebase is
 * bound itself. */
void bare_run(struct bare_engine *engine, const char *name, const char *image, const char *codebase);
/* Kill, and remove. */
void bare_end(struct bare_engine *engine, const char *name);

#endif
