/* Data past the daemon: that it goes so where it can, and that nobody can tell otherwise than by the speed. */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static struct harness h;
static int at;

static void setup(void)
{
    harness_init(&h);
}

static void teardown(void)
{
    close(at);
    harness_release(&h);
}

FS_SUITES(passthrough, 300);

static void start(void)
{
    cr_assert(harness_start_open(&h), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool child_ends(pid_t pid, int ms)
{
    return AWAIT_WITHIN(ms, waitpid(pid, NULL, WNOHANG) == pid);
}

/* The one way to know from outside: a stopped daemon cannot have answered. */
FS_TEST(passthrough, reads_need_the_daemon_only_where_it_is_off)
{
    bool fast = geteuid() == 0 && !harness_flags;
    char buf[8];
    bool answered;
    pid_t pid;
    int fd;

    cr_assert(tree_put(h.base, "f", "text"));
    start();
    fd = openat(at, "f", O_RDONLY);
    cr_assert(fd >= 0);
    cr_assert(proc_stop(h.pid));
    waitpid(h.pid, NULL, WUNTRACED); /* until every thread has stopped */
    pid = fork();
    if (pid == 0)
        _exit(pread(fd, buf, sizeof buf, 0) == 4 ? 0 : 1);
    answered = child_ends(pid, fast ? HANG_MS : 300);
    kill(h.pid, SIGCONT);
    if (!answered)
        waitpid(pid, NULL, 0);
    cr_expect(answered == fast);
    close(fd);
}

static void use(const char *name, int flags)
{
    char c;
    int fd = openat(at, name, flags);

    WORKS(fd);
    WORKS(read(fd, &c, 1));
    close(fd);
}

static void list_all(void)
{
    DIR *d = fdopendir(openat(at, ".", O_RDONLY | O_DIRECTORY));

    cr_assert(d);
    while (readdir(d))
        ;
    closedir(d);
}

/* Reading makes the kernel forget a file's time of access; a listing tells it of all files at once. */
FS_TEST(passthrough, a_listing_after_reading_tells_of_every_file)
{
    struct harness_options options = harness_options();
    const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };
    char names[8][4];
    struct stat st;
    pid_t pid;

    if (geteuid() != 0 || harness_flags)
        harness_skip(&h, "where files are passed through, and their content is not cached");
    options.cache_ms = 60000;
    for (size_t i = 0; i < N(names); i++) {
        snprintf(names[i], sizeof names[i], "%zu", i);
        cr_assert(tree_put(h.base, names[i], "text"));
    }
    sleep_ms(200); /* so that the listing may be kept (SETTLE_NS in node.c) */
    cr_assert(harness_start(&h, &all, 1, &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    list_all();
    for (size_t i = 0; i < N(names); i++)
        use(names[i], O_RDONLY);
    list_all();
    cr_assert(proc_stop(h.pid));
    waitpid(h.pid, NULL, WUNTRACED);
    pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < N(names); i++)
            (void)fstatat(at, names[i], &st, 0);
        _exit(0);
    }
    cr_expect(child_ends(pid, HANG_MS), "asked one by one");
    kill(h.pid, SIGCONT);
}

FS_TEST(passthrough, each_name_of_a_file_has_its_own_rights)
{
    static const struct rule rules[] = {
        { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 },
        { "read", RT_RULE_FILE, RT_PERM_READ, 1 },
        { "view", RT_RULE_FILE, RT_PERM_VIEW, 1 },
        { "none", RT_RULE_FILE, RT_PERM_NONE, 1 },
    };
    const struct harness_options options = harness_options();
    char path[128], buf[8] = "";
    int w, r;

    cr_assert(tree_put(h.base, "write", "text"));
    for (size_t i = 1; i < N(rules); i++) {
        snprintf(path, sizeof path, "%s/%s", h.base, rules[i].pattern);
        cr_assert(linkat(AT_FDCWD, strcat(strcpy((char[128]){ 0 }, h.base), "/write"), AT_FDCWD, path, 0) == 0);
    }
    cr_assert(harness_start(&h, rules, N(rules), &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    w = openat(at, "write", O_RDWR);
    WORKS(w);
    r = openat(at, "read", O_RDONLY);
    WORKS(r);
    FAILS(EACCES, openat(at, "read", O_RDWR));
    FAILS(EACCES, openat(at, "read", O_RDONLY | O_TRUNC));
    FAILS(EACCES, openat(at, "view", O_RDONLY));
    FAILS(ENOENT, openat(at, "none", O_RDONLY));
    cr_expect(pwrite(w, "TEXT", 4, 0) == 4);
    cr_expect(pread(r, buf, 4, 0) == 4 && memcmp(buf, "TEXT", 4) == 0, "one name does not show what another wrote");
    FAILS(EBADF, pwrite(r, "x", 1, 0));
    cr_expect(mmap(NULL, 4, PROT_WRITE, MAP_SHARED, r, 0) == MAP_FAILED && errno == EACCES);
    close(w);
    close(r);
    cr_expect(tree_is(h.base, "write", "TEXT"));
}

FS_TEST(passthrough, what_is_opened_is_what_may_be_done)
{
    char buf[8];
    int r, w;

    cr_assert(tree_put(h.base, "f", "text"));
    start();
    r = openat(at, "f", O_RDONLY);
    w = openat(at, "f", O_WRONLY);
    FAILS(EBADF, pread(w, buf, 4, 0));
    FAILS(EBADF, pwrite(r, "x", 1, 0));
    FAILS(EINVAL, ftruncate(r, 0));
    close(r);
    close(w);
}

/* Each has the file open while the other starts, in either order. */
FS_TEST(passthrough, appending_beside_others)
{
    char buf[16] = "";
    int r, a;

    cr_assert(tree_put(h.base, "f", "one"));
    start();
    for (int append_first = 0; append_first < 2; append_first++) {
        cr_assert(tree_put(h.base, "f", "one"));
        a = append_first ? openat(at, "f", O_RDWR | O_APPEND) : -1;
        r = openat(at, "f", O_RDWR);
        if (a < 0)
            a = openat(at, "f", O_RDWR | O_APPEND);
        WORKS(r);
        WORKS(a);
        cr_expect(pwrite(a, "two", 3, 0) == 3);
        cr_expect(pread(r, buf, sizeof buf, 0) == 6 && memcmp(buf, "onetwo", 6) == 0, "%.6s", buf);
        cr_expect(pwrite(r, "THREE", 5, 6) == 5);
        cr_expect(pread(a, buf, sizeof buf, 0) == 11 && memcmp(buf, "onetwoTHREE", 11) == 0, "%.11s", buf);
        WORKS(fcntl(a, F_SETFL, 0));
        cr_expect(pwrite(a, "X", 1, 0) == 1);
        WORKS(fcntl(r, F_SETFL, O_APPEND));
        cr_expect(pwrite(r, "!", 1, 0) == 1);
        cr_expect(tree_is(h.base, "f", "XnetwoTHREE!"));
        close(a);
        close(r);
    }
}

/* dd writes aligned blocks so, and then the rest. */
FS_TEST(passthrough, direct_is_switched_off_again)
{
    static _Alignas(4096) char block[4096];
    char buf[8] = "";
    struct stat st;
    int fd;

    start();
    fd = openat(at, "f", O_CREAT | O_RDWR | O_DIRECT, 0644);
    WORKS(fd);
    memset(block, 'd', 4096);
    cr_expect(write(fd, block, 4096) == 4096);
    WORKS(fcntl(fd, F_SETFL, 0));
    cr_expect(write(fd, "rest", 4) == 4);
    cr_expect(pread(fd, buf, 5, 4095) == 5 && memcmp(buf, "drest", 5) == 0);
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 4100);
    close(fd);
}

FS_TEST(passthrough, mappings_reads_writes_and_truncation_agree)
{
    char buf[8] = "", *map;
    struct stat st;
    int a, fd;

    start();
    fd = openat(at, "f", O_CREAT | O_RDWR, 0644);
    WORKS(ftruncate(fd, 8192));
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(map != MAP_FAILED);
    a = openat(at, "f", O_RDWR | O_APPEND);
    cr_expect(pwrite(fd, "abc", 3, 0) == 3 && memcmp(map, "abc", 3) == 0);
    map[1] = 'X';
    cr_expect(pread(fd, buf, 3, 0) == 3 && memcmp(buf, "aXc", 3) == 0);
    cr_expect(write(a, "end", 3) == 3);
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 8195);
    WORKS(msync(map, 8192, MS_SYNC));
    cr_expect(pread(a, buf, 3, 0) == 3 && memcmp(buf, "aXc", 3) == 0);
    WORKS(ftruncate(a, 2));
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 2);
    cr_expect(pread(fd, buf, sizeof buf, 0) == 2);
    cr_expect(map[2] == 0, "what was cut off is still mapped");
    close(openat(at, "f", O_WRONLY | O_TRUNC));
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 0 && pread(fd, buf, sizeof buf, 0) == 0);
    munmap(map, 8192);
    close(a);
    close(fd);
    cr_expect(tree_is(h.base, "f", ""));
}

