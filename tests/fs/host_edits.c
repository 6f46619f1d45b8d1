/* What the host changes is seen within the cache time, whatever the kernel was told before (contract W12). */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CACHE_MS 1000

static struct harness h;
static int at, base;

static void setup(void)
{
    harness_init(&h);
    cr_assert(tree_put(h.base, "f", "one") && tree_put(h.base, "d/in", "in d") && tree_put(h.base, "e/in", "in e"));
    cr_assert(tree_put(h.base, "d/sub/deep", "deep"));
    cr_assert(harness_start_open(&h), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    base = open(h.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void teardown(void)
{
    close(at);
    close(base);
    harness_release(&h);
}

FS_SUITES(host_edits, 300);

static int listed(const char *dir, const char *name)
{
    int fd = openat(at, dir, O_RDONLY | O_DIRECTORY), n = 0;
    DIR *d = fdopendir(fd);
    struct dirent *e;

    cr_assert(d);
    while ((e = readdir(d)))
        n += strcmp(e->d_name, name) == 0;
    closedir(d);
    return n;
}

/*
 * Fills the kernel's caches: names that are there and names that are not, attributes, listings, contents; twice, and
 * with a pause, for what has just changed is not kept.
 */
static void warm(void)
{
    static const char *const names[] = { "f", "d", "d/in", "d/sub", "d/sub/deep", "e", "e/in", "new", "d/new" };
    struct stat st;

    sleep_ms(150);
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < N(names); k++)
            (void)!fstatat(at, names[k], &st, AT_SYMLINK_NOFOLLOW);
        listed(".", "");
        listed("d", "");
        cr_assert(tree_is(h.mnt, "f", "one") && tree_is(h.mnt, "d/in", "in d"));
    }
}

/*
 * Waits until cond holds: where the kernel's own time is what counts, that and little more, for it is not a busy
 * machine's to stretch; else as long as the daemon may take on one to tell of what it watches.
 */
#define SEEN(cond)                                                                                                     \
    cr_expect(AWAIT_WITHIN(harness_flags &PERMFS_NO_WATCH ? CACHE_MS + 500 : SEEN_MS, cond), "not seen: %s", #cond)

static long size_of(const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : (long)st.st_size;
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static int make_inside(const char *name)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

    cr_assert(fd >= 0 && write(fd, "inside", 6) == 6);
    return fd;
}

/* Of the sandbox's own doing no notice need be given; of what the host does to the same name it must. */
FS_TEST(host_edits, what_the_sandbox_has_just_made)
{
    int gone, other, over, moved;

    warm();
    gone = make_inside("d/gone"); /* and stays open, so that it is still known when it has gone */
    sleep_ms(50);                 /* the sandbox's own event is over */
    cr_assert(unlinkat(base, "d/gone", 0) == 0);
    SEEN(size_of("d/gone") == -ENOENT);
    sleep_ms(50);
    cr_assert(tree_put(h.base, "d/gone", "again"));
    SEEN(size_of("d/gone") == 5);

    other = make_inside("d/other");
    cr_assert(unlinkat(base, "d/other", 0) == 0 && tree_put(h.base, "d/other", "the host's"));
    SEEN(size_of("d/other") == 10 && tree_is(h.mnt, "d/other", "the host's"));

    over = make_inside("d/over");
    cr_assert(tree_put(h.base, "over", "renamed over it") && renameat(base, "over", base, "d/over") == 0);
    SEEN(tree_is(h.mnt, "d/over", "renamed over it"));

    cr_assert(mkdirat(at, "d/dir", 0755) == 0 && unlinkat(base, "d/dir", AT_REMOVEDIR) == 0);
    cr_assert(tree_put(h.base, "d/dir", "no directory"));
    SEEN(tree_is(h.mnt, "d/dir", "no directory"));

    moved = make_inside("d/moved");
    cr_assert(renameat(at, "d/moved", at, "e/moved") == 0 && renameat(base, "e/moved", base, "moved") == 0);
    SEEN(size_of("e/moved") == -ENOENT && size_of("moved") == 6 && !listed("e", "moved"));
    close(gone);
    close(other);
    close(over);
    close(moved);
}

/* The file is known all the while, by another name or because it is open, and so is that it was called so. */
FS_TEST(host_edits, a_name_that_goes_and_comes_back)
{
    int fd;

    cr_assert(linkat(base, "f", base, "d/link", 0) == 0);
    warm();
    fd = openat(at, "e/in", O_RDONLY);
    cr_expect(fd >= 0 && size_of("d/link") == 3);
    for (int i = 0; i < 3; i++) {
        cr_assert(unlinkat(base, "d/link", 0) == 0 && renameat(base, "e/in", base, "away") == 0);
        SEEN(size_of("d/link") == -ENOENT && size_of("e/in") == -ENOENT);
        sleep_ms(50);
        cr_expect(size_of("d/link") == -ENOENT && size_of("e/in") == -ENOENT && size_of("f") == 3);
        cr_assert(linkat(base, "f", base, "d/link", 0) == 0 && renameat(base, "away", base, "e/in") == 0);
        SEEN(size_of("d/link") == 3);
        SEEN(size_of("e/in") == 4);
    }
    close(fd);
}

FS_TEST(host_edits, content_and_size)
{
    int fd;

    warm();
    fd = openat(base, "f", O_WRONLY); /* and stays open, as an editor's or a server's does */
    cr_assert(pwrite(fd, "two", 3, 0) == 3);
    SEEN(tree_is(h.mnt, "f", "two"));
    cr_assert(pwrite(fd, "three", 5, 0) == 5);
    SEEN(size_of("f") == 5);
    cr_expect(tree_is(h.mnt, "f", "three"));
    cr_assert(ftruncate(fd, 1) == 0);
    SEEN(size_of("f") == 1);
    close(fd);
}

FS_TEST(host_edits, content_of_an_open_file)
{
    char buf[8];
    int fd, ours;

    warm();
    ours = openat(at, "f", O_RDONLY);
    cr_assert(pread(ours, buf, sizeof buf, 0) == 3);
    fd = openat(base, "f", O_WRONLY | O_APPEND);
    cr_assert(write(fd, "more", 4) == 4);
    SEEN(pread(ours, buf, sizeof buf, 0) == 7);
    close(fd);
    close(ours);
}

FS_TEST(host_edits, content_by_a_mapping)
{
    char *map;
    int fd;

    warm();
    fd = openat(base, "f", O_RDWR);
    map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(map != MAP_FAILED);
    memcpy(map, "map", 3);
    SEEN(tree_is(h.mnt, "f", "map")); /* while it is mapped still */
    munmap(map, 3);
    close(fd);
}

/* By a name that the kernel has never heard of, in a directory that nobody has looked into. */
FS_TEST(host_edits, content_by_another_name)
{
    struct stat st;

    cr_assert(tree_mkdir(h.base, "unseen"));
    warm();
    cr_assert(linkat(base, "f", base, "unseen/link", 0) == 0);
    SEEN(fstatat(at, "f", &st, 0) == 0 && st.st_nlink == 2);
    cr_assert(tree_put(h.base, "g", "x"));
    SEEN(fstatat(at, "g", &st, 0) == 0 && st.st_nlink == 1);
    cr_assert(linkat(base, "g", base, "unseen/g", 0) == 0);
    int fd = openat(base, "unseen/g", O_WRONLY);
    cr_assert(write(fd, "longer", 6) == 6);
    close(fd);
    SEEN(size_of("g") == 6);
}

FS_TEST(host_edits, mode_and_times)
{
    const struct timespec ts[2] = { { 1000, 0 }, { 2000, 0 } };
    struct stat st;

    warm();
    cr_assert(fchmodat(base, "f", 0600, 0) == 0 && fchmodat(base, "d", 0700, 0) == 0);
    SEEN((mode_of("f") & 07777) == 0600);
    SEEN((mode_of("d") & 07777) == 0700);
    cr_assert(utimensat(base, "d/in", ts, 0) == 0);
    SEEN(fstatat(at, "d/in", &st, 0) == 0 && st.st_mtim.tv_sec == 2000);
}

FS_TEST(host_edits, creation)
{
    warm();
    cr_assert(tree_put(h.base, "new", "n") && tree_put(h.base, "d/new", "nn"));
    SEEN(size_of("new") == 1 && size_of("d/new") == 2);
    SEEN(listed(".", "new") == 1 && listed("d", "new") == 1);
}

FS_TEST(host_edits, deletion)
{
    warm();
    cr_assert(unlinkat(base, "f", 0) == 0 && unlinkat(base, "d/in", 0) == 0);
    SEEN(size_of("f") == -ENOENT && size_of("d/in") == -ENOENT);
    SEEN(listed(".", "f") == 0 && listed("d", "in") == 0);
    cr_assert(tree_remove(strcat(strcpy((char[96]){ 0 }, h.base), "/d")));
    SEEN(size_of("d") == -ENOENT && size_of("d/sub/deep") == -ENOENT);
}

FS_TEST(host_edits, renames)
{
    warm();
    cr_assert(renameat(base, "f", base, "d/new") == 0);
    SEEN(size_of("f") == -ENOENT && size_of("d/new") == 3);
    cr_assert(renameat(base, "d/in", base, "d/new") == 0);
    SEEN(tree_is(h.mnt, "d/new", "in d") && size_of("d/in") == -ENOENT);
    cr_assert(renameat(base, "d", base, "new") == 0);
    SEEN(size_of("d") == -ENOENT && tree_is(h.mnt, "new/sub/deep", "deep"));
}

FS_TEST(host_edits, a_file_replaced)
{
    warm();
    cr_assert(tree_put(h.base, "tmp", "another") && renameat(base, "tmp", base, "f") == 0);
    SEEN(tree_is(h.mnt, "f", "another"));
    cr_assert(unlinkat(base, "f", 0) == 0 && tree_put(h.base, "f", "third")); /* perhaps the same inode number */
    SEEN(tree_is(h.mnt, "f", "third") && size_of("f") == 5);
}

FS_TEST(host_edits, directories_swapped)
{
    warm();
    cr_assert(syscall(SYS_renameat2, base, "d", base, "e", RENAME_EXCHANGE) == 0);
    SEEN(tree_is(h.mnt, "d/in", "in e") && tree_is(h.mnt, "e/in", "in d"));
    SEEN(size_of("d/sub") == -ENOENT && size_of("e/sub/deep") == 4);
}

FS_TEST(host_edits, replaced_by_a_symlink_and_another_kind)
{
    warm();
    cr_assert(renameat(base, "d", base, "away") == 0 && symlinkat("e", base, "d") == 0);
    SEEN(S_ISLNK(mode_of("d")));
    SEEN(tree_is(h.mnt, "d/in", "in e"));
    cr_assert(unlinkat(base, "f", 0) == 0 && mkdirat(base, "f", 0755) == 0);
    SEEN(S_ISDIR(mode_of("f")));
}

/* By a directory that is held, and whose name leads elsewhere by then. */
FS_TEST(host_edits, a_directory_moved_away_under_a_process)
{
    struct stat st;
    int dir, top;

    warm();
    dir = openat(at, "d/sub", O_PATH | O_DIRECTORY);
    top = openat(at, "d", O_PATH | O_DIRECTORY);
    cr_assert(fstatat(dir, "deep", &st, 0) == 0 && fstat(top, &st) == 0);
    cr_assert(renameat(base, "d", AT_FDCWD, strcat(strcpy((char[96]){ 0 }, h.dir), "/gone")) == 0);
    SEEN(fstat(top, &st) < 0);
    SEEN(openat(dir, "deep", O_RDONLY) < 0);
    SEEN(size_of("d/sub/deep") == -ENOENT);
    close(top);
    close(dir);
}

/* A notice that is lost once leaves the old for longer than the cache time; without any each round takes that twice. */
FS_TEST(host_edits, what_is_told_for_long_is_taken_back)
{
    const int rounds = harness_flags & PERMFS_NO_WATCH ? 2 : 20;
    char text[64];

    for (int i = 0; i < rounds; i++) {
        warm();
        memset(text, 'x', (size_t)i + 4);
        text[i + 4] = '\0';
        cr_assert(tree_put(h.base, "d/new", text));
        SEEN(size_of("d/new") == i + 4);
        cr_assert(unlinkat(base, "d/new", 0) == 0);
        SEEN(size_of("d/new") == -ENOENT);
    }
}

/* The one way to know from outside: a stopped daemon cannot have answered. */
FS_TEST(host_edits, what_is_watched_is_kept_beyond_the_cache_time)
{
    bool answered;
    struct stat st;
    pid_t pid;

    warm();
    sleep_ms(CACHE_MS + 200);
    /* Once more: it was not watched yet when it was looked up. */
    cr_expect(fstatat(at, "d", &st, 0) == 0);
    sleep_ms(CACHE_MS + 200);
    cr_assert(proc_stop(h.pid));
    waitpid(h.pid, NULL, WUNTRACED); /* until every thread has stopped */
    pid = fork();
    if (pid == 0)
        _exit(fstatat(at, "d", &st, 0) == 0 && fstatat(at, "d/new", &st, 0) < 0 ? 0 : 1);
    answered = AWAIT_WITHIN(harness_flags ? 300 : HANG_MS, waitpid(pid, NULL, WNOHANG) == pid);
    kill(h.pid, SIGCONT);
    if (!answered)
        waitpid(pid, NULL, 0);
    cr_expect(answered == !harness_flags);
}
