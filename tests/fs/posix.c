/* What programs expect of a filesystem (contract W9, W10, W12, W13). */
#include "permfs_harness.h"

#include "proc.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct harness h;
static int at;
static char path[256];

static void setup(void)
{
    harness_init(&h);
    cr_assert(harness_start_open(&h), "%s", h.why);
    at = open(h.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void teardown(void)
{
    close(at);
    harness_release(&h);
}

FS_SUITES(posix, 300);

static const char *in_mnt(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", h.mnt, name);
    return path;
}

static const char *in_base(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", h.base, name);
    return path;
}

static int make(const char *name, int flags)
{
    return openat(at, name, flags | O_CREAT, 0644);
}

FS_TEST(posix, an_unlinked_file_lives_while_open)
{
    char buf[8] = "";
    struct stat st;
    int fd = make("f", O_RDWR);

    WORKS(fd);
    cr_assert(write(fd, "abcdef", 6) == 6);
    WORKS(unlinkat(at, "f", 0));
    WORKS(fstat(fd, &st));
    cr_expect(st.st_nlink == 0 && st.st_size == 6);
    cr_expect(pread(fd, buf, 3, 3) == 3 && memcmp(buf, "def", 3) == 0);
    WORKS(ftruncate(fd, 2));
    WORKS(fchmod(fd, 0600));
    WORKS(fsync(fd));
    sleep_ms(1100); /* past what the kernel caches */
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 2 && (st.st_mode & 07777) == 0600);
    cr_expect(pwrite(fd, "xyz", 3, 2) == 3);
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 5);
    FAILS(ENOENT, fstatat(at, "f", &st, 0));
    close(fd);
}

FS_TEST(posix, the_right_to_truncate_is_that_of_the_opening)
{
    struct stat st;
    int fd = make("f", O_RDWR);

    cr_assert(write(fd, "abcdef", 6) == 6);
    WORKS(fchmod(fd, 0));
    WORKS(ftruncate(fd, 2));
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 2 && (st.st_mode & 07777) == 0);
    close(fd);
}

FS_TEST(posix, renaming_over_an_open_file_keeps_both)
{
    char buf[8] = "";
    struct stat st;
    int fd = make("old", O_RDWR), other = make("new", O_RDWR);

    cr_assert(write(fd, "old", 3) == 3 && write(other, "new", 3) == 3);
    WORKS(renameat(at, "new", at, "old"));
    cr_expect(pread(fd, buf, 8, 0) == 3 && memcmp(buf, "old", 3) == 0);
    WORKS(fstat(fd, &st));
    cr_expect(st.st_nlink == 0);
    WORKS(fstat(other, &st));
    cr_expect(st.st_nlink == 1);
    cr_expect(tree_is(h.mnt, "old", "new"));
    FAILS(ENOENT, fstatat(at, "new", &st, 0));
    close(fd);
    close(other);
}

FS_TEST(posix, renameat2_knows_noreplace_and_exchange)
{
    cr_assert(tree_put(h.mnt, "a", "1") && tree_put(h.mnt, "d/b", "2"));
    FAILS(EEXIST, syscall(SYS_renameat2, at, "a", at, "d/b", RENAME_NOREPLACE));
    WORKS(syscall(SYS_renameat2, at, "a", at, "d/b", RENAME_EXCHANGE));
    cr_expect(tree_is(h.mnt, "a", "2") && tree_is(h.mnt, "d/b", "1"));
    WORKS(syscall(SYS_renameat2, at, "a", at, "d", RENAME_EXCHANGE));
    cr_expect(tree_is(h.mnt, "d", "2") && tree_is(h.mnt, "a/b", "1"));
    cr_expect(tree_is(h.base, "d", "2") && tree_is(h.base, "a/b", "1"));
    FAILS(EINVAL, syscall(SYS_renameat2, at, "d", at, "e", RENAME_WHITEOUT));
    FAILS(ENOENT, syscall(SYS_renameat2, at, "d", at, "e", RENAME_EXCHANGE));
    FAILS(EINVAL, renameat(at, "a", at, "a/x"));
}

