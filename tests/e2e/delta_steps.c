/*
 * A commit to which something happens at any moment: it is killed (contract D3), or the host changes what rules hide
 * (D7). It is traced, and its moments are its system calls that may change anything.
 */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void delta_world(void)
{
    world_make();
    world_need_bwrap();
    world_need_capability("bwrap", "delta");
}

TestSuite(delta_steps, .init = delta_world, .fini = world_remove, .timeout = 300);
TestSuite(delta_steps_full, .init = delta_world, .fini = world_remove, .timeout = 3600);

/* ---- stepping -------------------------------------------------------------------------------------------------- */

/* What only looks, or changes nothing but the process itself. All else is a step, whatever later code may call. */
static const long looks[] = {
    SYS_brk,
    SYS_clock_nanosleep,
    SYS_close,
    SYS_eventfd2,
    SYS_faccessat2,
    SYS_fcntl,
    SYS_fgetxattr,
    SYS_fstat,
    SYS_futex,
    SYS_getdents64,
    SYS_getegid,
    SYS_geteuid,
    SYS_getpid,
    SYS_getrandom,
    SYS_gettid,
    SYS_getxattr,
    SYS_listxattr,
    SYS_lseek,
    SYS_madvise,
    SYS_mmap,
    SYS_mprotect,
    SYS_munmap,
    SYS_newfstatat,
    SYS_pidfd_open,
    SYS_ppoll,
    SYS_pread64,
    SYS_prlimit64,
    SYS_read,
    SYS_readlinkat,
    SYS_rseq,
    SYS_signalfd4,
    SYS_statx,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_sched_getaffinity,
#ifdef __x86_64__ /* newer architectures do not have these */
    SYS_access,
    SYS_arch_prctl,
    SYS_poll,
    SYS_readlink,
#endif
};

static bool may_make(long flags)
{
    return flags & (O_CREAT | O_TRUNC);
}

static bool is_step(pid_t pid, const struct __ptrace_syscall_info *info)
{
    const uint64_t nr = info->entry.nr, *args = info->entry.args;

    if (info->op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    if (nr == SYS_openat)
        return may_make((long)args[2]);
    if (nr == SYS_openat2) /* its flags are the first of what the third argument points to */
        return may_make(ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)args[2], NULL));
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (nr == (uint64_t)looks[i])
            return false;
    return true;
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
    char **env = env_without_leak_check(),
         *argv[] = { world.stockade, (char[]){ "commit" }, (char[]){ "box" }, (char[]){ "--ours" }, NULL };

    if (!freopen("/dev/null", "w", stdout))
        _exit(99);
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    if (chdir(world.workspace) == 0)
        (void)execve(world.stockade, argv, env);
    _exit(99);
}

/* Runs `stockade commit box --ours`, and calls act before its n-th step. Returns the number of steps that it took. */
static size_t commit_stepped(size_t n, void (*act)(pid_t pid), int *ret_status)
{
    pid_t pid = fork();
    size_t seen = 0;

    if (!pid)
        commit_exec();
    cr_assert(pid > 0 && waitpid(pid, ret_status, 0) == pid && WIFSTOPPED(*ret_status));
    (void)ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    for (long deliver = 0;;) {
        struct __ptrace_syscall_info info = { 0 };

        cr_assert(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)deliver) == 0 || errno == ESRCH); /* killed */
        cr_assert(waitpid(pid, ret_status, 0) == pid);
        if (!WIFSTOPPED(*ret_status))
            return seen;
        deliver = WSTOPSIG(*ret_status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(*ret_status);
        if (deliver == SIGTRAP)
            deliver = 0;
        (void)ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info);
        if (is_step(pid, &info) && ++seen == n)
            act(pid);
    }
}

/*
 * Calls at for the first step, the last, and as many between as make `samples`; 0: for every one. A run to the end,
 * with SIZE_MAX, tells how many there are: at returns it.
 */
static void walk(size_t samples, size_t (*at)(size_t n))
{
    const size_t n = at(SIZE_MAX);

    cr_assert(n > 40, "only %zu steps were seen", n);
    if (!samples)
        samples = n;
    for (size_t i = 0; i < samples; i++)
        (void)at(1 + i * (n - 1) / (samples - 1));
}

static void box_make(const char *script)
{
    EXPECT(0, "box\n", NULL, "create", "--start", "--delta", "--preset", "full-access", "--name", "box");
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", script);
}

static void box_end(void)
{
    EXPECT(0, "box\n", NULL, "destroy", "box");
    cr_assert(tree_remove(world.workspace) && tree_mkdir(world.dir, strrchr(world.workspace, '/') + 1));
}

static const char *path_of(const char *name)
{
    static char path[640];

    snprintf(path, sizeof path, "%s/%s", world.workspace, name);
    return path;
}

/* ---- killed ---------------------------------------------------------------------------------------------------- */

static bool is_stopped; /* the sandbox, during the commit: what is committed then leaves the delta at once */

static void commit_kill(pid_t pid)
{
    (void)kill(pid, SIGKILL);
}

