/*
 * Offsets in listings, as the sandbox gets them. Those of the filesystem below tell of what is hidden: they are hashes
 * of the next name, or positions that a hidden one leaves a gap in (contract W7). So each is replaced by another, by a
 * permutation of the directory's own.
 */
#ifndef STOCKADE_PERMFS_COOKIE_H
#define STOCKADE_PERMFS_COOKIE_H

#include <stdint.h>

struct cookie_key {
    uint64_t k[2];
};

/* The key of a directory, from the daemon's secret and its inode's number. */
struct cookie_key cookie_key_of(const struct cookie_key *secret, uint64_t ino);
/* One of 31 bits stays one, for programs whose off_t is no larger; 0, the start, and negative ones stay themselves. */
int64_t cookie_seal(const struct cookie_key *key, int64_t offset);
int64_t cookie_open(const struct cookie_key *key, int64_t cookie);

#endif
