/* Each piece of work takes a mount, does it there, and says how many milliseconds it took. */
#include "fs_work.h"

#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
void fs_shell(const char *dir, const char *command)
{
    char line[2048], sh[] = "sh", c[] = "-c", *argv[] = { sh, c, line, NULL };
    int status;
    pid_t pid;

    snprintf(line, sizeof line, "cd %s && exec >/dev/null && %s", dir, command);
    check(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0, "sh");
    check(waitpid(pid, &status, 0) == pid && status == 0, command);
}

static double timed_shell(struct fs_mount *m, const char *command)
{
    double start = bench_now_ms();

    fs_shell(m->dir, command);
    return bench_now_ms() - start;
}

/* ---- data ---- */

static double read_all(struct fs_mount *m)
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
static void forget_big(struct fs_mount *m)
{
    const char *const dirs[] = { m->dir, m->base };

    for (int i = 0; i < 2; i++) {
        int fd = open_in(dirs[i], "big", O_RDWR);

        check(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
        close(fd);
    }
}

static double read_cold(struct fs_mount *m)
{
    forget_big(m);
    return read_all(m);
}

static double write_new(struct fs_mount *m)
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

static double read_random(struct fs_mount *m)
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

static double read_random_cold(struct fs_mount *m)
{
    forget_big(m);
    return read_random(m);
}

static double write_random(struct fs_mount *m)
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

static double read_mapped(struct fs_mount *m)
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

static double write_mapped(struct fs_mount *m)
{
    int fd = open_in(m->dir, "big", O_RDWR);
    double start = bench_now_ms();
    char *map = mmap(NULL, BIG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    check(map != MAP_FAILED, "mmap");
    for (size_t at = 0; at < BIG_BYTES; at += PAGE)
        map[at]++;
    check(msync(map, BIG_BYTES, MS_ASYNC) == 0, "msync");
    munmap(map, BIG_BYTES);
    start = bench_now_ms() - start;
    close(fd);
    return start;
}

/* ---- metadata ---- */

typedef void name_fn(const char *path);

static void each_file(struct fs_mount *m, const char *prefix, name_fn *fn)
{
    char path[512];

    for (int d = 0; d < DIRS; d++)
        for (int f = 0; f < FILES; f++) {
            snprintf(path, sizeof path, "%s/tree/d%d/%s-%d.c", m->dir, d, prefix, f);
            fn(path);
        }
}

static double timed_each(struct fs_mount *m, const char *prefix, name_fn *fn)
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

static double stat_again(struct fs_mount *m)
{
    each_file(m, "file", stat_name);
    return timed_each(m, "file", stat_name);
}

static double missing_again(struct fs_mount *m)
{
    each_file(m, "missing", miss_name);
    return timed_each(m, "missing", miss_name);
}

static double open_again(struct fs_mount *m)
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

/* The first time: through a mount that has just been made. A native directory is always as found again. */
static double stat_first(struct fs_mount *m)
{
    fs_mount_again(m);
    return timed_each(m, "file", stat_name);
}

static double open_first(struct fs_mount *m)
{
    fs_mount_again(m);
    return timed_each(m, "file", open_name);
}

static double find(struct fs_mount *m)
{
    double start = bench_now_ms();

    check(nftw(in(m->dir, "tree"), visit, 32, FTW_PHYS) == 0, "nftw");
    return bench_now_ms() - start;
}

static double find_first(struct fs_mount *m)
{
    fs_mount_again(m);
    return find(m);
}

static double find_again(struct fs_mount *m)
{
    (void)find(m);
    return find(m);
}

static double list_flat(struct fs_mount *m)
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

static void make_and_remove(struct fs_mount *m)
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

static double creating(struct fs_mount *m)
{
    make_and_remove(m);
    return made[0];
}

static double deleting(struct fs_mount *m)
{
    make_and_remove(m);
    return made[1];
}

/* ---- programs ---- */

static double untar(struct fs_mount *m)
{
    double took = timed_shell(m, "mkdir out && tar xf ../tree.tar -C out");

    fs_shell(m->dir, "rm -rf out");
    return took;
}

static double git_status(struct fs_mount *m)
{
    return timed_shell(m, "git status");
}

/* A hundred files of the tree have another line each time. */
static double git_commit(struct fs_mount *m)
{
    static unsigned serial;
    char change[128];

    snprintf(change, sizeof change, "for f in tree/d[01]/*.c; do echo '// %u' >>$f; done", serial++);
    fs_shell(m->dir, change);
    return timed_shell(m, "git add tree && git -c user.name=b -c user.email=b@b commit -q -m b");
}

static double grep(struct fs_mount *m)
{
    return timed_shell(m, "! grep -r needle tree");
}

static double compile(struct fs_mount *m)
{
    return timed_shell(m, "for f in src/*.c; do gcc -O2 -c $f -o ${f%.c}.o || exit 1; done");
}

const struct fs_work fs_data[] = {
    { "seqread_warm", read_all, 5 }, { "seqread_cold", read_cold, 3 },         { "seqwrite", write_new, 3 },
    { "randread", read_random, 5 },  { "randread_cold", read_random_cold, 3 }, { "randwrite", write_random, 5 },
    { "mmap_read", read_mapped, 5 }, { "mmap_write", write_mapped, 5 },        { 0 },
};

const struct fs_work fs_metadata[] = {
    { "stat_first", stat_first, 5 }, { "stat_again", stat_again, 5 },
    { "find_first", find_first, 5 }, { "find_again", find_again, 5 },
    { "readdir", list_flat, 5 },     { "open_first", open_first, 3 },
    { "open_again", open_again, 3 }, { "create", creating, 5 },
    { "delete", deleting, 5 },       { "missing_again", missing_again, 5 },
    { "untar", untar, 3 },           { "git_commit", git_commit, 3 },
    { "git_status", git_status, 3 }, { "grep", grep, 3 },
    { "gcc", compile, 1 },           { 0 },
};

void fs_plant_big(const char *dir)
{
    char line[64];

    snprintf(line, sizeof line, "head -c %zu /dev/urandom > big", BIG_BYTES);
    fs_shell(dir, line);
}

void fs_plant(const char *dir, const char *beside)
{
    char line[1400];

    snprintf(line, sizeof line,
             "mkdir tree flat src && for d in $(seq 0 %d); do mkdir "
             "tree/d$d; for f in $(seq 0 %d); do echo \"int f_${d}_$f(int x) { return x * $f + $d; }\" "
             "> tree/d$d/file-$f.c; done; done; (cd flat && seq 4000 | xargs touch); for i in $(seq %d); do { echo "
             "'#include <stdio.h>'; echo '#include <stdlib.h>'; echo '#include <string.h>'; cat tree/d$i/*.c; } > "
             "src/s$i.c; done; tar cf %s/tree.tar tree; git init -q . && git add tree "
             "src && git -c user.name=b -c user.email=b@b commit -q -m b && printf 'big\\nflat\\n*.o\\n' > .gitignore",
             DIRS - 1, FILES - 1, SOURCES, beside);
    fs_shell(dir, line);
    fs_plant_big(dir);
}
