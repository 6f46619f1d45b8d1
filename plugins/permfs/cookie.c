#include "cookie.h"

#include <stdbool.h>

#define ROUNDS    4
#define SMALL_MAX INT32_MAX

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 of one word that needs no length: Aumasson and Bernstein, 2012. */
static uint64_t sip(const struct cookie_key *key, uint64_t word)
{
    uint64_t v[4] = { key->k[0] ^ UINT64_C(0x736f6d6570736575), key->k[1] ^ UINT64_C(0x646f72616e646f6d),
                      key->k[0] ^ UINT64_C(0x6c7967656e657261), key->k[1] ^ UINT64_C(0x7465646279746573) };

    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct cookie_key cookie_key_of(const struct cookie_key *secret, uint64_t ino)
{
    const uint64_t first = sip(secret, ino);

    return (struct cookie_key){ { first, sip(secret, ~ino ^ first) } };
}

/* A Feistel network over `bits` bits, an odd number: the upper half is a bit shorter. */
static uint64_t permute(const struct cookie_key *key, uint64_t x, int bits, bool back)
{
    const int low_bits = (bits + 1) / 2;
    const uint64_t low_mask = (UINT64_C(1) << low_bits) - 1, high_mask = low_mask >> 1;
    uint64_t half[2] = { x & low_mask, x >> low_bits };

    for (int i = 0; i < ROUNDS; i++) {
        const int round = back ? ROUNDS - 1 - i : i, to = !(round & 1);

        half[to] ^= sip(key, (uint64_t)round << 32 | half[!to]) & (to ? high_mask : low_mask);
    }
    return half[1] << low_bits | half[0];
}

/* Walks on from what is in the other class, or no offset of an entry: that leads back into its own. */
static int64_t walk(const struct cookie_key *key, int64_t x, bool back)
{
    const bool is_small = x <= SMALL_MAX;

    if (x <= 0)
        return x;
    do
        x = (int64_t)permute(key, (uint64_t)x, is_small ? 31 : 63, back);
    while (x == 0 || (x <= SMALL_MAX) != is_small);
    return x;
}

int64_t cookie_seal(const struct cookie_key *key, int64_t offset)
{
    return walk(key, offset, false);
}

int64_t cookie_open(const struct cookie_key *key, int64_t cookie)
{
    return walk(key, cookie, true);
}