FS_TEST(passthrough, a_replaced_file_is_another_one_while_both_are_open)
{
    char buf[8] = "", path[128];
    int old, new;

    cr_assert(tree_put(h.base, "f", "old"));
    start();
    old = openat(at, "f", O_RDWR);
    WORKS(old);
    cr_assert(tree_put(h.base, "g", "new"));
    snprintf(path, sizeof path, "%s/f", h.base);
    cr_assert(rename(strcat(strcpy((char[128]){ 0 }, h.base), "/g"), path) == 0);
    sleep_ms(1100);
    new = openat(at, "f", O_RDWR);
    WORKS(new);
    cr_expect(pread(new, buf, 3, 0) == 3 && memcmp(buf, "new", 3) == 0);
    cr_expect(pread(old, buf, 3, 0) == 3 && memcmp(buf, "old", 3) == 0);
    cr_expect(pwrite(old, "OLD", 3, 0) == 3);
    cr_expect(tree_is(h.base, "f", "new"));
    close(old);
    close(new);
}

FS_TEST(passthrough, setuid_bits_do_not_survive_a_write)
{
    char path[128];
    struct stat st;
    int fd;

    cr_assert(tree_put(h.base, "f", "x"));
    snprintf(path, sizeof path, "%s/f", h.base);
    cr_assert(chmod(path, 06755) == 0);
    start();
    fd = openat(at, "f", O_WRONLY);
    cr_expect(pwrite(fd, "y", 1, 0) == 1);
    close(fd);
    cr_assert(stat(path, &st) == 0);
    cr_expect((st.st_mode & 06000) == 0, "%o", st.st_mode);
}

