/*
 * Reading and writing the structs that cross the ABI, whichever version their owner was built with: what lies beyond
 * `size` is neither read nor written.
 */
#ifndef STOCKADE_STRUCTS_H
#define STOCKADE_STRUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Element i of an array with a common stride. */
static inline const void *struct_at(const void *first, size_t i)
{
    size_t stride;

    memcpy(&stride, first, sizeof stride);
    return (const char *)first + i * stride;
}

/* Copies a caller's struct into ours (size bytes), zeros for what it lacks. False if it has no sensible size. */
static inline bool struct_read(void *ours, size_t size, const void *theirs)
{
    size_t has;

    memset(ours, 0, size);
    memcpy(&has, theirs, sizeof has);
    if (has < sizeof has)
        return false;
    memcpy(ours, theirs, has < size ? has : size);
    return true;
}

/* Fills a caller's struct from ours (size bytes), but for its size member. */
static inline void struct_write(void *theirs, const void *ours, size_t size)
{
    size_t has;

    memcpy(&has, theirs, sizeof has);
    if (has > sizeof has)
        memcpy((char *)theirs + sizeof has, (const char *)ours + sizeof has, (has < size ? has : size) - sizeof has);
}

#endif
