/* Workspace rules, contract W1-W5: meaning case by case, malformed patterns, bounds, threads and lack of memory. */
#include "permfs/rules.h"
#include "permfs/rules_internal.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- short forms ----------------------------------------------------------------------------------------------- */

/* A rule as text: permission (n v r w), type (g d f), priority (a digit), a space, the pattern: "rg0 /src". */
static struct rule_source rule_of(const char *text)
{
    return (struct rule_source){
        .pattern = text + 4,
        .type = (enum rule_type)(strchr("gdf", text[1]) - "gdf"),
        .permission = (enum perm)(strchr("nvrw", text[0]) - "nvrw"),
        .priority = text[2] - '5',
    };
}

static struct rules *rules_make(const struct rule_source *src, size_t n)
{
    struct rules *rules = NULL;
    size_t bad = 0;
    const char *why = "";

    cr_assert_eq(rules_compile(src, n, &rules, &bad, &why), 0, "rule %zu: %s", bad, why);
    return rules;
}

/* Walks from the root; a slash at the end of the path means that its last component is a directory. */
static const struct rule_state *state_at(struct rules *rules, const char *path)
{
    const struct rule_state *state = rules_root(rules);

    for (const char *at = path + 1; *at && state;) {
        size_t len = strcspn(at, "/");

        state = rules_child(rules, state, at, len, at[len] == '/');
        at += len + (at[len] == '/');
    }
    return state;
}

/* ---- meaning --------------------------------------------------------------------------------------------------- */

struct meaning {
    char rules[4][48];
    char path[48];
    enum perm want;
};

