/* The command on copy-on-write workspaces, and a commit that is killed at any moment (contract D3). */
#include "world.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void delta_world(void)
{
    world_make();
    world_need_bwrap();
    world_need_capability("bwrap", "delta");
}

TestSuite(delta, .init = delta_world, .fini = world_remove, .timeout = 300);
TestSuite(delta_crash_full, .init = delta_world, .fini = world_remove, .timeout = 3600);

#define CREATE(...)                                                                                                    \
    EXPECT(0, "box\n", NULL, "create", "--start", "--delta", "--preset", "full-access", "--name", "box", ##__VA_ARGS__)

Test(delta, changes_commit_and_discard)
{
    struct command_result result;
    cJSON *json;

    cr_assert(tree_put(world.workspace, "file", "old\n"));
    CREATE();
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", "echo new >file; mkdir dir; echo a >dir/a; echo b >dir/b");
    EXPECT(0, "added     dir\nadded     dir/a\nadded     dir/b\nmodified  file\n", NULL, "changes", "box");
    EXPECT(0,
           "--- a/dir/a\n+++ b/dir/a\n@@ -0,0 +1 @@\n+a\n--- a/dir/b\n+++ b/dir/b\n@@ -0,0 +1 @@\n+b\n"
           "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\n",
           NULL, "changes", "box", "--diff");
    cr_expect(tree_is(world.workspace, "file", "old\n") && !tree_exists(world.workspace, "dir"));
    EXPECT(0, "", NULL, "discard", "box", "dir/b");
    EXPECT(0, "added     dir\nadded     dir/a\n", NULL, "commit", "box", "dir");
    cr_expect(tree_is(world.workspace, "dir/a", "a\n") && !tree_exists(world.workspace, "dir/b"));
    cr_assert(tree_put(world.workspace, "file", "host\n"));
    EXPECT(125, "modified  file  (conflict)\n", "changed in the codebase", "commit", "box");
    EXPECT(0, "", NULL, "commit", "box", "--theirs");
    result = STOCKADE("changes", "box", "--json");
    json = json_of(&result);
    cr_assert(cJSON_GetArraySize(json) == 1);
    cr_expect_str_eq(json_text(cJSON_GetArrayItem(json, 0), "kind"), "modified");
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "conflict")));
    cJSON_Delete(json);
    command_result_release(&result);
    EXPECT(0, "modified  file  (conflict)\n", NULL, "commit", "box", "--ours");
    cr_expect(tree_is(world.workspace, "file", "new\n"));
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

Test(delta, run_with_a_policy)
{
    EXPECT(3, "", NULL, "run", "--delta", "--commit", "on_success", "--preset", "full-access", "-c",
           "echo 1 >a; exit 3");
    cr_expect(!tree_exists(world.workspace, "a"));
    EXPECT(0, "", NULL, "run", "--delta", "--commit", "on_success", "--preset", "full-access", "-c", "echo 1 >a");
    cr_expect(tree_is(world.workspace, "a", "1\n"));
    EXPECT(125, "", "--commit 'often'", "run", "--delta", "--commit", "often", "true");
    EXPECT(125, "", "nothing to commit", "run", "--commit", "always", "true");
    EXPECT(125, "", "exclude each other", "commit", "box", "--ours", "--theirs");
}

Test(delta, D1_the_mode_is_a_key_of_the_config)
{
    cr_assert(tree_put(world.dir, "config.json", "{ \"workspace\": { \"mode\": \"delta\" } }"));
    EXPECT(0, "", NULL, "run", "--config", "../config.json", "--preset", "full-access", "-c", "echo 1 >apart");
    cr_expect(!tree_exists(world.workspace, "apart"));
    EXPECT(0, "", NULL, "run", "--config", "../config.json", "--direct", "--preset", "full-access", "-c", "echo 1 >a");
    cr_expect(tree_is(world.workspace, "a", "1\n"));
    EXPECT(125, "", "exclude each other", "run", "--delta", "--direct", "true");
    cr_assert(tree_put(world.dir, "config.json", "{ \"workspace\": { \"mode\": \"upside-down\" } }"));
    EXPECT(125, "", "workspace.mode", "run", "--config", "../config.json", "true");
}

