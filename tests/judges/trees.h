/* Two directory trees compared: names, kinds, modes, owners, links, sizes, contents, link targets, user attributes. */
#ifndef JUDGES_TREES_H
#define JUDGES_TREES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define DIR_TEXT_BYTES 65536

/*
 * The names of a directory with the kinds that readdir gives, sorted: "kind name" and a NUL each. Returns the bytes in
 * text, or -1 with errno set. dir is borrowed.
 */
long dir_text(int dir, const char *name, char text[DIR_TEXT_BYTES]);

/* What of a stat must be the same: not times, inode numbers or blocks, nor the size and links of a directory. */
size_t stat_text(const struct stat *st, char *text, size_t size);

/* Whether the trees below the two directories are the same; says on stderr what is not. Both are borrowed. */
bool trees_same(int subject, int oracle, const char *path);

#endif
