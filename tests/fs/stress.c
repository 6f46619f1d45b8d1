/* Many at once, and real programs at work. */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 6
#define STEPS   4000
#define NAMES   12

static struct harness h;

static void setup(void)
{
    harness_init(&h);
}

static void teardown(void)
{
    harness_release(&h);
}

FS_SUITES(stress, 300);

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

static void pick_name(unsigned *seed, char *name, size_t size)
{
    unsigned r = next_random(seed);

    if (r % 3)
        snprintf(name, size, "d%u/n%u", r / 3 % 3, r / 9 % NAMES);
    else
        snprintf(name, size, "n%u", r / 9 % NAMES);
}

static void list_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    while (dir && readdir(dir))
        ;
    if (dir)
        closedir(dir);
}

static void write_and_check(int at, const char *name, unsigned value)
{
    int fd = openat(at, name, O_RDWR | O_CREAT, 0644);
    unsigned got = 0;
    struct stat st;

    if (fd < 0)
        return;
    if (pwrite(fd, &value, sizeof value, 0) != sizeof value || pread(fd, &got, sizeof got, 0) <= 0 ||
        fstat(fd, &st) < 0)
        _exit(2);
    close(fd);
}

/* Whatever the others do, each call may fail only with what such a call may fail with. */
static void step(int at, unsigned *seed)
{
    char a[32], b[32];
    struct stat st;
    int r = 0;

    pick_name(seed, a, sizeof a);
    pick_name(seed, b, sizeof b);
    errno = 0;
    switch (next_random(seed) % 11) {
    case 0:
        r = mkdirat(at, a, 0755);
        break;
    case 1:
        r = unlinkat(at, a, 0);
        break;
    case 2:
        r = unlinkat(at, a, AT_REMOVEDIR);
        break;
    case 3:
        r = renameat(at, a, at, b);
        break;
    case 4:
        r = (int)syscall(SYS_renameat2, at, a, at, b, RENAME_EXCHANGE);
        break;
    case 5:
        r = linkat(at, a, at, b, 0);
        break;
    case 6:
        list_dir(at, next_random(seed) % 2 ? "." : "d1");
        break;
    case 7:
        r = fstatat(at, a, &st, AT_SYMLINK_NOFOLLOW);
        break;
    case 8:
        r = fchmodat(at, a, 0700 | (next_random(seed) & 077), 0);
        break;
    case 9:
        r = symlinkat("n1", at, a);
        break;
    default:
        write_and_check(at, a, *seed);
    }
    if (r < 0 && (errno == EIO || errno == EINVAL || errno == ENOTCONN || errno == EACCES || errno == EBADF) &&
        !(errno == EINVAL && strncmp(a, b, strlen(a)) == 0) && !(errno == EINVAL && strncmp(a, b, strlen(b)) == 0))
        _exit(3);
}

static int run_workers(int at)
{
    int status, bad = 0;

    for (unsigned w = 0; w < WORKERS; w++)
        if (fork() == 0) {
            unsigned seed = w * 7919 + 1;

            for (int i = 0; i < STEPS; i++)
                step(at, &seed);
            _exit(0);
        }
    for (int w = 0; w < WORKERS; w++) {
        cr_assert(wait(&status) > 0);
        bad += status != 0;
    }
    return bad;
}

/* What is seen through the mount afterwards has to be what is there. */
static void compare_trees(void)
{
    char *below, *shown;

    sleep_ms(1100);
    below = tree_list(h.base, true);
    shown = tree_list(h.mnt, true);
    cr_assert(below && shown);
    cr_expect(strcmp(below, shown) == 0, "below:\n%s\nshown:\n%s", below, shown);
    free(below);
    free(shown);
}

FS_TEST(stress, many_processes_at_once)
{
    int at;

    for (int i = 0; i < 3; i++)
        cr_assert(tree_mkdir(h.base, (char[3]){ 'd', (char)('0' + i), 0 }));
    cr_assert(harness_start_open(&h), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY);
    cr_expect(run_workers(at) == 0);
    close(at);
    compare_trees();
}

