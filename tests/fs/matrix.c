/*
 * Call by call against the native filesystem (contract W10): each call is made on a fresh tree in the workspace, where
 * everything is writable, and on the same tree beside it, and must give the same result, the same errno and the same
 * tree. A tree stays fresh as long as calls only look, or are refused, and change nothing.
 */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct harness h;
static char native[96];
static int ws, nat; /* directory fds: of the workspace and of the native directory */

static void setup(void)
{
    harness_init(&h);
    cr_assert(harness_start_open(&h), "%s", h.why);
    snprintf(native, sizeof native, "%s/native", h.dir);
    cr_assert(mkdir(native, 0755) == 0);
    ws = open(h.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    nat = open(native, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    umask(022);
}

static void clear_both(void);

static void teardown(void)
{
    clear_both(); /* whatever it is, it can be removed then */
    close(ws);
    close(nat);
    harness_release(&h);
}

FS_SUITES(matrix, 300);

/* What is in the tree, and names that are not. */
static const char *const names[] = {
    "file",     "file2", "hard",     "dir",   "dir/in",  "empty",     "link",   "dirlink",
    "dangling", "loop",  "fifo",     "shut",  "missing", "missing/x", "file/x", "dir/new",
    "dir/",     "file/", "missing/", "link/", ".",       "",          "dir/.",  "dir/..",
};

static void put(int at, const char *name, const char *text)
{
    int fd = openat(at, name, O_CREAT | O_WRONLY | O_EXCL, 0644);

    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", name, strerror(errno));
    close(fd);
}

/* Directories that may not be changed, searched or listed. */
static const char *const guarded[] = { "ro", "nox", "blind" };
static const mode_t guarded_modes[] = { 0555, 0600, 0300 };
static bool with_guarded;

static void plant_guarded(int at)
{
    char name[16];

    for (size_t i = 0; i < N(guarded); i++) {
        cr_assert(mkdirat(at, guarded[i], 0755) == 0);
        snprintf(name, sizeof name, "%s/in", guarded[i]);
        put(at, name, "guarded");
        cr_assert(fchmodat(at, guarded[i], guarded_modes[i], 0) == 0);
    }
}

static void plant(int at)
{
    if (with_guarded)
        plant_guarded(at);
    put(at, "file", "content");
    put(at, "file2", "other");
    put(at, "shut", "closed");
    cr_assert(fchmodat(at, "shut", 0, 0) == 0);
    cr_assert(linkat(at, "file2", at, "hard", 0) == 0);
    cr_assert(mkdirat(at, "dir", 0755) == 0 && mkdirat(at, "empty", 0755) == 0);
    put(at, "dir/in", "inside");
    cr_assert(symlinkat("file", at, "link") == 0 && symlinkat("dir", at, "dirlink") == 0);
    cr_assert(symlinkat("nowhere", at, "dangling") == 0 && symlinkat("loop", at, "loop") == 0);
    cr_assert(mknodat(at, "fifo", S_IFIFO | 0644, 0) == 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    return at->level ? remove(path) : 0;
}

static void clear(int at)
{
    static const char *const dirs[] = { ".", "dir", "empty", "missing", "dir/new", "file" };
    const char *dir = at == ws ? h.mnt : native;

    cr_assert(fchmod(at, 0755) == 0);
    for (size_t i = 0; i < N(dirs); i++) /* what was made unreadable */
        (void)!fchmodat(at, dirs[i], 0755, 0);
    for (size_t i = 0; i < N(guarded); i++)
        (void)!fchmodat(at, guarded[i], 0755, 0);
    cr_assert(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "clearing %s: %s", dir, strerror(errno));
}

static char tree[16384];

static int describe_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    char target[64] = "", text[64] = "", *end = tree + strlen(tree);
    bool is_dir = S_ISDIR(st->st_mode);
    int fd;

    if (!at->level)
        return 0;
    if (type == FTW_NS) { /* listed, and in a directory that may not be searched */
        snprintf(end, sizeof tree - (size_t)(end - tree), "%s\n", strrchr(path, '/'));
        return 0;
    }
    if (S_ISLNK(st->st_mode) && readlink(path, target, sizeof target - 1) < 0)
        return -1;
    fd = S_ISREG(st->st_mode) ? open(path, O_RDONLY) : -1;
    if (fd >= 0) {
        (void)!read(fd, text, sizeof text - 1);
        close(fd);
    }
    snprintf(end, sizeof tree - (size_t)(end - tree), "%s %o %zu %zu '%s' %s\n", strrchr(path, '/'), st->st_mode,
             is_dir ? 0 : (size_t)st->st_nlink, is_dir ? 0 : (size_t)st->st_size, text, target);
    return 0;
}

static int order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names, modes, links, sizes, contents and link targets, a line each, sorted; to be freed. */
static char *describe(const char *dir)
{
    char *text = calloc(1, sizeof tree), *lines[64], *rest;
    size_t n = 0;

    tree[0] = 0;
    cr_assert(text && nftw(dir, describe_one, 16, FTW_PHYS) == 0, "%s: %s", dir, strerror(errno));
    for (char *line = strtok_r(tree, "\n", &rest); line && n < N(lines); line = strtok_r(NULL, "\n", &rest))
        lines[n++] = line;
    qsort(lines, n, sizeof *lines, order);
    for (size_t i = 0; i < n; i++)
        strcat(strcat(text, lines[i]), "\n");
    return text;
}

/* A call on one or two names; returns what it returned, an fd closed and counted as 0. */
struct call {
    const char *what;
    long (*fn)(int at, const char *a, const char *b, long arg);
    long arg;
};

static long done(long fd)
{
    if (fd < 0)
        return fd;
    close((int)fd);
    return 0;
}

static long call_open(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return done(openat(at, a, (int)arg | O_NONBLOCK, 0640));
}

static long call_mkdir(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return mkdirat(at, a, (mode_t)arg);
}

static long call_unlink(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return unlinkat(at, a, (int)arg);
}

static long call_chmod(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return fchmodat(at, a, (mode_t)arg, 0);
}

static long call_mknod(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return mknodat(at, a, (mode_t)arg, 0);
}

static long call_access(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return faccessat(at, a, (int)arg, 0);
}

static long call_readlink(int at, const char *a, const char *b, long arg)
{
    char room[16];

    (void)b;
    return readlinkat(at, a, room, (size_t)arg);
}

static long call_stat(int at, const char *a, const char *b, long arg)
{
    struct stat st;

    (void)b;
    return fstatat(at, a, &st, (int)arg) < 0 ? -1 : S_ISDIR(st.st_mode) ? 0 : (long)st.st_size;
}

static long call_utimens(int at, const char *a, const char *b, long arg)
{
    const struct timespec ts[2] = { { 1000, 0 }, { 2000, 0 } };

    (void)b;
    return utimensat(at, a, ts, (int)arg);
}

static long call_symlink(int at, const char *a, const char *b, long arg)
{
    (void)b;
    (void)arg;
    return symlinkat("target", at, a);
}

static const char *path_of(int at, const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", at == ws ? h.mnt : native, name);
    return path;
}

static long call_truncate(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return truncate(path_of(at, a), arg);
}

static long call_setxattr(int at, const char *a, const char *b, long arg)
{
    (void)b;
    return lsetxattr(path_of(at, a), "user.t", "v", 1, (int)arg);
}

static long call_getxattr(int at, const char *a, const char *b, long arg)
{
    char room[8];

    (void)b;
    return lgetxattr(path_of(at, a), "user.t", room, (size_t)arg);
}

static long call_statfs(int at, const char *a, const char *b, long arg)
{
    struct statvfs st;

    (void)b;
    (void)arg;
    return statvfs(path_of(at, a), &st);
}

static long call_rename(int at, const char *a, const char *b, long arg)
{
    return syscall(SYS_renameat2, at, a, at, b, (unsigned)arg);
}

static long call_link(int at, const char *a, const char *b, long arg)
{
    return linkat(at, a, at, b, (int)arg);
}

static char *planted; /* what describe() says of the trees while they are fresh, else NULL */

static void plant_both(void)
{
    if (planted)
        return;
    plant(nat);
    plant(ws);
    planted = describe(native);
}

static void clear_both(void)
{
    clear(nat);
    clear(ws);
    free(planted);
    planted = NULL;
}

/* Whatever it returns, the tree is as it was. */
static bool only_looks(const struct call *c)
{
    if (c->fn == call_open)
        return !(c->arg & (O_CREAT | O_TRUNC));
    return c->fn == call_stat || c->fn == call_access || c->fn == call_readlink || c->fn == call_getxattr ||
           c->fn == call_statfs;
}

static void run(const struct call *c, const char *a, const char *b)
{
    long want, got;
    int want_err, got_err;
    char *want_tree, *got_tree;
    bool is_fresh;

    plant_both();
    errno = 0;
    want = c->fn(nat, a, b, c->arg);
    want_err = want < 0 ? errno : 0;
    errno = 0;
    got = c->fn(ws, a, b, c->arg);
    got_err = got < 0 ? errno : 0;
    cr_expect(got == want && got_err == want_err, "%s %#lx '%s' '%s': %ld %s, natively %ld %s", c->what, c->arg, a,
              b ? b : "", got, strerror(got_err), want, strerror(want_err));
    want_tree = describe(native);
    got_tree = describe(h.mnt);
    cr_expect(strcmp(want_tree, got_tree) == 0, "%s %#lx '%s' '%s' made of it:\n%s\nnatively:\n%s", c->what, c->arg, a,
              b ? b : "", got_tree, want_tree);
    is_fresh = (only_looks(c) || (want_err && got_err)) && !strcmp(want_tree, planted) && !strcmp(got_tree, planted);
    if (!is_fresh)
        clear_both();
    free(want_tree);
    free(got_tree);
}

static void run_each(const struct call *calls, size_t n, const char *const *on, size_t n_on)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_on; k++)
            run(&calls[i], on[k], NULL);
}