static bool has_mode(const char *name, mode_t mode)
{
    struct stat st;

    return lstat(path_of(name), &st) == 0 && st.st_mode == mode;
}

static void changes_make(void)
{
    cr_assert(tree_put(world.workspace, "mod", "old") && tree_put(world.workspace, "gone", "old"));
    cr_assert(tree_put(world.workspace, "kind", "old") && tree_put(world.workspace, "dir/in/deep", "old"));
    cr_assert(tree_put(world.workspace, "meta/in", "old") && tree_put(world.workspace, "exec", "old"));
    cr_assert(setxattr(path_of("meta"), "user.a", "1", 1, 0) == 0 &&
              setxattr(path_of("mod"), "user.a", "1", 1, 0) == 0);
    box_make("printf new >mod; rm gone kind; mkdir kind; printf new >kind/in; rm -r dir; printf new >dir; "
             "ln -s target link; mkfifo fifo; printf new >added; mkdir -p sub/sub; printf new >sub/sub/in; "
             "chmod 700 meta exec; chmod 500 sub");
}

static void either(const char *path, const char *old, const char *new)
{
    bool is_old = old ? tree_is(world.workspace, path, old) : !tree_exists(world.workspace, path);
    bool is_new = new ? tree_is(world.workspace, path, new) : !tree_exists(world.workspace, path);

    cr_expect(is_old || is_new, "'%s' is neither old nor new", path);
}

static void expect_whole(void)
{
    either("mod", "old", "new");
    either("gone", "old", NULL);
    either("added", NULL, "new");
    either("sub/sub/in", NULL, "new");
    either("kind/in", NULL, "new");
    either("dir/in/deep", "old", NULL);
    cr_expect(tree_is(world.workspace, "kind", "old") || tree_exists(world.workspace, "kind/."));
    cr_expect(tree_is(world.workspace, "dir", "new") || tree_exists(world.workspace, "dir/."));
    cr_expect(tree_is(world.workspace, "exec", "old") && tree_is(world.workspace, "meta/in", "old"));
}

static void expect_committed(size_t n)
{
    char *list = tree_list(world.workspace, true), value = 0;

    cr_expect_str_eq(list,
                     "added\ndir\nexec\nfifo\nkind\nkind/in\nlink\nmeta\nmeta/in\nmod\nsub\nsub/sub\nsub/sub/in\n",
                     "killed at %zu:\n%s", n, list);
    free(list);
    cr_expect(tree_is(world.workspace, "mod", "new") && tree_is(world.workspace, "dir", "new") &&
              tree_is(world.workspace, "kind/in", "new") && tree_is(world.workspace, "sub/sub/in", "new"));
    cr_expect(has_mode("meta", S_IFDIR | 0700) && has_mode("exec", S_IFREG | 0700) && has_mode("sub", S_IFDIR | 0500),
              "killed at %zu: modes", n);
    cr_expect(getxattr(path_of("meta"), "user.a", &value, 1) == 1 && value == '1', "killed at %zu", n);
    cr_expect(getxattr(path_of("mod"), "user.a", &value, 1) == 1 && value == '1', "killed at %zu", n);
    EXPECT(0, "", NULL, "changes", "box");
}

static size_t killed_at(size_t n)
{
    struct command_result again;
    size_t steps;
    int status;

    changes_make();
    if (is_stopped)
        EXPECT(0, "box\n", NULL, "stop", "box");
    steps = commit_stepped(n, commit_kill, &status);
    cr_expect(n == SIZE_MAX ? WIFEXITED(status) && !WEXITSTATUS(status) : WIFSIGNALED(status), "%#x", status);
    expect_whole();
    again = STOCKADE("commit", "box");
    cr_expect(again.code == 0, "killed at %zu, again: %s", n, again.err);
    command_result_release(&again);
    expect_committed(n);
    if (is_stopped)
        EXPECT(0, "box\n", NULL, "start", "box");
    EXPECT(0, "newnewnewoldold", NULL, "exec", "box", "cat", "mod", "dir", "sub/sub/in", "exec", "meta/in");
    expect_committed(n);
    cr_assert(chmod(path_of("sub"), 0700) == 0);
    box_end();
    return steps;
}

static size_t killed_stopped_at(size_t n)
{
    is_stopped = true;
    return killed_at(n);
}

Test(delta_steps, D3_a_commit_killed_at_some_moments)
{
    walk(8, killed_at);
}

Test(delta_steps, D3_a_commit_of_a_stopped_sandbox_killed_at_some_moments)
{
    walk(4, killed_stopped_at);
}

Test(delta_steps_full, D3_a_commit_killed_at_every_moment)
{
    walk(0, killed_at);
}

Test(delta_steps_full, D3_a_commit_of_a_stopped_sandbox_killed_at_every_moment)
{
    walk(0, killed_stopped_at);
}

/* ---- hidden ---------------------------------------------------------------------------------------------------- */

static bool has_come; /* what the host put into a directory that the commit is about to remove */

