#include "parse.h"

#include "runtime_api.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits only: strtoull() would take signs and blanks. */
static bool digits_parse(const char *text, uint64_t *ret, const char **ret_end)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    *ret_end = end;
    return errno == 0;
}

bool parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    const char *end;

    if (!digits_parse(text, &value, &end) || *end || value < min || value > max)
        return false;
    *ret = value;
    return true;
}

bool parse_bytes(const char *text, uint64_t *ret)
{
    static const char units[] = "kmgt";
    const char *end, *unit;
    unsigned shift = 0;
    uint64_t value;

    if (!digits_parse(text, &value, &end) || value == 0)
        return false;
    unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if ((*end && strcasecmp(end, "b") && (!unit || strcasecmp(end, "ib"))) || value > (UINT64_MAX >> shift))
        return false;
    *ret = value << shift;
    return true;
}

bool parse_cpus(const char *text, uint32_t *ret_millis)
{
    uint64_t whole;
    uint32_t millis = 0, place = 100;
    const char *end;

    if (!digits_parse(text, &whole, &end) || whole > 1000000)
        return false;
    if (*end == '.' && end[1]) {
        for (end++; isdigit((unsigned char)*end); end++, place /= 10)
            millis += (uint32_t)(*end - '0') * place; /* what is finer than 1/1000 counts nothing */
    }
    millis += (uint32_t)whole * 1000;
    if (*end || millis == 0)
        return false;
    *ret_millis = millis;
    return true;
}

bool parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
    uint64_t value;
    const char *end;

    if (!strcmp(text, "none")) {
        *ret_ms = RT_FOREVER;
        return true;
    }
    if (!digits_parse(text, &value, &end) || value == 0 || value > 1000000000)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!strcmp(end, units[i].unit)) {
            *ret_ms = (int64_t)(value * units[i].ms);
            return true;
        }
    }
    return false;
}