/* Whatever is kept for a next opening. */
FS_TEST(passthrough, a_file_replaced_after_its_use_is_another_one)
{
    char from[128], to[128];

    snprintf(from, sizeof from, "%s/g", h.base);
    snprintf(to, sizeof to, "%s/f", h.base);
    cr_assert(tree_put(h.base, "f", "0"));
    start();
    for (int i = 0; i < 8; i++) {
        const char text[] = { (char)('1' + i), 0 };
        const int flags = i % 2 ? O_RDWR : O_RDONLY;

        use("f", flags);
        if (i % 4 < 2) {
            cr_assert(tree_put(h.base, "g", text) && rename(from, to) == 0);
            (void)AWAIT(tree_is(h.mnt, "f", text));
        } else {
            cr_assert(tree_put(h.mnt, "g", text));
            use("g", flags);
            WORKS(renameat(at, "g", at, "f"));
        }
        cr_expect(tree_is(h.mnt, "f", text), "%s", text);
        use("f", O_RDWR);
        cr_expect(tree_is(h.base, "f", text), "%s", text);
    }
}

static bool space_is(fsfilcnt_t inodes)
{
    struct statvfs st;

    return AWAIT(statvfs(h.base, &st) == 0 && st.f_ffree == inodes);
}

/* On a filesystem of its own, whose free inodes tell of every file that is held. */
FS_TEST(passthrough, a_file_without_a_name_is_let_go)
{
    struct statvfs before;
    char path[128];

    if (geteuid() != 0)
        harness_skip(&h, "only root can mount a filesystem to count on");
    cr_assert(mount("tmpfs", h.base, "tmpfs", 0, "size=4m,nr_inodes=64,mode=755") == 0);
    WORKS(statvfs(h.base, &before));
    start();
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d", h.base, i);
        cr_expect(tree_put(h.mnt, path + strlen(h.base) + 1, "text"));
        use(path + strlen(h.base) + 1, i % 2 ? O_RDWR : O_RDONLY);
    }
    WORKS(unlinkat(at, "0", 0));
    WORKS(renameat(at, "1", at, "2"));
    cr_expect(space_is(before.f_ffree - 1), "what the sandbox removed is held");
    use("2", O_RDONLY);
    WORKS(unlink(path)); /* 2, by the host */
    cr_expect(space_is(before.f_ffree), "what the host removed is held");
}