FS_TEST(posix, mappings_write_and_read)
{
    char *map;
    int fd = make("m", O_RDWR);

    WORKS(ftruncate(fd, 8192));
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(map != MAP_FAILED);
    memset(map, 'x', 8192);
    map[5000] = 'y';
    WORKS(msync(map, 8192, MS_SYNC));
    munmap(map, 8192);
    close(fd);
    map = tree_read(h.base, "m", NULL);
    cr_assert(map);
    cr_expect(map[0] == 'x' && map[5000] == 'y' && map[8191] == 'x');
    free(map);
}

FS_TEST(posix, appending_is_appending)
{
    int a = make("log", O_WRONLY | O_APPEND), b = openat(at, "log", O_WRONLY | O_APPEND);

    for (int i = 0; i < 10; i++) {
        cr_expect(write(a, "a", 1) == 1);
        cr_expect(write(b, "b", 1) == 1);
    }
    cr_expect(tree_is(h.base, "log", "abababababababababab"));
    WORKS(fcntl(a, F_SETFL, 0));
    cr_expect(pwrite(a, "X", 1, 0) == 1);
    cr_expect(tree_is(h.base, "log", "Xbababababababababab"));
    close(a);
    close(b);
}

FS_TEST(posix, appending_goes_behind_what_the_host_appended)
{
    int fd = make("log", O_WRONLY | O_APPEND), host;

    cr_assert(write(fd, "one ", 4) == 4);
    host = open(in_base("log"), O_WRONLY | O_APPEND);
    cr_assert(write(host, "two ", 4) == 4); /* the kernel's idea of the size is still the old one */
    cr_assert(write(fd, "three", 5) == 5);
    cr_expect(tree_is(h.base, "log", "one two three"));
    close(host);
    close(fd);
}

FS_TEST(posix, holes_allocation_and_copying)
{
    int fd = make("sparse", O_RDWR), copy = make("copy", O_RDWR);
    struct stat st;
    off_t from = 0, to = 0;

    cr_assert(pwrite(fd, "x", 1, 1 << 20) == 1);
    cr_expect(lseek(fd, 0, SEEK_DATA) == 1 << 20);
    cr_expect(lseek(fd, 0, SEEK_HOLE) == 0);
    WORKS(fallocate(fd, 0, 0, 2 << 20));
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 2 << 20);
    WORKS(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 1 << 20, 4096));
    cr_assert(pwrite(fd, "hello", 5, 0) == 5);
    cr_expect(copy_file_range(fd, &from, copy, &to, 5, 0) == 5);
    cr_expect(tree_is(h.mnt, "copy", "hello"));
    WORKS(fsync(fd));
    WORKS(fdatasync(fd));
    close(fd);
    close(copy);
    fd = openat(at, ".", O_RDONLY | O_DIRECTORY);
    WORKS(fsync(fd));
    close(fd);
}

FS_TEST(posix, truncation_by_open_path_and_fd)
{
    struct stat st;
    int fd;

    cr_assert(tree_put(h.base, "f", "0123456789"));
    WORKS(truncate(in_mnt("f"), 5));
    cr_expect(tree_is(h.base, "f", "01234"));
    fd = openat(at, "f", O_RDWR);
    WORKS(ftruncate(fd, 7));
    WORKS(fstat(fd, &st));
    cr_expect(st.st_size == 7);
    close(fd);
    fd = openat(at, "f", O_WRONLY | O_TRUNC);
    WORKS(fd);
    close(fd);
    cr_expect(tree_is(h.base, "f", ""));
    FAILS(EISDIR, truncate(h.mnt, 5));
}

FS_TEST(posix, locks_hold_within_the_workspace)
{
    int a = make("lock", O_RDWR), b = openat(at, "lock", O_RDWR);
    struct flock lock = { .l_type = F_WRLCK };
    int status;

    WORKS(flock(a, LOCK_EX | LOCK_NB));
    FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
    WORKS(flock(a, LOCK_UN));
    WORKS(fcntl(a, F_SETLK, &lock));
    if (fork() == 0)
        _exit(fcntl(b, F_SETLK, &lock) < 0 && errno == EAGAIN ? 0 : 1);
    wait(&status);
    cr_expect(status == 0);
    close(a);
    close(b);
}

