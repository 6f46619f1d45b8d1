/* How names behave: links, renames, removal of what is open, directories. One line a check, as in io.c. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *what, int result)
{
    printf("%s %s\n", what, result < 0 ? errno_name(errno) : "ok");
}

static void file_make(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        say(name, -1);
    close(fd);
}

static void file_print(const char *what, const char *name)
{
    char buf[64] = "";
    int fd = open(name, O_RDONLY);

    if (fd < 0 || read(fd, buf, sizeof buf - 1) < 0)
        printf("%s %s\n", what, errno_name(errno));
    else
        printf("%s '%s'\n", what, buf);
    close(fd);
}

static int rename_flagged(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void rename_over_check(void)
{
    char buf[16] = "";
    int fd;

    file_make("over", "old");
    file_make("over.new", "new");
    fd = open("over", O_RDWR);
    say("over.rename", rename("over.new", "over"));
    say("over.read", (int)read(fd, buf, sizeof buf - 1));
    printf("over.open '%s'\n", buf);
    say("over.write", (int)pwrite(fd, "xxx", 3, 0));
    file_print("over.named", "over");
    file_print("over.gone", "over.new");
    close(fd);
}

static void unlink_open_check(void)
{
    char buf[16] = "";
    struct stat st;
    int fd;

    file_make("unlinked", "still");
    fd = open("unlinked", O_RDWR);
    say("unlinked.unlink", unlink("unlinked"));
    say("unlinked.write", (int)pwrite(fd, " here", 5, 5));
    say("unlinked.read", (int)pread(fd, buf, sizeof buf - 1, 0));
    say("unlinked.chmod", fchmod(fd, 0600));
    say("unlinked.truncate", ftruncate(fd, 7));
    say("unlinked.stat", fstat(fd, &st));
    printf("unlinked '%s' nlink %d size %lld\n", buf, (int)st.st_nlink, (long long)st.st_size);
    file_make("unlinked", "other");
    say("unlinked.again", (int)pread(fd, buf, 5, 0));
    printf("unlinked.both '%s'\n", buf);
    file_print("unlinked.named", "unlinked");
    close(fd);
}

static void shown_print(const char *what, int fd)
{
    char buf[64] = "";
    struct stat st = { 0 };

    say(what, fstat(fd, &st));
    say(what, (int)pread(fd, buf, sizeof buf - 1, 0));
    printf("%s '%s' nlink %d size %lld end %lld\n", what, buf, (int)st.st_nlink, (long long)st.st_size,
           (long long)lseek(fd, 0, SEEK_END));
}

/* The file is open by a name that it has lost, and by one that it has. */
static void unlink_one_of_two_check(void)
{
    int gone, left;

    file_make("two", "");
    gone = open("two", O_RDWR);
    say("two.link", link("two", "two.left"));
    left = open("two.left", O_RDWR);
    say("two.unlink", unlink("two"));
    shown_print("two.gone", gone);
    shown_print("two.left", left);
    say("two.write", (int)pwrite(left, "by the name that is left", 24, 0));
    shown_print("two.gone", gone);
    say("two.write", (int)pwrite(gone, "by the one that is gone, and longer", 35, 0));
    shown_print("two.left", left);
    say("two.truncate", ftruncate(gone, 6));
    file_print("two.named", "two.left");
    say("two.truncate", truncate("two.left", 3));
    shown_print("two.gone", gone);
    close(gone);
    close(left);
}

static void rmdir_open_check(void)
{
    struct stat st = { 0 };
    int fd;

    mkdir("removed", 0755);
    fd = open("removed", O_RDONLY | O_DIRECTORY);
    say("removed.rmdir", rmdir("removed"));
    say("removed.create", openat(fd, "x", O_WRONLY | O_CREAT, 0644));
    say("removed.stat", fstat(fd, &st));
    printf("removed nlink %d size %lld\n", (int)st.st_nlink, (long long)st.st_size);
    close(fd);
}