static int daemon_fds(void)
{
    char path[64];
    DIR *dir;
    int n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", h.pid);
    dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

FS_TEST(stress, no_fd_is_left_of_a_removed_tree)
{
    char name[64], path[128];
    int before, during;

    if (geteuid() != 0)
        harness_skip(&h, "looking into the daemon takes root");
    cr_assert(harness_start_open(&h), "%s", h.why);
    before = daemon_fds();
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "tree/dir%d/sub/file", i);
        cr_assert(tree_put(h.mnt, name, "x"));
    }
    during = daemon_fds();
    cr_expect(during > before + 300, "%d", during);
    snprintf(path, sizeof path, "%s/tree", h.mnt);
    cr_expect(tree_remove(path));
    cr_expect(AWAIT(daemon_fds() <= before), "%d before, %d after", before, daemon_fds());
}

/* Runs a script in the workspace; its output ends in the test's message. */
static void run_script(const char *script)
{
    char cmd[4096], log[4096] = "";
    FILE *out;
    int status;

    snprintf(cmd, sizeof cmd, "cd %s && exec 2>&1 && set -e && export HOME=%s && %s", h.mnt, h.dir, script);
    out = popen(cmd, "r");
    cr_assert(out);
    log[fread(log, 1, sizeof log - 1, out)] = 0;
    status = pclose(out);
    cr_expect(status == 0, "status %d: %s", status, log);
}

static bool have(const char *program)
{
    char cmd[128];
    bool found;

    snprintf(cmd, sizeof cmd, "command -v %s >/dev/null", program);
    found = system(cmd) == 0;
    cr_assert(found || !getenv("RT_MUST_RUN"), "%s is not installed, and RT_MUST_RUN is set", program);
    return found;
}

FS_TEST(stress, git_works)
{
    if (!have("git"))
        harness_skip(&h, "git is not installed");
    cr_assert(harness_start_open(&h), "%s", h.why);
    run_script("git init -q . && git config user.email a@example.org && git config user.name a"
               " && mkdir -p a/b && seq 1000 > a/b/f && echo x > g && ln -s g l && git add . && git commit -qm one"
               " && git mv a c && echo y >> g && git commit -qam two && git checkout -q -b other HEAD~1"
               " && test -f a/b/f && git checkout -q - && test -f c/b/f && git gc -q && git fsck"
               " && test -z \"$(git status --porcelain)\" && git stash list && git clone -q . copy && rm -rf copy");
}

FS_TEST(stress, tar_and_rm_work)
{
    cr_assert(harness_start_open(&h), "%s", h.why);
    run_script("mkdir src && for i in $(seq 200); do mkdir -p src/$((i % 10)) && echo $i > src/$((i % 10))/$i; done"
               " && chmod 640 src/1/1 && ln src/1/1 src/hard && ln -s 1/1 src/sym && mkfifo src/fifo"
               " && tar cf t.tar src && mkdir out && tar xpf t.tar -C out && diff -r --no-dereference src/1 out/src/1"
               " && test $(stat -c %a out/src/1/1) = 640 && cp -a out/src copy && mv copy moved && rm -rf src out moved"
               " && test $(ls | wc -l) = 1");
}

FS_TEST(stress, a_build_works)
{
    if (!have("gcc") || !have("make"))
        harness_skip(&h, "gcc or make is not installed");
    cr_assert(harness_start_open(&h), "%s", h.why);
    run_script("for i in 1 2 3 4; do echo \"int f$i(void){return $i;}\" > f$i.c; done"
               " && printf 'int f1(void);\\nint main(void){return f1()-1;}\\n' > main.c"
               " && printf 'all: prog\\nprog: main.o f1.o f2.o f3.o f4.o\\n\\tgcc -o $@ $^\\n' > Makefile"
               " && make -s -j4 && ./prog && touch main.c && make -s && ./prog && cp prog p2 && ./p2");
}
