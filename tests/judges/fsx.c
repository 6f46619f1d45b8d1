/*
 * fsx [-w] SEED SECONDS|OPSops SUBJECT ORACLE [BELOW]: random operations, each made in SUBJECT and in ORACLE, a plain
 * directory on the same filesystem; the result, errno and whatever the call tells must be the same. From time to time,
 * and at the end, the two trees are compared whole, and so is BELOW, the directory that SUBJECT shows.
 *
 * Without BELOW, SUBJECT is copy-on-write: no hard links are made, which would come apart there, and a directory may
 * refuse to be renamed. With -w, what a chmod does to is left writable by its owner.
 *
 * What is done depends on the seed alone: when it fails, it prints the number of the operation, and the same seed with
 * that number and "ops" behind it does the same again.
 */
#include "trees.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SLOTS      6            /* files held open at once */
#define FILE_BYTES (192 * 1024) /* where writes and truncations begin, at most */
#define IO_BYTES   (48 * 1024)  /* moved by one call, at most */
#define TREE_EVERY 3000         /* operations from one comparison of the trees to the next */
#define HISTORY    24           /* operations that are shown when one fails */
#define PATH_BYTES (3 * (NAME_MAX + 1))

/* One of the two directories, with its files held open (-1 = none). */
struct side {
    const char *path;
    int dir, fds[SLOTS];
};

/* What an operation is made with; each takes of it what it needs. */
struct args {
    char a[PATH_BYTES], b[PATH_BYTES];
    unsigned slot, other;
    uint32_t r[3];
};

/* What a call answered, and told. */
struct outcome {
    long ret;
    int err;
    size_t len;
    char data[DIR_TEXT_BYTES];
};

/* Returns what the call returned; it may put what it told into o->data and o->len. */
typedef long op_fn(struct side *s, const struct args *args, struct outcome *o);

static uint64_t state, successes;
static bool is_delta;           /* the subject is copy-on-write */
static mode_t mode_kept = 0500; /* of what a chmod is made of */

static uint32_t rnd(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 32);
}

/* ---- operations on names ---- */

static const int open_flags[] = {
    O_RDWR | O_CREAT,          O_RDWR | O_CREAT | O_TRUNC,
    O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_CREAT | O_APPEND,
    O_RDWR | O_APPEND,         O_RDONLY,
    O_RDWR | O_NOFOLLOW,       O_WRONLY | O_TRUNC,
    O_RDWR | O_CREAT,          O_RDONLY | O_NOFOLLOW,
    O_RDWR | O_CREAT,          O_RDONLY | O_DIRECTORY,
};

static long op_open(struct side *s, const struct args *args, struct outcome *o)
{
    int *fd = &s->fds[args->slot];

    (void)o;
    if (*fd >= 0 && close(*fd) < 0) {
        *fd = -1;
        return -1;
    }
    *fd = openat(s->dir, args->a, open_flags[args->r[0] % (sizeof open_flags / sizeof *open_flags)] | O_CLOEXEC, 0644);
    return *fd < 0 ? -1 : 0;
}

static long op_mkdir(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return mkdirat(s->dir, args->a, 0755);
}

static long op_rmdir(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return unlinkat(s->dir, args->a, AT_REMOVEDIR);
}

static long op_unlink(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return unlinkat(s->dir, args->a, 0);
}

static long op_rename(struct side *s, const struct args *args, struct outcome *o)
{
    static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };

    (void)o;
    return syscall(SYS_renameat2, s->dir, args->a, s->dir, args->b, flags[args->r[0] % 5]);
}

/* 1 if what is locked by one of the names is locked to who has it open by the other, else 0. */
static long are_one(struct side *s, const char *a, const char *b)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int one = openat(s->dir, a, flags), other = openat(s->dir, b, flags);
    bool meet = one >= 0 && other >= 0 && flock(one, LOCK_EX) == 0 && flock(other, LOCK_EX | LOCK_NB) < 0;

    if (one >= 0)
        close(one);
    if (other >= 0)
        close(other);
    return meet;
}