static void rename_flags_check(void)
{
    file_make("left", "left");
    file_make("right", "right");
    say("flags.noreplace", rename_flagged("left", "right", RENAME_NOREPLACE));
    say("flags.free", rename_flagged("left", "left2", RENAME_NOREPLACE));
    say("flags.exchange", rename_flagged("left2", "right", RENAME_EXCHANGE));
    file_print("flags.left2", "left2");
    file_print("flags.right", "right");
    say("flags.absent", rename_flagged("left2", "absent", RENAME_EXCHANGE));
    mkdir("a-dir", 0755);
    file_make("a-dir/inside", "inside");
    say("flags.exchange-dir", rename_flagged("a-dir", "right", RENAME_EXCHANGE));
    file_print("flags.moved", "right/inside");
    file_print("flags.was-dir", "a-dir");
}

static void rename_dir_check(void)
{
    mkdir("tree", 0755);
    mkdir("tree/sub", 0755);
    file_make("tree/sub/file", "deep");
    mkdir("full", 0755);
    file_make("full/file", "x");
    mkdir("empty", 0755);
    say("dir.into-itself", rename("tree", "tree/sub/tree"));
    say("dir.over-full", rename("tree", "full"));
    say("dir.over-file", rename("tree", "full/file"));
    say("dir.file-over-dir", rename("full/file", "empty"));
    say("dir.over-empty", rename("tree", "empty"));
    file_print("dir.moved", "empty/sub/file");
    say("dir.up", rename("empty/sub", "sub"));
    file_print("dir.up-moved", "sub/file");
    say("dir.rmdir-full", rmdir("full"));
    say("dir.unlink", unlink("full"));
    say("dir.rmdir-file", rmdir("full/file"));
    say("dir.mkdir-twice", mkdir("full", 0755));
}

static void link_check(void)
{
    struct stat a, b;

    file_make("hard", "one inode");
    say("link.make", link("hard", "hard2"));
    say("link.again", link("hard", "hard2"));
    stat("hard", &a);
    stat("hard2", &b);
    printf("link.stat same %d nlink %d %d\n", a.st_ino == b.st_ino && a.st_dev == b.st_dev, (int)a.st_nlink,
           (int)b.st_nlink);
    file_make("hard2", "changed");
    file_print("link.shared", "hard");
    say("link.same", rename("hard", "hard2")); /* two names of one file: nothing happens */
    say("link.unlink", unlink("hard2"));
    stat("hard", &a);
    printf("link.left %d\n", (int)a.st_nlink);
    say("link.dir", link("full", "full2"));
}

static void locks_print(const char *what, int one, int other)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    say(what, flock(one, LOCK_EX));
    say(what, flock(other, LOCK_EX | LOCK_NB));
    flock(one, LOCK_UN);
    say(what, fcntl(one, F_OFD_SETLK, &lock));
    say(what, fcntl(other, F_OFD_SETLK, &lock));
    lock.l_type = F_UNLCK;
    fcntl(one, F_OFD_SETLK, &lock);
    say(what, fcntl(other, F_OFD_SETLK, &lock));
}

static void maps_print(int one, int other)
{
    char *a = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
    char *b = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);

    say("one.map", a == MAP_FAILED || b == MAP_FAILED ? -1 : 0);
    if (a == MAP_FAILED || b == MAP_FAILED)
        return;
    for (int i = 0; i < 4; i++) {
        a[i] = (char)('a' + i);
        printf("one.map '%.4s'\n", b);
        b[i] = (char)('A' + i);
        printf("one.map '%.4s'\n", a);
    }
    munmap(a, 4);
    munmap(b, 4);
}

/* By every name a file is one and the same: to locks, to mappings, and to who copies what was written by another. */
static void one_file_check(void)
{
    int one, other, to;

    file_make("one", "0123");
    one = open("one", O_RDWR);
    say("one.link", link("one", "one.other"));
    other = open("one.other", O_RDWR);
    locks_print("one.lock", one, other);
    maps_print(one, other);
    say("one.rename", rename("one", "one.renamed"));
    to = open("one.copy", O_RDWR | O_CREAT, 0644);
    say("one.write", (int)pwrite(one, " and more", 9, 4));
    printf("one.copy %zd\n", copy_file_range(other, NULL, to, NULL, 100, 0));
    file_print("one.copy", "one.copy");
    say("one.unlink", unlink("one.renamed"));
    locks_print("one.left", one, other);
    close(to);
    close(one);
    to = open("one.other", O_RDWR);
    locks_print("one.again", other, to);
    close(to);
    close(other);
}

