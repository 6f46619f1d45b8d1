/*
 * The workspace filesystem against the native directory, and bindfs against it on the same work.
 *
 * Data: fs.NAME, as root with passthrough; fs.NAME_nopass with all data through the daemon; fs.NAME_user as an ordinary
 * user, who cannot have it otherwise. Metadata and programs: fs.NAME with client and daemon on one CPU,
 * fs.NAME_unpinned without. fs.NAME_bindfs is bindfs, pinned as fs.NAME is. NAME_first is through a mount of which
 * nothing is cached, beside a native directory of which all is. fs.NAME_agent_safe and fs.NAME_10000_rules have as
 * their baseline not the native directory but the workspace with one rule.
 */
#include "bench.h"
#include "fs_mount.h"
#include "fs_work.h"
#include "permfs_proto.h"

#include <errno.h>
#include <fnmatch.h>
#include <ftw.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY_RULES 10000

enum mount_id { NATIVE, OURS, OURS_ONE_CPU, NO_PASS, USER, PRESET, MANY, BINDFS, BINDFS_ONE_CPU, MOUNTS };

static struct fs_mount mounts[MOUNTS];
static char work[64];

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- what is measured ---- */

/* An ordinary user's mount is seen by that user alone: the work is then a child's, which sends what it took. */
static double run_on(const struct fs_work *w, struct fs_mount *m)
{
    double took = -1;
    int ends[2];
    pid_t pid;

    if (!m->options.uid)
        return w->fn(m);
    check(pipe(ends) == 0, "pipe");
    pid = fork();
    if (pid == 0) {
        fs_mount_become_user(m);
        took = w->fn(m);
        _exit(write(ends[1], &took, sizeof took) != sizeof took);
    }
    close(ends[1]);
    check(pid > 0 && read(ends[0], &took, sizeof took) == sizeof took, "an ordinary user's work");
    close(ends[0]);
    waitpid(pid, NULL, 0);
    return took;
}

struct pair {
    const struct fs_work *work;
    struct fs_mount *ours, *baseline;
};

static double run_ours(void *arg)
{
    struct pair *pair = arg;

    return run_on(pair->work, pair->ours);
}

static double run_baseline(void *arg)
{
    struct pair *pair = arg;

    return run_on(pair->work, pair->baseline);
}

static void measure_beside(const struct fs_work *w, const char *suffix, enum mount_id id, enum mount_id baseline)
{
    struct pair pair = { w, &mounts[id], &mounts[baseline] };
    char name[64];

    if (!mounts[id].pid) /* what this machine lacks */
        return;
    snprintf(name, sizeof name, "fs.%s%s", w->name, suffix);
    bench_run(&(struct bench){ .name = name,
                               .unit = "ms",
                               .ours = run_ours,
                               .baseline = run_baseline,
                               .arg = &pair,
                               .warm_up = 1,
                               .rounds = w->rounds });
}

static void measure(const struct fs_work *w, const char *suffix, enum mount_id id)
{
    measure_beside(w, suffix, id, NATIVE);
}

/* Looking at files: of these it matters how long their rules take. */
static void measure_rules(const struct fs_work *w)
{
    if (fnmatch("@(stat|find|open)_*", w->name, FNM_EXTMATCH) != 0)
        return;
    measure_beside(w, "_agent_safe", PRESET, OURS_ONE_CPU);
    measure_beside(w, "_10000_rules", MANY, OURS_ONE_CPU);
}

static void pin(bool one)
{
    static cpu_set_t all;
    cpu_set_t first;

    if (!CPU_COUNT(&all))
        check(sched_getaffinity(0, sizeof all, &all) == 0, "sched_getaffinity");
    CPU_ZERO(&first);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&first); i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &first);
    check(sched_setaffinity(0, sizeof first, one ? &first : &all) == 0, "sched_setaffinity");
}

/* ---- what it is measured on ---- */

static stockade_rules *rules_new(void)
{
    stockade_rules *rules;
    rt_call call = RT_CALL_INIT;

    bench_check(stockade_rules_new(&call.error, &rules), &call);
    return rules;
}

static void mount_with_rules(enum mount_id id, const char *name, const stockade_rules *rules)
{
    struct fs_mount_options options = { .base = mounts[OURS_ONE_CPU].base };

    options.rules = stockade_rules_items(rules, &options.n_rules);
    fs_mount_permfs(&mounts[id], work, name, &options);
}

static void mount_preset(stockade_rules *rules)
{
    rt_call call = RT_CALL_INIT;

    bench_check(stockade_rules_add_preset(rules, "agent-safe", &call.error), &call);
    mount_with_rules(PRESET, "preset", rules);
}