FS_TEST(posix, refusals_are_clean)
{
    int fd = openat(at, ".", O_TMPFILE | O_RDWR, 0600);
    char buf[8];

    cr_expect(fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR), "%s", strerror(errno));
    fd = make("f", O_RDWR | O_DIRECT); /* without O_DIRECT below: alignment is no matter */
    WORKS(fd);
    cr_expect(pwrite(fd, "abc", 3, 0) == 3);
    cr_expect(pread(fd, buf, 3, 0) == 3);
    FAILS(ENOTTY, syscall(SYS_ioctl, fd, 0x5401, buf));
    close(fd);
    FAILS(EPERM, mknodat(at, "null", S_IFCHR | 0666, makedev(1, 3)));
    FAILS(EPERM, mknodat(at, "disk", S_IFBLK | 0666, makedev(8, 0)));
}

FS_TEST(posix, fifos_and_sockets_work)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int sock = socket(AF_UNIX, SOCK_STREAM, 0), fd, w;
    char c = 0;

    WORKS(mknodat(at, "fifo", S_IFIFO | 0644, 0));
    fd = openat(at, "fifo", O_RDONLY | O_NONBLOCK);
    w = openat(at, "fifo", O_WRONLY | O_NONBLOCK);
    cr_expect(write(w, "x", 1) == 1 && read(fd, &c, 1) == 1 && c == 'x');
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/sock", h.mnt);
    WORKS(bind(sock, (struct sockaddr *)&addr, sizeof addr));
    cr_expect(tree_exists(h.base, "sock"));
    close(fd);
    close(w);
    close(sock);
}

FS_TEST(posix, hard_links_are_one_file)
{
    struct stat a, b;

    cr_assert(tree_put(h.mnt, "a", "1"));
    WORKS(fstatat(at, "a", &a, 0)); /* which the kernel keeps */
    WORKS(linkat(at, "a", at, "b", 0));
    WORKS(fstatat(at, "a", &a, 0));
    WORKS(fstatat(at, "b", &b, 0));
    cr_expect(a.st_ino == b.st_ino && a.st_nlink == 2 && b.st_nlink == 2);
    cr_assert(tree_put(h.mnt, "b", "22"));
    WORKS(unlinkat(at, "b", 0));
    WORKS(fstatat(at, "a", &a, 0));
    cr_expect(a.st_nlink == 1);
    FAILS(EPERM, linkat(at, ".", at, "d", 0));
}

FS_TEST(posix, symlinks_are_kept_and_never_followed_by_the_daemon)
{
    char target[4097], buf[4097];
    struct stat st;

    WORKS(symlinkat("/etc/passwd", at, "abs"));
    WORKS(fstatat(at, "abs", &st, AT_SYMLINK_NOFOLLOW));
    cr_expect(S_ISLNK(st.st_mode));
    cr_expect(readlinkat(at, "abs", buf, sizeof buf) == 11 && memcmp(buf, "/etc/passwd", 11) == 0);
    memset(target, 'a', sizeof target);
    target[4094] = 0;
    WORKS(symlinkat(target, at, "long"));
    cr_expect(readlinkat(at, "long", buf, sizeof buf) == 4094);
    FAILS(ELOOP, openat(at, "abs", O_RDONLY | O_NOFOLLOW));
    WORKS(unlinkat(at, "abs", 0));
    cr_expect(access("/etc/passwd", F_OK) == 0);
}

FS_TEST(posix, owners_cannot_be_changed)
{
    struct stat st;

    cr_assert(tree_put(h.mnt, "f", "x"));
    WORKS(fstatat(at, "f", &st, 0));
    WORKS(fchownat(at, "f", st.st_uid, st.st_gid, 0));
    WORKS(fchownat(at, "f", (uid_t)-1, st.st_gid, 0));
    FAILS(EPERM, fchownat(at, "f", st.st_uid + 1, (gid_t)-1, 0));
    FAILS(EPERM, fchownat(at, "f", (uid_t)-1, st.st_gid + 1, 0));
}

FS_TEST(posix, setuid_bits_are_neither_shown_nor_set)
{
    struct stat st;
    int fd = openat(at, "new", O_CREAT | O_WRONLY, 06755);

    close(fd);
    cr_assert(tree_put(h.base, "f", "x") && chmod(in_base("f"), 04755) == 0);
    WORKS(fstatat(at, "f", &st, 0));
    cr_expect((st.st_mode & 07777) == 0755);
    fd = openat(at, "f", O_WRONLY);
    cr_expect(write(fd, "y", 1) == 1);
    close(fd);
    cr_assert(stat(in_base("f"), &st) == 0);
    cr_expect((st.st_mode & 07777) == 0755, "writing left the setuid bit: %o", st.st_mode);
    WORKS(fchmodat(at, "f", 06711, 0));
    cr_assert(stat(in_base("f"), &st) == 0);
    cr_expect((st.st_mode & 07777) == 0711);
    cr_assert(stat(in_base("new"), &st) == 0);
    cr_expect((st.st_mode & 06000) == 0);
    WORKS(mkdirat(at, "d", 01777));
    WORKS(fchmodat(at, "d", 01777, 0));
    WORKS(fstatat(at, "d", &st, 0));
    cr_expect((st.st_mode & 07777) == 01777, "the sticky bit is kept");
}

