#include "wire.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *out_reserve(struct wire_out *w, size_t n)
{
    if (w->failed)
        return NULL;
    if (n > w->cap - w->len) {
        size_t cap = w->cap ? w->cap : 256;
        uint8_t *data;

        while (cap - w->len < n) {
            if (cap > SIZE_MAX / 2) {
                w->failed = true;
                return NULL;
            }
            cap *= 2;
        }
        data = realloc(w->data, cap);
        if (!data) {
            w->failed = true;
            return NULL;
        }
        w->data = data;
        w->cap = cap;
    }
    w->len += n;
    return w->data + w->len - n;
}

static void put_uint(struct wire_out *w, uint64_t v, size_t n)
{
    uint8_t *p = out_reserve(w, n);

    for (size_t i = 0; p && i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

void wire_put_u32(struct wire_out *w, uint32_t v)
{
    put_uint(w, v, 4);
}

void wire_put_u64(struct wire_out *w, uint64_t v)
{
    put_uint(w, v, 8);
}

void wire_put_bytes(struct wire_out *w, const void *data, size_t len)
{
    uint8_t *p;

    if (len >= UINT32_MAX) {
        w->failed = true;
        return;
    }
    wire_put_u32(w, (uint32_t)len);
    p = out_reserve(w, len + 1);
    if (!p)
        return;
    if (len)
        memcpy(p, data, len);
    p[len] = 0;
}

void wire_put_str(struct wire_out *w, const char *s)
{
    wire_put_bytes(w, s, s ? strlen(s) : 0);
}

void wire_put_strv(struct wire_out *w, const char *const *v)
{
    size_t n = 0;

    while (v && v[n])
        n++;
    wire_put_u32(w, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        wire_put_str(w, v[i]);
}

void wire_out_release(struct wire_out *w)
{
    free(w->data);
    *w = (struct wire_out){ 0 };
}

static const uint8_t *in_take(struct wire_in *w, size_t n)
{
    if (w->failed || n > w->len - w->at) {
        w->failed = true;
        return NULL;
    }
    w->at += n;
    return w->data + w->at - n;
}

static uint64_t get_uint(struct wire_in *w, size_t n)
{
    const uint8_t *p = in_take(w, n);
    uint64_t v = 0;

    for (size_t i = 0; p && i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint32_t wire_get_u32(struct wire_in *w)
{
    return (uint32_t)get_uint(w, 4);
}

uint64_t wire_get_u64(struct wire_in *w)
{
    return get_uint(w, 8);
}

const char *wire_get_bytes(struct wire_in *w, size_t *ret_len)
{
    size_t len = wire_get_u32(w);
    const uint8_t *p = w->failed ? NULL : in_take(w, len + 1);

    if (p && p[len] != 0) {
        w->failed = true;
        p = NULL;
    }
    if (ret_len)
        *ret_len = p ? len : 0;
    return p ? (const char *)p : "";
}

const char *wire_get_str(struct wire_in *w)
{
    size_t len;
    const char *s = wire_get_bytes(w, &len);

    if (strlen(s) != len) {
        w->failed = true;
        return "";
    }
    return s;
}

const char **wire_get_strv(struct wire_in *w, size_t max, size_t *ret_n)
{
    size_t n = wire_get_u32(w);
    const char **v;

    /* Each string takes five bytes at least: a count that the input cannot hold must not size an allocation. */
    if (w->failed || n > max || n > (w->len - w->at) / 5) {
        w->failed = true;
        return NULL;
    }
    v = calloc(n + 1, sizeof *v);
    if (!v) {
        w->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        v[i] = wire_get_str(w);
    if (w->failed) {
        free(v);
        return NULL;
    }
    if (ret_n)
        *ret_n = n;
    return v;
}

bool wire_in_done(const struct wire_in *w)
{
    return !w->failed && w->at == w->len;
}
