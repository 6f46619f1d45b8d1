/* Copy-on-write while the host and the sandbox work against it. */
#include "delta_ops.h"
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

/* A thread of the host's, which works against a commit until it is told to end. */
struct foe {
    pthread_t thread;
    atomic_bool is_over;
    size_t rounds;
};

static void foe_start(struct foe *foe, void *(*run)(void *foe))
{
    *foe = (struct foe){ 0 };
    cr_assert(pthread_create(&foe->thread, NULL, run, foe) == 0);
}

static void foe_end(struct foe *foe)
{
    atomic_store(&foe->is_over, true);
    pthread_join(foe->thread, NULL);
    cr_expect(foe->rounds > 0);
}

/* ---- what the host swaps --------------------------------------------------------------------------------------- */

/* "d" is a directory and a link out of the codebase by turns. */
static void *swap_run(void *arg)
{
    struct foe *foe = arg;
    char d[512], link[512];

    snprintf(d, sizeof d, "%s/d", fx.codebase);
    snprintf(link, sizeof link, "%s/link", fx.codebase);
    for (; !atomic_load(&foe->is_over) || foe->rounds % 2; foe->rounds++)
        if (renameat2(AT_FDCWD, d, AT_FDCWD, link, RENAME_EXCHANGE) < 0)
            return NULL;
    return NULL;
}

CONFORMANCE_TEST(delta_commit, D3_a_directory_swapped_for_a_symlink_during_commits)
{
    const char *outside = path_of(fx.dir, "outside");
    struct foe foe;
    char *list;

    NEED(RT_CAP_DELTA);
    cr_assert(tree_put(outside, "old", "outside") && tree_put(outside, "sub/old", "outside"));
    cr_assert(tree_put(fx.codebase, "d/old", "x") && tree_put(fx.codebase, "d/sub/old", "x"));
    cr_assert(tree_symlink("../outside", fx.codebase, "link"));
    delta_up("box");
    for (int i = 0; i < 3; i++) {
        EXPECT_RUN(sh("box",
                      "for i in 1 2 3 4 5; do echo %d >d/f$i; echo %d >d/sub/f$i; done; rm -f d/old d/sub/old; "
                      "mkdir d/new%d; echo x >d/new%d/f; echo %d >>d/sub/more",
                      i, i, i, i, i),
                   0, "");
        foe_start(&foe, swap_run);
        for (int k = 0; k < 2; k++) {
            int32_t status = commit("box", RT_CONFLICT_THEIRS, CALL, NULL);

            cr_expect(status == RT_OK || status == RT_E_CONFLICT || status == RT_E_IO, "%s: %s", status_name(status),
                      fx.call.error.message);
        }
        foe_end(&foe);
    }
    list = tree_list(path_of(fx.dir, "outside"), true);
    cr_expect_str_eq(list, "old\nsub\nsub/old\n", "outside of the codebase:\n%s", list);
    free(list);
    cr_expect(tree_is(path_of(fx.dir, "outside"), "old", "outside"));
    cr_expect(tree_is(path_of(fx.dir, "outside"), "sub/old", "outside"));
    ASSERT_STATUS(RT_OK, commit("box", RT_CONFLICT_OURS, CALL, NULL));
    cr_expect(tree_is(fx.codebase, "d/f5", "2\n") && tree_is(fx.codebase, "d/sub/more", "0\n1\n2\n"));
    cr_expect(tree_is(fx.codebase, "d/new2/f", "x\n") && !tree_exists(fx.codebase, "d/sub/old"));
    cr_expect(!has_leftovers());
}