FS_TEST(posix, times_are_set)
{
    struct timespec ts[2] = { { 1000, 1 }, { 2000, 2 } }, omit[2] = { { 0, UTIME_OMIT }, { 3000, 3 } };
    struct stat st;

    cr_assert(tree_put(h.mnt, "f", "x") && tree_symlink("f", h.mnt, "l"));
    WORKS(utimensat(at, "f", ts, 0));
    WORKS(fstatat(at, "f", &st, 0));
    cr_expect(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 2);
    WORKS(utimensat(at, "f", omit, 0));
    cr_assert(stat(in_base("f"), &st) == 0);
    cr_expect(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 3000);
    WORKS(utimensat(at, "l", ts, AT_SYMLINK_NOFOLLOW));
    cr_assert(lstat(in_base("l"), &st) == 0);
    cr_expect(st.st_mtim.tv_sec == 2000);
    WORKS(utimensat(at, "f", NULL, 0));
    cr_assert(stat(in_base("f"), &st) == 0);
    cr_expect(st.st_mtim.tv_sec > 1000000);
}

FS_TEST(posix, user_attributes_pass_and_no_others)
{
    char value[64], names[64];

    cr_assert(tree_put(h.mnt, "f", "x"));
    WORKS(setxattr(in_mnt("f"), "user.a", "1", 1, XATTR_CREATE));
    FAILS(EEXIST, setxattr(in_mnt("f"), "user.a", "1", 1, XATTR_CREATE));
    cr_expect(getxattr(in_mnt("f"), "user.a", value, sizeof value) == 1 && *value == '1');
    cr_expect(getxattr(in_mnt("f"), "user.a", NULL, 0) == 1);
    cr_expect(listxattr(in_mnt("f"), names, sizeof names) == 7 && strcmp(names, "user.a") == 0);
    FAILS(ERANGE, listxattr(in_mnt("f"), names, 3));
    cr_expect(getxattr(in_base("f"), "user.a", value, sizeof value) == 1);
    WORKS(removexattr(in_mnt("f"), "user.a"));
    FAILS(ENODATA, getxattr(in_mnt("f"), "user.a", value, sizeof value));
    /* The kernel lets root alone ask. */
    FAILS(geteuid() == 0 ? EOPNOTSUPP : EPERM, setxattr(in_mnt("f"), "security.other", "1", 1, 0));
    FAILS(geteuid() == 0 ? EOPNOTSUPP : EPERM, setxattr(in_mnt("f"), "trusted.a", "1", 1, 0));
}

FS_TEST(posix, names_are_bytes)
{
    char names[5][256] = { "new\nline", "quote\"'`$(x)", "\xff\xfe\x80", " ", "" };
    struct stat st;

    memset(names[4], 'n', 255);
    names[4][255] = 0;
    for (size_t i = 0; i < N(names); i++) {
        int fd = make(names[i], O_WRONLY);

        WORKS(fd);
        close(fd);
        cr_expect(tree_exists(h.base, names[i]));
        WORKS(renameat(at, names[i], at, "tmp"));
        WORKS(renameat(at, "tmp", at, names[i]));
        WORKS(fstatat(at, names[i], &st, 0));
        WORKS(unlinkat(at, names[i], 0));
    }
    char longer[300];
    memset(longer, 'n', 256);
    longer[256] = 0;
    FAILS(ENAMETOOLONG, fstatat(at, longer, &st, 0));
    FAILS(ENAMETOOLONG, mkdirat(at, longer, 0755));
}

