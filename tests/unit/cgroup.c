/* Where cgroups can be made and what is written into them, on trees that are plain directories. */
#include "cgroup_limits.h"
#include "cgroup_tree.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char root[64]; /* of this test's tree */

static void tree_begin(void)
{
    snprintf(root, sizeof root, "/tmp/stockade-cgroup-%d", (int)getpid());
    cr_assert(tree_mkdir(root, "."));
}

static void tree_end(void)
{
    tree_remove(root);
}

TestSuite(cgroup_tree, .init = tree_begin, .fini = tree_end);
TestSuite(cgroup_limits, .init = tree_begin, .fini = tree_end);

/* A cgroup of v2 as the kernel shows it; type NULL: the hierarchy's root. */
static void cgroup_put(const char *path, const char *type, const char *has, const char *passes, const char *members)
{
    char dir[256];

    snprintf(dir, sizeof dir, "%s%s", root, path);
    cr_assert(tree_put(dir, "cgroup.controllers", has) && tree_put(dir, "cgroup.subtree_control", passes) &&
              tree_put(dir, "cgroup.procs", members) && (!type || tree_put(dir, "cgroup.type", type)));
}

/* mounts: as in mountinfo, with "@" for this test's root. */
static struct cgroup_tree tree_of(const char *mounts, const char *self, bool is_root)
{
    struct cgroup_tree tree;
    char *mountinfo = NULL;
    size_t len;
    FILE *out = open_memstream(&mountinfo, &len);

    for (; *mounts; mounts++)
        if (*mounts == '@')
            fputs(root, out);
        else
            fputc(*mounts, out);
    fclose(out);
    cgroup_tree_read(mountinfo, self, is_root, &tree);
    free(mountinfo);
    return tree;
}

#define V2 "30 20 0:1 / @ rw,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n"

static void base_is(const struct cgroup_tree *tree, const char *path, uint32_t controllers)
{
    char want[256];

    snprintf(want, sizeof want, "%s%s", root, path);
    cr_expect_str_eq(tree->v2_base, want);
    cr_expect_eq(tree->v2_controllers, controllers);
    cr_expect_eq(cgroup_tree_controllers(tree), controllers);
}

Test(cgroup_tree, names_of_controllers)
{
    cr_expect_eq(cgroup_controllers_parse("cpuset cpu io memory pids rdma\n", 31),
                 CGROUP_CPU | CGROUP_IO | CGROUP_MEMORY | CGROUP_PIDS);
    cr_expect_eq(cgroup_controllers_parse("cpu,cpuacct", 11), CGROUP_CPU | CGROUP_CPUACCT);
    cr_expect_eq(cgroup_controllers_parse("rw,memory_other", 15), 0u);
    cr_expect_eq(cgroup_controllers_parse("memory,blkio", 6), (uint32_t)CGROUP_MEMORY);
    cr_expect_eq(cgroup_controllers_parse("", 0), 0u);
}

Test(cgroup_tree, root_begins_at_the_top)
{
    struct cgroup_tree tree;

    cgroup_put("", NULL, "cpu memory pids\n", "", "1\n2\n");
    tree = tree_of(V2, "0::/system.slice/some.service\n", true);
    base_is(&tree, "", CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS);
}

/* In a container the top that is seen is no top, and has processes: what it does not pass on already is out of reach.
 */
Test(cgroup_tree, a_top_that_is_none)
{
    struct cgroup_tree tree;

    cgroup_put("", "domain\n", "cpu memory pids\n", "pids\n", "1\n");
    tree = tree_of(V2, "0::/\n", true);
    base_is(&tree, "", CGROUP_PIDS);
    cgroup_put("", "domain\n", "cpu memory pids\n", "", "");
    tree = tree_of(V2, "0::/\n", true);
    base_is(&tree, "", CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS);
}