static void run_all(const struct call *calls, size_t n)
{
    run_each(calls, n, names, N(names));
}

static void run_each_pair(const struct call *call, const char *const *on, size_t n_on)
{
    for (size_t i = 0; i < n_on; i++)
        for (size_t k = 0; k < n_on; k++)
            run(call, on[i], on[k]);
}

static void run_pairs(const struct call *call)
{
    static const char *const pairs[] = { "file", "hard",    "dir",       "dir/in", "empty",   "link",  "dirlink",
                                         "fifo", "missing", "missing/x", "file/x", "dir/new", "dir/.", "missing/" };

    run_each_pair(call, pairs, N(pairs));
}

FS_TEST(matrix, opening)
{
    static const struct call calls[] = {
        { "open", call_open, O_RDONLY },
        { "open", call_open, O_WRONLY },
        { "open", call_open, O_RDWR | O_TRUNC },
        { "open", call_open, O_RDONLY | O_NOFOLLOW },
        { "open", call_open, O_RDONLY | O_DIRECTORY },
        { "open", call_open, O_PATH },
        { "open", call_open, O_RDWR | O_CREAT },
        { "open", call_open, O_WRONLY | O_CREAT | O_EXCL },
        { "open", call_open, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW },
        { "open", call_open, O_RDWR | O_APPEND },
    };

    run_all(calls, N(calls));
}

