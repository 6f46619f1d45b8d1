/* Offsets in listings (contract W7): each has one cookie and comes back from it, and cookies tell nothing. */
#include "permfs/cookie.h"

#include <criterion/criterion.h>

static const struct cookie_key secret = { { UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210) } };

Test(cookie, comes_back)
{
    const struct cookie_key key = cookie_key_of(&secret, 7);
    static const int64_t bases[] = { 1, 1 << 15, INT32_MAX - 1000, INT64_C(1) << 32, INT64_MAX - 1000 };

    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        for (int64_t k = 0; k < 2000 && k <= INT64_MAX - bases[i]; k++) {
            const int64_t off = bases[i] + k, cookie = cookie_seal(&key, off);

            cr_assert(cookie > 0 && (cookie <= INT32_MAX) == (off <= INT32_MAX), "%lld", (long long)off);
            cr_assert(cookie_open(&key, cookie) == off, "%lld", (long long)off);
        }
}

Test(cookie, the_start_and_what_is_none_stay)
{
    const struct cookie_key key = cookie_key_of(&secret, 7);

    cr_expect(cookie_seal(&key, 0) == 0 && cookie_open(&key, 0) == 0);
    cr_expect(cookie_seal(&key, -1) == -1 && cookie_open(&key, INT64_MIN) == INT64_MIN);
}

/* Neighbours are no neighbours any more, and the same offset has another cookie in another directory or daemon. */
Test(cookie, tells_nothing)
{
    const struct cookie_key other = { { 1, 2 } },
                            keys[] = { cookie_key_of(&secret, 7), cookie_key_of(&secret, 8), cookie_key_of(&other, 7) };
    int rising = 0;

    for (int64_t off = 1; off <= 1000; off++) {
        cr_expect(cookie_seal(&keys[0], off) != cookie_seal(&keys[1], off));
        cr_expect(cookie_seal(&keys[0], off) != cookie_seal(&keys[2], off));
        rising += cookie_seal(&keys[0], off) < cookie_seal(&keys[0], off + 1);
    }
    cr_expect(rising > 400 && rising < 600, "%d of 1000 rise", rising);
}