ParameterizedTestParameters(rules, meaning)
{
    static struct meaning cases[] = {
        /* W2, and the root that is always there */
        { { "" }, "/a", PERM_NONE },
        { { "" }, "/", PERM_VIEW },
        { { "ng0 /**" }, "/", PERM_VIEW },
        { { "rg0 /" }, "/", PERM_READ },
        { { "rg0 /" }, "/a", PERM_NONE },
        { { "rd0 /" }, "/a/b", PERM_READ },
        /* anchored, with or without a slash before and after */
        { { "rg0 a" }, "/a", PERM_READ },
        { { "rg0 a" }, "/b/a", PERM_NONE },
        { { "rg0 /a/" }, "/a", PERM_READ },
        { { "rg0 a/b/" }, "/a/b", PERM_READ },
        { { "rg0 /a" }, "/a/b", PERM_NONE },
        /* wildcards stay within a component */
        { { "rg0 /a*" }, "/abc", PERM_READ },
        { { "rg0 /a*" }, "/a/bc", PERM_NONE },
        { { "rg0 /a?c" }, "/a/c", PERM_NONE },
        { { "rg0 /*" }, "/.hidden", PERM_READ },
        { { "rg0 /?" }, "/.", PERM_READ },
        { { "rg0 /a**b" }, "/axxb", PERM_READ },
        { { "rg0 /a**b" }, "/a/b", PERM_NONE },
        { { "rg0 /***" }, "/x", PERM_READ },
        { { "rg0 /***" }, "/x/y", PERM_NONE },
        { { "rg0 /[a-c]x" }, "/bx", PERM_READ },
        { { "rg0 /[!a-c]x" }, "/bx", PERM_NONE },
        { { "rg0 /[^a-c]x" }, "/dx", PERM_READ },
        { { "rg0 /[]]" }, "/]", PERM_READ },
        { { "rg0 /[!]]" }, "/]", PERM_NONE },
        { { "rg0 /[a-]" }, "/-", PERM_READ },
        { { "rg0 /[\\]a]" }, "/]", PERM_READ },
        { { "rg0 /[:a]" }, "/:", PERM_READ },
        { { "rg0 /\\*" }, "/*", PERM_READ },
        { { "rg0 /\\*" }, "/a", PERM_NONE },
        { { "rg0 /\\a" }, "/a", PERM_READ },
        { { "rg0 /\xff?" }, "/\xff\x80", PERM_READ },
        { { "rg0 /?" }, "/\xc3\xa9", PERM_NONE }, /* bytes, not characters */
        /* any depth */
        { { "rg0 /**" }, "/a/b/c", PERM_READ },
        { { "rg0 **/x" }, "/x", PERM_READ },
        { { "rg0 **/x" }, "/a/b/x", PERM_READ },
        { { "rg0 **/x" }, "/x/a", PERM_NONE },
        { { "rg0 a/**/x" }, "/a/x", PERM_READ },
        { { "rg0 a/**/x" }, "/a/b/c/x", PERM_READ },
        { { "rg0 a/**/b/**/c" }, "/a/1/b/2/3/c", PERM_READ },
        { { "rg0 a/**/b/**/c" }, "/a/1/2/c", PERM_NONE },
        { { "rg0 **/**/x/**/**" }, "/x", PERM_READ },
        { { "rg0 /x/**" }, "/x", PERM_READ },
        { { "rg0 /x/**" }, "/x/", PERM_READ },
        { { "rg0 /x/**" }, "/x/y/z", PERM_READ },
        { { "rg0 **/s/**" }, "/a/s/b/s", PERM_READ },
        { { "rg0 **/*" }, "/a", PERM_READ },
        { { "rg0 **/*" }, "/a/b/c", PERM_READ },
        /* types */
        { { "rf0 /a" }, "/a", PERM_READ },
        { { "rf0 /a" }, "/a/", PERM_NONE },
        { { "rf0 /a/**" }, "/a/b", PERM_READ },
        { { "rf0 /a/**" }, "/a/b/", PERM_VIEW },
        { { "rf0 **/*" }, "/a/", PERM_VIEW },
        { { "rd0 /a" }, "/a", PERM_NONE },
        { { "rd0 /a" }, "/a/", PERM_READ },
        { { "rd0 /a" }, "/a/b/c", PERM_READ },
        { { "rd0 **/a*" }, "/x/ab/c/d/", PERM_READ },
        { { "rd0 /a/**" }, "/a", PERM_NONE },
        { { "rd0 /a/**/*" }, "/a/f", PERM_NONE },
        { { "rd0 /a/**/*" }, "/a/d/f", PERM_READ },
        /* W3, clause by clause */
        { { "ng9 **", "rf0 /a" }, "/a", PERM_NONE },
        { { "wg5 /a", "ng4 /a" }, "/a", PERM_WRITE },
        { { "rf5 **", "wd5 /d" }, "/d/a", PERM_READ },
        { { "rd5 **", "wg5 /d/a" }, "/d/a", PERM_READ },
        { { "rg5 /a", "ng5 /a*" }, "/a", PERM_READ },
        { { "rg5 /\\a", "ng5 /a*" }, "/a", PERM_READ },
        { { "rg5 /ab*", "ng5 /a*b" }, "/abb", PERM_READ },
        { { "rg5 /a/*", "ng5 /a*/*" }, "/a/b", PERM_READ },
        { { "rg5 /*bc", "ng5 /**/c" }, "/abc", PERM_READ },
        { { "rg5 /*ab", "ng5 /*b" }, "/ab", PERM_READ },
        { { "rg5 /*/a", "ng5 /**/a" }, "/x/a", PERM_READ },
        { { "rg5 **/a", "ng5 **/**/a" }, "/x/a", PERM_READ },
        { { "ng5 /a", "rg5 a/" }, "/a", PERM_READ }, /* the later */
        { { "rg5 a", "ng5 /a" }, "/a", PERM_NONE },
        /* W5 */
        { { "rg0 /a/b/c" }, "/a/", PERM_VIEW },
        { { "rg0 /a/b/c" }, "/a/b/", PERM_VIEW },
        { { "rg0 /a/b/c" }, "/a/x/", PERM_NONE },
        { { "rg0 /a/b/c" }, "/a", PERM_NONE },
        { { "rg0 **/x" }, "/a/", PERM_VIEW },
        { { "vg0 /a/b" }, "/a/", PERM_VIEW },
        { { "ng0 /a/b" }, "/a/", PERM_NONE },
        { { "ng0 /a", "rg0 /a/b" }, "/a/", PERM_VIEW },
        { { "rg0 /**", "nd0 /secrets" }, "/secrets/", PERM_NONE },
        { { "rg0 /**", "ng0 **/secrets/**" }, "/a/secrets/", PERM_NONE },
        { { "rg0 /**", "ng0 **/secrets/**" }, "/a/secrets/b/secrets/c", PERM_NONE },
        { { "rg0 /**", "ng0 /s/**", "rg1 /s/ok" }, "/s/", PERM_VIEW },
        { { "rg0 /**", "ng0 /s/**", "rg1 /s/ok" }, "/s/x", PERM_NONE },
        { { "rg0 /s/ok", "nd1 /s" }, "/s/", PERM_NONE },
        { { "rf0 /s/**", "nd1 /s" }, "/s/", PERM_NONE },
        { { "rg0 /a/b/**", "ng1 **/*" }, "/a/", PERM_NONE },
        { { "rg0 /**", "nf1 /s/**" }, "/s/", PERM_READ },
        { { "rg0 **/*.c", "nf1 /s/**" }, "/s/", PERM_VIEW }, /* a directory x.c there is visible */
        { { "rf0 **/*.c", "nf1 /s/**" }, "/s/", PERM_NONE },
    };

    return cr_make_param_array(struct meaning, cases, sizeof(cases) / sizeof(*cases));
}

