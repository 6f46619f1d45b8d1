/* The syntax of patterns: components, what is malformed, what W3 weighs; and matching one component. */
#include "rules_internal.h"

#include <errno.h>
#include <string.h>

/* ---- atoms ----------------------------------------------------------------------------------------------------- */

/* Reads one literal byte, escaped or not. Returns NULL if the text ends first. */
static const char *byte_parse(const char *at, const char *end, unsigned char *ret)
{
    if (at < end && *at == '\\')
        at++;
    if (at >= end)
        return NULL;
    *ret = (unsigned char)*at;
    return at + 1;
}

/* Reads one byte or range of a set. Returns NULL if the text ends first. */
static const char *range_parse(const char *at, const char *end, unsigned char *low, unsigned char *high)
{
    at = byte_parse(at, end, low);
    if (!at)
        return NULL;
    *high = *low;
    if (end - at >= 2 && at[0] == '-' && at[1] != ']')
        at = byte_parse(at + 1, end, high);
    return at;
}

static const char *set_parse(const char *at, const char *end, struct atom *ret, const char **why)
{
    unsigned char low, high;

    ret->kind = ATOM_SET;
    ret->negated = at < end && (*at == '!' || *at == '^');
    at += ret->negated;
    ret->set = at;
    do {
        at = range_parse(at, end, &low, &high);
        if (!at) {
            *why = "unclosed '['";
            return NULL;
        }
        if (high < low) {
            *why = "a range runs backwards";
            return NULL;
        }
    } while (at >= end || *at != ']');
    ret->set_end = at;
    return at + 1;
}

const char *atom_parse(const char *at, const char *end, struct atom *ret, const char **why)
{
    if (*at == '[')
        return set_parse(at + 1, end, ret, why);
    if (*at == '*' || *at == '?') {
        ret->kind = *at == '*' ? ATOM_STAR : ATOM_ONE;
        return at + 1;
    }
    ret->kind = ATOM_BYTE;
    at = byte_parse(at, end, &ret->byte);
    if (!at)
        *why = "nothing follows the last '\\'";
    return at;
}

static bool set_has(const struct atom *atom, unsigned char byte)
{
    unsigned char low, high;

    for (const char *at = atom->set; at && at < atom->set_end;) {
        at = range_parse(at, atom->set_end, &low, &high);
        if (at && low <= byte && byte <= high)
            return true;
    }
    return false;
}

static bool atom_match(const struct atom *atom, unsigned char byte)
{
    if (atom->kind == ATOM_BYTE)
        return atom->byte == byte;
    return atom->kind == ATOM_ONE || set_has(atom, byte) != atom->negated;
}

