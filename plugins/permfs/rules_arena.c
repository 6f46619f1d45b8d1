/* Memory of a snapshot, and the hash sets in it. */
#include "rules_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)32 << 10)

struct rules_chunk {
    struct rules_chunk *next;
    _Alignas(max_align_t) char data[];
};

struct table_slots {
    size_t mask;
    _Atomic(struct table_entry *) slot[];
};

static struct rules_chunk *chunk_new(struct rules_arena *arena, size_t bytes)
{
    struct rules_chunk *chunk = calloc(1, sizeof(*chunk) + bytes);

    if (!chunk)
        return NULL;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

/* Large blocks get a chunk of their own, so that what is left of the current one is not thrown away for them. */
static char *block_get(struct rules_arena *arena, size_t bytes)
{
    struct rules_chunk *chunk;
    char *ret;

    if (bytes > (size_t)(arena->end - arena->at)) {
        bool large = bytes > CHUNK_BYTES / 4;

        chunk = chunk_new(arena, large ? bytes : CHUNK_BYTES);
        if (!chunk || large)
            return chunk ? chunk->data : NULL;
        arena->at = chunk->data;
        arena->end = chunk->data + CHUNK_BYTES;
    }
    ret = arena->at;
    arena->at += bytes;
    return ret;
}

void *rules_arena_alloc(struct rules_arena *arena, size_t n, size_t size)
{
    size_t bytes;
    char *ret;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes += !bytes; /* NULL always means failure */
    bytes = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (bytes > arena->limit - arena->used)
        return NULL;
    ret = block_get(arena, bytes);
    if (ret)
        arena->used += bytes;
    return ret;
}

void *rules_arena_copy(struct rules_arena *arena, const void *data, size_t len)
{
    void *ret = rules_arena_alloc(arena, len + 1, 1);

    if (ret && len)
        memcpy(ret, data, len);
    return ret;
}

void rules_arena_release(struct rules_arena *arena)
{
    while (arena->chunks) {
        struct rules_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
}

/* MurmurHash2's mixing (64A), without its tail: data is whole words in all but one use, and need not be secret. */
uint64_t rules_hash(uint64_t seed, const void *data, size_t len)
{
    const uint64_t mul = UINT64_C(0xc6a4a7935bd1e995);
    const char *at = data;
    uint64_t h = seed ^ (len * mul);

    while (len) {
        uint64_t word = 0;
        size_t n = len < sizeof(word) ? len : sizeof(word);

        memcpy(&word, at, n);
        word *= mul;
        word ^= word >> 47;
        h = (h ^ word * mul) * mul;
        at += n;
        len -= n;
    }
    h = (h ^ h >> 47) * mul;
    return h ^ h >> 47;
}

void *rules_table_find(const struct rules_table *table, uint64_t hash, table_equal_fn *equal, const void *key)
{
    struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);

    if (!slots)
        return NULL;
    for (size_t i = hash & slots->mask;; i = (i + 1) & slots->mask) {
        struct table_entry *entry = atomic_load_explicit(&slots->slot[i], memory_order_acquire);

        if (!entry)
            return NULL;
        if (entry->hash == hash && equal(entry, key))
            return entry;
    }
}

static void slots_put(struct table_slots *slots, struct table_entry *entry)
{
    size_t i = entry->hash & slots->mask;

    while (atomic_load_explicit(&slots->slot[i], memory_order_relaxed))
        i = (i + 1) & slots->mask;
    atomic_store_explicit(&slots->slot[i], entry, memory_order_release);
}

/* Readers may still be in the old slots: these stay in the arena, and a reader who misses there asks under the lock. */
static int table_grow(struct rules_table *table, struct rules_arena *arena, struct table_slots *old)
{
    size_t size = old ? (old->mask + 1) * 2 : 16;
    struct table_slots *slots = rules_arena_alloc(arena, 1, sizeof(*slots) + size * sizeof(slots->slot[0]));

    if (!slots)
        return -ENOMEM;
    slots->mask = size - 1;
    for (size_t i = 0; old && i <= old->mask; i++) {
        struct table_entry *entry = atomic_load_explicit(&old->slot[i], memory_order_relaxed);

        if (entry)
            slots_put(slots, entry);
    }
    atomic_store_explicit(&table->slots, slots, memory_order_release);
    return 0;
}

int rules_table_add(struct rules_table *table, struct rules_arena *arena, struct table_entry *entry)
{
    struct table_slots *slots = atomic_load_explicit(&table->slots, memory_order_relaxed);

    if (!slots || table->n >= (slots->mask + 1) / 2) {
        if (table_grow(table, arena, slots) < 0)
            return -ENOMEM;
        slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
    }
    slots_put(slots, entry);
    table->n++;
    return 0;
}