static void symlink_check(void)
{
    char buf[64] = "";
    struct stat st;

    file_make("target", "pointed at");
    say("symlink.make", symlink("target", "soft"));
    say("symlink.read", (int)readlink("soft", buf, sizeof buf - 1));
    printf("symlink.target '%s'\n", buf);
    lstat("soft", &st);
    printf("symlink.size %lld mode %o\n", (long long)st.st_size, (unsigned)st.st_mode);
    file_print("symlink.follow", "soft");
    say("symlink.nofollow", open("soft", O_RDONLY | O_NOFOLLOW));
    say("symlink.loop", symlink("loop", "loop"));
    say("symlink.loop-open", open("loop", O_RDONLY));
    say("symlink.dangling", symlink("nowhere", "dangling"));
    say("symlink.dangling-excl", open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644));
    file_make("dangling", "made through");
    file_print("symlink.made", "nowhere");
}

static void special_check(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
    int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), r, w;
    char buf[8] = "";

    say("fifo.make", mkfifo("fifo", 0644));
    say("fifo.no-reader", open("fifo", O_WRONLY | O_NONBLOCK));
    r = open("fifo", O_RDONLY | O_NONBLOCK);
    w = open("fifo", O_WRONLY | O_NONBLOCK);
    say("fifo.write", (int)write(w, "piped", 5));
    say("fifo.read", (int)read(r, buf, 5));
    printf("fifo '%s'\n", buf);
    say("socket.bind", bind(s, (struct sockaddr *)&address, sizeof address));
    say("socket.listen", listen(s, 1));
    say("socket.connect", connect(c, (struct sockaddr *)&address, sizeof address));
    close(r);
    close(w);
    close(s);
    close(c);
}

static void xattr_check(void)
{
    char buf[256] = "";
    ssize_t n;

    file_make("xattr", "x");
    say("xattr.absent", (int)getxattr("xattr", "user.a", buf, sizeof buf));
    say("xattr.set", setxattr("xattr", "user.a", "va\0lue", 6, XATTR_CREATE));
    say("xattr.twice", setxattr("xattr", "user.a", "other", 5, XATTR_CREATE));
    printf("xattr.size %zd\n", getxattr("xattr", "user.a", NULL, 0));
    say("xattr.short", (int)getxattr("xattr", "user.a", buf, 2));
    n = getxattr("xattr", "user.a", buf, sizeof buf);
    printf("xattr.value %zd %d\n", n, n == 6 && !memcmp(buf, "va\0lue", 6));
    n = listxattr("xattr", buf, sizeof buf);
    printf("xattr.listed %d\n", n > 0 && memmem(buf, (size_t)n, "user.a", 7) != NULL);
    say("xattr.remove", removexattr("xattr", "user.a"));
    say("xattr.removed", removexattr("xattr", "user.a"));
}

/* Every name of a large directory once, also while they are being removed. */
static void directory_check(void)
{
    int seen[700] = { 0 }, once = 0, left = 0, kinds = 0, number;
    struct dirent *entry;
    struct stat st;
    char name[32];
    DIR *dir;

    mkdir("large", 0755);
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "large/%d", i);
        file_make(name, "");
    }
    dir = opendir("large");
    while (dir && (entry = readdir(dir))) {
        if (sscanf(entry->d_name, "%d", &number) != 1 || number < 0 || number >= 700)
            continue;
        seen[number]++;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == entry->d_ino)
            kinds++;
        if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
            left++;
    }
    for (int i = 0; i < 700; i++)
        once += seen[i] == 1;
    printf("large once %d left %d inodes %d\n", once, left, kinds);
    if (dir)
        rewinddir(dir);
    for (number = 0; dir && readdir(dir);)
        number++;
    printf("large.again %d\n", number);
    if (dir)
        closedir(dir);
    say("large.rmdir", rmdir("large"));
}

int probe_links(const char *dir)
{
    umask(022);
    if (chdir(dir) < 0)
        return 1;
    rename_over_check();
    unlink_open_check();
    unlink_one_of_two_check();
    one_file_check();
    rmdir_open_check();
    rename_flags_check();
    rename_dir_check();
    link_check();
    symlink_check();
    special_check();
    xattr_check();
    directory_check();
    return 0;
}