ParameterizedTest(struct meaning *c, rules, meaning, .timeout = 300)
{
    struct rule_source src[4];
    size_t n = 0;
    struct rules *rules;

    for (; n < 4 && c->rules[n][0]; n++)
        src[n] = rule_of(c->rules[n]);
    rules = rules_make(src, n);
    cr_expect_eq(rule_state_perm(state_at(rules, c->path)), c->want, "%s %s %s on %s: %d", c->rules[0], c->rules[1],
                 c->rules[2], c->path, (int)rule_state_perm(state_at(rules, c->path)));
    rules_unref(rules);
}

Test(rules, the_winner_and_its_permission_are_told, .timeout = 300)
{
    struct rule_source src[] = { rule_of("ng0 /a"), rule_of("wg0 /a/b"), rule_of("rg0 **/c") };
    struct rules *rules = rules_make(src, 3);
    const struct rule_state *a = state_at(rules, "/a/");

    cr_expect_eq(rule_state_rule(a), 0);
    cr_expect_eq(rule_state_own_perm(a), PERM_NONE);
    cr_expect_eq(rule_state_perm(a), PERM_VIEW);
    cr_expect(rule_state_may_below(a, PERM_WRITE));
    cr_expect_eq(rule_state_rule(state_at(rules, "/a/b")), 1);
    cr_expect_eq(rule_state_rule(state_at(rules, "/a/c")), 2);
    cr_expect_eq(rule_state_rule(state_at(rules, "/a/d")), SIZE_MAX);
    cr_expect_not(rule_state_may_below(state_at(rules, "/d/"), PERM_WRITE));
    cr_expect(rule_state_may_below(state_at(rules, "/d/"), PERM_READ));
    cr_expect_not(rule_state_may_below(state_at(rules, "/d"), PERM_NONE));
    cr_expect_null(rules_child(rules, state_at(rules, "/a/b"), "x", 1, false)); /* nothing is below a file */
    rules_unref(rules);
}

