#include "rules_reference.h"

#include <string.h>

#define PARTS_MOST ((REFERENCE_PATTERN + 1) / 2) /* a byte and a slash each */

struct parts {
    char text[PARTS_MOST][REFERENCE_PATTERN + 1];
    size_t n;
};

static struct parts parts_of(const char *pattern)
{
    struct parts parts = { .n = 0 };
    const char *at = pattern + (*pattern == '/');

    while (*at) {
        size_t len = strcspn(at, "/");

        memcpy(parts.text[parts.n], at, len);
        parts.text[parts.n++][len] = '\0';
        at += len + (at[len] == '/');
    }
    return parts;
}

/* After the `[`: where the set's `]` is, and whether c is in it. */
static const char *set_scan(const char *at, char c, bool *ret_in)
{
    bool negated = *at == '!' || *at == '^', in = false, first = true;

    at += negated;
    for (; first || *at != ']'; first = false) {
        unsigned char low, high;

        at += *at == '\\';
        low = high = (unsigned char)*at++;
        if (at[0] == '-' && at[1] != ']') {
            at++;
            at += *at == '\\';
            high = (unsigned char)*at++;
        }
        in = in || (low <= (unsigned char)c && (unsigned char)c <= high);
    }
    *ret_in = in != negated;
    return at;
}

bool reference_name_matches(const char *pattern, const char *name)
{
    bool in;

    if (!*pattern)
        return !*name;
    if (*pattern == '*')
        return reference_name_matches(pattern + 1, name) || (*name && reference_name_matches(pattern, name + 1));
    if (!*name)
        return false;
    if (*pattern == '?')
        return reference_name_matches(pattern + 1, name + 1);
    if (*pattern == '[') {
        const char *close = set_scan(pattern + 1, *name, &in);

        return in && reference_name_matches(close + 1, name + 1);
    }
    pattern += *pattern == '\\';
    return *pattern == *name && reference_name_matches(pattern + 1, name + 1);
}

/* Whether the parts from p match the first `depth` names of the path, from name i. */
static bool parts_match(const struct parts *parts, size_t p, const struct reference_path *path, size_t i, size_t depth)
{
    if (p == parts->n)
        return i == depth;
    if (!strcmp(parts->text[p], "**"))
        return parts_match(parts, p + 1, path, i, depth) || (i < depth && parts_match(parts, p, path, i + 1, depth));
    return i < depth && reference_name_matches(parts->text[p], path->names[i]) &&
           parts_match(parts, p + 1, path, i + 1, depth);
}

static bool rule_covers(const struct rule_source *rule, const struct reference_path *path)
{
    struct parts parts = parts_of(rule->pattern);

    if (rule->type == RULE_GLOB)
        return parts_match(&parts, 0, path, 0, path->depth);
    if (rule->type == RULE_FILE)
        return !path->is_dir && parts_match(&parts, 0, path, 0, path->depth);
    for (size_t depth = 0; depth <= path->depth; depth++) {
        bool is_dir = depth < path->depth || path->is_dir;

        if (is_dir && parts_match(&parts, 0, path, 0, depth))
            return true;
    }
    return false;
}

/* Whether the rule covers all that can ever be below the directory, by the end of its pattern or its type. */
static bool rule_covers_below(const struct rule_source *rule, const struct reference_path *dir)
{
    struct parts parts = parts_of(rule->pattern);

    if (rule->type == RULE_DIRECTORY)
        return rule_covers(rule, dir);
    return rule->type == RULE_GLOB && parts.n && !strcmp(parts.text[parts.n - 1], "**") &&
           parts_match(&parts, 0, dir, 0, dir->depth);
}

/* Whether something below the directory could match: the path is used up while parts are left. */
static bool parts_live(const struct parts *parts, size_t p, const struct reference_path *dir, size_t i)
{
    if (p == parts->n)
        return false;
    if (i == dir->depth)
        return true;
    if (!strcmp(parts->text[p], "**"))
        return parts_live(parts, p + 1, dir, i) || parts_live(parts, p, dir, i + 1);
    return reference_name_matches(parts->text[p], dir->names[i]) && parts_live(parts, p + 1, dir, i + 1);
}

static bool rule_live(const struct rule_source *rule, const struct reference_path *dir)
{
    struct parts parts = parts_of(rule->pattern);

    return parts_live(&parts, 0, dir, 0) || rule_covers_below(rule, dir);
}

/* Contract W3, a line for each clause. Positive if a, of index ia, wins. */
struct weight {
    bool wildcard;
    int prefix, literals, depths;
};

static struct weight weight_of(const char *pattern)
{
    struct weight w = { 0 };
    bool in;

    for (const char *at = pattern + (*pattern == '/'); *at; at++) {
        bool separator = *at == '/';

        if (separator && !at[1])
            break;
        if (strchr("*?[", *at))
            w.wildcard = true;
        if (*at == '[')
            at = set_scan(at + 1, 'x', &in);
        else if (!separator && *at != '*' && *at != '?')
            w.literals++;
        w.prefix += !w.wildcard;
        at += *at == '\\';
    }
    for (size_t i = 0, n = parts_of(pattern).n; i < n; i++)
        w.depths += !strcmp(parts_of(pattern).text[i], "**");
    return w;
}

static int rule_compare(const struct rule_source *a, size_t ia, const struct rule_source *b, size_t ib)
{
    struct weight wa = weight_of(a->pattern), wb = weight_of(b->pattern);

    if (a->priority != b->priority)
        return a->priority > b->priority ? 1 : -1;
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    if (wa.wildcard != wb.wildcard)
        return wa.wildcard ? -1 : 1;
    if (wa.prefix != wb.prefix)
        return wa.prefix - wb.prefix;
    if (wa.literals != wb.literals)
        return wa.literals - wb.literals;
    if (wa.depths != wb.depths)
        return wb.depths - wa.depths;
    return ia > ib ? 1 : -1;
}

size_t reference_winner(const struct rule_source *rules, size_t n, const struct reference_path *path)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        if (rule_covers(&rules[i], path) && (best == SIZE_MAX || rule_compare(&rules[i], i, &rules[best], best) > 0))
            best = i;
    }
    return best;
}

/* Whether a live rule of the permission beats the best that covers all below without giving it. */
bool reference_may_below(const struct rule_source *rules, size_t n, const struct reference_path *dir, enum perm p)
{
    size_t shadow = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        if (rules[i].permission < p && rule_covers_below(&rules[i], dir) &&
            (shadow == SIZE_MAX || rule_compare(&rules[i], i, &rules[shadow], shadow) > 0))
            shadow = i;
    }
    for (size_t i = 0; i < n; i++) {
        if (rules[i].permission >= p && rule_live(&rules[i], dir) &&
            (shadow == SIZE_MAX || rule_compare(&rules[i], i, &rules[shadow], shadow) > 0))
            return true;
    }
    return false;
}
