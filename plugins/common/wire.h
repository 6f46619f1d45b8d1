/*
 * The byte format inside our messages: little-endian fixed-width integers and counted byte strings. Both ends are
 * ours, but the other end may lie: every read is bounded, and one failure sticks, so that a parser checks once at
 * the end.
 */
#ifndef STOCKADE_WIRE_H
#define STOCKADE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Growing output buffer; zero-initialise. failed is set when memory runs out. */
struct wire_out {
    uint8_t *data;
    size_t len, cap;
    bool failed;
};

void wire_put_u32(struct wire_out *w, uint32_t v);
void wire_put_u64(struct wire_out *w, uint64_t v);
void wire_put_bytes(struct wire_out *w, const void *data, size_t len); /* u32 length, then the bytes, then a NUL */
void wire_put_str(struct wire_out *w, const char *s);                  /* NULL is put as "" */
void wire_put_strv(struct wire_out *w, const char *const *v);          /* u32 count, then strings; NULL is 0 of them */
void wire_out_release(struct wire_out *w);

/* A reader over borrowed bytes. failed is set by the first read that does not fit; later reads return zeros. */
struct wire_in {
    const uint8_t *data;
    size_t len, at;
    bool failed;
};

static inline struct wire_in wire_in_over(const void *data, size_t len)
{
    return (struct wire_in){ .data = data, .len = len };
}

uint32_t wire_get_u32(struct wire_in *w);
uint64_t wire_get_u64(struct wire_in *w);
/* Pointer into the input; a NUL follows the bytes. Never NULL: "" on failure. ret_len may be NULL. */
const char *wire_get_bytes(struct wire_in *w, size_t *ret_len);
/* The same for text: a NUL inside the bytes is a failure too. */
const char *wire_get_str(struct wire_in *w);
/*
 * An array of strings, ended by NULL, pointing into the input; at most max of them. The caller frees the array.
 * Returns NULL on failure.
 */
const char **wire_get_strv(struct wire_in *w, size_t max, size_t *ret_n);
bool wire_in_done(const struct wire_in *w); /* all was read and nothing failed */

#endif