FS_TEST(matrix, making_and_removing)
{
    static const struct call calls[] = {
        { "mkdir", call_mkdir, 0755 },     { "mkdir", call_mkdir, 0 },
        { "unlink", call_unlink, 0 },      { "rmdir", call_unlink, AT_REMOVEDIR },
        { "symlink", call_symlink, 0 },    { "mknod", call_mknod, S_IFREG | 0600 },
        { "mkfifo", call_mknod, S_IFIFO }, { "mksock", call_mknod, S_IFSOCK | 0644 },
    };

    run_all(calls, N(calls));
}

FS_TEST(matrix, attributes)
{
    static const struct call calls[] = {
        { "chmod", call_chmod, 0600 },
        { "chmod", call_chmod, 01777 },
        { "stat", call_stat, 0 },
        { "lstat", call_stat, AT_SYMLINK_NOFOLLOW },
        { "access", call_access, R_OK | W_OK },
        { "access", call_access, X_OK },
        { "readlink", call_readlink, 16 },
        { "readlink", call_readlink, 2 },
        { "utimens", call_utimens, 0 },
        { "utimens", call_utimens, AT_SYMLINK_NOFOLLOW },
        { "truncate", call_truncate, 3 },
        { "truncate", call_truncate, 100 },
        { "truncate", call_truncate, -1 },
        { "setxattr", call_setxattr, XATTR_CREATE },
        { "setxattr", call_setxattr, XATTR_REPLACE },
        { "getxattr", call_getxattr, 8 },
        { "statfs", call_statfs, 0 },
    };

    run_all(calls, N(calls));
}