static long op_link(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return linkat(s->dir, args->a, s->dir, args->b, 0) < 0 ? -1 : are_one(s, args->a, args->b);
}

static long op_symlink(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return symlinkat(args->b, s->dir, args->a);
}

static long op_readlink(struct side *s, const struct args *args, struct outcome *o)
{
    ssize_t n = readlinkat(s->dir, args->a, o->data, PATH_BYTES);

    o->len = n < 0 ? 0 : (size_t)n;
    return n;
}

static long op_readdir(struct side *s, const struct args *args, struct outcome *o)
{
    long n = dir_text(s->dir, args->a, o->data);

    o->len = n < 0 ? 0 : (size_t)n;
    return n;
}

static long op_stat(struct side *s, const struct args *args, struct outcome *o)
{
    struct stat st;

    if (fstatat(s->dir, args->a, &st, args->r[0] % 2 ? AT_SYMLINK_NOFOLLOW : 0) < 0)
        return -1;
    o->len = stat_text(&st, o->data, sizeof o->data);
    return 0;
}

/* Its owner may always list and read it, so that the trees can be compared. */
static long op_chmod(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return fchmodat(s->dir, args->a, (args->r[0] & 0277) | mode_kept, 0);
}

static size_t time_text(struct timespec t, char *text)
{
    return (size_t)snprintf(text, 40, "%jd.%09ld ", (intmax_t)t.tv_sec, t.tv_nsec);
}