Test(cgroup_tree, a_user_climbs_to_what_passes_controllers_on)
{
    struct cgroup_tree tree;

    cgroup_put("", NULL, "cpu memory pids\n", "cpu memory pids\n", "");
    cgroup_put("/user", "domain\n", "cpu memory pids\n", "memory pids\n", "");
    cgroup_put("/user/app", "domain\n", "memory pids\n", "memory pids\n", "");
    cgroup_put("/user/app/me", "domain\n", "memory pids\n", "", "77\n");
    tree = tree_of(V2, "3:name=x:/other\n0::/user/app/me\n", false);
    base_is(&tree, "/user/app", CGROUP_MEMORY | CGROUP_PIDS);
}

/* Without controllers a cgroup still ends processes exactly. */
Test(cgroup_tree, a_user_stays_where_there_are_none)
{
    struct cgroup_tree tree;

    cgroup_put("", NULL, "", "", "");
    cgroup_put("/me", "domain\n", "", "", "77\n");
    tree = tree_of(V2, "0::/me\n", false);
    base_is(&tree, "/me", 0);
}

Test(cgroup_tree, a_user_has_no_way_into_what_is_not_there)
{
    struct cgroup_tree tree = tree_of(V2, "0::/gone\n", false);

    cr_expect_str_empty(tree.v2_base);
    tree = tree_of("", "0::/me\n", true);
    cr_expect_str_empty(tree.v2_base);
    cr_expect_str_empty(tree.v2_mount);
    tree = tree_of(V2, "", true);
    cr_expect_str_empty(tree.v2_base);
}

#define HYBRID                                                                                                         \
    "31 20 0:2 / @/unified rw - cgroup2 cgroup2 rw\n"                                                                  \
    "32 20 0:3 / @/cpu rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n"                                          \
    "33 20 0:4 / @/memory rw - cgroup cgroup rw,memory\n"                                                              \
    "34 20 0:5 / /elsewhere rw - cgroup cgroup rw,memory\n"                                                            \
    "35 20 0:6 / /systemd rw - cgroup cgroup rw,name=systemd\n"                                                        \
    "36 20 0:7 / /data rw - ext4 /dev/cgroup rw,memory\n"

Test(cgroup_tree, v1_and_a_mixture)
{
    const struct cgroup_v1 *memory;
    struct cgroup_tree tree;
    char want[128];

    cr_assert(tree_mkdir(root, "cpu") && tree_mkdir(root, "memory"));
    cgroup_put("/unified", NULL, "", "", "");
    tree = tree_of(HYBRID, "4:memory:/x\n0::/\n", true);
    memory = cgroup_tree_v1(&tree, CGROUP_MEMORY);
    cr_assert_not_null(memory);
    snprintf(want, sizeof want, "%s/memory", root);
    cr_expect_str_eq(memory->mount, want);
    cr_expect(memory->is_ours);
    cr_expect_eq(tree.n_v1, 2u);
    cr_expect_eq(cgroup_tree_controllers(&tree), CGROUP_MEMORY | CGROUP_CPU | CGROUP_CPUACCT);
    cr_expect_null(cgroup_tree_v1(&tree, CGROUP_PIDS));
    tree = tree_of(HYBRID, "4:memory:/x\n0::/\n", false);
    cr_expect_eq(cgroup_tree_controllers(&tree), 0u, "v1 is root's alone");
    cr_expect_not_null(cgroup_tree_v1(&tree, CGROUP_MEMORY), "and yet it can be looked at");
}

/* ---- limits ---- */

static int limits_put(const char *const *files, bool is_v1, uint32_t controllers, const rt_limits *limits)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
    const char *file = NULL;

    for (; *files; files++)
        cr_assert(tree_put(root, *files, ""));
    err = cgroup_limits_write(fd, is_v1, controllers, limits, 1, &file);
    cr_expect((err != 0) == (file != NULL));
    close(fd);
    return err;
}

#define ALL_OF_THEM (CGROUP_MEMORY | CGROUP_CPU | CGROUP_PIDS)
#define FILES(...)  ((const char *const[]){ __VA_ARGS__, NULL })

static const rt_limits full = {
    .size = sizeof full, .memory_bytes = UINT64_C(3) << 30, .cpu_millis = 1500, .cpu_shares = 1024, .pids = 99
};