/* By a new file of that name, as an editor does. */
static void replace(const char *name, const char *text)
{
    char temp[300], *to = strdup(path_of(name));

    snprintf(temp, sizeof temp, "%s.new", name);
    cr_assert(to && tree_put(world.workspace, temp, text) && rename(path_of(temp), to) == 0);
    free(to);
}

static void host_act(pid_t pid)
{
    (void)pid;
    cr_assert(tree_put(world.workspace, "e/secret", "host's") && tree_put(world.workspace, "later", "host's"));
    replace("gone-later", "host's");
    has_come = !tree_is(world.workspace, "d", "new") && tree_put(world.workspace, "d/secret", "host's");
}

static void expect_hosts(const char *name, size_t n)
{
    cr_expect(tree_is(world.workspace, name, "host's"), "'%s', changed at step %zu, is not the host's", name, n);
}

static size_t hidden_at(size_t n)
{
    static const char *const rules[] = { "rules", "box", "--set", "**/secret=none", "--set", "*later=none", NULL };
    static const char left[] = "type      d  (conflict)\n";
    size_t steps;
    char *list;
    int status;

    cr_assert(tree_put(world.workspace, "d/in", "old") && tree_put(world.workspace, "e/in", "old"));
    cr_assert(tree_put(world.workspace, "e/secret", "old") && tree_put(world.workspace, "later", "old"));
    cr_assert(tree_put(world.workspace, "gone-later", "old"));
    box_make("printf new >later; printf box >e/secret; printf new >e/in; chmod 700 e; rm -r d gone-later; "
             "printf new >d");
    stockade_expect(0, "", NULL, rules);
    has_come = false;
    steps = commit_stepped(n, host_act, &status);
    if (n == SIZE_MAX)
        host_act(0);
    cr_expect(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 125), "%#x", status);
    expect_hosts("e/secret", n);
    expect_hosts("later", n);
    expect_hosts("gone-later", n);
    /* Nothing overrides what is hidden: that change stays one, and is told. */
    EXPECT(has_come ? 125 : 0, has_come ? left : NULL, NULL, "commit", "box", "--ours");
    EXPECT(0, has_come ? left : "", NULL, "changes", "box");
    list = tree_list(world.workspace, false);
    cr_expect_str_eq(
        list, has_come ? "d/secret\ne/in\ne/secret\ngone-later\nlater\n" : "d\ne/in\ne/secret\ngone-later\nlater\n",
        "changed at %zu:\n%s", n, list);
    free(list);
    expect_hosts("e/secret", n);
    expect_hosts("later", n);
    expect_hosts("gone-later", n);
    if (has_come)
        expect_hosts("d/secret", n);
    cr_expect(tree_is(world.workspace, "e/in", "new"));
    box_end();
    return steps;
}

Test(delta_steps, D7_what_is_hidden_changed_at_some_moments_of_a_commit)
{
    walk(5, hidden_at);
}

Test(delta_steps_full, D7_what_is_hidden_changed_at_every_moment_of_a_commit)
{
    walk(0, hidden_at);
}

/* ---- changed by the host as soon as it is applied --------------------------------------------------------------- */

static const char *const applied[] = { "mod", "added", "gone", "last" };
static bool is_hosts[sizeof applied / sizeof *applied];

static bool is_applied(const char *name)
{
    return strcmp(name, "gone") == 0 ? !tree_exists(world.workspace, name) : tree_is(world.workspace, name, "box");
}

static void host_write_applied(pid_t pid)
{
    (void)pid;
    for (size_t i = 0; i < sizeof applied / sizeof *applied; i++) {
        is_hosts[i] = is_applied(applied[i]);
        cr_assert(!is_hosts[i] || tree_put(world.workspace, applied[i], "host"));
    }
}

static size_t written_at(size_t n)
{
    size_t steps, n_hosts = 0;
    int status;

    cr_assert(tree_put(world.workspace, "mod", "old") && tree_put(world.workspace, "gone", "old"));
    box_make("printf box >mod; printf box >added; rm gone; printf box >last");
    memset(is_hosts, 0, sizeof is_hosts);
    steps = commit_stepped(n, host_write_applied, &status);
    cr_expect(WIFEXITED(status) && !WEXITSTATUS(status), "%#x", status);
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", "for f in mod added gone last; do printf again >$f; done");
    for (size_t i = 0; i < sizeof applied / sizeof *applied; i++)
        n_hosts += is_hosts[i];
    EXPECT(n_hosts ? 125 : 0, NULL, n_hosts ? NULL : "", "commit", "box");
    for (size_t i = 0; i < sizeof applied / sizeof *applied; i++)
        if (is_hosts[i])
            cr_expect(tree_is(world.workspace, applied[i], "host"), "'%s', written at step %zu, is lost", applied[i],
                      n);
    box_end();
    return steps;
}

Test(delta_steps, D3_what_the_host_writes_to_what_a_commit_has_just_applied_is_a_conflict)
{
    walk(8, written_at);
}

Test(delta_steps_full, D3_what_the_host_writes_at_every_moment_after_it_was_applied_is_a_conflict)
{
    walk(0, written_at);
}
