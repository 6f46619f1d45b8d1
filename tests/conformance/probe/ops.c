#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int fd_result(int fd)
{
    if (fd < 0)
        return -1;
    return close(fd);
}

static int dir_result(const char *path)
{
    DIR *dir = opendir(path);
    int failed;

    if (!dir)
        return -1;
    errno = 0;
    while (readdir(dir))
        ;
    failed = errno;
    closedir(dir);
    errno = failed;
    return failed ? -1 : 0;
}

static int rename_flagged(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* Reading must give something: an open that succeeds and a read that does not are one failure. */
static int file_result(const char *path)
{
    char c;
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, &c, 1);
    int failed = errno;

    if (fd >= 0)
        close(fd);
    errno = failed;
    return n < 0 ? -1 : 0;
}

static int op_one(const char *op, const char *path)
{
    static const struct timespec times[2] = { { 1000, 0 }, { 1000, 0 } };
    struct stat st;
    char buf[256];

    if (!strcmp(op, "stat"))
        return lstat(path, &st);
    if (!strcmp(op, "access"))
        return access(path, F_OK);
    if (!strcmp(op, "read"))
        return file_result(path);
    if (!strcmp(op, "list"))
        return dir_result(path);
    if (!strcmp(op, "write"))
        return fd_result(open(path, O_WRONLY));
    if (!strcmp(op, "append"))
        return fd_result(open(path, O_RDWR | O_APPEND));
    if (!strcmp(op, "otrunc"))
        return fd_result(open(path, O_WRONLY | O_TRUNC));
    if (!strcmp(op, "rtrunc")) /* truncates although it asks for reading alone */
        return fd_result(open(path, O_RDONLY | O_TRUNC));
    if (!strcmp(op, "create"))
        return fd_result(open(path, O_WRONLY | O_CREAT, 0644));
    if (!strcmp(op, "create-excl"))
        return fd_result(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));
    if (!strcmp(op, "tmpfile"))
        return fd_result(open(path, O_RDWR | O_TMPFILE, 0644));
    if (!strcmp(op, "mkdir"))
        return mkdir(path, 0755);
    if (!strcmp(op, "mkfifo"))
        return mkfifo(path, 0644);
    if (!strcmp(op, "mkchar"))
        return mknod(path, S_IFCHR | 0666, (1 << 8) | 5); /* the zero device */
    if (!strcmp(op, "unlink"))
        return unlink(path);
    if (!strcmp(op, "rmdir"))
        return rmdir(path);
    if (!strcmp(op, "truncate"))
        return truncate(path, 0);
    if (!strcmp(op, "chmod"))
        return chmod(path, 0600);
    if (!strcmp(op, "chown-self"))
        return lchown(path, geteuid(), getegid());
    if (!strcmp(op, "chown-other"))
        return lchown(path, geteuid() + 1, (gid_t)-1);
    if (!strcmp(op, "utimes"))
        return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
    if (!strcmp(op, "setxattr"))
        return lsetxattr(path, "user.probe", "1", 1, 0);
    if (!strcmp(op, "removexattr"))
        return lremovexattr(path, "user.probe");
    if (!strcmp(op, "getxattr"))
        return lgetxattr(path, "user.probe", buf, sizeof buf) < 0 ? -1 : 0;
    if (!strcmp(op, "listxattr"))
        return llistxattr(path, buf, sizeof buf) < 0 ? -1 : 0;
    if (!strcmp(op, "readlink"))
        return readlink(path, buf, sizeof buf) < 0 ? -1 : 0;
    return -2;
}

static int op_two(const char *op, const char *from, const char *to)
{
    if (!strcmp(op, "symlink"))
        return symlink(from, to);
    if (!strcmp(op, "link"))
        return link(from, to);
    if (!strcmp(op, "rename"))
        return rename(from, to);
    if (!strcmp(op, "exchange"))
        return rename_flagged(from, to, RENAME_EXCHANGE);
    if (!strcmp(op, "noreplace"))
        return rename_flagged(from, to, RENAME_NOREPLACE);
    return -2;
}

/*
 * Each argument is "op:path" or "op:path:path"; each is done in turn and gives a line "op:path RESULT", where the
 * result is ok or an errno's name.
 */
int probe_ops(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char copy[4096], *first, *second;
        int result;

        snprintf(copy, sizeof copy, "%s", argv[i]);
        first = strchr(copy, ':');
        if (!first)
            return 2;
        *first++ = '\0';
        second = strchr(first, ':');
        if (second)
            *second++ = '\0';
        errno = 0;
        result = second ? op_two(copy, first, second) : op_one(copy, first);
        if (result == -2)
            return 2;
        printf("%s %s\n", argv[i], result < 0 ? errno_name(errno) : "ok");
    }
    return 0;
}