FS_TEST(matrix, renaming)
{
    run_pairs(&(struct call){ "rename", call_rename, 0 });
}

FS_TEST(matrix, renaming_with_flags)
{
    run_pairs(&(struct call){ "rename", call_rename, RENAME_NOREPLACE });
    run_pairs(&(struct call){ "rename", call_rename, RENAME_EXCHANGE });
}

FS_TEST(matrix, linking)
{
    run_pairs(&(struct call){ "link", call_link, 0 });
    run_pairs(&(struct call){ "link", call_link, AT_SYMLINK_FOLLOW });
}

/* Of the tests where everything that is planted has the guarded directories beside it. */
static void guard(void)
{
    if (geteuid() == 0) {
        close(ws);
        close(nat);
        harness_skip(&h, "root is not refused anything");
    }
    with_guarded = true;
}

Test(matrix, permissions)
{
    static const char *const on[] = { "ro",      "ro/in", "ro/new",   "nox",      "nox/in",
                                      "nox/new", "blind", "blind/in", "blind/new" };
    static const struct call calls[] = {
        { "open", call_open, O_RDONLY },
        { "open", call_open, O_RDWR | O_CREAT },
        { "open", call_open, O_RDONLY | O_DIRECTORY },
        { "mkdir", call_mkdir, 0755 },
        { "unlink", call_unlink, 0 },
        { "rmdir", call_unlink, AT_REMOVEDIR },
        { "symlink", call_symlink, 0 },
        { "mkfifo", call_mknod, S_IFIFO | 0644 },
        { "chmod", call_chmod, 0700 },
        { "lstat", call_stat, AT_SYMLINK_NOFOLLOW },
        { "access", call_access, W_OK },
        { "access", call_access, R_OK | X_OK },
        { "utimens", call_utimens, 0 },
        { "truncate", call_truncate, 3 },
        { "setxattr", call_setxattr, 0 },
    };

    guard();
    run_each(calls, N(calls), on, N(on));
}

Test(matrix, renaming_with_permissions)
{
    static const char *const on[] = { "file", "dir/new", "ro", "ro/in", "ro/new", "nox/in", "blind/in" };

    guard();
    run_each_pair(&(struct call){ "rename", call_rename, 0 }, on, N(on));
    run_each_pair(&(struct call){ "rename", call_rename, RENAME_EXCHANGE }, on, N(on));
    run_each_pair(&(struct call){ "link", call_link, 0 }, on, N(on));
}

/* ---- calls on an open file: one script on both, each line's result compared ---- */

struct trace {
    long r[256];
    int err[256];
    size_t n;
};

#define T(call)                                                                                                        \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        t->r[t->n] = (long)(call);                                                                                     \
        t->err[t->n] = t->r[t->n] < 0 ? errno : 0;                                                                     \
        t->n++;                                                                                                        \
    } while (0)

static long size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -1 : (long)st.st_size;
}

static long lock(int fd, int cmd, short type, off_t from, off_t len)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len };

    return fcntl(fd, cmd, &l);
}

static void data_calls(struct trace *t, int at)
{
    char buf[64];
    off_t from = 2, to = 5;
    int fd = openat(at, "file", O_RDWR), other = openat(at, "file2", O_RDWR), ro = openat(at, "file", O_RDONLY);

    T(pread(fd, buf, 64, 0));
    T(pread(fd, buf, 64, 100));
    T(pread(fd, buf, 64, -1));
    T(pwrite(fd, "xyz", 3, 20));
    T(size_of(fd));
    T(lseek(fd, 0, SEEK_END));
    T(lseek(fd, -100, SEEK_CUR));
    T(lseek(fd, 0, SEEK_DATA));
    T(lseek(fd, 0, SEEK_HOLE));
    T(lseek(fd, 1000, SEEK_DATA));
    T(ftruncate(fd, 1 << 20));
    T(lseek(fd, 8192, SEEK_DATA));
    T(lseek(fd, 8192, SEEK_HOLE));
    T(fallocate(fd, 0, 0, 1 << 21));
    T(size_of(fd));
    T(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 22));
    T(size_of(fd));
    T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    T(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
    T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 4096, 4096));
    T(fallocate(fd, 0, -1, 10));
    T(fallocate(fd, 0, 0, 0));
    T(fallocate(ro, 0, 0, 10));
    T(copy_file_range(other, &from, fd, &to, 3, 0));
    T(pread(fd, buf, 8, 5));
    T(copy_file_range(fd, NULL, ro, NULL, 3, 0));
    T(copy_file_range(fd, NULL, other, NULL, 3, 1));
    T(ftruncate(ro, 0));
    T(ftruncate(fd, -1));
    T(fsync(fd));
    T(fdatasync(ro));
    T(sync_file_range(fd, 0, 100, SYNC_FILE_RANGE_WRITE));
    T(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
    T(fchmod(fd, 0600));
    T(futimens(ro, NULL));
    T(fsync(at));
    T(pread(at, buf, 8, 0));
    T(write(at, buf, 8));
    close(fd);
    close(other);
    close(ro);
}

