/* Files and directories of a test, made and looked at on the host. Every path is `dir`/`path`; dir is absolute. */
#ifndef STOCKADE_TEST_TREE_H
#define STOCKADE_TEST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Each returns false with errno set if it could not; directories on the way are made. */
bool tree_mkdir(const char *dir, const char *path);
bool tree_put(const char *dir, const char *path, const char *text); /* replaces what is there */
bool tree_put_bytes(const char *dir, const char *path, const void *data, size_t len);
bool tree_symlink(const char *target, const char *dir, const char *path);
bool tree_copy(const char *file, const char *dir, const char *path, mode_t mode);

/* The content with a NUL behind it, to be freed; NULL with errno set if it cannot be read. ret_len may be NULL. */
char *tree_read(const char *dir, const char *path, size_t *ret_len);
bool tree_exists(const char *dir, const char *path); /* symlinks are not followed */
bool tree_is(const char *dir, const char *path, const char *text);

/* Removes root and everything below it, without following symlinks or entering mounts. true if nothing is left. */
bool tree_remove(const char *root);
bool tree_chown(const char *root, uid_t uid, gid_t gid);
/*
 * The paths of everything below root that is no directory, one a line, in byte order; to be freed. With
 * `directories`, of those too.
 */
char *tree_list(const char *root, bool directories);

#endif