Test(rules, equal_paths_have_one_state_and_a_reference_keeps_it, .timeout = 300)
{
    struct rule_source src[] = { rule_of("rg0 **/src/**/*.c"), rule_of("wd0 /out") };
    struct rules *rules = rules_make(src, 2), *other = rules_ref(rules);
    const struct rule_state *state = state_at(rules, "/x/src/y/");

    rules_unref(other);
    cr_expect_eq(state_at(rules, "/x/src/y/"), state);
    cr_expect_eq(state_at(rules, "/another/src/"), state); /* the same holds below */
    cr_expect_neq(state_at(rules, "/x/"), state);
    cr_expect_eq(rule_state_perm(rules_child(rules, state, "z.c", 3, false)), PERM_READ);
    rules_unref(rules);
    rules_unref(NULL);
}

/* ---- malformed ------------------------------------------------------------------------------------------------- */

struct malformed {
    char pattern[32];
    char why[24]; /* a part of the reason; "" = well formed */
};

ParameterizedTestParameters(rules, malformed)
{
    static struct malformed cases[] = {
        { "", "empty" },
        { "//", "empty component" },
        { "a//b", "empty component" },
        { "//a", "empty comp" },
        { "a//", "empty component" },
        { ".", "'.'" },
        { "/..", "'..'" },
        { "a/../b", "'..'" },
        { "a/.", "'.'" },
        { "\\./a", "'.'" },
        { ".\\./a", "'..'" },
        { "a[", "unclosed" },
        { "a[]", "unclosed" },
        { "[!]", "unclosed" },
        { "[a/b]", "unclosed" },
        { "[a-", "unclosed" },
        { "[\\]", "unclosed" },
        { "[z-a]", "backwards" },
        { "a\\", "'\\'" },
        { "a\\/b", "'\\'" },
        { "[[:alpha:]]", "classes" },
        { "[x[.a.]]", "classes" },
        { "/", "" },
        { "a", "" },
        { "**", "" },
        { "...", "" },
        { ".a", "" },
        { "[.]", "" },
        { "[[:]", "" },
        { "[\\[:a:]", "" },
        { "[[:a]", "" },
        { "[[=a=]b]", "classes" },
        { "\\[", "" },
        { "a]", "" },
        { "[]-a]", "" },
        { "..a/b/", "" },
    };

    return cr_make_param_array(struct malformed, cases, sizeof(cases) / sizeof(*cases));
}

ParameterizedTest(struct malformed *c, rules, malformed, .timeout = 300)
{
    struct rule_source src[] = { rule_of("rg0 ok"), { c->pattern, RULE_GLOB, PERM_READ, 0 } };
    const char *said = rules_check_pattern(c->pattern), *why = NULL;
    struct rules *rules = NULL;
    size_t bad = 99;
    int res = rules_compile(src, 2, &rules, &bad, &why);

    cr_assert_eq(!said, !*c->why, "'%s': %s", c->pattern, said ? said : "well formed");
    cr_expect_eq(res, *c->why ? -EINVAL : 0);
    if (*c->why) {
        cr_expect(strstr(said, c->why), "'%s': %s", c->pattern, said);
        cr_expect_eq(bad, 1);
        cr_expect_eq(why, said);
        cr_expect_null(rules);
    }
    rules_unref(rules);
}

Test(rules, values_from_outside_the_enums_are_refused, .timeout = 300)
{
    struct rule_source bad_type = { "a", (enum rule_type)3, PERM_READ, 0 };
    struct rule_source bad_perm = { "a", RULE_GLOB, (enum perm) - 1, 0 },
                       no_pattern = { NULL, RULE_GLOB, PERM_READ, 0 };
    struct rules *rules = NULL;
    size_t bad;
    const char *why;

    cr_expect_eq(rules_compile(&bad_type, 1, &rules, &bad, &why), -EINVAL);
    cr_expect_eq(rules_compile(&bad_perm, 1, &rules, &bad, &why), -EINVAL);
    cr_expect_eq(rules_compile(&no_pattern, 1, &rules, &bad, &why), -EINVAL);
    cr_expect_eq(rules_compile(NULL, 0, &rules, &bad, &why), 0);
    rules_unref(rules);
}

/* ---- bounds ---------------------------------------------------------------------------------------------------- */