/* On a mismatch only the last `*` can help by taking one byte more: earlier ones took as little as they could. */
bool component_match(const char *pattern, size_t pattern_len, const char *name, size_t len)
{
    const char *at = pattern, *end = pattern + pattern_len, *name_end = name + len;
    const char *star = NULL, *star_name = NULL, *why;
    struct atom atom;

    while (name < name_end) {
        const char *next = at < end ? atom_parse(at, end, &atom, &why) : NULL;

        if (next && atom.kind == ATOM_STAR) {
            star = at = next;
            star_name = name;
        } else if (next && atom_match(&atom, (unsigned char)*name)) {
            at = next;
            name++;
        } else if (star) {
            at = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (at < end && *at == '*')
        at++;
    return at == end;
}

/* ---- components ------------------------------------------------------------------------------------------------ */

const char *pattern_start(const char *pattern)
{
    return pattern + (*pattern == '/');
}

bool pattern_next(const char **at, const char **ret_component, size_t *ret_len)
{
    const char *end;

    if (!**at)
        return false;
    end = strchrnul(*at, '/');
    *ret_component = *at;
    *ret_len = (size_t)(end - *at);
    *at = end + (*end == '/');
    return true;
}

bool component_is_any_depth(const char *component, size_t len)
{
    return len == 2 && component[0] == '*' && component[1] == '*';
}

/* A class as in POSIX would silently mean a set of its letters, so a rule that names one is refused. */
static bool set_is_class(const struct atom *atom)
{
    for (const char *at = atom->set; at + 3 <= atom->set_end; at++) {
        if (at[0] == '[' && strchr(":.=", at[1]) && atom->set_end[-1] == at[1])
            return true;
        at += *at == '\\';
    }
    return false;
}

static const char *component_check(const char *at, size_t len)
{
    const char *end = at + len, *why = NULL;
    char start[3];
    size_t n = 0;
    struct atom atom;

    if (!len)
        return "an empty component";
    while (at < end) {
        at = atom_parse(at, end, &atom, &why);
        if (!at)
            return why;
        if (atom.kind == ATOM_SET && set_is_class(&atom))
            return "character classes such as [:alpha:] are not supported";
        if (n < sizeof(start))
            start[n++] = atom.kind == ATOM_BYTE ? (char)atom.byte : '*';
    }
    if ((n == 1 && start[0] == '.') || (n == 2 && start[0] == '.' && start[1] == '.'))
        return "a component '.' or '..'";
    return NULL;
}

const char *rules_check_pattern(const char *pattern)
{
    const char *at, *component, *why = NULL;
    size_t len;

    if (!*pattern)
        return "empty";
    if (strnlen(pattern, RULE_PATTERN_MAX + 1) > RULE_PATTERN_MAX)
        return "longer than 4096 bytes";
    at = pattern_start(pattern);
    while (!why && pattern_next(&at, &component, &len))
        why = component_check(component, len);
    return why;
}

static void component_weigh(const char *at, size_t len, struct pattern_weight *weight)
{
    const char *end = at + len, *why;
    struct atom atom;

    while (at < end) {
        at = atom_parse(at, end, &atom, &why);
        if (atom.kind != ATOM_BYTE) {
            weight->wildcard = true;
            continue;
        }
        weight->literals++;
        weight->prefix += !weight->wildcard;
    }
}

struct pattern_weight pattern_weigh(const char *pattern)
{
    struct pattern_weight weight = { 0 };
    const char *start = pattern_start(pattern), *at = start, *component;
    size_t len;

    while (pattern_next(&at, &component, &len)) {
        weight.prefix += component > start && !weight.wildcard;
        weight.depths += component_is_any_depth(component, len);
        component_weigh(component, len, &weight);
    }
    return weight;
}

/* ---- anchors --------------------------------------------------------------------------------------------------- */

static uint64_t key_hash(const struct component *c)
{
    uint64_t h = 0;

    for (size_t i = 0; i < c->key_len; i++)
        h = anchor_hash_step(h, (unsigned char)c->key[c->anchor == ANCHOR_SUFFIX ? c->key_len - 1 - i : i]);
    return anchor_hash_end(h, c->anchor);
}

/* Literal bytes before the first wildcard, after the last one, and in all; and wildcards that are not `*`. */
struct shape {
    size_t prefix, suffix, literals, ones;
    bool wildcard;
};

/* Writes the literal bytes to out, which has room for as many bytes as the text has. */
static struct shape component_shape(const char *at, const char *end, char *out)
{
    struct shape shape = { 0 };
    struct atom atom;
    const char *why;

    while (at < end) {
        at = atom_parse(at, end, &atom, &why);
        if (atom.kind == ATOM_BYTE) {
            out[shape.literals++] = (char)atom.byte;
            shape.prefix += !shape.wildcard;
            shape.suffix++;
            continue;
        }
        shape.wildcard = true;
        shape.suffix = 0;
        shape.ones += atom.kind != ATOM_STAR;
    }
    return shape;
}

static void anchor_choose(struct component *c, const struct shape *shape, const char *literals)
{
    bool plain = !shape->ones && shape->prefix + shape->suffix == shape->literals;

    c->key = literals;
    if (!shape->wildcard) {
        c->anchor = ANCHOR_WHOLE;
        c->key_len = shape->literals;
    } else if (!shape->literals && !shape->ones) {
        c->anchor = ANCHOR_ANY;
    } else if (!shape->prefix && !shape->suffix) {
        c->anchor = ANCHOR_NONE;
    } else if (shape->prefix >= shape->suffix) {
        c->anchor = ANCHOR_PREFIX;
        c->key_len = shape->prefix;
    } else {
        c->anchor = ANCHOR_SUFFIX;
        c->key_len = shape->suffix;
        c->key = literals + shape->literals - shape->suffix;
    }
    c->exact = c->anchor == ANCHOR_WHOLE || (plain && (!shape->prefix || !shape->suffix));
}

/* ---- edges ----------------------------------------------------------------------------------------------------- */

static void edge_add(struct edge *edge, unsigned low, unsigned high)
{
    for (unsigned byte = low; byte <= high; byte++)
        edge->bytes[byte / 64] |= UINT64_C(1) << byte % 64;
}

static void edge_add_set(struct edge *edge, const struct atom *atom)
{
    const char *at = atom->set;
    unsigned char low, high;

    while (at && at < atom->set_end) {
        at = range_parse(at, atom->set_end, &low, &high);
        if (at)
            edge_add(edge, low, high);
    }
    for (size_t i = 0; atom->negated && i < sizeof(edge->bytes) / sizeof(*edge->bytes); i++)
        edge->bytes[i] = ~edge->bytes[i];
}

/* Of a component that has atoms other than `*`. Returns 0 or -ENOMEM. */
static int edge_make(struct component *c, struct rules_arena *arena)
{
    const char *at = c->text, *end = c->text + c->len, *why;
    struct atom first, last;
    const struct atom *atom;
    struct edge *edge;

    at = atom_parse(at, end, &first, &why);
    for (last = first; at < end;)
        at = atom_parse(at, end, &last, &why);
    atom = last.kind == ATOM_STAR || last.kind == ATOM_ONE ? &first : &last;
    if (atom->kind == ATOM_STAR || atom->kind == ATOM_ONE)
        return 0;
    edge = rules_arena_alloc(arena, 1, sizeof(*edge));
    if (!edge)
        return -ENOMEM;
    edge->is_first = atom == &first;
    if (atom->kind == ATOM_BYTE)
        edge_add(edge, atom->byte, atom->byte);
    else
        edge_add_set(edge, atom);
    c->edge = edge;
    return 0;
}

int component_init(struct component *c, struct rules_arena *arena, const char *text, size_t len)
{
    char *literals = rules_arena_alloc(arena, len, 1);
    struct shape shape;

    c->text = rules_arena_copy(arena, text, len);
    if (!c->text || !literals)
        return -ENOMEM;
    shape = component_shape(c->text, c->text + len, literals);
    c->len = len;
    c->least = shape.literals + shape.ones;
    anchor_choose(c, &shape, literals);
    c->key_hash = key_hash(c);
    return c->exact || c->anchor == ANCHOR_ANY ? 0 : edge_make(c, arena);
}