Test(cgroup_limits, N3_as_v2_has_them)
{
    cr_expect_eq(limits_put(FILES("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"), false,
                            ALL_OF_THEM, &full),
                 0);
    cr_expect(tree_is(root, "memory.max", "3221225472"));
    cr_expect(tree_is(root, "memory.swap.max", "0"));
    cr_expect(tree_is(root, "cpu.max", "150000 100000"));
    cr_expect(tree_is(root, "cpu.weight", "39"));
    cr_expect(tree_is(root, "pids.max", "100"));
}

Test(cgroup_limits, N3_as_v1_has_them)
{
    cr_expect_eq(limits_put(FILES("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_period_us",
                                  "cpu.cfs_quota_us", "cpu.shares", "pids.max"),
                            true, ALL_OF_THEM, &full),
                 0);
    cr_expect(tree_is(root, "memory.limit_in_bytes", "3221225472"));
    cr_expect(tree_is(root, "memory.memsw.limit_in_bytes", "3221225472"));
    cr_expect(tree_is(root, "cpu.cfs_period_us", "100000"));
    cr_expect(tree_is(root, "cpu.cfs_quota_us", "150000"));
    cr_expect(tree_is(root, "cpu.shares", "1024"));
    cr_expect(tree_is(root, "pids.max", "100"));
}

/* Nothing is written for what was not asked for, nor for a controller that is not there. */
Test(cgroup_limits, N3_only_what_was_asked_for)
{
    const rt_limits none = { .size = sizeof none };

    cr_expect_eq(limits_put(FILES("pids.max"), false, CGROUP_PIDS, &full), 0);
    cr_expect(tree_is(root, "pids.max", "100"));
    cr_expect_eq(limits_put(FILES("pids.max"), false, ALL_OF_THEM, &none), 0);
    cr_expect(tree_is(root, "pids.max", ""));
}

Test(cgroup_limits, N3_swap_may_be_unknown_and_nothing_else)
{
    cr_expect_eq(limits_put(FILES("memory.max"), false, CGROUP_MEMORY, &full), 0);
    cr_expect_eq(limits_put(FILES("memory.limit_in_bytes"), true, CGROUP_MEMORY, &full), 0);
    cr_expect_eq(limits_put(FILES("cpu.weight"), false, CGROUP_CPU, &full), ENOENT);
}

Test(cgroup_limits, N3_what_is_needed)
{
    cr_expect_eq(cgroup_limits_need(&full), (uint32_t)ALL_OF_THEM);
    cr_expect_eq(cgroup_limits_need(&(rt_limits){ .cpu_shares = 2 }), (uint32_t)CGROUP_CPU);
    cr_expect_eq(cgroup_limits_need(&(rt_limits){ .pids = 1 }), (uint32_t)CGROUP_PIDS);
    cr_expect_eq(cgroup_limits_need(&(rt_limits){ 0 }), 0u);
}

/* The ends of both ranges meet, and 1024 shares are 39: the table in the OCI's and Kubernetes' documents. */
Test(cgroup_limits, N3_shares_as_weight)
{
    cr_expect_eq(cgroup_weight(2), 1u);
    cr_expect_eq(cgroup_weight(1024), 39u);
    cr_expect_eq(cgroup_weight(262144), 10000u);
}

/* ---- this process's own ---- */

static bool has_cgroups(void)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    bool found = false;

    cr_assert(mounts);
    while (!found && fgets(line, sizeof line, mounts))
        found = strstr(line, " - cgroup");
    fclose(mounts);
    return found;
}

Test(cgroup_own, a_look_that_failed_is_not_the_last)
{
    struct rlimit limit, none;

    cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
    cr_assert(setrlimit(RLIMIT_NOFILE, &none) == 0);
    cr_expect(!cgroup_tree_get()->v2_mount[0] && !cgroup_tree_get()->n_v1, "no file could be opened");
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    cr_expect_eq(cgroup_tree_get()->v2_mount[0] || cgroup_tree_get()->n_v1, has_cgroups()); /* a sandbox has none */
}
