/* How open files behave. Each check prints one line; the same lines are wanted inside and on the host below. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, int result)
{
    printf("%s %s\n", what, result < 0 ? errno_name(errno) : "ok");
}

static int file_make(const char *name, const char *text)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

    if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return -1;
    return fd;
}

static void content_print(const char *what, int fd)
{
    char buf[64] = "";
    ssize_t n = pread(fd, buf, sizeof buf - 1, 0);

    printf("%s %zd '%s'\n", what, n, n > 0 ? buf : "");
}

static void mmap_check(void)
{
    int fd = file_make("map", "0123456789");
    char *shared = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    say("mmap.shared", shared == MAP_FAILED ? -1 : 0);
    say("mmap.private", private == MAP_FAILED ? -1 : 0);
    if (shared == MAP_FAILED || private == MAP_FAILED)
        return;
    memcpy(shared, "AB", 2);
    memcpy(private + 8, "YZ", 2);
    say("mmap.msync", msync(shared, 10, MS_SYNC));
    content_print("mmap.read", fd);
    say("mmap.write", (int)pwrite(fd, "cd", 2, 2));
    printf("mmap.seen %.10s\n", shared);
    munmap(shared, 10);
    munmap(private, 10);
    close(fd);
    fd = open("map", O_RDONLY);
    content_print("mmap.reopened", fd);
    close(fd);
}

static void flock_check(void)
{
    int a = file_make("lock", "x"), b = open("lock", O_RDWR);

    say("flock.first", flock(a, LOCK_EX));
    say("flock.second", flock(b, LOCK_EX | LOCK_NB));
    say("flock.unlock", flock(a, LOCK_UN));
    say("flock.again", flock(b, LOCK_EX | LOCK_NB));
    close(a);
    close(b);
}

static void posix_lock_check(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
    int fd = file_make("posix-lock", "0123456789abcdef"), status;
    pid_t child;

    say("lock.parent", fcntl(fd, F_SETLK, &lock));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        say("lock.child.inside", fcntl(fd, F_SETLK, &lock));
        lock.l_start = 10;
        lock.l_len = 6;
        say("lock.child.outside", fcntl(fd, F_SETLK, &lock));
        fflush(stdout);
        _exit(0);
    }
    say("lock.wait", waitpid(child, &status, 0));
    close(fd);
}

static void append_check(void)
{
    int a = file_make("append", "start,"), b = open("append", O_WRONLY | O_APPEND),
        c = open("append", O_RDWR | O_APPEND);

    say("append.a", (int)write(b, "one,", 4));
    say("append.seek", (int)lseek(c, 0, SEEK_SET));
    say("append.b", (int)write(c, "two,", 4));
    say("append.c", (int)write(b, "three", 5));
    content_print("append.content", a);
    close(a);
    close(b);
    close(c);
}

/* Filesystems may lack O_TMPFILE; the line says which way it was, and that what was made is whole. */
static void tmpfile_check(void)
{
    char path[64];
    int fd = open(".", O_RDWR | O_TMPFILE, 0644), named;

    if (fd < 0) {
        printf("tmpfile %s\n", errno_name(errno));
        return;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    say("tmpfile.write", (int)write(fd, "nameless", 8));
    say("tmpfile.link", linkat(AT_FDCWD, path, AT_FDCWD, "tmpfile", AT_SYMLINK_FOLLOW));
    named = open("tmpfile", O_RDONLY);
    content_print("tmpfile.content", named);
    close(named);
    close(fd);
}

static void allocate_check(void)
{
    struct stat st;
    int fd = file_make("allocate", "0123456789");

    say("fallocate.grow", fallocate(fd, 0, 0, 100000));
    say("fallocate.stat", fstat(fd, &st));
    printf("fallocate.size %lld\n", (long long)st.st_size);
    say("fallocate.keep", fallocate(fd, FALLOC_FL_KEEP_SIZE, 100000, 100000));
    fstat(fd, &st);
    printf("fallocate.kept %lld\n", (long long)st.st_size);
    say("fallocate.punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5));
    content_print("fallocate.punched", fd);
    close(fd);
}

static void sparse_check(void)
{
    struct stat st;
    int fd = file_make("sparse", "");

    say("sparse.write", (int)pwrite(fd, "data", 4, 1 << 20));
    printf("sparse.data %lld\n", (long long)lseek(fd, 0, SEEK_DATA));
    printf("sparse.hole %lld\n", (long long)lseek(fd, 0, SEEK_HOLE));
    printf("sparse.end %lld\n", (long long)lseek(fd, 1 << 20, SEEK_HOLE));
    say("sparse.past", (int)lseek(fd, 2 << 20, SEEK_DATA));
    say("sparse.far", (int)pwrite(fd, "x", 1, (off_t)5 << 30));
    fstat(fd, &st);
    printf("sparse.size %lld\n", (long long)st.st_size);
    say("sparse.cut", ftruncate(fd, 3));
    say("sparse.grow", ftruncate(fd, 6));
    printf("sparse.read %zd\n", pread(fd, &st, sizeof st, 0));
    close(fd);
}

static void sync_check(void)
{
    int fd = file_make("sync", "x"), dir = open(".", O_RDONLY | O_DIRECTORY);

    say("sync.file", fsync(fd));
    say("sync.data", fdatasync(fd));
    say("sync.dir", fsync(dir));
    close(fd);
    close(dir);
}

static void copy_check(void)
{
    int from = file_make("copy-from", "0123456789"), to = file_make("copy-to", ""), sent = file_make("sent", "");
    off_t at = 2;

    printf("copy.range %zd\n", copy_file_range(from, &at, to, NULL, 5, 0));
    content_print("copy.content", to);
    at = 0;
    printf("copy.sendfile %zd\n", sendfile(sent, from, &at, 10));
    content_print("copy.sent", sent);
    close(from);
    close(to);
    close(sent);
}

static void open_check(void)
{
    char longer[300], deep[5000];
    int fd = file_make("open", "0123456789");

    close(fd);
    memset(longer, 'n', sizeof longer - 1);
    longer[256] = '\0';
    memset(deep, 'd', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    for (size_t i = 100; i < sizeof deep - 1; i += 100)
        deep[i] = '/';
    say("open.excl", open("open", O_WRONLY | O_CREAT | O_EXCL, 0644));
    say("open.directory", open("open", O_RDONLY | O_DIRECTORY));
    say("open.through", open("open/x", O_RDONLY));
    say("open.dir-write", open(".", O_WRONLY));
    say("open.absent", open("absent", O_RDONLY));
    say("open.256", open(longer, O_WRONLY | O_CREAT, 0644));
    say("open.deep", open(deep, O_RDONLY));
    fd = open("open", O_WRONLY | O_TRUNC);
    close(fd);
    fd = open("open", O_RDONLY);
    content_print("open.truncated", fd);
    printf("open.end %zd\n", pread(fd, deep, 10, 100));
    say("open.write-on-read", (int)write(fd, "x", 1));
    close(fd);
}

static void stat_check(void)
{
    static const struct timespec times[2] = { { 1000000000, 123456789 }, { 1100000000, 987654321 } };
    struct stat st, again;
    int fd;

    umask(027);
    fd = file_make("stat", "0123456789");
    umask(022);
    say("stat.utimes", utimensat(AT_FDCWD, "stat", times, 0));
    stat("stat", &st);
    printf("stat.times %lld.%09ld %lld.%09ld\n", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
           (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    printf("stat.mode %o size %lld nlink %d blocks %d\n", (unsigned)st.st_mode, (long long)st.st_size, (int)st.st_nlink,
           st.st_blocks > 0);
    say("stat.write", (int)write(fd, "more", 4));
    stat("stat", &again);
    printf("stat.after size %lld newer %d same %d\n", (long long)again.st_size,
           again.st_mtim.tv_sec > st.st_mtim.tv_sec, again.st_ino == st.st_ino && again.st_dev == st.st_dev);
    say("stat.chmod", fchmod(fd, 0640));
    stat("stat", &st);
    printf("stat.mode %o\n", (unsigned)st.st_mode);
    close(fd);
}

int probe_io(const char *dir)
{
    umask(022);
    if (chdir(dir) < 0)
        return 1;
    mmap_check();
    flock_check();
    posix_lock_check();
    append_check();
    tmpfile_check();
    allocate_check();
    sparse_check();
    sync_check();
    copy_check();
    open_check();
    stat_check();
    return 0;
}