static void lock_calls(struct trace *t, int at)
{
    int a = openat(at, "file", O_RDWR), b = openat(at, "file", O_RDWR), ro = openat(at, "file", O_RDONLY);

    T(flock(a, LOCK_SH | LOCK_NB));
    T(flock(b, LOCK_SH | LOCK_NB));
    T(flock(b, LOCK_EX | LOCK_NB));
    T(flock(a, LOCK_UN));
    T(flock(b, LOCK_EX | LOCK_NB));
    T(flock(a, LOCK_SH | LOCK_NB));
    T(flock(b, 99));
    T(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
    T(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10));
    T(lock(b, F_OFD_SETLK, F_WRLCK, 10, 10));
    T(lock(ro, F_OFD_SETLK, F_RDLCK, 0, 1));
    T(lock(ro, F_OFD_SETLK, F_WRLCK, 50, 1));
    T(lock(a, F_OFD_SETLK, F_UNLCK, 0, 0));
    T(lock(ro, F_OFD_SETLK, F_RDLCK, 0, 1));
    T(lock(a, F_SETLK, F_WRLCK, 100, 10));
    T(lock(b, F_SETLK, F_WRLCK, 100, 10));
    T(lock(a, F_SETLK, F_WRLCK, -1, 1));
    T(lock(a, F_GETLK, F_WRLCK, 0, 0));
    close(a);
    close(b);
    close(ro);
}

static void map_calls(struct trace *t, int at)
{
    int fd = openat(at, "file", O_RDWR), ro = openat(at, "file", O_RDONLY);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *priv = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);

    T(map == MAP_FAILED ? -1 : map[0]);
    T(priv == MAP_FAILED ? -1 : priv[6]);
    map[1] = 'M';
    priv[0] = 'P';
    T(msync(map, 4096, MS_SYNC));
    T(msync(map, 4096, MS_ASYNC | MS_INVALIDATE));
    T(priv[1]);
    T(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED ? -1 : 0);
    T(mmap(NULL, 4096, PROT_READ, MAP_SHARED, at, 0) == MAP_FAILED ? -1 : 0);
    T(unlinkat(at, "file", 0));
    T(map[1]);
    T(fsync(fd));
    T(size_of(fd));
    T(linkat(fd, "", at, "again", AT_EMPTY_PATH));
    munmap(map, 4096);
    munmap(priv, 4096);
    close(fd);
    close(ro);
}

static void compare(void (*fn)(struct trace *, int), const char *what)
{
    static struct trace want, got;
    char *want_tree, *got_tree;

    plant(nat);
    plant(ws);
    fn(&want, nat);
    fn(&got, ws);
    cr_assert(got.n == want.n);
    for (size_t i = 0; i < want.n; i++)
        cr_expect(got.r[i] == want.r[i] && got.err[i] == want.err[i], "%s, call %zu: %ld %s, natively %ld %s", what, i,
                  got.r[i], strerror(got.err[i]), want.r[i], strerror(want.err[i]));
    want_tree = describe(native);
    got_tree = describe(h.mnt);
    cr_expect(strcmp(want_tree, got_tree) == 0, "%s made of it:\n%s\nnatively:\n%s", what, got_tree, want_tree);
    free(want_tree);
    free(got_tree);
    clear(nat);
}

FS_TEST(matrix, data)
{
    compare(data_calls, "data");
}

FS_TEST(matrix, locks)
{
    compare(lock_calls, "locks");
}

FS_TEST(matrix, mappings)
{
    compare(map_calls, "mappings");
}