/* Of every kind, and about names beside those that are looked at, so that none can be left out early. */
static int32_t many_rule(int i, char *pattern, size_t size)
{
    switch (i % 4) {
    case 0:
        snprintf(pattern, size, "/tree/d%d/other-%d.c", i % 40, i);
        return RT_RULE_FILE;
    case 1:
        snprintf(pattern, size, "/tree/d%d/dir-%d", i % 40, i);
        return RT_RULE_DIRECTORY;
    case 2:
        snprintf(pattern, size, "/**/d%d/*.ext%d", i % 40, i);
        return RT_RULE_GLOB;
    default:
        snprintf(pattern, size, "**/gen-?-%d.[ch]", i);
        return RT_RULE_GLOB;
    }
}

static void mount_many_rules(stockade_rules *rules)
{
    rt_call call = RT_CALL_INIT;
    char pattern[64];

    bench_check(stockade_rules_add(rules, "/**", RT_RULE_GLOB, RT_PERM_WRITE, 0, &call.error), &call);
    for (int i = 1; i < MANY_RULES; i++) {
        int32_t type = many_rule(i, pattern, sizeof pattern);

        bench_check(stockade_rules_add(rules, pattern, type, RT_PERM_READ, 0, &call.error), &call);
    }
    mount_with_rules(MANY, "many", rules);
}

static void mount_user(void)
{
    const struct passwd *user = getpwnam("stockade-test");

    if (!user || geteuid() != 0 || access("/usr/bin/fusermount3", X_OK) < 0) {
        printf("nothing is measured as an ordinary user: that takes root, fusermount3 and the user stockade-test\n");
        return;
    }
    fs_mount_permfs(&mounts[USER], work, "user",
                    &(struct fs_mount_options){ .uid = user->pw_uid, .gid = user->pw_gid });
}

static void plant(void)
{
    char line[512];

    fs_plant(mounts[NATIVE].dir, work);
    for (int i = NATIVE + 1; i < MOUNTS; i++) {
        const struct fs_mount_options *o = &mounts[i].options;

        if (!mounts[i].pid || o->base)
            continue;
        if (o->uid) {
            fs_plant_big(mounts[i].base);
            snprintf(line, sizeof line, "%s/big", mounts[i].base);
            check(chown(line, o->uid, o->gid) == 0, line);
        } else {
            snprintf(line, sizeof line, "cp -a . %s/", mounts[i].base);
            fs_shell(mounts[NATIVE].base, line);
            fs_shell(mounts[i].base, "git update-index -q --refresh");
        }
    }
    sync();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void mount_all(void)
{
    static const struct fs_mount_options plain, no_pass = { .flags = PERMFS_NO_PASSTHROUGH };
    bool bindfs;

    fs_mount_native(&mounts[NATIVE], work, "native");
    pin(true);
    fs_mount_permfs(&mounts[OURS_ONE_CPU], work, "ours1", &plain);
    bindfs = fs_mount_bindfs(&mounts[BINDFS_ONE_CPU], work, "bindfs1");
    pin(false);
    fs_mount_permfs(&mounts[OURS], work, "ours", &plain);
    fs_mount_permfs(&mounts[NO_PASS], work, "nopass", &no_pass);
    mount_user();
    if (!bindfs || !fs_mount_bindfs(&mounts[BINDFS], work, "bindfs"))
        printf("bindfs is not installed: nothing is measured beside it\n");
}

static void measure_all(void)
{
    for (const struct fs_work *w = fs_data; w->name; w++) {
        measure(w, "", OURS);
        measure(w, "_nopass", NO_PASS);
        measure(w, "_user", USER);
        measure(w, "_bindfs", BINDFS);
    }
    for (const struct fs_work *w = fs_metadata; w->name; w++) {
        pin(true);
        measure(w, "", OURS_ONE_CPU);
        measure(w, "_bindfs", BINDFS_ONE_CPU);
        measure_rules(w);
        pin(false);
        measure(w, "_unpinned", OURS);
    }
}

void bench_fs(const char *dir)
{
    stockade_rules *preset, *many;

    if (!bench_any_is_wanted("fs."))
        return;
    preset = rules_new();
    many = rules_new();
    check(snprintf(work, sizeof work, "%s/fs", dir) < (int)sizeof work && mkdir(work, 0755) == 0, work);
    mount_all();
    plant();
    pin(true);
    mount_preset(preset);
    mount_many_rules(many);
    pin(false);
    measure_all();
    for (int i = 0; i < MOUNTS; i++)
        fs_mount_end(&mounts[i]);
    stockade_rules_free(preset);
    stockade_rules_free(many);
    check(nftw(work, remove_one, 32, FTW_DEPTH | FTW_PHYS) == 0, work);
}