Test(rules, patterns_end_at_4096_bytes, .timeout = 300)
{
    static char pattern[RULE_PATTERN_MAX + 2];
    struct rule_source src = { pattern, RULE_GLOB, PERM_READ, 0 };
    struct rules *rules;
    char name[255];

    memset(pattern, '*', RULE_PATTERN_MAX + 1);
    cr_expect(strstr(rules_check_pattern(pattern), "4096"));
    memset(name, 'a', sizeof(name));
    pattern[RULE_PATTERN_MAX] = '\0';
    pattern[RULE_PATTERN_MAX - 1] = 'a';
    rules = rules_make(&src, 1);
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), name, 255, false)), PERM_READ);
    rules_unref(rules);

    for (size_t i = 0; i < RULE_PATTERN_MAX; i++)
        pattern[i] = "*/"[i % 2]; /* 2048 components */
    rules = rules_make(&src, 1);
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), name, 255, true)), PERM_VIEW);
    rules_unref(rules);
}

Test(rules, any_byte_may_be_in_a_name_of_255, .timeout = 300)
{
    struct rule_source src[] = { rule_of("rg0 \x01*\xff"), rule_of("wg0 **/\n[\x80-\xff]*") };
    struct rules *rules = rules_make(src, 2);
    char name[255];

    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = (char)(i == '/' - 1 ? 'x' : i + 1);
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), name, 255, false)), PERM_READ);
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), name, 254, false)), PERM_NONE);
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), "\n\xfe'", 3, false)), PERM_WRITE);
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), "\n\x7f'", 3, false)), PERM_NONE);
    rules_unref(rules);
}

/* A last `*` that is tried again and again must not make it exponential. */
Test(rules, a_component_of_many_stars_is_quick, .timeout = 300)
{
    static char pattern[RULE_PATTERN_MAX];
    struct rule_source src = { pattern, RULE_GLOB, PERM_READ, 0 };
    struct rules *rules;
    char name[255];

    for (size_t i = 0; i < 250; i++)
        strcat(pattern, i % 2 ? "*" : "[a-z]");
    strcat(pattern, "b");
    rules = rules_make(&src, 1);
    memset(name, 'a', sizeof(name));
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(rule_state_perm(rules_child(rules, rules_root(rules), name, 255, false)), PERM_NONE);
    name[254] = 'b';
    cr_expect_eq(rule_state_perm(rules_child(rules, rules_root(rules), name, 255, false)), PERM_READ);
    rules_unref(rules);
}

/* n rules made by a format with the rule's number in it; freed with sources_free. */
static struct rule_source *sources_make(size_t n, const char *before, const char *after)
{
    struct rule_source *src = calloc(n, sizeof(*src));
    char pattern[64];

    for (size_t i = 0; i < n; i++) {
        snprintf(pattern, sizeof(pattern), "%s%zu%s", before, i, after);
        src[i] = (struct rule_source){ strdup(pattern), RULE_GLOB, PERM_READ, 0 };
    }
    return src;
}

static void sources_free(struct rule_source *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free((char *)src[i].pattern);
    free(src);
}

Test(rules, memory_does_not_grow_with_names, .timeout = 300)
{
    struct rule_source *src = sources_make(1000, "**/x", "*/**/*.c");
    struct rules *rules = rules_make(src, 1000);
    size_t used = 0;
    char name[32];

    for (size_t i = 0; i < 100000; i++) {
        int len = snprintf(name, sizeof(name), "n%zu.c", i);

        rules_child(rules, rules_root(rules), name, (size_t)len, i % 2);
        if (i == 1)
            used = rules->arena.used;
    }
    cr_expect_eq(rules->arena.used, used);
    rules_unref(rules);
    sources_free(src, 1000);
}

