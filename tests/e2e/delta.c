/* The command on copy-on-write workspaces. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void delta_world(void)
{
    world_make();
    world_need_bwrap();
    world_need_capability("bwrap", "delta");
}

TestSuite(delta, .init = delta_world, .fini = world_remove, .timeout = 300);

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
           "added     dir\n--- a/dir/a\n+++ b/dir/a\n@@ -0,0 +1 @@\n+a\n--- a/dir/b\n+++ b/dir/b\n@@ -0,0 +1 @@\n+b\n"
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

/* Who reviews by it is to see all that a commit would bring. */
Test(delta, a_diff_leaves_nothing_out)
{
    cr_assert(tree_put(world.workspace, "file", "old\n") && tree_put(world.workspace, "mode", ""));
    CREATE();
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c",
           "echo new >file; chmod 755 mode; ln -s /etc/passwd link; mkfifo fifo; mkdir dir");
    EXPECT(0,
           "added     dir\nadded     fifo\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\nadded     link\n"
           "metadata  mode\n",
           NULL, "changes", "box", "--diff");
    EXPECT(0, "box\n", NULL, "destroy", "box");
}

/* What the sandbox has written cannot hide lines or set titles; in a file it is a patch. */
Test(delta, a_diff_does_not_steer_a_terminal)
{
    struct command_result result;
    struct pty_news news;
    struct pty pty;

    CREATE();
    EXPECT(0, "", NULL, "exec", "box", "sh", "-c", "printf 'bad\\r\\033[2Kgood\\tend\\n' >file");
    pty = TERMINAL("changes", "box", "--diff");
    cr_assert(pty_wait(&pty, &news) && WIFEXITED(news.status) && !WEXITSTATUS(news.status));
    cr_expect(strstr(pty.text, "+bad??[2Kgood") && !strchr(pty.text, 033), "%s", pty.text);
    pty_end(&pty);
    result = STOCKADE("changes", "box", "--diff");
    cr_expect(result.code == 0 && strstr(result.out, "+bad\r\033[2Kgood\tend\n"), "%s", result.out);
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
