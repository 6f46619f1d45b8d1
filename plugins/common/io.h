/* Reading whole. No state; thread-safe. */
#ifndef STOCKADE_IO_H
#define STOCKADE_IO_H

#include <sys/types.h>

/* pread(2) until size bytes are there or the file ends. Returns how many there are, or -errno. */
ssize_t read_full_at(int fd, void *buf, size_t size, off_t at);

#endif