/* Nothing of the codebase is in use once the daemon has ended, however short ago a file was. */
FS_TEST(passthrough, the_codebase_can_be_unmounted_after_the_end)
{

    if (geteuid() != 0)
        harness_skip(&h, "only root can mount a filesystem to unmount");
    cr_assert(mount("tmpfs", h.base, "tmpfs", 0, "size=4m,mode=755") == 0);
    cr_assert(tree_put(h.base, "f", "text"));
    start();
    use("f", O_RDWR);
    close(at);
    at = -1;
    cr_expect(harness_request(&h, PERMFS_QUIT, NULL, 0) == PERMFS_OK);
    cr_expect(AWAIT(umount2(h.base, 0) == 0), "%s", strerror(errno));
    cr_expect(harness_await_end(&h));
}

/* Returns what execve(2) failed with, or the program's own status. */
static int run(const char *path)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        execl(path, path, (char *)NULL);
        _exit(errno);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* A program is written and run, here and on the host, while what was opened for it may still be kept. */
FS_TEST(passthrough, what_was_written_can_be_run_at_once)
{
    char path[128];

    start();
    for (int i = 0; i < 5; i++) {
        int fd = openat(at, "run", O_WRONLY | O_CREAT | O_TRUNC, 0755), status;

        WORKS(fd);
        cr_expect(write(fd, "#!/bin/true\n", 12) == 12);
        close(fd);
        for (int host = 0; host < 2; host++) {
            snprintf(path, sizeof path, "%s/run", host ? h.base : h.mnt);
            status = run(path);
            /* The kernel tells the daemon of a close(2) without waiting for it. */
            for (int n = 0; host && status == ETXTBSY && n < 5000; n++) {
                usleep(1000);
                status = run(path);
            }
            cr_expect(status == 0, "%s: %s", path, strerror(status));
        }
    }
}

static int open_in_turns(unsigned seed)
{
    static const int flags[] = { O_RDONLY, O_RDWR, O_WRONLY | O_APPEND, O_RDWR | O_TRUNC, O_RDONLY };
    char c;
    int fd;

    for (int i = 0; i < 3000; i++) {
        seed = seed * 1103515245u + 12345u;
        fd = openat(at, "f", flags[(seed >> 16) % N(flags)]);
        if (fd < 0)
            return 1;
        if (pread(fd, &c, 1, 0) < 0 && errno != EBADF)
            return 2;
        close(fd);
    }
    return 0;
}

/* The kernel answers EIO where two that have one file open are told different ways. */
FS_TEST(passthrough, many_open_one_file_in_every_way)
{
    int status;

    cr_assert(tree_put(h.base, "f", "text"));
    start();
    for (unsigned i = 0; i < 6; i++)
        if (fork() == 0)
            _exit(open_in_turns(i * 77 + 1));
    for (int i = 0; i < 6; i++) {
        wait(&status);
        cr_expect(status == 0, "%d", WEXITSTATUS(status));
    }
}

/* How many of the daemon's threads have capabilities in effect; *ret_n: of how many. */
static int threads_with_power(int *ret_n)
{
    char path[64], name[64];
    struct dirent *d;
    int with = 0;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", h.pid);
    tasks = opendir(path);
    cr_assert(tasks);
    *ret_n = 0;
    while ((d = readdir(tasks))) {
        char *status;

        if (d->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "task/%.20s/status", d->d_name);
        status = proc_read(h.pid, name);
        (*ret_n)++;
        with += status && !strstr(status, "CapEff:\t0000000000000000");
        free(status);
    }
    closedir(tasks);
    return with;
}

FS_TEST(passthrough, the_workers_have_no_capability_in_effect)
{
    struct stat st;
    int n = 0, with = 0;

    if (geteuid() != 0)
        harness_skip(&h, "only root has capabilities to give up");
    struct harness_options options = harness_options();
    const struct rule all = { "**", RT_RULE_GLOB, RT_PERM_WRITE, 0 };

    options.owner_uid = options.owner_gid = 1234;
    cr_assert(tree_put(h.base, "f", "x") && tree_chown(h.base, 1234, 1234));
    cr_assert(harness_start(&h, &all, 1, &options), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 20; i++) {
        int fd = openat(at, "f", O_RDWR);

        cr_expect(fd >= 0 && fstat(fd, &st) == 0);
        close(fd);
    }
    /* The last close is told to the daemon after close(2) has returned. */
    (void)AWAIT((with = threads_with_power(&n)) == 1);
    cr_expect(n >= 3 && with == 1, "%d of %d threads have capabilities in effect; the one that unmounts has", with, n);
}