/* Puts a hidden file into a directory that the commit is about to replace; it succeeds or the directory is gone. */
static void *hide_run(void *arg)
{
    struct foe *foe = arg;
    int dir = open(path_of(fx.codebase, "d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

    foe->rounds = 1;
    while (!atomic_load(&foe->is_over))
        sleep_ms(1);
    fd = dir < 0 ? -1 : openat(dir, "secret", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    foe->rounds += fd >= 0 && write(fd, "host's", 6) == 6;
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return NULL;
}

static void *commit_run(void *arg)
{
    rt_call call = RT_CALL_INIT;

    *(int32_t *)arg = commit("box", RT_CONFLICT_OURS, &call, NULL);
    return NULL;
}

/* The moment moves through the commit from round to round. */
static void hidden_round(int ms)
{
    struct foe foe;
    int32_t status;
    pthread_t thread;

    cr_assert(tree_put(fx.codebase, "d/in", "x"));
    delta_up("box");
    EXPECT_RUN(sh("box", "rm -r d; echo file >d; echo x >a; echo y >z"), 0, "");
    foe_start(&foe, hide_run);
    cr_assert(pthread_create(&thread, NULL, commit_run, &status) == 0);
    sleep_ms(ms);
    foe_end(&foe);
    pthread_join(thread, NULL);
    cr_expect(status == RT_OK || status == RT_E_CONFLICT, "%s", status_name(status));
    if (foe.rounds == 2)
        cr_expect(tree_is(fx.codebase, "d/secret", "host's"), "made after %d ms, and lost", ms);
    else
        cr_expect(tree_is(fx.codebase, "d", "file\n"), "not made after %d ms", ms);
    cr_expect(!has_leftovers());
    ASSERT_STATUS(RT_OK, fx.ops->destroy(fx.rt, "box", CALL));
    cr_assert(tree_remove(path_of(fx.codebase, "d")));
}

CONFORMANCE_TEST(delta_commit, D7_a_hidden_file_that_comes_during_a_commit_stays)
{
    NEED(RT_CAP_DELTA);
    for (int ms = 20; ms <= 30; ms += 5)
        hidden_round(ms);
}

CONFORMANCE_TEST_LONG(delta_commit_full, D7_a_hidden_file_at_every_moment_of_a_commit)
{
    NEED(RT_CAP_DELTA);
    for (int ms = 0; ms <= 120; ms++)
        hidden_round(ms);
}

static void *hidden_write_run(void *arg)
{
    struct foe *foe = arg;
    char secret[512], text[32];

    snprintf(secret, sizeof secret, "%s/d", fx.codebase);
    for (; !atomic_load(&foe->is_over); foe->rounds++) {
        snprintf(text, sizeof text, "host %zu", foe->rounds);
        if (!tree_put(secret, "secret", text))
            break;
    }
    return NULL;
}

CONFORMANCE_TEST(delta_commit, D7_a_hidden_file_changed_all_through_commits_stays_the_hosts)
{
    char text[32];
    struct foe foe;

    NEED(RT_CAP_DELTA);
    cr_assert(tree_put(fx.codebase, "d/secret", "host 0") && tree_put(fx.codebase, "d/f", "x"));
    delta_up("box");
    foe_start(&foe, hidden_write_run);
    for (int i = 0; i < 3; i++) {
        EXPECT_RUN(sh("box", "echo %d >d/f; echo %d >d/g; chmod 70%d d", i, i, i), 0, "");
        EXPECT_STATUS(RT_OK, commit("box", RT_CONFLICT_OURS, CALL, NULL));
    }
    foe_end(&foe);
    snprintf(text, sizeof text, "host %zu", foe.rounds - 1);
    cr_expect(tree_is(fx.codebase, "d/secret", text) && tree_is(fx.codebase, "d/g", "2\n"));
}

/* ---- what the sandbox goes on writing ------------------------------------------------------------------------- */

/* On a busy machine the writers may stand still for so long that a commit gets the file whole: then it is tried again.
 */
CONFORMANCE_TEST(delta_commit, D3_what_changes_all_through_the_commit_is_told)
{
    rt_changes *changes = NULL;
    int32_t status = RT_OK;

    NEED(RT_CAP_DELTA);
    delta_up("box");
    EXPECT_RUN(sh("box",
                  "echo 1 >still; for i in 1 2 3 4; do (while :; do echo more; done >>busy) & echo $! >>pids; done; "
                  "until [ -s busy ]; do :; done"),
               0, "");
    for (int i = 0; i < 50 && status == RT_OK; i++) {
        fx.ops->changes_free(changes);
        changes = NULL;
        status = commit("box", RT_CONFLICT_THEIRS, CALL, &changes);
    }
    EXPECT_STATUS(RT_E_CONFLICT, status);
    EXPECT_NAMES("busy");
    cr_assert(changes && changes->n == 1);
    cr_expect(!strcmp(changes->items[0]->path, "busy") && changes->items[0]->conflict);
    fx.ops->changes_free(changes);
    cr_expect(tree_is(fx.codebase, "still", "1\n") && !has_leftovers());
    EXPECT_RUN(sh("box", "kill $(cat pids); for p in $(cat pids); do while kill -0 $p 2>/dev/null; do sleep 0.01; "
                         "done; done; rm pids"),
               0, "");
    EXPECT_STATUS(RT_OK, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    cr_expect(tree_exists(fx.codebase, "busy"));
}

struct committer {
    pthread_t thread;
    const char *id;
    int32_t status;
};

static void *committer_run(void *arg)
{
    struct committer *committer = arg;
    rt_call call = RT_CALL_INIT;

    committer->status = commit(committer->id, RT_CONFLICT_FAIL, &call, NULL);
    return NULL;
}

/* Of two that made the same file one is in time, the other is told and loses nothing. */
CONFORMANCE_TEST(delta_commit, D3_two_sandboxes_commit_at_once)
{
    struct committer two[] = { { .id = "one" }, { .id = "two" } };

    NEED(RT_CAP_DELTA);
    cr_assert(tree_put(fx.codebase, "shared", "base"));
    for (size_t i = 0; i < 2; i++) {
        delta_up(two[i].id);
        EXPECT_RUN(sh(two[i].id, "echo %s >shared; echo %s >of-%s; mkdir dir; echo x >dir/%s", two[i].id, two[i].id,
                      two[i].id, two[i].id),
                   0, "");
    }
    for (size_t i = 0; i < 2; i++)
        cr_assert(pthread_create(&two[i].thread, NULL, committer_run, &two[i]) == 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(two[i].thread, NULL);
    for (size_t i = 0; i < 2; i++) {
        const struct committer *other = &two[!i];
        char text[8], name[16];

        snprintf(text, sizeof text, "%s\n", two[i].id);
        snprintf(name, sizeof name, "of-%s", two[i].id);
        cr_expect(two[i].status == RT_OK || two[i].status == RT_E_CONFLICT, "%s", status_name(two[i].status));
        cr_expect((two[i].status == RT_OK) != (other->status == RT_OK));
        cr_expect(tree_is(fx.codebase, "shared", text) == (two[i].status == RT_OK));
        cr_expect(tree_exists(fx.codebase, name) == (two[i].status == RT_OK));
        EXPECT_RUN(sh(two[i].id, "cat shared"), 0, text);
    }
    for (size_t i = 0; i < 2; i++)
        EXPECT_STATUS(RT_OK, commit(two[i].id, RT_CONFLICT_OURS, CALL, NULL));
    cr_expect(tree_is(fx.codebase, "of-one", "one\n") && tree_is(fx.codebase, "of-two", "two\n"));
    cr_expect(tree_exists(fx.codebase, "dir/one") && tree_exists(fx.codebase, "dir/two"));
    cr_expect(!has_leftovers());
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

/* Follows `level` a hundred times; the caller closes the fd. */
static int deepest_open(void)
{
    int dir = open(fx.codebase, O_PATH | O_DIRECTORY | O_CLOEXEC), next;

    for (int i = 0; i < 100 && dir >= 0; i++) {
        next = openat(dir, "level", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    return dir;
}

CONFORMANCE_TEST(delta_commit, W13_a_hundred_levels_and_names_of_255_bytes_are_committed)
{
    char name[256];
    struct stat st;
    int dir;

    NEED(RT_CAP_DELTA);
    delta_up("box");
    EXPECT_RUN(sh("box", "for i in $(seq 100); do mkdir level && cd level || exit 9; done; "
                         "name=$(printf '\\n\\377%%0253d' 7); echo x >\"$name\"; mkdir \"../$name\"; "
                         "echo y >\"../$name/in\""),
               0, "");
    EXPECT_STATUS(RT_OK, commit("box", RT_CONFLICT_FAIL, CALL, NULL));
    memset(name, '0', 255);
    memcpy(name, "\n\377", 2);
    name[254] = '7';
    name[255] = '\0';
    dir = deepest_open();
    cr_assert(dir >= 0);
    cr_expect(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == 2);
    cr_expect(fstatat(dir, strcat(strcpy((char[300]){ 0 }, "../"), name), &st, 0) == 0 && S_ISDIR(st.st_mode));
    close(dir);
}