/* Depth by depth the sets of positions could double; they must not, since a later `**` makes an earlier one useless. */
Test(rules, hostile_patterns_need_few_states, .timeout = 300)
{
    struct rule_source src[1000];
    struct rules *rules;
    const struct rule_state *state;

    for (size_t i = 0; i < 1000; i++)
        src[i] = rule_of("rg0 **/*a/**/*/**/*b*/**/*/**/*a/**/b");
    rules = rules_make(src, 1000);
    srandom(1);
    for (int walk = 0; walk < 100; walk++) {
        state = rules_root(rules);
        for (int depth = 0; depth < 100; depth++) {
            const char *names[] = { "a", "b", "ab", "c" };
            const char *name = names[random() % 4];

            state = rules_child(rules, state, name, strlen(name), true);
            cr_assert(state);
        }
    }
    cr_expect_lt(rules->states.n, 64);
    rules_unref(rules);
}

Test(rules, a_name_may_hit_more_rules_than_fit_on_the_stack, .timeout = 300)
{
    struct rule_source src[300];
    char patterns[300][400], name[128];
    struct rules *rules;

    for (size_t i = 0; i < 300; i++) { /* all different, all match a name of 64 or more */
        memset(patterns[i], '?', i % 60 + 1);
        snprintf(patterns[i] + i % 60 + 1, 64, "%.*s*/x%zu", (int)(i / 60), "*?*?*?", i);
        src[i] = (struct rule_source){ patterns[i], RULE_GLOB, PERM_READ, 0 };
    }
    rules = rules_make(src, 300);
    memset(name, 'n', sizeof(name));
    for (size_t i = 0; i < 300; i++) {
        const struct rule_state *dir = rules_child(rules, rules_root(rules), name, sizeof(name), true);
        char child[16];
        int len = snprintf(child, sizeof(child), "x%zu", i);

        cr_assert_eq(rule_state_rule(rules_child(rules, dir, child, (size_t)len, false)), i);
    }
    rules_unref(rules);
}

Test(rules, past_its_bound_a_snapshot_denies_what_is_new_and_knows_what_is_known, .timeout = 300)
{
    struct rule_source src[] = { rule_of("rg0 /a/b/c"), rule_of("rg0 **/d/e") };
    struct rules *rules = rules_make(src, 2);
    const struct rule_state *known = state_at(rules, "/a/");

    rules->memo_limit = 0; /* nothing more is remembered, and answers stay right */
    cr_expect_eq(rule_state_perm(state_at(rules, "/a/b/c")), PERM_READ);
    cr_expect_eq(state_at(rules, "/a/b/"), state_at(rules, "/a/b/"));
    rules->arena.limit = rules->arena.used;
    cr_expect_eq(state_at(rules, "/a/"), known);
    cr_expect_eq(rule_state_perm(state_at(rules, "/a/b/c")), PERM_READ);
    cr_expect_null(state_at(rules, "/d/"));
    cr_expect_null(state_at(rules, "/d/"));
    rules_unref(rules);
}

