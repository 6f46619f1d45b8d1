/*
 * The workspace filesystem against the native directory, and bindfs against it on the same work. Data: fs.NAME, and
 * fs.NAME_nopass with all data through the daemon. Metadata and programs: fs.NAME with client and daemon on one CPU,
 * fs.NAME_unpinned without. fs.NAME_bindfs is bindfs, pinned as fs.NAME is.
 */
#include "bench.h"
#include "fs_mount.h"
#include "permfs_proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIG_BYTES ((size_t)64 << 20)
#define CHUNK     ((size_t)1 << 20)
#define PAGE      4096
#define DIRS      40
#define FILES     50 /* in each */
#define MADE      500
#define SOURCES   6

extern char **environ;

enum mount_id { NATIVE, OURS, OURS_ONE_CPU, NO_PASS, BINDFS, BINDFS_ONE_CPU, MOUNTS };

static struct fs_mount mounts[MOUNTS];
static char work[] = "/tmp/stockade-bench-fs.XXXXXX";
static char chunk[CHUNK];

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void check(bool ok, const char *what)
{
    if (!ok)
        fail(what);
}

static const char *in(const char *dir, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static int open_in(const char *dir, const char *name, int flags)
{
    int fd = open(in(dir, name), flags | O_CLOEXEC, 0644);

    check(fd >= 0, name);
    return fd;
}

/* A shell command in a directory. */
static void shell(const char *dir, const char *command)
{
    char line[1024], sh[] = "sh", c[] = "-c", *argv[] = { sh, c, line, NULL };
    int status;
    pid_t pid;

    snprintf(line, sizeof line, "cd %s && exec >/dev/null && %s", dir, command);
    check(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0, "sh");
    check(waitpid(pid, &status, 0) == pid && status == 0, command);
}

static double timed_shell(const struct fs_mount *m, const char *command)
{
    double start = bench_now_ms();

    shell(m->dir, command);
    return bench_now_ms() - start;
}

/* ---- data ---- */

static double read_all(const struct fs_mount *m)
{
    int fd = open_in(m->dir, "big", O_RDONLY);
    double start = bench_now_ms();
    ssize_t n;

    while ((n = read(fd, chunk, CHUNK)) > 0)
        ;
    check(n == 0, "read");
    start = bench_now_ms() - start;
    close(fd);
    return start;
}

/* Out of the page cache, of the filesystem's own too. */
static void forget_big(const struct fs_mount *m)
{
    const char *const dirs[] = { m->dir, m->base };

    for (int i = 0; i < 2; i++) {
        int fd = open_in(dirs[i], "big", O_RDWR);

        check(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
        close(fd);
    }
}

static double read_cold(const struct fs_mount *m)
{
    forget_big(m);
    return read_all(m);
}

static double write_new(const struct fs_mount *m)
{
    int fd = open_in(m->dir, "new", O_WRONLY | O_CREAT | O_EXCL);
    double start = bench_now_ms();

    for (size_t at = 0; at < BIG_BYTES; at += CHUNK)
        check(write(fd, chunk, CHUNK) == (ssize_t)CHUNK, "write");
    start = bench_now_ms() - start;
    close(fd);
    check(unlink(in(m->dir, "new")) == 0, "unlink");
    return start;
}

static off_t random_page(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return (off_t)((*seed >> 4) % (BIG_BYTES / PAGE)) * PAGE;
}

static double read_random(const struct fs_mount *m)
{
    int fd = open_in(m->dir, "big", O_RDONLY);
    double start = bench_now_ms();
    unsigned seed = 1;

    for (int i = 0; i < 10000; i++)
        check(pread(fd, chunk, PAGE, random_page(&seed)) == PAGE, "pread");
    start = bench_now_ms() - start;
    close(fd);
    return start;
}

static double write_random(const struct fs_mount *m)
{
    int fd = open_in(m->dir, "big", O_WRONLY);
    double start = bench_now_ms();
    unsigned seed = 1;

    for (int i = 0; i < 2000; i++)
        check(pwrite(fd, chunk, PAGE, random_page(&seed)) == PAGE, "pwrite");
    start = bench_now_ms() - start;
    close(fd);
    return start;
}

static double read_mapped(const struct fs_mount *m)
{
    int fd = open_in(m->dir, "big", O_RDONLY);
    double start = bench_now_ms();
    volatile const char *map = mmap(NULL, BIG_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    unsigned sum = 0;

    check(map != MAP_FAILED, "mmap");
    for (size_t at = 0; at < BIG_BYTES; at += PAGE)
        sum += (unsigned char)map[at];
    munmap((void *)(uintptr_t)map, BIG_BYTES);
    start = bench_now_ms() - start;
    close(fd);
    return sum == 1 ? 0 : start; /* the sum is used, so that it is made */
}

/* ---- metadata ---- */

typedef void name_fn(const char *path);

static void each_file(const struct fs_mount *m, const char *prefix, name_fn *fn)
{
    char path[512];

    for (int d = 0; d < DIRS; d++)
        for (int f = 0; f < FILES; f++) {
            snprintf(path, sizeof path, "%s/tree/d%d/%s-%d.c", m->dir, d, prefix, f);
            fn(path);
        }
}

static double timed_each(const struct fs_mount *m, const char *prefix, name_fn *fn)
{
    double start = bench_now_ms();

    each_file(m, prefix, fn);
    return bench_now_ms() - start;
}

static void stat_name(const char *path)
{
    struct stat st;

    check(stat(path, &st) == 0, path);
}

static void miss_name(const char *path)
{
    struct stat st;

    check(stat(path, &st) < 0 && errno == ENOENT, path);
}

static void open_name(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buf[PAGE];

    check(fd >= 0 && read(fd, buf, sizeof buf) > 0, path);
    close(fd);
}

static double stat_again(const struct fs_mount *m)
{
    each_file(m, "file", stat_name);
    return timed_each(m, "file", stat_name);
}

static double missing_again(const struct fs_mount *m)
{
    each_file(m, "missing", miss_name);
    return timed_each(m, "missing", miss_name);
}

static double open_again(const struct fs_mount *m)
{
    each_file(m, "file", open_name);
    return timed_each(m, "file", open_name);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)st;
    (void)at;
    return type == FTW_NS || type == FTW_DNR ? -1 : 0;
}

static double find_again(const struct fs_mount *m)
{
    double start;

    check(nftw(in(m->dir, "tree"), visit, 32, FTW_PHYS) == 0, "nftw");
    start = bench_now_ms();
    check(nftw(in(m->dir, "tree"), visit, 32, FTW_PHYS) == 0, "nftw");
    return bench_now_ms() - start;
}

static double list_flat(const struct fs_mount *m)
{
    double start = bench_now_ms();

    for (int i = 0; i < 20; i++) {
        DIR *dir = opendir(in(m->dir, "flat"));

        check(dir, "opendir");
        while (readdir(dir))
            ;
        closedir(dir);
    }
    return bench_now_ms() - start;
}

static double made[2]; /* creating and deleting are one round, of which each is a line */

static void make_and_remove(const struct fs_mount *m)
{
    char path[512];
    double start = bench_now_ms();

    check(mkdir(in(m->dir, "made"), 0755) == 0, "mkdir");
    for (int i = 0; i < MADE; i++) {
        snprintf(path, sizeof path, "%s/made/%d", m->dir, i);
        close(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    }
    made[0] = bench_now_ms() - start;
    start = bench_now_ms();
    for (int i = 0; i < MADE; i++) {
        snprintf(path, sizeof path, "%s/made/%d", m->dir, i);
        check(unlink(path) == 0, path);
    }
    made[1] = bench_now_ms() - start;
    check(rmdir(in(m->dir, "made")) == 0, "rmdir");
}

static double creating(const struct fs_mount *m)
{
    make_and_remove(m);
    return made[0];
}

static double deleting(const struct fs_mount *m)
{
    make_and_remove(m);
    return made[1];
}

/* ---- programs ---- */

static double untar(const struct fs_mount *m)
{
    double took = timed_shell(m, "mkdir out && tar xf ../tree.tar -C out");

    shell(m->dir, "rm -rf out");
    return took;
}

static double git_status(const struct fs_mount *m)
{
    return timed_shell(m, "git status");
}

static double grep(const struct fs_mount *m)
{
    return timed_shell(m, "! grep -r needle tree");
}

static double compile(const struct fs_mount *m)
{
    return timed_shell(m, "for f in src/*.c; do gcc -O2 -c $f -o ${f%.c}.o || exit 1; done");
}

/* ---- what is measured ---- */

struct work {
    const char *name;
    double (*fn)(const struct fs_mount *m);
    int rounds;
};

static const struct work data[] = {
    { "seqread_warm", read_all, 5 }, { "seqread_cold", read_cold, 3 }, { "seqwrite", write_new, 3 },
    { "randread", read_random, 5 },  { "randwrite", write_random, 5 }, { "mmap_read", read_mapped, 5 },
};

static const struct work metadata[] = {
    { "stat_again", stat_again, 5 },
    { "find_again", find_again, 5 },
    { "readdir", list_flat, 5 },
    { "open_again", open_again, 3 },
    { "create", creating, 5 },
    { "delete", deleting, 5 },
    { "missing_again", missing_again, 5 },
    { "untar", untar, 3 },
    { "git_status", git_status, 3 },
    { "grep", grep, 3 },
    { "gcc", compile, 1 },
};

struct pair {
    const struct work *work;
    const struct fs_mount *ours;
};

static double run_ours(void *arg)
{
    struct pair *pair = arg;

    return pair->work->fn(pair->ours);
}

static double run_native(void *arg)
{
    struct pair *pair = arg;

    return pair->work->fn(&mounts[NATIVE]);
}

static void measure(const struct work *w, const char *suffix, enum mount_id id)
{
    struct pair pair = { w, &mounts[id] };
    char name[64];

    if (!mounts[id].pid) /* bindfs, which is not installed */
        return;
    snprintf(name, sizeof name, "fs.%s%s", w->name, suffix);
    bench_run(&(struct bench){ .name = name,
                               .unit = "ms",
                               .ours = run_ours,
                               .baseline = run_native,
                               .arg = &pair,
                               .warm_up = 1,
                               .rounds = w->rounds });
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

static void plant(void)
{
    char line[1400];

    snprintf(line, sizeof line,
             "mkdir tree flat src && for d in $(seq 0 %d); do mkdir "
             "tree/d$d; for f in $(seq 0 %d); do echo \"int f_${d}_$f(int x) { return x * $f + $d; }\" "
             "> tree/d$d/file-$f.c; done; done; (cd flat && seq 4000 | xargs touch); for i in $(seq %d); do { echo "
             "'#include <stdio.h>'; echo '#include <stdlib.h>'; echo '#include <string.h>'; cat tree/d$i/*.c; } > "
             "src/s$i.c; done; head -c %zu /dev/urandom > big; tar cf ../tree.tar tree; git init -q . && git add tree "
             "src && git -c user.name=b -c user.email=b@b commit -q -m b && printf 'big\\nflat\\n*.o\\n' > .gitignore",
             DIRS - 1, FILES - 1, SOURCES, BIG_BYTES);
    shell(mounts[NATIVE].dir, line);
    for (int i = NATIVE + 1; i < MOUNTS; i++)
        if (mounts[i].pid) {
            snprintf(line, sizeof line, "cp -a . %s/", mounts[i].base);
            shell(mounts[NATIVE].base, line);
            shell(mounts[i].base, "git update-index -q --refresh");
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

void bench_fs(void)
{
    bool bindfs;

    check(mkdtemp(work) != NULL, work);
    memset(chunk, 'c', sizeof chunk);
    fs_mount_native(&mounts[NATIVE], work, "native");
    pin(true);
    fs_mount_permfs(&mounts[OURS_ONE_CPU], work, "ours1", 0);
    bindfs = fs_mount_bindfs(&mounts[BINDFS_ONE_CPU], work, "bindfs1");
    pin(false);
    fs_mount_permfs(&mounts[OURS], work, "ours", 0);
    fs_mount_permfs(&mounts[NO_PASS], work, "nopass", PERMFS_NO_PASSTHROUGH);
    if (!bindfs || !fs_mount_bindfs(&mounts[BINDFS], work, "bindfs"))
        printf("bindfs is not installed: nothing is measured beside it\n");
    plant();
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        measure(&data[i], "", OURS);
        measure(&data[i], "_nopass", NO_PASS);
        measure(&data[i], "_bindfs", BINDFS);
    }
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++) {
        pin(true);
        measure(&metadata[i], "", OURS_ONE_CPU);
        measure(&metadata[i], "_bindfs", BINDFS_ONE_CPU);
        pin(false);
        measure(&metadata[i], "_unpinned", OURS);
    }
    for (int i = 0; i < MOUNTS; i++)
        fs_mount_end(&mounts[i]);
    check(nftw(work, remove_one, 32, FTW_DEPTH | FTW_PHYS) == 0, work);
}
