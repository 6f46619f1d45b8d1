/* A registry of images that gives a manifest and the beginning of what that names, and then stands still. */
#ifndef STOCKADE_TEST_STALLED_REGISTRY_H
#define STOCKADE_TEST_STALLED_REGISTRY_H

struct stalled_registry;

struct stalled_registry *stalled_registry_start(void);
const char *stalled_registry_address(const struct stalled_registry *registry); /* 127.0.0.1:PORT */
int stalled_registry_begun_fd(const struct stalled_registry *registry);        /* readable once it stands still */
void stalled_registry_stop(struct stalled_registry *registry);

#endif