/* Wherever room runs out on the way, nothing half made is left that a later answer could be wrong by. */
Test(rules, room_may_end_at_any_byte, .timeout = 300)
{
    struct rule_source src[] = { rule_of("rg0 **/a/*/b"), rule_of("rg0 **/[a]/*/**/c"), rule_of("wd0 **/a/x/**/d") };
    size_t room = 0;
    bool short_of_it = true;

    for (; short_of_it; room += 16) {
        struct rules *rules = rules_make(src, 3);

        rules->arena.limit = rules->arena.used + room;
        short_of_it = !state_at(rules, "/y/a/x/a/d/");
        rules->arena.limit = SIZE_MAX;
        cr_assert_eq(rule_state_perm(state_at(rules, "/y/a/x/a/d/b")), PERM_WRITE);
        cr_assert_eq(rule_state_perm(state_at(rules, "/y/a/z/a/d/b")), PERM_READ);
        cr_assert_eq(rule_state_perm(state_at(rules, "/y/a/z/q/c")), PERM_READ);
        rules_unref(rules);
    }
    cr_expect_gt(room, 1000);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

#define THREADS 4
#define WALKS   2000
#define SPOTS   4096

struct crowd {
    struct rules *rules;
    _Atomic(const struct rule_state *) seen[SPOTS]; /* by the hash of the path */
    atomic_int wrong;
};

/* Every thread walks the same paths; what one got for a path, all must get. */
static void *crowd_walk(void *arg)
{
    static const char *const names[] = { "x1", "x2", "src", "y.c", "x77", "out", "z", "x300" };
    struct crowd *crowd = arg;
    uint64_t random_bits = 1;

    for (int walk = 0; walk < WALKS; walk++) {
        const struct rule_state *state = rules_root(rules_ref(crowd->rules)), *expected;
        uint64_t path = 0;

        for (int depth = 0; depth < 4; depth++) {
            size_t i;

            random_bits = random_bits * UINT64_C(6364136223846793005) + 1442695040888963407;
            i = random_bits >> 61;
            path = path * 8 + i;
            state = rules_child(crowd->rules, state, names[i], strlen(names[i]), true);
        }
        expected = NULL;
        if (!atomic_compare_exchange_strong(&crowd->seen[path % SPOTS], &expected, state) && expected != state)
            atomic_fetch_add(&crowd->wrong, 1);
        rules_unref(crowd->rules);
    }
    return NULL;
}

Test(rules, threads_agree, .timeout = 300)
{
    struct rule_source *src = sources_make(400, "**/x", "/**/*.c/src/*/z");
    static struct crowd crowd;
    pthread_t threads[THREADS];

    crowd.rules = rules_make(src, 400);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, crowd_walk, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(atomic_load(&crowd.wrong), 0);
    rules_unref(crowd.rules);
    sources_free(src, 400);
}

/* ---- lack of memory -------------------------------------------------------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they have their own allocator */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void __libc_free(void *p);

static _Thread_local long fail_in = -1; /* allocations until one fails; -1 = never */
static _Thread_local long live;         /* allocations less frees */
static _Thread_local bool failed;
static long refused; /* compilations that ended with -ENOMEM */

static bool allocation_fails(void)
{
    failed = failed || fail_in == 0;
    if (fail_in >= 0 && fail_in-- == 0)
        return true;
    live++;
    return false;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return allocation_fails() ? NULL : __libc_calloc(n, size);
}

void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}

/* Compiles and walks with the n-th allocation failing. Returns whether one did. */
static bool starve(const struct rule_source *src, size_t n_src, long n)
{
    struct rules *rules = NULL;
    size_t bad;
    const char *why;
    long before = live;
    int res;

    fail_in = n;
    failed = false;
    res = rules_compile(src, n_src, &rules, &bad, &why);
    cr_assert(res == 0 || (res == -ENOMEM && failed)); /* qsort(3) goes on without */
    refused += res != 0;
    for (size_t i = 0; !res && i < n_src; i++) {
        char path[64];
        const struct rule_state *state;

        snprintf(path, sizeof(path), "/top/x%zu/y/", i);
        state = state_at(rules, path);
        cr_assert(state || failed);
        fail_in = failed ? -1 : fail_in;
        state = state_at(rules, path); /* with memory again it works */
        cr_assert(state || failed);
        cr_assert(!state || rule_state_may_below(state, PERM_READ));
    }
    fail_in = -1;
    rules_unref(rules);
    cr_assert_eq(live, before, "%ld allocations left", live - before);
    return failed;
}

Test(rules, every_allocation_may_fail, .timeout = 300)
{
    struct rule_source *src = sources_make(400, "**/x", "/*/**/*.c");
    long n = 0;

    while (starve(src, 400, n))
        n++;
    cr_expect_gt(n, refused);
    cr_expect_gt(refused, 5, "%ld of %ld", refused, n);
    sources_free(src, 400);
}

#else

Test(rules, every_allocation_may_fail)
{
    cr_skip_test("the sanitizer's allocator cannot be made to fail here");
}

#endif