/* The times that were set are told again; a symlink's last access may have been on the way to it. */
static long op_utimens(struct side *s, const struct args *args, struct outcome *o)
{
    const bool omit = args->r[0] % 4 == 0;
    const struct timespec ts[2] = { { (time_t)(args->r[0] >> 2), args->r[1] % 1000000000 },
                                    { (time_t)(args->r[1] >> 2), omit ? UTIME_OMIT : args->r[2] % 1000000000 } };
    struct stat st;

    if (utimensat(s->dir, args->a, ts, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(s->dir, args->a, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (!S_ISLNK(st.st_mode))
        o->len = time_text(st.st_atim, o->data);
    if (!omit)
        o->len += time_text(st.st_mtim, o->data + o->len);
    return 0;
}

static const char *whole_path(const struct side *s, const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", s->path, name);
    return path;
}

static long op_truncate(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return truncate(whole_path(s, args->a), args->r[0] % FILE_BYTES);
}

static const char *xattr_name(const struct args *args)
{
    static const char *const names[] = { "user.a", "user.b", "user.long.name.of.an.attribute" };

    return names[args->r[0] % 3];
}

static long op_setxattr(struct side *s, const struct args *args, struct outcome *o)
{
    static const int flags[] = { 0, 0, XATTR_CREATE, XATTR_REPLACE };

    (void)o;
    return lsetxattr(whole_path(s, args->a), xattr_name(args), args->r, args->r[1] % sizeof args->r,
                     flags[args->r[2] % 4]);
}

static long op_getxattr(struct side *s, const struct args *args, struct outcome *o)
{
    ssize_t n = lgetxattr(whole_path(s, args->a), xattr_name(args), o->data, args->r[1] % 16);

    o->len = n < 0 || args->r[1] % 16 == 0 ? 0 : (size_t)n;
    return n;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in an order of ours: a filesystem's own is that in which they were set, and a copy has another. */
static long op_listxattr(struct side *s, const struct args *args, struct outcome *o)
{
    char list[256], *names[sizeof list];
    ssize_t n = llistxattr(whole_path(s, args->a), list, sizeof list);
    size_t count = 0;

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        names[count++] = list + at;
    qsort(names, count, sizeof *names, name_order);
    for (size_t i = 0; i < count; i++)
        o->len += (size_t)snprintf(o->data + o->len, sizeof list, "%s ", names[i]);
    return n;
}

static long op_removexattr(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return lremovexattr(whole_path(s, args->a), xattr_name(args));
}

/* ---- operations on what is open ---- */

/* Bytes that tell which operation wrote them. */
static const void *fill(const struct args *args, size_t len)
{
    static uint32_t bytes[IO_BYTES / 4];

    for (size_t i = 0; i < (len + 3) / 4; i++)
        bytes[i] = args->r[0] + (uint32_t)i * 2654435761u;
    return bytes;
}

static long op_write(struct side *s, const struct args *args, struct outcome *o)
{
    size_t len = args->r[1] % IO_BYTES;

    (void)o;
    return pwrite(s->fds[args->slot], fill(args, len), len, args->r[2] % FILE_BYTES);
}

static long op_append(struct side *s, const struct args *args, struct outcome *o)
{
    int fd = s->fds[args->slot];
    size_t len = args->r[1] % 4096;
    ssize_t n = write(fd, fill(args, len), len);

    if (n >= 0)
        o->len = (size_t)snprintf(o->data, 64, "at %jd", (intmax_t)lseek(fd, 0, SEEK_CUR));
    return n;
}

static long op_read(struct side *s, const struct args *args, struct outcome *o)
{
    ssize_t n = pread(s->fds[args->slot], o->data, args->r[1] % IO_BYTES, args->r[2] % FILE_BYTES);

    o->len = n < 0 ? 0 : (size_t)n;
    return n;
}

static long op_ftruncate(struct side *s, const struct args *args, struct outcome *o)
{
    (void)o;
    return ftruncate(s->fds[args->slot], args->r[0] % FILE_BYTES);
}

static long op_fallocate(struct side *s, const struct args *args, struct outcome *o)
{
    static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };

    (void)o;
    return fallocate(s->fds[args->slot], modes[args->r[0] % 5], args->r[1] % FILE_BYTES, args->r[2] % IO_BYTES);
}

static long op_fstat(struct side *s, const struct args *args, struct outcome *o)
{
    struct stat st;

    if (fstat(s->fds[args->slot], &st) < 0)
        return -1;
    o->len = stat_text(&st, o->data, sizeof o->data);
    return 0;
}

/* Reads through a shared mapping, and writes where the file is open for that. */
static long op_mmap(struct side *s, const struct args *args, struct outcome *o)
{
    int fd = s->fds[args->slot];
    bool writes = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && args->r[0] % 4;
    size_t size, from, len;
    struct stat st;
    char *map;

    if (fstat(fd, &st) < 0 || (S_ISREG(st.st_mode) && !st.st_size))
        return -1;
    size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 1; /* a directory's is the filesystem's own */
    map = mmap(NULL, size, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    from = args->r[1] % size;
    len = args->r[2] % IO_BYTES;
    len = len < size - from ? len : size - from;
    memcpy(o->data, map + from, len);
    o->len = len;
    if (writes)
        memcpy(map + from, fill(args, len), len);
    if (args->r[0] % 8 == 1 && msync(map, size, MS_SYNC) < 0)
        return -1;
    return munmap(map, size);
}

static long op_copy(struct side *s, const struct args *args, struct outcome *o)
{
    off_t from = args->r[0] % FILE_BYTES, to = args->r[1] % FILE_BYTES;

    (void)o;
    return copy_file_range(s->fds[args->slot], &from, s->fds[args->other], &to, args->r[2] % IO_BYTES, 0);
}

/*
 * What is said to be a hole must read as zeros. Where one begins is the filesystem's to say, and depends on what it
 * has written out and cached.
 */
static long op_seek(struct side *s, const struct args *args, struct outcome *o)
{
    int fd = s->fds[args->slot];
    off_t hole, data;
    struct stat st;
    size_t len;
    ssize_t n;

    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return 0; /* positions there mean nothing */
    hole = lseek(fd, args->r[1] % FILE_BYTES, SEEK_HOLE);
    if (hole < 0)
        return -1;
    data = lseek(fd, hole, SEEK_DATA);
    (void)lseek(fd, 0, SEEK_SET); /* where the next write begins, on both sides */
    len = data < 0 || data - hole > IO_BYTES ? IO_BYTES : (size_t)(data - hole);
    n = pread(fd, o->data, len, hole);
    while (n > 0 && !o->data[n - 1])
        n--;
    return n > 0 ? n : 0;
}

static long op_close(struct side *s, const struct args *args, struct outcome *o)
{
    int fd = s->fds[args->slot];

    (void)o;
    s->fds[args->slot] = -1;
    return close(fd);
}

/* How often of all the weights' sum, and what. */
static const struct op {
    const char *name;
    unsigned weight;
    op_fn *fn;
} ops[] = {
    { "open", 22, op_open },
    { "mkdir", 6, op_mkdir },
    { "rmdir", 3, op_rmdir },
    { "unlink", 4, op_unlink },
    { "rename", 7, op_rename },
    { "link", 4, op_link },
    { "symlink", 2, op_symlink },
    { "readlink", 2, op_readlink },
    { "readdir", 5, op_readdir },
    { "stat", 8, op_stat },
    { "chmod", 4, op_chmod },
    { "utimens", 3, op_utimens },
    { "truncate", 3, op_truncate },
    { "setxattr", 3, op_setxattr },
    { "getxattr", 3, op_getxattr },
    { "listxattr", 2, op_listxattr },
    { "removexattr", 2, op_removexattr },
    { "write", 14, op_write },
    { "append", 5, op_append },
    { "read", 14, op_read },
    { "ftruncate", 5, op_ftruncate },
    { "fallocate", 5, op_fallocate },
    { "fstat", 5, op_fstat },
    { "mmap", 10, op_mmap },
    { "copy_file_range", 3, op_copy },
    { "seek", 1, op_seek },
    { "close", 3, op_close },
};
#define OPS (sizeof ops / sizeof *ops)

/* ---- choosing, running, comparing ---- */

/* Few names, so that they meet; one in eight is of the strange kinds. */
static void name_append(char *path)
{
    static const char *const strange[] = { "new\nline", "\xff\xc0'\"", " \t", "..." };
    uint32_t r = rnd();
    size_t len = strlen(path);

    if (r % 8)
        snprintf(path + len, PATH_BYTES - len, "%c", 'a' + r / 8 % 5);
    else if (r / 8 % 5 < 4)
        snprintf(path + len, PATH_BYTES - len, "%s", strange[r / 8 % 5]);
    else
        snprintf(path + len, PATH_BYTES - len, "%0*d", NAME_MAX - 1, 7); /* room for the separator */
}

static void path_choose(char *path)
{
    uint32_t r = rnd() % 10;

    *path = '\0';
    for (int depth = r < 6 ? 1 : r < 9 ? 2 : 3; depth > 0; depth--) {
        name_append(path);
        if (depth > 1)
            strcat(path, "/");
    }
}

static const struct op *choose(struct args *args)
{
    unsigned sum = 0, at;
    const struct op *op = ops;

    for (size_t i = 0; i < OPS; i++)
        sum += ops[i].weight;
    for (at = rnd() % sum; at >= op->weight; op++)
        at -= op->weight;
    path_choose(args->a);
    path_choose(args->b);
    args->slot = rnd() % SLOTS;
    args->other = rnd() % SLOTS;
    for (int i = 0; i < 3; i++)
        args->r[i] = rnd();
    return op;
}

static void run(const struct op *op, struct side *s, const struct args *args, struct outcome *ret)
{
    ret->len = 0;
    errno = 0;
    ret->ret = op->fn(s, args, ret);
    ret->err = ret->ret < 0 ? errno : 0;
}

static void args_print(const struct op *op, const struct args *args)
{
    fprintf(stderr, "%s a='%s' b='%s' slot %u other %u r %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", op->name, args->a,
            args->b, args->slot, args->other, args->r[0], args->r[1], args->r[2]);
}

/* The last operations, the oldest first. */
static struct {
    const struct op *op;
    struct args args;
} history[HISTORY];

static void history_print(uint64_t n)
{
    for (uint64_t i = n < HISTORY ? 0 : n - HISTORY + 1; i <= n; i++) {
        fprintf(stderr, "%" PRIu64 ": ", i);
        args_print(history[i % HISTORY].op, &history[i % HISTORY].args);
    }
}

static bool same(const struct outcome *got, const struct outcome *want)
{
    return got->ret == want->ret && got->err == want->err && got->len == want->len &&
           memcmp(got->data, want->data, got->len) == 0;
}

static void outcome_print(const char *who, const struct outcome *o)
{
    bool text = o->len < 200;

    fprintf(stderr, "%s: %ld %s, told %zu bytes %.*s\n", who, o->ret, o->err ? strerror(o->err) : "", o->len,
            text ? (int)o->len : 0, o->data);
}

static size_t first_difference(const struct outcome *a, const struct outcome *b)
{
    size_t at = 0;

    while (at < a->len && at < b->len && a->data[at] == b->data[at])
        at++;
    return at;
}

static bool is_dir(const struct side *s, const char *name)
{
    struct stat st;

    return fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Whether the subject may have refused, so that the oracle is not asked. */
static bool may_refuse(const struct op *op, const struct side *oracle, const struct args *args,
                       const struct outcome *got)
{
    return is_delta && op->fn == op_rename && got->err == EXDEV && (is_dir(oracle, args->a) || is_dir(oracle, args->b));
}

/* Makes operation n on both sides. */
static bool step(struct side *subject, struct side *oracle, uint64_t n)
{
    static struct outcome got, want;
    struct args *args = &history[n % HISTORY].args;
    const struct op *op = history[n % HISTORY].op = choose(args);

    if (is_delta && op->fn == op_link)
        return true;
    run(op, subject, args, &got);
    if (may_refuse(op, oracle, args, &got))
        return true;
    run(op, oracle, args, &want);
    successes += want.ret >= 0;
    if (same(&got, &want))
        return true;
    history_print(n);
    outcome_print("subject", &got);
    outcome_print("oracle", &want);
    fprintf(stderr, "the first difference is at byte %zu\n", first_difference(&got, &want));
    return false;
}

static int dir_open(const char *path)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0) {
        perror(path);
        exit(2);
    }
    return dir;
}

static struct side side_open(const char *path)
{
    struct side s = { .path = path, .dir = dir_open(path) };

    for (int i = 0; i < SLOTS; i++)
        s.fds[i] = -1;
    return s;
}

static bool all_same(const struct side *subject, const struct side *oracle, int below)
{
    return trees_same(subject->dir, oracle->dir, subject->path) &&
           (is_delta || trees_same(below, oracle->dir, "below"));
}

static double seconds_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct side subject, oracle;
    uint64_t n = 0, ops_most = UINT64_MAX;
    double end = seconds_now() + 3600;
    int below = -1;
    bool ok = true;

    if (argc > 1 && !strcmp(argv[1], "-w")) {
        mode_kept = 0700;
        argc--;
        argv++;
    }
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: fsx [-w] SEED SECONDS|OPSops SUBJECT ORACLE [BELOW]\n");
        return 2;
    }
    is_delta = argc == 5;
    /* The seed spread over all bits; never 0, where the generator would stay. */
    state = strtoull(argv[1], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (strstr(argv[2], "ops"))
        ops_most = strtoull(argv[2], NULL, 10);
    else
        end = seconds_now() + strtod(argv[2], NULL);
    umask(022);
    subject = side_open(argv[3]);
    oracle = side_open(argv[4]);
    if (!is_delta)
        below = dir_open(argv[5]);
    for (; ok && n < ops_most && seconds_now() < end; n++) {
        ok = step(&subject, &oracle, n);
        if (ok && n % TREE_EVERY == TREE_EVERY - 1 && !all_same(&subject, &oracle, below)) {
            history_print(n);
            ok = false;
        }
    }
    if (ok)
        ok = all_same(&subject, &oracle, below);
    printf("fsx: seed %s, %" PRIu64 " operations, %" PRIu64 " of them successful: %s\n", argv[1], n, successes,
           ok ? "as the oracle" : "not as the oracle");
    return ok ? 0 : 1;
}