FS_TEST(posix, the_hosts_changes_are_seen_within_the_cache_time)
{
    struct stat st;

    cr_assert(tree_put(h.base, "f", "one") && tree_put(h.base, "gone", "x"));
    cr_expect(tree_is(h.mnt, "f", "one") && tree_is(h.mnt, "gone", "x"));
    FAILS(ENOENT, fstatat(at, "new", &st, 0));
    cr_assert(tree_put(h.base, "f", "two") && tree_put(h.base, "new", "y") && unlink(in_base("gone")) == 0);
    cr_expect(tree_is(h.mnt, "f", "two"), "an open sees what was written before it");
    sleep_ms(1200);
    cr_expect(tree_is(h.mnt, "f", "two") && tree_is(h.mnt, "new", "y"));
    FAILS(ENOENT, fstatat(at, "gone", &st, 0));
}

FS_TEST(posix, an_open_file_sees_what_the_host_appends)
{
    char buf[16];
    int fd, w;

    cr_assert(tree_put(h.base, "f", "one"));
    fd = openat(at, "f", O_RDONLY);
    cr_expect(pread(fd, buf, sizeof buf, 0) == 3);
    w = open(in_base("f"), O_WRONLY | O_APPEND);
    cr_assert(write(w, "more", 4) == 4);
    close(w);
    sleep_ms(1200);
    cr_expect(pread(fd, buf, sizeof buf, 0) == 7);
    close(fd);
}

static int count_entries(DIR *dir)
{
    struct dirent *d;
    int n = 0;

    while ((d = readdir(dir)))
        n += d->d_name[0] != '.';
    return n;
}

FS_TEST(posix, listings_seek_and_rewind)
{
    char name[256];
    struct dirent *d;
    DIR *dir;
    long where;

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "entry-with-a-rather-long-name-%d", i);
        cr_assert(tree_put(h.base, name, ""));
    }
    dir = fdopendir(openat(at, ".", O_RDONLY | O_DIRECTORY));
    cr_assert(dir);
    for (int i = 0; i < 500; i++)
        cr_assert(readdir(dir));
    where = telldir(dir);
    d = readdir(dir);
    snprintf(name, sizeof name, "%s", d->d_name);
    count_entries(dir);
    seekdir(dir, where);
    d = readdir(dir);
    cr_expect(strcmp(d->d_name, name) == 0);
    cr_assert(tree_put(h.mnt, "own", ""));
    rewinddir(dir);
    cr_expect(count_entries(dir) == 1001);
    cr_assert(tree_put(h.base, "late", ""));
    sleep_ms(1100); /* the host's are seen within the cache time */
    rewinddir(dir);
    cr_expect(count_entries(dir) == 1002);
    /* Removing what was listed must not hide what was not. */
    rewinddir(dir);
    for (int removed = 0; (d = readdir(dir));)
        if (d->d_name[0] != '.') {
            WORKS(unlinkat(at, d->d_name, 0));
            removed++;
        } else if (removed > 1001)
            break;
    rewinddir(dir);
    cr_expect(count_entries(dir) == 0);
    closedir(dir);
}

FS_TEST(posix, a_removed_directory_answers_while_it_is_open)
{
    struct stat st;
    int fd, sub;

    WORKS(mkdirat(at, "d", 0755));
    fd = openat(at, "d", O_RDONLY | O_DIRECTORY);
    WORKS(unlinkat(at, "d", AT_REMOVEDIR));
    sleep_ms(1100);
    WORKS(fstat(fd, &st));
    sub = openat(fd, "x", O_CREAT | O_WRONLY, 0644);
    cr_expect(sub < 0 && errno == ENOENT, "%s", strerror(errno));
    close(fd);
}

FS_TEST(posix, deep_trees_work)
{
    int fd = dup(at), next;

    for (int i = 0; i < 600; i++) {
        WORKS(mkdirat(fd, "d", 0755));
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        cr_assert(next >= 0, "%d: %s", i, strerror(errno));
        close(fd);
        fd = next;
    }
    sleep_ms(1100); /* every fd on the way is to be checked again */
    next = openat(fd, "f", O_CREAT | O_WRONLY, 0644);
    WORKS(next);
    close(next);
    close(fd);
    cr_expect(tree_remove(in_mnt("d")));
}

FS_TEST(posix, statfs_is_the_codebases)
{
    char cmd[512];

    snprintf(cmd, sizeof cmd, "test $(stat -f -c %%b %s) = $(stat -f -c %%b %s)", h.base, h.mnt);
    cr_expect(system(cmd) == 0);
}