/* What --diff opens is of the two directories alone, though the sandbox may write symlinks. */
Test(delta, a_diff_follows_no_symlink)
{
    struct command_result result;

    cr_assert(tree_put(world.dir, "secret", "the secret\n") && tree_mkdir(world.workspace, "d"));
    CREATE();
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", "ln -s ../secret link; rmdir d; ln -s .. d");
    result = STOCKADE("changes", "box", "--diff");
    cr_expect(result.code == 0 && !strstr(result.out, "secret"), "%s%s", result.out, result.err);
    command_result_release(&result);
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

/* examples/review.c, as the build puts it beside the tests. */
static int review(const char *command)
{
    char path[512];
    pid_t pid;
    int status;

    snprintf(path, sizeof path, "%.*s/tests/review", (int)(strrchr(world.stockade, '/') - world.stockade),
             world.stockade);
    pid = fork();
    if (!pid) {
        if (freopen("/dev/null", "w", stdout))
            (void)execle(path, path, world.workspace, command, NULL, world.env);
        _exit(99);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(delta, a_host_reviews_before_it_commits)
{
    cr_assert(tree_put(world.workspace, "file", "old"));
    cr_expect_eq(review("echo new >file; rm -f none"), 0);
    cr_expect(tree_is(world.workspace, "file", "new\n"));
    cr_expect_eq(review("rm file; echo x >other"), 2);
    cr_expect(tree_is(world.workspace, "file", "new\n") && !tree_exists(world.workspace, "other"));
}

/* ---- killed at any moment -------------------------------------------------------------------------------------- */

/* System calls that change a filesystem, or what the log says of it. */
static bool is_change(uint64_t nr)
{
    static const long calls[] = {
        SYS_write,    SYS_writev,    SYS_pwrite64,  SYS_ftruncate, SYS_renameat, SYS_renameat2,
        SYS_unlinkat, SYS_mkdirat,   SYS_symlinkat, SYS_mknodat,   SYS_fchownat, SYS_fchmod,
        SYS_fchmodat, SYS_utimensat, SYS_setxattr,  SYS_openat,    SYS_fsync,    SYS_syncfs,
#ifdef SYS_chmod
        SYS_chmod,    SYS_rename,    SYS_unlink,
#endif
    };

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (nr == (uint64_t)calls[i])
            return true;
    return false;
}

/* LeakSanitizer ends a program that is traced: it would trace it itself. */
static char **env_without_leak_check(void)
{
    size_t n = 0;
    char **env;

    while (world.env[n])
        n++;
    env = calloc(n + 2, sizeof *env);
    cr_assert(env);
    env[0] = (char *)(uintptr_t) "ASAN_OPTIONS=detect_leaks=0"; /* the first of a name counts */
    memcpy(env + 1, world.env, n * sizeof *env);
    return env;
}

static _Noreturn void commit_exec(void)
{
    char **env = env_without_leak_check(), *argv[] = { world.stockade, (char[]){ "commit" }, (char[]){ "box" }, NULL };

    if (!freopen("/dev/null", "w", stdout))
        _exit(99);
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    if (chdir(world.workspace) == 0)
        (void)execve(world.stockade, argv, env);
    _exit(99);
}

/*
 * Runs `stockade commit box`, and kills it at its n-th change of a filesystem, which is not made. Returns whether it
 * ended before, well; then *ret_n is how many changes there were.
 */
static bool commit_killed_at(size_t n, size_t *ret_n)
{
    pid_t pid = fork();
    size_t seen = 0;
    int status;

    if (!pid)
        commit_exec();
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    (void)ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    for (long deliver = 0;;) {
        struct __ptrace_syscall_info info = { 0 };

        cr_assert(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)deliver) == 0 || errno == ESRCH); /* killed */
        cr_assert(waitpid(pid, &status, 0) == pid);
        if (!WIFSTOPPED(status))
            break;
        deliver = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
        if (deliver == SIGTRAP)
            deliver = 0;
        (void)ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_change(info.entry.nr) && ++seen == n)
            (void)kill(pid, SIGKILL);
    }
    *ret_n = seen;
    cr_expect(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "the commit failed: %#x", status);
    return WIFEXITED(status);
}

static void crash_prepare(void)
{
    cr_assert(tree_put(world.workspace, "mod", "old") && tree_put(world.workspace, "gone", "old"));
    cr_assert(tree_put(world.workspace, "kind", "old") && tree_put(world.workspace, "dir/in", "old"));
    CREATE();
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c",
           "printf new >mod; rm gone kind; mkdir kind; printf new >kind/in; rm -r dir; printf new >dir; "
           "ln -s target link; printf new >added; mkdir sub; printf new >sub/in");
}

static void either(const char *path, const char *old, const char *new)
{
    bool is_old = old ? tree_is(world.workspace, path, old) : !tree_exists(world.workspace, path);
    bool is_new = new ? tree_is(world.workspace, path, new) : !tree_exists(world.workspace, path);

    cr_expect(is_old || is_new, "'%s' is neither old nor new", path);
}

static void crash_at(size_t n, size_t *ret_n)
{
    struct command_result again;
    char *list;

    crash_prepare();
    (void)commit_killed_at(n, ret_n);
    either("mod", "old", "new");
    either("gone", "old", NULL);
    either("added", NULL, "new");
    either("sub/in", NULL, "new");
    cr_expect(tree_is(world.workspace, "kind", "old") || tree_exists(world.workspace, "kind/."));
    cr_expect(tree_is(world.workspace, "dir", "new") || tree_exists(world.workspace, "dir/."));
    again = STOCKADE("commit", "box");
    cr_expect(again.code == 0, "killed at %zu, again: %s", n, again.err);
    command_result_release(&again);
    list = tree_list(world.workspace, true);
    cr_expect_str_eq(list, "added\ndir\nkind\nkind/in\nlink\nmod\nsub\nsub/in\n", "killed at %zu:\n%s", n, list);
    free(list);
    cr_expect(tree_is(world.workspace, "mod", "new") && tree_is(world.workspace, "dir", "new") &&
              tree_is(world.workspace, "kind/in", "new") && tree_is(world.workspace, "sub/in", "new"));
    EXPECT(0, "", NULL, "changes", "box");
    EXPECT(0, "box\n", NULL, "destroy", "box");
    cr_assert(tree_remove(world.workspace) && tree_mkdir(world.dir, strrchr(world.workspace, '/') + 1));
}

#define SAMPLES 8

/* A run to the end tells how many there are. */
static size_t changes_count(void)
{
    size_t n = 0;

    crash_at(SIZE_MAX, &n);
    cr_assert(n > 50, "only %zu changes of a filesystem were seen", n);
    return n;
}

Test(delta, D3_a_commit_killed_at_some_moments)
{
    size_t n = changes_count(), seen;

    for (size_t i = 0; i < SAMPLES; i++)
        crash_at(1 + i * (n - 1) / (SAMPLES - 1), &seen);
}

Test(delta_crash_full, D3_a_commit_killed_at_every_moment)
{
    size_t n = changes_count(), seen;

    for (size_t i = 1; i <= n; i++)
        crash_at(i, &seen);
}
